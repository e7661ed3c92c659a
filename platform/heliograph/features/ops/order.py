"""Where values stand among those of the last bars: ranks, quantiles, the age of an extreme.

A window with a NaN in it gives NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.ops.ladder import Merge, merged
from heliograph.features.ops.window import spread

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def bars_since_highest(series: Series, bars: int) -> Series:
    """Age in bars of the largest of the last ``bars`` values, 0 to ``bars`` − 1; the newest of equal ones counts."""
    return merged(Merge.HIGHEST_AGE, bars, series)[1]


def bars_since_lowest(series: Series, bars: int) -> Series:
    """Age in bars of the smallest of the last ``bars`` values, 0 to ``bars`` − 1; the newest of equal ones counts."""
    return merged(Merge.LOWEST_AGE, bars, series)[1]


def rank(series: Series, bars: int) -> Series:
    """Share of the window's other ``bars`` − 1 values below the newest, in [0, 1]; an equal one counts half.

    Raises:
        ValueError: no other bar.
    """
    if bars < 2:
        raise ValueError(f"nothing to rank among {bars} bars: use 2 or more")
    return node(_rank, series, reach=bars - 1, parameters=(bars,), warmup=bars - 1)[0]


def quantile(series: Series, bars: int, q: float) -> Series:
    """Below which a share ``q`` of the last ``bars`` values lies, straight between two of them; numpy's ``linear``."""
    return quantiles(series, bars, (q,))[0]


def quantiles(series: Series, bars: int, shares: Sequence[float]) -> tuple[Series, ...]:
    """Several of one window, for the price of one.

    Raises:
        ValueError: a share beyond [0, 1], or an empty window.

    Source: R. J. Hyndman, Y. Fan, Sample Quantiles in Statistical Packages, The American Statistician 50(4), 1996,
    definition 7.
    """
    if bars < 1 or not all(0.0 <= q <= 1.0 for q in shares):
        raise ValueError(f"quantiles {shares} of {bars} bars: use shares from 0 to 1 and a window of 1 or more")
    made = node(
        _quantiles,
        series,
        reach=bars,
        parameters=(bars, len(shares), *shares),
        outputs=len(shares),
        states=bars + 1,
        warmup=bars - 1,
        settle=bars - 1,
    )
    return tuple(made[k] for k in range(len(shares)))


def median(series: Series, bars: int) -> Series:
    """Middle one of the last ``bars`` values, or the mean of the two middle ones."""
    return quantile(series, bars, 0.5)


def mean_absolute_deviation(series: Series, bars: int) -> Series:
    """Mean distance of the last ``bars`` values from their mean."""
    made = node(_distance, series, spread(series, bars)[0], reach=(bars - 1, 0), parameters=(bars,))
    return made[0]


@kernel
def _rank(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    bars = int(p[0])
    out, window = x[at[0] + i :], x[at[1] + i - bars + 1 :]
    for t in range(n):
        last, values = window[t + bars - 1], window[t:]
        below, equal, above = 0, 0, 0
        for k in range(bars):
            below += values[k] < last
            equal += values[k] == last
            above += values[k] > last
        out[t] = 0.5 * (2 * below + equal - 1) / (bars - 1) if below + equal + above == bars else np.nan


@kernel
def _quantiles(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    bars, shares = int(p[0]), int(p[1])
    entering, leaving = x[at[shares] + i :], x[at[shares] + i - bars :]
    for t in range(n):
        known = int(s[bars])  # values of the window, sorted in s[:known]
        is_old, is_new = leaving[t] == leaving[t], entering[t] == entering[t]
        value = entering[t] if is_new else np.inf
        hole = np.searchsorted(s[:known], leaving[t]) if is_old else known
        place = np.searchsorted(s[:known], value)
        if place > hole:
            place -= 1
            for k in range(hole, place):
                s[k] = s[k + 1]
        for k in range(hole, place, -1):
            s[k] = s[k - 1]
        s[place] = value
        known += int(is_new) - int(is_old)
        s[bars] = known
        for k in range(shares):
            exact = p[2 + k] * (bars - 1)
            below = int(exact)
            above = s[min(below + 1, bars - 1)]
            x[at[k] + i + t] = s[below] + (exact - below) * (above - s[below]) if known == bars else np.nan


@kernel
def _distance(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    bars = int(p[0])
    out, window, sums = x[at[0] + i :], x[at[1] + i - bars + 1 :], x[at[2] + i :]
    for t in range(n):
        values, last, mean = window[t:], window[t + bars - 1], sums[t] / bars
        a, b, c, d, k = 0.0, 0.0, 0.0, 0.0, 0
        while k + 4 <= bars:
            a += abs((values[k] - last) - mean)
            b += abs((values[k + 1] - last) - mean)
            c += abs((values[k + 2] - last) - mean)
            d += abs((values[k + 3] - last) - mean)
            k += 4
        while k < bars:
            a += abs((values[k] - last) - mean)
            k += 1
        out[t] = ((a + b) + (c + d)) / bars
