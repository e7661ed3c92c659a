"""Doubles ↔ integers of ticks with a scale a row: exact for every number that a venue can print.

A row is stored at the scale that its part shares where that is exact; else at its own. Numbers with more than 15
significant digits (venues that sum floats send them) become integers past 2**53, which plain float division would
round: those few are divided as Python integers, correctly rounded.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import SchemaMismatch
from heliograph.core.money import MAX_SCALE, to_ticks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_EXACT = 2**53  # every integer up to here is a double
_POWERS = np.asarray([10.0**scale for scale in range(23)])  # 10**22 is the last power of ten that is a double


def to_rows(values_NK: FloatArray) -> tuple[IntArray, IntArray]:
    """Ticks int64[N, K] and scale int64[N]; `from_rows` gives the same doubles back.

    Raises:
        SchemaMismatch: a number is not finite, or a row spans more than 18 digits.
    """
    try:
        flat, common = to_ticks(values_NK.ravel())
        return flat.reshape(values_NK.shape), np.full(len(values_NK), common)
    except SchemaMismatch:
        if not np.isfinite(values_NK).all():
            raise
    own_N = _least_scales(values_NK)
    found = own_N[own_N >= 0]
    usual = int(np.quantile(found, 0.9, method="higher")) if found.size else 0
    scale_N = np.where(_is_exact(values_NK, usual), usual, own_N)
    fits_N = scale_N >= 0
    ticks_NK = np.zeros(values_NK.shape, dtype=np.int64)
    ticks_NK[fits_N] = np.rint(values_NK[fits_N] * _POWERS[scale_N[fits_N]][:, None])
    for row in np.flatnonzero(~fits_N):
        ticks_NK[row], scale_N[row] = _wide(values_NK[row])
    return ticks_NK, scale_N


def from_rows(ticks: IntArray, scale: IntArray) -> FloatArray:
    """The doubles that `to_rows` was given; one column, int64[N] and integer[N] in, float64[N] out.

    >>> from_rows(np.array([15, 61357453600000005]), np.array([1, 16])).tolist()
    [1.5, 6.1357453600000005]
    """
    values: FloatArray = ticks / _POWERS[np.minimum(scale, 22)]
    for i in np.flatnonzero((np.abs(ticks) > _EXACT) | (scale > 22)):
        values[i] = int(ticks[i]) / 10 ** int(scale[i])
    return values


def _is_exact(values_NK: FloatArray, scale: int) -> npt.NDArray[np.bool_]:
    with np.errstate(over="ignore"):  # what overflows is not exact
        ticks_NK = np.rint(values_NK * _POWERS[scale])
    return np.asarray(((ticks_NK / _POWERS[scale] == values_NK) & (np.abs(ticks_NK) <= _EXACT)).all(axis=1))


def _least_scales(values_NK: FloatArray) -> IntArray:
    """The smallest scale at which the whole row is exact in doubles; -1 where there is none."""
    scale_N = np.full(len(values_NK), -1)
    for scale in range(MAX_SCALE + 1):
        open_N = np.flatnonzero(scale_N < 0)
        scale_N[open_N[_is_exact(values_NK[open_N], scale)]] = scale
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
