"""Higher timeframes out of a base timeframe, and which of their bars are known at each base bar.

A higher bar counts only after its close. It is closed by the base bar that reaches its close; where that bar is
missing, by the first base bar after it, in batch and live alike. Each higher timeframe is made from the base itself:
made from each other, a bar behind a gap of a whole middle bar would be seen later than it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, Timeframe
from heliograph.features.kernels import compiled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_LONGEST_MONTH_MS = 32 * DAY_MS


@compiled
def _emit(held: FloatArray, closed_7M: FloatArray, m: int) -> int:
    """Write the held bar as the m-th closed one and start over; the number of closed ones."""
    for k in range(7):
        closed_7M[k, m] = held[k]
    held[6] = 0.0
    return m + 1


@compiled
def _close_buckets(
    bars_6N: FloatArray, buckets_3N: IntArray, held: FloatArray, closed_7M: FloatArray, pointer_N: IntArray
) -> int:
    """Merge base bars into higher bars, one pass.

    A higher bar is closed by the base bar that reaches its close, or, where that one is missing, by the first bar
    after it.

    Args:
        bars_6N: open_ts_ms, open, high, low, close, volume of the base bars.
        buckets_3N: open and close of the higher bar that each base bar lies in, and the base bar's own close.
        held: float64[7], the unfinished higher bar, carried from call to call; its last entry counts base bars.
        closed_7M: gets the higher bars: open_ts_ms, open, high, low, close, volume, base bars in it.
        pointer_N: gets, for each base bar, how many of this call's higher bars are closed at its close.

    Returns:
        how many higher bars were closed.
    """
    m = 0
    for i in range(bars_6N.shape[1]):
        if held[6] > 0.0 and held[0] != buckets_3N[0, i]:
            m = _emit(held, closed_7M, m)
        if held[6] == 0.0:
            held[0] = buckets_3N[0, i]
            for k in range(1, 6):
                held[k] = bars_6N[k, i]
        else:
            held[2] = max(held[2], bars_6N[2, i])
            held[3] = min(held[3], bars_6N[3, i])
            held[4] = bars_6N[4, i]
            held[5] += bars_6N[5, i]
        held[6] += 1.0
        if buckets_3N[2, i] >= buckets_3N[1, i]:
            m = _emit(held, closed_7M, m)
        pointer_N[i] = m
    return m


@dataclass(frozen=True, slots=True)
class Higher:
    """Closed bars of a higher timeframe and their place on the base bars.

    Attributes:
        candles: m closed higher bars.
        num_bars: int64[m], base bars in each.
        pointer: int64[n], row in ``candles`` of the last one known at the close of each base bar; −1 where none is.
    """

    candles: Candles
    num_bars: IntArray
    pointer: IntArray


def require_nested(base: Timeframe, target: Timeframe) -> None:
    """Check that bars of ``target`` are made of whole bars of ``base``.

    Raises:
        ConfigError: they are not.
    """
    whole = DAY_MS if target.is_calendar else target.ms
    if base.is_calendar or target.ms <= base.ms or whole % base.ms or (target.offset_ms - base.offset_ms) % base.ms:
        raise ConfigError(f"{target} bars can't be made of {base} bars: choose a base that divides {target}")


def closes(timeframe: Timeframe, open_ts_ms: IntArray) -> IntArray:
    """Close of each bar; int64[n] in, int64[n] out."""
    if timeframe.is_calendar:
        return timeframe.floor_array(open_ts_ms + _LONGEST_MONTH_MS)
    return open_ts_ms + timeframe.ms


def higher(candles: Candles, base: Timeframe, target: Timeframe) -> Higher:
    """The closed bars of ``target``, and for each base bar the last that is known at its close.

    Args:
        candles: base bars, ascending; bars may be missing.

    Raises:
        ConfigError: ``target`` is not made of whole bars of ``base``.
    """
    require_nested(base, target)
    ts = candles.open_ts_ms
    opens = target.floor_array(ts)
    buckets = np.stack([opens, closes(target, opens), closes(base, ts)])
    bars = np.stack([ts.astype(np.float64), candles.open, candles.high, candles.low, candles.close, candles.volume])
    closed = np.empty((7, 1 + int(np.count_nonzero(np.diff(opens)))))
    pointer = np.empty(ts.size, dtype=np.int64)
    m = _close_buckets(bars, buckets, np.zeros(7), closed, pointer)
    o, h, low, c, v = (np.ascontiguousarray(row[:m]) for row in closed[1:6])
    made = Candles(closed[0, :m].astype(np.int64), o, h, low, c, v)
    return Higher(made, closed[6, :m].astype(np.int64), pointer - 1)


def resample(candles: Candles, base: Timeframe, target: Timeframe, *, complete_only: bool = False) -> Candles:
    """Candles of ``target`` out of candles of ``base``.

    Only closed bars come: the last one is left out until a base bar reaches or passes its close. Prices are exact;
    volume is summed in order of time.

    Args:
        complete_only: leave out bars of which a base bar is missing.

    Raises:
        ConfigError: ``target`` is not made of whole bars of ``base``.

    >>> from heliograph.core import timeframe
    >>> hours = Candles.of([[h * 3_600_000, 1 + h, 2 + h, h, 1.5 + h, 10] for h in range(9)])
    >>> resample(hours, timeframe.parse("1h"), timeframe.parse("4h")).close.tolist()
    [4.5, 8.5]
    """
    found = higher(candles, base, target)
    if not complete_only:
        return found.candles
    opens = found.candles.open_ts_ms
    return found.candles.take(found.num_bars == (closes(target, opens) - opens) // base.ms)


class HigherStream:
    """The same one base bar at a time: closed bars of ``target`` as soon as they are known."""

    def __init__(self, base: Timeframe, target: Timeframe) -> None:
        require_nested(base, target)
        self._base = base
        self._target = target
        self._held = np.zeros(7)
        self._bar = np.empty((6, 1))
        self._bucket = np.empty((3, 1), dtype=np.int64)
        self._closed = np.empty((7, 2))
        self._pointer = np.empty(1, dtype=np.int64)

    def update(self, bar: Sequence[float]) -> FloatArray:
        """Take one closed base bar and answer with the higher bars that it closes.

        Args:
            bar: open_ts_ms, open, high, low, close, volume.

        Returns:
            float64[7, m] with m of 0, 1 or 2: open_ts_ms, open, high, low, close, volume, base bars in it. Valid until
            the next call.
        """
        open_ts_ms = int(bar[0])
        opened = self._target.floor(open_ts_ms)
        self._bucket[:, 0] = opened, self._target.next(opened), self._base.next(open_ts_ms)
        self._bar[:, 0] = bar
        m = _close_buckets(self._bar, self._bucket, self._held, self._closed, self._pointer)
        return self._closed[:, :m]
