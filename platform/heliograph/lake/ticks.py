"""Doubles ↔ integers of ticks with a scale a row: exact for every number that a venue can print.

A part has one usual scale: the smallest that all but one row in 256 need (a digit more for all of them would cost 0.4
bytes a row); the others stand at their own. Numbers with more than 15 significant digits (venues that sum floats send
them) are taken by their shortest decimals. They may become integers past 2**53, which plain float division would round:
those few are divided as Python integers, correctly rounded.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import SchemaMismatch
from heliograph.core.money import MAX_SCALE

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_EXACT = 2**53  # every integer up to here is a double
_UNIQUE = 10**15  # up to so many ticks no other decimal of that scale is the same double: they are what was printed
_POWERS = np.asarray([10.0**scale for scale in range(23)])  # 10**22 is the last power of ten that is a double
_RARE = 256  # one row in so many may need more decimals than the rest
_SAMPLE = 1_024


def to_rows(values_KN: FloatArray) -> tuple[IntArray, IntArray]:
    """Ticks int64[K, N] and scale int64[N]; `from_rows` gives the same doubles back.

    Args:
        values_KN: K columns of N rows, finite.

    Raises:
        SchemaMismatch: a number is not finite, or a row spans more than 18 digits.
    """
    if not np.isfinite(values_KN).all():
        raise SchemaMismatch("a price or volume is not a finite number; the page is refused")
    count = values_KN.shape[1]
    usual = _usual_scale(values_KN[:, :: max(1, count // _SAMPLE)])
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not exact
        near_KN = np.rint(values_KN * _POWERS[usual])
        is_fit_N = _fits(values_KN, near_KN, usual)
        if is_fit_N.all():
            return near_KN.astype(np.int64), np.full(count, usual)
        ticks_KN = near_KN.astype(np.int64)
    scale_N = np.full(count, usual)
    odd = np.flatnonzero(~is_fit_N)
    ticks_KN[:, odd], scale_N[odd] = _own(values_KN[:, odd])
    return ticks_KN, scale_N


def from_rows(ticks: IntArray, scale: IntArray, *, out: FloatArray | None = None) -> FloatArray:
    """The doubles that `to_rows` was given; one column, int64[N] and integer[N] in, float64[N] out (into ``out``).

    >>> from_rows(np.array([15, 61357453600000005]), np.array([1, 16])).tolist()
    [1.5, 6.1357453600000005]
    """
    if not ticks.size:
        return np.empty(0)
    least, most = int(scale.min()), int(scale.max())
    powers = _POWERS[least] if least == most <= 22 else _POWERS[np.minimum(scale, 22)]
    values: FloatArray = np.divide(ticks, powers, out=out)
    if most > 22 or int(ticks.max()) > _EXACT or int(ticks.min()) < -_EXACT:
        for i in np.flatnonzero((np.abs(ticks) > _EXACT) | (scale > 22)):
            values[i] = int(ticks[i]) / 10 ** int(scale[i])
    return values


def sum_runs(values: FloatArray, first: npt.NDArray[np.intp]) -> FloatArray:
    """Sums of runs of decimals, each the double nearest to the exact sum; float64[N] and ascending starts in.


    >>> sum_runs(np.array([0.1, 0.2, 5.0]), np.array([0, 2])).tolist()
    [0.3, 5.0]
    """
    if not first.size:
        return np.empty(0)
    (ticks,), scale = to_rows(values[None])
    usual = int(np.bincount(scale).argmax())
    is_usual = (scale == usual) & (np.abs(ticks) <= 2**62 // values.size)  # so that no sum leaves 64 bits
    sums = from_rows(np.add.reduceat(np.where(is_usual, ticks, 0), first), np.full(first.size, usual))
    odd = np.unique(np.searchsorted(first, np.flatnonzero(~is_usual), side="right") - 1)
    ends = np.append(first[1:], values.size)
    for run in odd:
        held = slice(int(first[run]), int(ends[run]))
        most = int(scale[held].max())
        total = sum(int(t) * 10 ** (most - int(s)) for t, s in zip(ticks[held], scale[held], strict=True))
        sums[run] = total / 10**most
    return sums


def _usual_scale(sample_KN: FloatArray) -> int:
    """The smallest scale at which all but one row in `_RARE` are exact; where there is none, that of the most rows."""
    count = sample_KN.shape[1]
    best, most = 0, -1
    for scale in range(MAX_SCALE + 1):
        fit = int(_is_exact(sample_KN, scale).sum())
        if (count - fit) * _RARE <= count:
            return scale
        if fit > most:
            best, most = scale, fit
    return best


def _own(values_KN: FloatArray) -> tuple[IntArray, IntArray]:
    """Ticks and scale of rows that do not fit the usual one."""
    scale_N = _least_scales(values_KN)
    ticks_KN = np.zeros(values_KN.shape, dtype=np.int64)
    fits_N = scale_N >= 0
    ticks_KN[:, fits_N] = np.rint(values_KN[:, fits_N] * _POWERS[scale_N[fits_N]])
    for row in np.flatnonzero(~fits_N):
        ticks_KN[:, row], scale_N[row] = _wide(values_KN[:, row])
    return ticks_KN, scale_N


def _is_exact(values_KN: FloatArray, scale: int) -> npt.NDArray[np.bool_]:
    with np.errstate(over="ignore", invalid="ignore"):
        return _fits(values_KN, np.rint(values_KN * _POWERS[scale]), scale)


def _fits(values_KN: FloatArray, near_KN: FloatArray, scale: int) -> npt.NDArray[np.bool_]:
    """Which rows are the doubles nearest to their ticks, and to no others; bool[N]."""
    is_exact_KN = (near_KN / _POWERS[scale] == values_KN) & (np.abs(near_KN) <= _UNIQUE)
    return np.asarray(is_exact_KN.all(axis=0))


def _least_scales(values_KN: FloatArray) -> IntArray:
    """The smallest scale at which the whole row is exact in doubles; -1 where there is none."""
    scale_N = np.full(values_KN.shape[1], -1)
    for scale in range(MAX_SCALE + 1):
        open_N = np.flatnonzero(scale_N < 0)
        scale_N[open_N[_is_exact(values_KN[:, open_N], scale)]] = scale
    return scale_N


def _wide(values_K: FloatArray) -> tuple[list[int], int]:
    """One row through its shortest decimal digits, in integers that doubles can't hold."""
    decimals = [Decimal(repr(float(value))) for value in values_K]
    scale = max(0, *(-int(d.as_tuple().exponent) for d in decimals))
    ticks = [int(d.scaleb(scale)) for d in decimals]
    if max(map(abs, ticks)) >= 2**63 or scale > 127:
        raise SchemaMismatch(
            f"the numbers {[str(d) for d in decimals]} of one candle span more digits than 64 bits hold"
        )
    return ticks, scale
