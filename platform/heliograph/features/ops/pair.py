"""What two series have in common over the last bars: covariance, correlation, beta.

Merged from blocks like every window (`heliograph.features.ops.window`); a NaN in either series gives NaN.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.ops.ladder import Block, Merge, merged
from heliograph.features.ops.window import spread

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def covariance(a: Series, b: Series, bars: int) -> Series:
    """Mean product of the deviations from the window's means, the population's."""
    return together(a, b, bars)[2] / bars


def correlation(a: Series, b: Series, bars: int) -> Series:
    """Pearson's, in [−1, 1]; 0 where one of the two does not vary; TA-Lib's CORREL."""
    return node(_correlation, together(a, b, bars)[2], spread(a, bars)[1], spread(b, bars)[1])[0]


def beta(y: Series, x: Series, bars: int) -> Series:
    """Slope of the least-squares line of ``y`` over ``x``; 0 where ``x`` does not vary.

    TA-Lib's BETA is the one of its two prices' relative changes.
    """
    return node(_beta, together(y, x, bars)[2], spread(x, bars)[1])[0]


def autocorrelation(series: Series, lag: int, bars: int) -> Series:
    """Of the last ``bars`` values with themselves ``lag`` bars earlier, in [−1, 1]; 0 where they do not vary.

    Only pairs inside the window count, and all deviations are taken from its mean.

    Raises:
        ValueError: the lag is not inside the window.

    Source: G. E. P. Box, G. M. Jenkins, Time Series Analysis, 1970, eq. 2.1.13.
    """
    if not 0 < lag < bars:
        raise ValueError(f"a lag of {lag} bars does not fit a window of {bars}: use 1 to {bars - 1}")
    pairs = together(series, series.lag(lag), bars - lag)
    inputs = (*pairs, *spread(series, bars), series)
    made = node(_autocorrelation, *inputs, reach=(0, 0, 0, 0, 0, lag), parameters=(bars, lag))
    return made[0]


def together(a: Series, b: Series, bars: int) -> Block:
    """Sums of what ``a`` and ``b`` exceed their newest values by; sum of the products of their deviations."""
    return merged(Merge.PRODUCT, bars, a, b)


@kernel
def _correlation(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, products, squares_a, squares_b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        scale = math.sqrt(squares_a[t]) * math.sqrt(squares_b[t])
        value = products[t] / scale if scale > 0.0 else 0.0 * scale
        out[t] = 1.0 if value > 1.0 else (-1.0 if value < -1.0 else value)


@kernel
def _beta(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, products, squares = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        out[t] = products[t] / squares[t] if squares[t] > 0.0 else 0.0 * products[t]


@kernel
def _autocorrelation(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, newer, older, products = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    sums, squares, last, before = x[at[4] + i :], x[at[5] + i :], x[at[6] + i :], x[at[6] + i - int(p[1]) :]
    bars, pairs = p[0], p[0] - p[1]
    for t in range(n):
        mean = sums[t] / bars
        off_newer, off_older = newer[t] / pairs - mean, (older[t] / pairs - mean) + (before[t] - last[t])
        common = products[t] + pairs * (off_newer * off_older)
        value = common / squares[t] if squares[t] > 0.0 else 0.0 * squares[t]
        out[t] = 1.0 if value > 1.0 else (-1.0 if value < -1.0 else value)
