"""Prices and moves made free of scale: in average true ranges, in standard deviations, or nothing in a flat market."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.market import CLOSE, HIGH, LOW, SIGMA
from heliograph.features.ops.pointwise import ratio
from heliograph.features.ops.range import directional

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FLAT = 1e-9
"""Of the close: a range or a change below it is rounding, not a market."""

ATR_14 = directional(HIGH, LOW, CLOSE, 14).atr
"""Average true range, in the unit of the prices."""


def in_ranges(price: Series) -> Series:
    """A difference of prices in average true ranges of 14 bars; 0 where the market is flat."""
    return ratio(price, ATR_14, least=FLAT, measure=CLOSE)


def in_sigmas(move: Series, bars: float = 1.0) -> Series:
    """A difference of log-prices in standard deviations of the log-return over ``bars``."""
    return move / (SIGMA * math.sqrt(bars))


def unless_flat(value: Series, width: Series, *, otherwise: float = 0.0) -> Series:
    """The value, and ``otherwise`` where ``width``, a difference of prices, is nothing beside the close."""
    return node(_unless_flat, value, width, CLOSE, parameters=(FLAT, otherwise))[0]


@kernel
def _unless_flat(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value, width, close = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        nothing = 0.0 * (value[t] + width[t])  # NaN stays NaN
        out[t] = (p[1] if abs(width[t]) <= p[0] * close[t] else value[t]) + nothing
