"""How far the price moves: variance from returns and from the bar's range, jumps, drawdowns.

Variances are per bar of time: a return or an opening gap over k bars counts as one over k equal bars. They are only
comparable with `heliograph.features.market.SIGMA` squared; features give their ratios.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.market import BAR_RETURN, CLOSE, HIGH, LOW, OPEN, SIGMA, SIGMA_FLOOR, STEPS
from heliograph.features.ops.pointwise import ratio
from heliograph.features.ops.window import mean, total, variance

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_VARIANCE_FLOOR = SIGMA_FLOOR * SIGMA_FLOOR
_LOG_2 = math.log(2.0)
_BIPOWER = math.pi / 2.0
_MEDIAN = math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi)

GARCH_ALPHA, GARCH_BETA = 0.0772, 0.9046
"""R. Engle, GARCH 101, J. Economic Perspectives 15(4), 2001, table 3."""


def powers() -> tuple[Series, Series, Series, Series]:
    """The return squared, squared where it is below 0, cubed, to the fourth."""
    made = node(_powers, BAR_RETURN, outputs=4)
    return made[0], made[1], made[2], made[3]


def realised(bars: int) -> Series:
    """Mean squared return.

    Source: T. Andersen, T. Bollerslev, Answering the Skeptics, International Economic Review 39(4), 1998.
    """
    return mean(powers()[0], bars)


def bipower(bars: int) -> Series:
    """Variance per bar without jumps: π/2 · mean product of neighbouring absolute returns.

    Source: O. Barndorff-Nielsen, N. Shephard, Power and Bipower Variation, J. Financial Econometrics 2(1), 2004.
    """
    return mean(node(_neighbours, BAR_RETURN, reach=1, warmup=1)[0], bars - 1) * _BIPOWER


def median_variance(bars: int) -> Series:
    """Variance per bar without jumps: from the median of each three absolute returns (MedRV).

    Source: T. Andersen, D. Dobrev, E. Schaumburg, Jump-Robust Volatility Estimation, J. Econometrics 169(1), 2012.
    """
    return mean(node(_middle_square, BAR_RETURN, reach=2, warmup=2)[0], bars - 2) * _MEDIAN


def jump_share(bars: int) -> Series:
    """Share of the realised variance that came in jumps, 1 − bipower / realised; below 0 by chance; 0 where flat."""
    square = realised(bars)
    return ratio(square - bipower(bars), square)


def range_terms() -> tuple[Series, Series, Series]:
    """Variance of one bar from its range: Parkinson 1980, Garman–Klass 1980, Rogers–Satchell 1991.

    NaN until sigma is known, for before that wicks are not tamed.
    """
    made = node(_range_terms, OPEN, HIGH, LOW, CLOSE, SIGMA, outputs=3)
    return made[0], made[1], made[2]


def yang_zhang(bars: int) -> Series:
    """Variance per bar from opening gap, body and range, free of drift.

    Source: D. Yang, Q. Zhang, Drift-Independent Volatility Estimation, J. Business 73(3), 2000.
    """
    made = node(_opening_terms, OPEN, CLOSE, STEPS, reach=(0, 1, 0), outputs=2)
    sample = bars / (bars - 1.0)
    k = 0.34 / (1.34 + (bars + 1.0) / (bars - 1.0))
    gaps, bodies = variance(made[0], bars) * sample, variance(made[1], bars) * (k * sample)
    return gaps + bodies + mean(range_terms()[2], bars) * (1.0 - k)


def garch(target: Series, alpha: float = GARCH_ALPHA, beta: float = GARCH_BETA) -> Series:
    """Variance of the next bar's return by GARCH(1,1) with fixed parameters and the long-run variance ``target``.

    Source: T. Bollerslev, J. Econometrics 31(3), 1986; target: R. Engle, J. Mezrich, GARCH for Groups, Risk 9(8), 1996.
    """
    settle = math.ceil(27.7 / -math.log(beta))
    return node(_garch, powers()[0], target, parameters=(alpha, beta), states=2, settle=settle)[0]


def log_ratio(over: Series, under: Series) -> Series:
    """Log of the ratio of two standard deviations, given as variances; both are at least the floor of sigma."""
    return node(_log_ratio, over, under)[0]


def drawdown(series: Series, bars: int) -> Series:
    """Largest fall from any of the last ``bars`` values to a later one; 0 or more.

    Blocks of 1, 2, 4, … bars know their largest fall, their top and their bottom; two neighbours make one.
    """
    block: tuple[tuple[Series, ...], int] = ((node(_nothing, series)[0], series, series), 1)
    blocks = [block]
    while 2 * block[1] <= bars:
        block = _both(block, block)
        blocks.append(block)
    for shorter in reversed(blocks[:-1]):
        block = _both(block, shorter) if block[1] + shorter[1] <= bars else block
    return block[0][0]


def _both(
    newer: tuple[tuple[Series, ...], int], older: tuple[tuple[Series, ...], int]
) -> tuple[tuple[Series, ...], int]:
    reach = (0, 0, 0, newer[1], newer[1], newer[1])
    made = node(_deepest, *newer[0], *older[0], reach=reach, parameters=(newer[1],), outputs=3, warmup=older[1])
    return (made[0], made[1], made[2]), newer[1] + older[1]


def realised_moments(bars: int) -> tuple[Series, Series]:
    """Skewness in ±√bars and kurtosis in 1…bars of the returns about 0; 0 and 1 where flat.

    Source: D. Amaya, P. Christoffersen, K. Jacobs, A. Vasquez, J. Financial Economics 118(1), 2015.
    """
    sums = [total(power, bars) for power in powers()]
    made = node(_moments, sums[0], sums[2], sums[3], parameters=(bars,), outputs=2)
    return made[0], made[1]


@kernel
def _nothing(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = 0.0 * x[a + t]  # NaN stays NaN


@kernel
def _powers(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    two, down, three, four, a = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        value = x[a + t]
        square = value * value
        x[two + t] = square
        x[down + t] = 0.0 if value > 0.0 else square
        x[three + t] = square * value
        x[four + t] = square * square


@kernel
def _neighbours(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = abs(x[a + t]) * abs(x[a + t - 1])


@kernel
def _middle_square(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, r = at[0] + i, at[1] + i
    for t in range(n):
        a, b, c = abs(x[r + t]), abs(x[r + t - 1]), abs(x[r + t - 2])
        middle = max(min(a, b), min(max(a, b), c))
        x[o + t] = middle * middle + 0.0 * (a + b + c)  # NaN stays NaN


@kernel
def _range_terms(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    parkinson, garman_klass, rogers_satchell = at[0] + i, at[1] + i, at[2] + i
    open_, high, low, close, sigma = at[3] + i, at[4] + i, at[5] + i, at[6] + i, at[7] + i
    for t in range(n):
        up = math.log(x[high + t] / x[open_ + t]) + 0.0 * x[sigma + t]
        down = math.log(x[low + t] / x[open_ + t])
        body = math.log(x[close + t] / x[open_ + t])
        x[parkinson + t] = (up - down) ** 2 / (4.0 * _LOG_2)
        x[garman_klass + t] = 0.5 * (up - down) ** 2 - (2.0 * _LOG_2 - 1.0) * body**2
        x[rogers_satchell + t] = up * (up - body) + down * (down - body)


@kernel
def _opening_terms(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    gap, body, open_, close, steps = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        x[gap + t] = math.log(x[open_ + t] / x[close + t - 1]) / math.sqrt(x[steps + t])
        x[body + t] = math.log(x[close + t] / x[open_ + t])


@kernel
def _garch(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, square, target, alpha, beta = at[0] + i, at[1] + i, at[2] + i, p[0], p[1]
    for t in range(n):
        new, long_run = x[square + t], x[target + t]
        if math.isnan(new + long_run):
            x[o + t] = np.nan
            continue
        before = s[0] if s[1] > 0.0 else long_run
        s[0] = (1.0 - alpha - beta) * long_run + alpha * new + beta * before
        s[1] = 1.0
        x[o + t] = s[0]


@kernel
def _log_ratio(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, b = at[0] + i, at[1] + i, at[2] + i
    for t in range(n):
        over, under = x[a + t], x[b + t]
        over = _VARIANCE_FLOOR if over < _VARIANCE_FLOOR else over
        under = _VARIANCE_FLOOR if under < _VARIANCE_FLOOR else under
        x[o + t] = 0.5 * math.log(over / under)


@kernel
def _deepest(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    fall, top, bottom, a, a_top, a_bottom = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    lag = int(p[0])
    b, b_top, b_bottom = at[6] + i - lag, at[7] + i - lag, at[8] + i - lag
    for t in range(n):
        new, old, across = x[a + t], x[b + t], x[b_top + t] - x[a_bottom + t]
        x[fall + t] = max(new, old, across) + 0.0 * (new + old)  # NaN stays NaN
        x[top + t] = max(x[a_top + t], x[b_top + t])
        x[bottom + t] = min(x[a_bottom + t], x[b_bottom + t])


@kernel
def _moments(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    skewness, kurtosis, two, three, four = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        square = x[two + t]
        is_flat = square <= p[0] * _VARIANCE_FLOOR
        x[skewness + t] = 0.0 if is_flat else math.sqrt(p[0]) * x[three + t] / (square * math.sqrt(square))
        x[kurtosis + t] = 1.0 if is_flat else p[0] * x[four + t] / (square * square)
