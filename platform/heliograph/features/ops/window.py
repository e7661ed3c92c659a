"""Sums, means, spreads, extremes and straight lines over the last bars.

A window with a NaN in it gives NaN. Spreads and lines are taken relative to the newest bar of each block
(`heliograph.features.ops.ladder`): a price of 60,000 that moves by cents loses no digits.

`heliograph.features.ops.order` has ranks, quantiles and the bars since an extreme, `heliograph.features.ops.pair` what
two series have in common, `heliograph.features.ops.distribution` skewness and kurtosis,
`heliograph.features.ops.memory` autocorrelation.

Kernels take slices of the buffer: counted from 0, their loops carry no check for negative indices, and are vectorised.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.ops.ladder import Block, Merge, merged
from heliograph.features.ops.pointwise import root

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def total(series: Series, bars: int) -> Series:
    """Sum of the last ``bars`` values."""
    return merged(Merge.SUM, bars, series)[0]


def mean(series: Series, bars: int) -> Series:
    """Mean of the last ``bars`` values; TA-Lib's SMA."""
    return total(series, bars) / bars


def variance(series: Series, bars: int) -> Series:
    """Mean squared deviation from the window's mean, the population's; exactly 0 where all values are the same.

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, Stanford STAN-CS-79-773, 1979.
    """
    return spread(series, bars)[1] / bars


def deviation(series: Series, bars: int) -> Series:
    """Root of the `variance`."""
    return root(variance(series, bars))


def score(series: Series, bars: int) -> Series:
    """Deviations that the newest of the last ``bars`` values lies above their mean; 0 where they do not vary.

    At most √(``bars`` − 1), and exact where prices differ in their last digits only.
    """
    return node(_score, *spread(series, bars), parameters=(bars,))[0]


def highest(series: Series, bars: int) -> Series:
    """Largest of the last ``bars`` values."""
    return merged(Merge.HIGHEST, bars, series)[0]


def lowest(series: Series, bars: int) -> Series:
    """Smallest of the last ``bars`` values."""
    return merged(Merge.LOWEST, bars, series)[0]


def weighted_mean(series: Series, bars: int) -> Series:
    """Mean with weights 1, 2, …, ``bars``, the newest value's the largest; TA-Lib's WMA."""
    return node(_weighted_mean, *_ramp(series, bars), series, parameters=(bars,))[0]


def slope(series: Series, bars: int) -> Series:
    """Of the least-squares line through the last ``bars`` values, per bar; TA-Lib's LINEARREG_SLOPE.

    Raises:
        ValueError: a line through one bar.
    """
    return node(_slope, *_ramp(series, _at_least(bars, 2)), parameters=(bars,))[0]


def fit(series: Series, bars: int) -> tuple[Series, Series, Series, Series]:
    """The least-squares line through the last ``bars`` values.

    Returns:
        slope per bar; value at the newest bar; R², 0 where the values are all the same; standard error of the estimate,
        √(squared residuals / (bars − 2)).

    Raises:
        ValueError: less than three bars.
    """
    ramp = _ramp(series, _at_least(bars, 3))
    made = node(_line, *ramp, spread(series, bars)[1], series, parameters=(bars,), outputs=4)
    return made[0], made[1], made[2], made[3]


def spread(series: Series, bars: int) -> Block:
    """Sum of what the last ``bars`` values exceed the newest by; sum of their squared deviations from the mean."""
    return merged(Merge.SPREAD, bars, series)


def _ramp(series: Series, bars: int) -> Block:
    """Sum of what the values exceed the newest by, and that sum with each value's age in bars as its weight."""
    return merged(Merge.RAMP, bars, series)


def _at_least(bars: int, least: int) -> int:
    if bars < least:
        raise ValueError(f"a window of {bars} bars is too short: use {least} or more")
    return bars


@kernel
def _score(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, sums, squares = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        deviation_ = math.sqrt(squares[t] / p[0])
        out[t] = -(sums[t] / p[0]) / deviation_ if squares[t] > 0.0 else 0.0 * squares[t]


@kernel
def _weighted_mean(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, sums, ramps, last = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    bars, share = p[0], 2.0 / (p[0] * (p[0] + 1.0))
    for t in range(n):
        out[t] = last[t] + (bars * sums[t] - ramps[t]) * share


@kernel
def _slope(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, sums, ramps = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    middle, share = 0.5 * (p[0] - 1.0), 12.0 / (p[0] * (p[0] * p[0] - 1.0))
    for t in range(n):
        out[t] = (middle * sums[t] - ramps[t]) * share


@kernel
def _line(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    slopes, ends, explained, errors = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    sums, ramps, squares, last = x[at[4] + i :], x[at[5] + i :], x[at[6] + i :], x[at[7] + i :]
    bars, middle, times = p[0], 0.5 * (p[0] - 1.0), p[0] * (p[0] * p[0] - 1.0) / 12.0
    for t in range(n):
        common, all_ = middle * sums[t] - ramps[t], squares[t]
        told = common * (common / times)
        rest = all_ - told
        slopes[t] = common / times
        ends[t] = last[t] + (sums[t] / bars + middle * (common / times))
        explained[t] = (told if rest > 0.0 else all_) / all_ if all_ > 0.0 else 0.0 * all_
        errors[t] = math.sqrt(rest / (bars - 2.0)) if rest > 0.0 else 0.0 * all_
