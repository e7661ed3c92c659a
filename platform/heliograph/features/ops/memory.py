"""How much a series remembers: variance ratios, Hurst exponents, rescaled ranges, runs, roughness.

All are made of windows (`heliograph.features.ops.window`): a NaN in the last bars gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.ops.pointwise import magnitude
from heliograph.features.ops.window import fit, highest, lowest, mean, spread, total

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def variance_ratio(steps: Series, q: int, bars: int) -> Series:
    """Variance of the sums of ``q`` of the last ``bars`` steps over ``q`` variances of one, both unbiased; 1: a random walk.

    Where the steps do not vary it is 1.

    Source: A. W. Lo, A. C. MacKinlay, Stock Market Prices Do Not Follow Random Walks, Review of Financial Studies 1(1),
    1988, eq. 12.
    """
    sums = total(steps, q)
    inputs = (*spread(sums, bars - q + 1), sums, *spread(steps, bars), steps)
    return node(_variance_ratio, *inputs, parameters=(bars, q))[0]


def variance_ratio_z(steps: Series, q: int, bars: int) -> Series:
    """Standard errors between `variance_ratio` and 1 that hold whatever the volatility does; 0 where nothing moves.

    For the errors, the steps' mean counts as 0.

    Source: A. W. Lo, A. C. MacKinlay 1988, eq. 15 to 17.
    """
    squares = steps * steps
    lags = range(1, q)
    errors = [total(squares * squares.lag(lag), bars - lag) * (2.0 * (q - lag) / q) ** 2 for lag in lags]
    error = sum(errors[1:], errors[0])
    return node(_errors_from_one, variance_ratio(steps, q, bars), total(squares, bars), error)[0]


def rescaled_range(steps: Series, bars: int) -> Series:
    """Range of the walk that the last ``bars`` steps less their mean make, in their standard deviations; 0 without any.

    Source: H. E. Hurst, Long-Term Storage Capacity of Reservoirs, Transactions of the ASCE 116, 1951.
    """
    return node(_rescaled_range, steps, *spread(steps, bars), reach=(bars - 1, 0, 0), parameters=(bars,))[0]


def hurst_of_range(steps: Series, bars: int) -> Series:
    """Hurst's K, log(R/S) / log(bars / 2), from 0 to a little over 1; ½ where the steps do not vary."""
    return node(_hurst, rescaled_range(steps, bars), parameters=(math.log(bars / 2),))[0]


def hurst_of_variance(walk: Series, bars: int, *, widths: Sequence[int] = (1, 2, 4, 8, 16)) -> Series:
    """Growth of the root mean squared move with the bars that it takes, on log scales; ½ where nothing moves.

    Source: M. S. Taqqu, V. Teverovsky, W. Willinger, Estimators for Long-Range Dependence, Fractals 3(4), 1995.
    """
    moves = [walk - walk.lag(width) for width in widths]
    return _growth([mean(move * move, bars - width) for move, width in zip(moves, widths, strict=True)], widths)


def detrended_fluctuation(walk: Series, bars: int, *, widths: Sequence[int] = (8, 16, 32)) -> Series:
    """Growth of the squared distance from a straight line with the bars of the line, on log scales; ½ where nothing moves.

    Boxes overlap, each ending one bar after the other.

    Source: C.-K. Peng et al., Mosaic Organization of DNA Nucleotides, Physical Review E 49(2), 1994.
    """
    errors = [fit(walk, width)[3] for width in widths]
    squares = [
        mean(error * error, bars - width + 1) * ((width - 2) / width)
        for error, width in zip(errors, widths, strict=True)
    ]
    return _growth(squares, widths)


def madogram_dimension(walk: Series, bars: int) -> Series:
    """Fractal dimension of the line that the last values draw, from the mean moves of one bar and of two; 1.5 when still.

    1 for a smooth line, 1.5 for a random walk, 2 for noise; at most 3.

    Source: T. Gneiting, H. Ševčíková, D. B. Percival, Estimators of Fractal Dimension, Statistical Science 27(2), 2012.
    """
    one, two = (mean(magnitude(walk - walk.lag(lag)), bars - lag) for lag in (1, 2))
    return node(_dimension, one, two, parameters=(2.0, -1.0))[0]


def range_dimension(high: Series, low: Series, bars: int) -> Series:
    """Fractal dimension, from the ranges of both halves of the last ``bars`` bars and of the whole; 1.5 when still.

    Source: J. Ehlers, FRAMA: Fractal Adaptive Moving Average, Technical Analysis of Stocks & Commodities 23(10), 2005.
    """
    half = bars // 2
    part = highest(high, half) - lowest(low, half)
    whole = highest(high, 2 * half) - lowest(low, 2 * half)
    return node(_dimension, whole, part + part.lag(half), parameters=(1.0, 1.0))[0]


def run(series: Series, bars: int) -> Series:
    """Bars in a row, the newest included, on the newest one's side of 0, at most ``bars``; below 0 counted as negative.

    0 is a side of its own, and its runs count as 0.
    """
    return node(_run, series, states=3, warmup=bars - 1, settle=bars - 1, parameters=(bars,))[0]


def runs_z(series: Series, bars: int) -> Series:
    """Standard deviations by which the last values change sides of 0 more often than chance would; 0 without two sides.

    Source: A. Wald, J. Wolfowitz, On a Test Whether Two Samples Are from the Same Population, Annals of Mathematical
    Statistics 11(2), 1940; 0 counts as below.
    """
    sides = node(_side, series)[0]
    changes = magnitude(sides - sides.lag(1))
    return node(_runs_z, total(changes, bars - 1), total(sides, bars), parameters=(bars,))[0]


def _growth(squares: Sequence[Series], widths: Sequence[int]) -> Series:
    """Half the slope of the least-squares line of log(squares) over log(widths); ½ where a square is 0."""
    logs = np.log(np.asarray(widths, dtype=np.float64))
    off = logs - logs.mean()
    weights = 0.5 * off / np.sum(off * off)
    made = node(_weighted_logs, *squares, parameters=(len(widths), *weights.tolist(), 0.5))
    return made[0]


@kernel
def _variance_ratio(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, sums_q, squares_q, last_q = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    sums, squares, last = x[at[4] + i :], x[at[5] + i :], x[at[6] + i :]
    bars, q, count = p[0], p[1], p[0] - p[1] + 1.0
    share = (bars - 1.0) / (q * count * (1.0 - q / bars))
    for t in range(n):
        off = (sums_q[t] / count + last_q[t]) - q * (sums[t] / bars + last[t])
        over, under = squares_q[t] + count * (off * off), squares[t]
        out[t] = over / under * share if under > 0.0 else 1.0 + 0.0 * under


@kernel
def _errors_from_one(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value, square, error = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        is_known = error[t] > 0.0
        out[t] = (value[t] - 1.0) * square[t] / math.sqrt(error[t]) if is_known else 0.0 * error[t]


@kernel
def _rescaled_range(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    bars = int(p[0])
    out, window, sums, squares = x[at[0] + i :], x[at[1] + i - bars + 1 :], x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        values, last, mean_ = window[t:], window[t + bars - 1], sums[t] / p[0]
        walk, top, bottom = 0.0, 0.0, 0.0
        for k in range(bars):
            walk += (values[k] - last) - mean_
            top, bottom = max(top, walk), min(bottom, walk)
        out[t] = (top - bottom) / math.sqrt(squares[t] / p[0]) if squares[t] > 0.0 else 0.0 * squares[t]


@kernel
def _hurst(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        out[t] = math.log(value[t]) / p[0] if value[t] > 0.0 else 0.5 + value[t]


@kernel
def _dimension(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, one, two = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        growth = math.log2(max(two[t] / one[t], 0.5))
        out[t] = p[0] + p[1] * growth if one[t] > 0.0 else 1.5 + 0.0 * (one[t] + two[t])


@kernel
def _weighted_logs(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    count = int(p[0])
    for t in range(n):
        value, least, known = 0.0, np.inf, 0.0
        for k in range(count):
            square = x[at[1 + k] + i + t]
            value += p[1 + k] * math.log(square)
            least = min(least, square)
            known += 0.0 * square
        x[at[0] + i + t] = (value if least > 0.0 else p[1 + count]) + known


@kernel
def _run(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):  # s: bars in a row, their side, bars known
        side = 1.0 if value[t] > 0.0 else (-1.0 if value[t] < 0.0 else 0.0)
        s[0] = min(s[0] + 1.0, p[0]) if side == s[1] else 1.0
        s[1] = side
        s[2] = min(s[2] + 1.0, p[0]) if value[t] == value[t] else 0.0
        out[t] = min(s[0], s[2]) * side if s[2] == p[0] else np.nan


@kernel
def _side(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        out[t] = 1.0 if value[t] > 0.0 else 0.0 * value[t]


@kernel
def _runs_z(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, changes, above = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        both = 2.0 * above[t] * (p[0] - above[t])
        expected = both / p[0] + 1.0
        square = both * (both - p[0]) / (p[0] * p[0] * (p[0] - 1.0))
        out[t] = (changes[t] + 1.0 - expected) / math.sqrt(square) if square > 0.0 else 0.0 * square
