"""The compiled passes behind `heliograph.features.align`.

They stand in one file because numba's cache of a function is void only when the function's own file changes, not when
a function that it calls does.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from heliograph.features.engine import compiled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _inlined(function: Any) -> Any:
    """Part of its caller: a call that hands on eight arrays costs more than the bars of one bucket."""
    return numba.njit(inline="always", error_model="numpy")(function)


class _Lower(NamedTuple):
    """P bars to make higher ones of; ``num`` and ``rows`` as in `Higher`, both empty where these are the base bars."""

    ts: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    num: IntArray
    rows: IntArray


class _Closed(NamedTuple):
    """Room for closed bars: open_ts_ms, num and row; open, high, low, close, volume."""

    times_3M: IntArray
    bars_5M: FloatArray


@compiled
def _month_open_ms(ts_ms: int) -> int:
    """Open of the UTC month, by Hinnant, "chrono-compatible low-level date algorithms".

    Years begin in March there, so that the leap day is a year's last.
    """
    days = ts_ms // 86_400_000
    of_era = (days + 719_468) % 146_097  # an era is 400 years, and began on 0000-03-01
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153
    return (days - (of_year - (153 * month + 2) // 5)) * 86_400_000


@compiled
def _open_ms(ts_ms: int, length_ms: int, offset_ms: int) -> int:
    """Open of the bar that holds a moment; a length of 0 is a month."""
    if length_ms == 0:
        opened: int = _month_open_ms(ts_ms - offset_ms)
        return opened + offset_ms
    return (ts_ms - offset_ms) // length_ms * length_ms + offset_ms


@compiled
def _close_ms(open_ts_ms: int, length_ms: int, offset_ms: int) -> int:
    if length_ms == 0:
        opened: int = _open_ms(open_ts_ms + 32 * 86_400_000, length_ms, offset_ms)
        return opened
    return open_ts_ms + length_ms


@_inlined
def _begin(lower: _Lower, i: int, open_ts_ms: int, held: FloatArray) -> None:
    """Hold a new higher bar that begins with lower bar i, without counting that one yet."""
    held[0], held[1], held[2], held[3], held[4] = open_ts_ms, lower.open[i], lower.high[i], lower.low[i], lower.close[i]
    held[5] = held[6] = 0.0


@_inlined
def _sum(num_P: IntArray, first: int, end: int) -> int:
    bars = 0
    for k in range(first, end):
        bars += num_P[k]
    return bars


@_inlined
def _merge(lower: _Lower, first: int, close_ms: int, held: FloatArray) -> int:
    """Merge the lower bars from ``first`` on that open before the close; the one that comes next."""
    h, low, v, i = held[2], held[3], held[5], first
    while i < lower.ts.size and lower.ts[i] < close_ms:
        h = max(h, lower.high[i])
        low = min(low, lower.low[i])
        v += lower.volume[i]
        i += 1
    held[2], held[3], held[5] = h, low, v
    if i > first:
        held[4] = lower.close[i - 1]
    held[6] += i - first if lower.num.size == 0 else _sum(lower.num, first, i)
    return i


@_inlined
def _row(lower: _Lower, end: int, ts_N: IntArray, base_ms: int, close_ms: int) -> int:
    """The base bar that closes a higher bar whose lower bars end before ``end``.

    It is the one that closed the last of them, if it reaches so far, or the one after it: base bars between the two
    would have made a further lower bar.
    """
    if end == 0:
        return 0
    row = end - 1 if lower.num.size == 0 else lower.rows[end - 1]
    return row if ts_N[row] + base_ms >= close_ms else row + 1


@compiled
def _fold(
    lower: _Lower, ts_N: IntArray, rule_4: IntArray, held: FloatArray, to: _Closed, start: int, pointer_N: IntArray
) -> int:
    """Merge closed bars of a lower timeframe into bars of one higher timeframe.

    Args:
        rule_4: length and offset of the higher timeframe, the level it is made of, length of the base.
        held: the unfinished higher bar; nothing is held where its last entry is 0.
        to: gets the closed bars, from ``start`` on.

    Returns:
        where they end.
    """
    length_ms, offset_ms, base_ms = rule_4[0], rule_4[1], rule_4[3]
    last_close_ms = ts_N[-1] + base_ms
    i, m, filled = 0, start, 0
    while i < lower.ts.size or held[6] > 0.0:
        if held[6] == 0.0:
            _begin(lower, i, _open_ms(lower.ts[i], length_ms, offset_ms), held)
        opened = int(held[0])
        close_ms = _close_ms(opened, length_ms, offset_ms)
        i = _merge(lower, i, close_ms, held)
        if close_ms > last_close_ms:
            break
        row = _row(lower, i, ts_N, base_ms, close_ms)
        to.times_3M[0, m], to.times_3M[1, m], to.times_3M[2, m] = opened, int(held[6]), row
        for k in range(5):
            to.bars_5M[k, m] = held[1 + k]
        held[6] = 0.0
        for k in range(filled, row):
            pointer_N[k] = m - start
        filled = row
        m += 1
    for k in range(filled, pointer_N.size):
        pointer_N[k] = m - start
    return m


def fold_levels(  # noqa: PLR0913, PLR0917 - a numba call is cheapest with flat arguments
    ts_N: IntArray,
    open_N: FloatArray,
    high_N: FloatArray,
    low_N: FloatArray,
    close_N: FloatArray,
    volume_N: FloatArray,
    rules_L4: IntArray,
    held_L7: FloatArray,
    times_3M: IntArray,
    bars_5M: FloatArray,
    pointer_LN: IntArray,
    ends_L: IntArray,
) -> None:
    """Every level out of the base or of a level before it; level k ends at ``ends_L[k]`` of what was closed."""
    end, to, none = 0, _Closed(times_3M, bars_5M), times_3M[1, :0]
    for k in range(rules_L4.shape[0]):
        below, rule, held, pointer = rules_L4[k, 2], rules_L4[k], held_L7[k], pointer_LN[k]
        if below < 0:
            base = _Lower(ts_N, open_N, high_N, low_N, close_N, volume_N, none, none)
            end = _fold(base, ts_N, rule, held, to, end, pointer)
        else:
            a, b = (0 if below == 0 else ends_L[below - 1]), ends_L[below]
            t, x = times_3M[:, a:b], bars_5M[:, a:b]
            lower = _Lower(t[0], x[0], x[1], x[2], x[3], x[4], t[1], t[2])
            end = _fold(lower, ts_N, rule, held, to, end, pointer)
        ends_L[k] = end


def count_known(known_ts_M: IntArray, at_ts_N: IntArray, counts_N: IntArray) -> None:
    """Two pointers: how many of the M ascending moments have come at each of the N ascending ones."""
    i = 0
    for m in range(known_ts_M.size):
        while i < at_ts_N.size and at_ts_N[i] < known_ts_M[m]:
            counts_N[i] = m
            i += 1
    for k in range(i, at_ts_N.size):
        counts_N[k] = known_ts_M.size


_I = numba.int64
_INTS_IN = numba.types.Array(numba.int64, 1, "C", readonly=True)  # what Arrow hands out can't be written to
_FLOATS_IN = numba.types.Array(numba.float64, 1, "C", readonly=True)
_SIGNATURES: Final = {
    fold_levels: numba.void(
        _INTS_IN, *[_FLOATS_IN] * 5, _I[:, ::1], numba.float64[:, ::1],
        _I[:, ::1], numba.float64[:, ::1], _I[:, ::1], _I[::1],
    ),
    count_known: numba.void(_INTS_IN, _INTS_IN, _I[::1]),
}  # fmt: skip


@cache
def ready(function: Any) -> Any:
    """The compiled pass, from numba's cache on disk where it has been compiled before."""
    return numba.njit(_SIGNATURES[function], cache=True, error_model="numpy", nogil=True)(function)
