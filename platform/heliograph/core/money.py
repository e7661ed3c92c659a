"""Exact money: decimals at the order border, integers of ticks in the lake."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import SchemaMismatch

MAX_SCALE = 18
_EXACT = 2**53  # largest integer up to which every double is exact

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def floor_to_step(qty: Decimal, step: Decimal) -> Decimal:
    """``qty`` cut toward zero to a multiple of ``step``.

    >>> floor_to_step(Decimal("-1.2345"), Decimal("0.01"))
    Decimal('-1.23')
    """
    return (qty / step).to_integral_value(rounding=ROUND_DOWN) * step


def to_ticks(values: FloatArray) -> tuple[IntArray, int]:
    """Doubles as integers of ``10**-scale``, exact: ``ticks / 10**scale`` gives the same doubles back.

    Args:
        values: float64[n], finite; decimal numbers as a venue prints them.

    Returns:
        ``(ticks int64[n], scale)`` with the smallest scale that fits all of them.

    Raises:
        SchemaMismatch: a value is not finite, or has more digits than a double holds exactly.
    """
    if not np.isfinite(values).all():
        raise SchemaMismatch("a price or volume is not a finite number; the page is refused")
    for scale in range(MAX_SCALE + 1):
        ticks = np.rint(values * 10.0**scale)
        if values.size and np.abs(ticks).max() > _EXACT:
            break
        if np.array_equal(ticks / 10.0**scale, values):
            return ticks.astype(np.int64), scale
    raise SchemaMismatch("a price or volume has more than 15 significant digits; it can't be stored exactly")


def from_ticks(ticks: IntArray, scale: int | IntArray) -> FloatArray:
    """The doubles that `to_ticks` was given; division, never multiplication by an inexact 0.1."""
    result: FloatArray = ticks.astype(np.float64) / np.power(10.0, np.asarray(scale, dtype=np.float64))
    return result
