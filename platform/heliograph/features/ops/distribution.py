"""The form of the distribution of the last values: skewness, kurtosis, entropies.

A window with a NaN in it gives NaN.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.ops.ladder import Block, Merge, merged

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def skewness(series: Series, bars: int) -> Series:
    """Third standardised moment of the last ``bars`` values, the population's; 0 where they do not vary.

    Source: P. Pébay, Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order Statistical
    Moments, Sandia SAND2008-6212, 2008.
    """
    return node(_standardised, *_moments(series, bars), parameters=(bars,), outputs=2)[0]


def kurtosis(series: Series, bars: int) -> Series:
    """Fourth standardised moment of the last ``bars`` values less the normal's 3; 0 where they do not vary."""
    return node(_standardised, *_moments(series, bars), parameters=(bars,), outputs=2)[1]


def _moments(series: Series, bars: int) -> Block:
    """Sum of what values exceed the newest by, then sums of the 2nd, 3rd and 4th powers of their deviations."""
    return merged(Merge.POWERS, bars, series)


def ordinal(series: Series) -> Series:
    """Order of the last three values, a number from 0 to 5; equal ones count as rising.

    Source: C. Bandt, B. Pompe, Permutation Entropy, Physical Review Letters 88, 174102, 2002.
    """
    return node(_ordinal, series, reach=2, warmup=2)[0]


def word(series: Series, letters: int) -> Series:
    """Whether each of the last values lies above 0, as the binary digits of one number."""
    last = letters - 1
    return node(_word, series, reach=last, parameters=(letters,), warmup=last)[0]


def bins(series: Series, edge: float, count: int) -> Series:
    """Number of the bin of a value among ``count`` even ones from −``edge`` to ``edge``; the outer two are open."""
    return node(_bin, series, parameters=(edge, count))[0]


def entropy(codes: Series, bars: int, count: int) -> Series:
    """Shannon's, of which of ``count`` numbers 0, 1, … the last ``bars`` values are, as a share of the largest possible.

    The numbers are counted one in, one out: whole numbers, so that nothing drifts.

    Source: C. E. Shannon, A Mathematical Theory of Communication, Bell System Technical Journal 27, 1948.
    """
    made = node(
        *(_entropy, codes), reach=bars, parameters=(bars, count), states=count + 1, warmup=bars - 1, settle=bars - 1
    )
    return made[0]


def sample_entropy(series: Series, bars: int, *, radius: float) -> Series:
    """Minus the log of the share of pairs of like stretches of two values that stay alike for a third.

    Stretches are alike where none of their values are further apart than ``radius``, in the series' own unit:
    standardise it first. Where no pair stays alike one is taken to, and where none is alike all are: the paper's largest
    value, the log of the number of pairs.

    Source: J. S. Richman, J. R. Moorman, Physiological Time-Series Analysis Using Approximate Entropy and Sample
    Entropy, American Journal of Physiology 278(6), 2000; m = 2.
    """
    made = node(
        *(_sample_entropy, series),
        reach=bars,
        parameters=(bars, radius),
        states=3,
        warmup=bars - 1,
        settle=bars - 1,
    )
    return made[0]


@kernel
def _standardised(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    skews, kurtoses, second = x[at[0] + i :], x[at[1] + i :], x[at[3] + i :]
    third, fourth = x[at[4] + i :], x[at[5] + i :]
    for t in range(n):
        square = second[t] / p[0]
        deviation = math.sqrt(square)
        skews[t] = (third[t] / p[0] / square) / deviation if square > 0.0 else 0.0 * square
        kurtoses[t] = fourth[t] / p[0] / square / square - 3.0 if square > 0.0 else 0.0 * square


@kernel
def _ordinal(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, last, middle, first = x[at[0] + i :], x[at[1] + i :], x[at[1] + i - 1 :], x[at[1] + i - 2 :]
    for t in range(n):
        a, b, c = first[t], middle[t], last[t]
        rises = 3.0 if b >= a else 0.0
        above = (1.0 if c >= a else 0.0) + (1.0 if c >= b else 0.0)
        out[t] = rises + above + 0.0 * (a + b + c)


@kernel
def _word(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    letters = int(p[0])
    out, first = x[at[0] + i :], x[at[1] + i - letters + 1 :]
    for t in range(n):
        digits, known = 0.0, 0.0
        for k in range(letters):
            digits = 2.0 * digits + (1.0 if first[t + k] > 0.0 else 0.0)
            known += 0.0 * first[t + k]
        out[t] = digits + known


@kernel
def _bin(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    edge, count = p[0], p[1]
    for t in range(n):
        place = np.floor((value[t] + edge) * (0.5 * count / edge))
        out[t] = 0.0 if place < 0.0 else (count - 1.0 if place >= count else place)


@kernel
def _entropy(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    bars, count = int(p[0]), int(p[1])
    out, entering, leaving = x[at[0] + i :], x[at[1] + i :], x[at[1] + i - bars :]
    for t in range(n):
        if leaving[t] == leaving[t]:
            s[int(leaving[t])] -= 1.0
            s[count] -= 1.0
        if entering[t] == entering[t]:
            s[int(entering[t])] += 1.0
            s[count] += 1.0
        sums = 0.0
        for k in range(count):
            if s[k] > 0.0:
                sums += s[k] * math.log(s[k])
        out[t] = (math.log(p[0]) - sums / p[0]) / math.log(p[1]) if s[count] == p[0] else np.nan


@kernel
def _sample_entropy(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    bars, radius = int(p[0]), p[1]
    out, window = x[at[0] + i :], x[at[1] + i - bars :]
    for t in range(n):
        values = window[t:]  # the one that leaves, then those of the window
        new, alike, staying = bars - 2, 0, 0
        for k in range(1, bars - 2):
            near = (abs(values[k] - values[new]) <= radius) & (abs(values[k + 1] - values[new + 1]) <= radius)
            far = (abs(values[k] - values[0]) <= radius) & (abs(values[k + 1] - values[1]) <= radius)
            alike += int(near) - int(far)
            staying += int(near & (abs(values[k + 2] - values[bars]) <= radius))
            staying -= int(far & (abs(values[k + 2] - values[2]) <= radius))
        s[0] += alike
        s[1] += staying
        s[2] += int(values[bars] == values[bars]) - int(values[0] == values[0])
        pairs = s[0] if s[0] > 0.0 else 0.5 * (p[0] - 2.0) * (p[0] - 3.0)
        out[t] = math.log(pairs / max(s[1], 1.0)) if s[2] == p[0] else np.nan
