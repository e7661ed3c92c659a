"""How much is traded, on which side, and what it moves.

Volume comes in the venue's own unit: what is made here is a share of other volume, or gets its unit by a ratio. Where
volume divides, a bar without any counts as 1 % of the mean.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.market import BAR_RETURN, CLOSE, HIGH, LOW, OPEN, OPEN_TS_MS, SIGMA, TRUE_RANGE, VOLUME
from heliograph.features.ops.pointwise import at_least, ratio, root
from heliograph.features.ops.window import mean, total

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

VOLUME_FLOOR = 0.01
_DAY_MS = 86_400_000.0
_DAY_BARS = 1_440  # of the finest timeframe, a minute
_STREAK_BARS = 100
_ROOT_2 = math.sqrt(2.0)
_CORWIN_SCHULTZ = 3.0 - 2.0 * _ROOT_2


def located() -> tuple[Series, Series, Series]:
    """Volume times the close's place in the range (−1 … 1), volume times body / range, volume times typical price."""
    made = node(_located, OPEN, HIGH, LOW, CLOSE, VOLUME, outputs=3)
    return made[0], made[1], made[2]


def signed() -> tuple[Series, Series]:
    """Volume with the sign of the close's change; volume times typical price with the sign of that price's change."""
    made = node(_signed, HIGH, LOW, CLOSE, VOLUME, reach=1, outputs=2, warmup=1)
    return made[0], made[1]


def bulk() -> Series:
    """Volume bought less sold, from the return in standard deviations alone: V · (2 Φ(r / σ) − 1).

    Source: D. Easley, M. López de Prado, M. O'Hara, Flow Toxicity and Liquidity, Review of Financial Studies 25(5), 2012.
    """
    return node(_bulk, BAR_RETURN, SIGMA, VOLUME)[0]


def relative(series: Series, average: Series) -> Series:
    """``log(series / average + 1 %)``; 0 where the average is nothing."""
    return node(_relative, series, average)[0]


def mean_of_sum_slope(series: Series, bars: int) -> Series:
    """Slope of the least-squares line through the running sum of a series over the last ``bars`` bars, per bar.

    A mean of the newest ``bars − 1`` values with weights j · (bars − j): the sum itself, which has no bound, is not needed.
    """
    return node(_sum_slope, series, reach=bars - 2, parameters=(bars,), warmup=bars - 2)[0]


def sum_over_ema(series: Series, bars: int) -> Series:
    """How far the running sum of a series is above its exponential average, the first sum being its seed.

    Free of the sum itself, which has no bound: D ← (1 − α) (D + value), α = 2 / (bars + 1).
    """
    settle = math.ceil(27.7 / -math.log(1.0 - 2.0 / (bars + 1.0)))
    return node(_sum_over_ema, series, parameters=(bars,), states=2, warmup=bars - 1, settle=settle)[0]


def vwap_distance(bars: int) -> Series:
    """Log of close / volume-weighted typical price, in standard deviations of ``bars`` bars; 0 without volume.

    Source: S. Berkowitz, D. Logue, E. Noser, The Total Cost of Transactions on the NYSE, J. Finance 43(1), 1988.
    """
    return node(_vwap_distance, CLOSE, total(located()[2], bars), total(VOLUME, bars), SIGMA, parameters=(bars,))[0]


def day_vwap_distance() -> Series:
    """The same from the first bar of the UTC day on, in standard deviations of the bars since then."""
    inputs = (OPEN_TS_MS, CLOSE, VOLUME, located()[2], SIGMA)
    return node(_day_vwap_distance, *inputs, states=4, settle=_DAY_BARS)[0]


def illiquidity(bars: int) -> Series:
    """Absolute return per turnover, that in multiples of its mean of ``bars`` bars.

    Source: Y. Amihud, Illiquidity and Stock Returns, J. Financial Markets 5(1), 2002.
    """
    money = located()[2]
    return node(_illiquidity, BAR_RETURN, money, mean(money, bars))[0]


def impact(bars: int) -> Series:
    """Standard deviations of return that a bar of usual order flow moves the price by.

    Regression without constant of the return on the volume that the close's place in the range assigns to buyers.
    Source: A. Kyle, Continuous Auctions and Insider Trading, Econometrica 53(6), 1985.
    """
    flow = located()[0]
    common, square = total(flow * BAR_RETURN, bars), total(flow * flow, bars)
    return ratio(common, root(square)) / (SIGMA * math.sqrt(bars))


def easiness(bars: int) -> Series:
    """Move of the bar's middle times its range over volume, each in multiples of its mean.

    Source: R. Arms, Volume Cycles in the Stock Market, 1983.
    """
    return node(_easiness, HIGH, LOW, mean(TRUE_RANGE, bars), VOLUME, mean(VOLUME, bars), reach=(1, 1, 0, 0, 0))[0]


def facilitation(bars: int) -> Series:
    """Log of range per volume, each in multiples of its mean and 1 % more.

    Source: B. Williams, Trading Chaos, 1995: market facilitation index.
    """
    return node(_facilitation, HIGH, LOW, mean(TRUE_RANGE, bars), VOLUME, mean(VOLUME, bars))[0]


def index_returns() -> tuple[Series, Series]:
    """The return where volume fell (negative volume index) and where it rose (positive), else 0.

    Source: P. Dysart 1936; N. Fosback, Stock Market Logic, 1976.
    """
    made = node(_index_returns, BAR_RETURN, VOLUME, reach=(0, 1), outputs=2)
    return made[0], made[1]


def volume_force() -> Series:
    """Volume with the sign of the typical price's change, times \\|2 dm / cm − 1\\|: dm the range, cm its sum since the turn.

    Source: S. Klinger, Identifying Trends with Volume Analysis, Technical Analysis of Stocks & Commodities 15(12), 1997.
    """
    settle = _STREAK_BARS  # no trend of typical prices lasts longer
    return node(_volume_force, HIGH, LOW, CLOSE, VOLUME, reach=1, states=2, warmup=1, settle=settle)[0]


def entropy(bars: int) -> Series:
    """Shannon entropy of how volume is spread over the bars, as a share of the evenest spread; 1 without volume."""
    surprise = total(node(_surprise, VOLUME)[0], bars)
    return node(_entropy, surprise, total(VOLUME, bars), parameters=(bars,))[0]


def corwin_schultz(bars: int) -> Series:
    """Share of the price that the spread is, from highs and lows; what comes out below 0 counts as 0.

    Source: S. Corwin, P. Schultz, A Simple Way to Estimate Bid-Ask Spreads, J. Finance 67(2), 2012.
    """
    return mean(node(_high_low_spread, HIGH, LOW, CLOSE, reach=1, warmup=1)[0], bars)


def abdi_ranaldo(bars: int) -> Series:
    """Share of the price that the spread is, from closes, highs and lows.

    Source: F. Abdi, A. Ranaldo, A Simple Estimation of Bid-Ask Spreads, Review of Financial Studies 30(12), 2017.
    """
    square = mean(node(_close_high_low, HIGH, LOW, CLOSE, reach=1, warmup=1)[0], bars)
    return root(at_least(square, 0.0) * 4.0)


@kernel
def _located(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    place, body, money = at[0] + i, at[1] + i, at[2] + i
    open_, high, low, close, volume = at[3] + i, at[4] + i, at[5] + i, at[6] + i, at[7] + i
    for t in range(n):
        top, bottom, last, traded = x[high + t], x[low + t], x[close + t], x[volume + t]
        width = top - bottom
        share = traded / width if width > 0.0 else 0.0 * width
        x[place + t] = ((last - bottom) - (top - last)) * share
        x[body + t] = (last - x[open_ + t]) * share
        x[money + t] = (top + bottom + last) / 3.0 * traded


@kernel
def _signed(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    volume_, money, high, low, close, volume = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    for t in range(n):
        typical = x[high + t] + x[low + t] + x[close + t]
        before = x[high + t - 1] + x[low + t - 1] + x[close + t - 1]
        move, turn = x[close + t] - x[close + t - 1], typical - before
        move = 1.0 if move > 0.0 else (-1.0 if move < 0.0 else move)
        turn = 1.0 if turn > 0.0 else (-1.0 if turn < 0.0 else turn)
        x[volume_ + t] = move * x[volume + t]
        x[money + t] = turn * (typical / 3.0 * x[volume + t])


@kernel
def _bulk(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, sigma, volume = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        x[o + t] = x[volume + t] * math.erf(x[a + t] / x[sigma + t] / _ROOT_2)


@kernel
def _relative(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, b = at[0] + i, at[1] + i, at[2] + i
    for t in range(n):
        average = x[b + t]
        x[o + t] = 0.0 if average <= 0.0 else math.log(x[a + t] / average + VOLUME_FLOOR)


@kernel
def _sum_slope(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, bars = at[0] + i, at[1] + i, int(p[0])
    share = 6.0 / (p[0] * (p[0] * p[0] - 1.0))
    for t in range(n):
        x[o + t] = 0.0
    for j in range(1, bars):
        weight, value = share * j * (bars - j), a - (bars - 1 - j)
        for t in range(n):
            x[o + t] += weight * x[value + t]


@kernel
def _sum_over_ema(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, keep = at[0] + i, at[1] + i, 1.0 - 2.0 / (p[0] + 1.0)
    for t in range(n):
        value = x[a + t]
        if math.isnan(value):
            x[o + t] = np.nan
            continue
        s[0] = keep * (s[0] + value) if s[1] > 0.0 else 0.0
        s[1] += 1.0
        x[o + t] = s[0] if s[1] >= p[0] else np.nan


@kernel
def _vwap_distance(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, close, money, volume, sigma = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    width = math.sqrt(p[0])
    for t in range(n):
        traded, paid = x[volume + t], x[money + t]
        apart = 0.0 if traded <= 0.0 else math.log(x[close + t] * (traded / paid))
        x[o + t] = apart / (x[sigma + t] * width)


@kernel
def _day_vwap_distance(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, ts, close, volume, money, sigma = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    for t in range(n):
        day = math.floor(x[ts + t] / _DAY_MS)
        if day != s[0]:
            s[0], s[1], s[2], s[3] = day, 0.0, 0.0, 0.0
        s[1] += x[volume + t]
        s[2] += x[money + t]
        s[3] += 1.0
        apart = 0.0 if s[1] <= 0.0 else math.log(x[close + t] * (s[1] / s[2]))
        x[o + t] = apart / (x[sigma + t] * math.sqrt(s[3]))


@kernel
def _illiquidity(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, money, average = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        usual = x[average + t]
        share = 1.0 if usual <= 0.0 else x[money + t] / usual
        x[o + t] = abs(x[a + t]) / (VOLUME_FLOOR if share < VOLUME_FLOOR else share)


@kernel
def _easiness(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, high, low, width, volume, average = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    for t in range(n):
        unit, usual = x[width + t], x[average + t]
        move = 0.5 * ((x[high + t] + x[low + t]) - (x[high + t - 1] + x[low + t - 1]))
        size = 0.0 if unit <= 0.0 else move / unit * ((x[high + t] - x[low + t]) / unit)
        share = 1.0 if usual <= 0.0 else x[volume + t] / usual
        x[o + t] = size / (VOLUME_FLOOR if share < VOLUME_FLOOR else share)


@kernel
def _facilitation(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, high, low, width, volume, average = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    for t in range(n):
        unit, usual = x[width + t], x[average + t]
        size = 0.0 if unit <= 0.0 else (x[high + t] - x[low + t]) / unit
        share = 0.0 if usual <= 0.0 else x[volume + t] / usual
        x[o + t] = math.log((size + VOLUME_FLOOR) / (share + VOLUME_FLOOR))


@kernel
def _index_returns(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    fell, rose, a, volume = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        move, more = x[a + t], x[volume + t] - x[volume + t - 1]
        x[fell + t] = 0.0 if more >= 0.0 else move
        x[rose + t] = 0.0 if more <= 0.0 else move


@kernel
def _volume_force(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, high, low, close, volume = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        turn = (x[high + t] - x[high + t - 1]) + (x[low + t] - x[low + t - 1]) + (x[close + t] - x[close + t - 1])
        if math.isnan(turn):
            x[o + t] = np.nan
            continue
        width, before = x[high + t] - x[low + t], x[high + t - 1] - x[low + t - 1]
        trend = 1.0 if turn > 0.0 else -1.0
        s[0] = (s[0] if trend == s[1] else before) + width
        s[1] = trend
        x[o + t] = trend * x[volume + t] * abs(2.0 * width / s[0] - 1.0) if s[0] > 0.0 else 0.0


@kernel
def _surprise(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        value = x[a + t]
        x[o + t] = 0.0 if value <= 0.0 else value * math.log(value)


@kernel
def _entropy(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, b = at[0] + i, at[1] + i, at[2] + i
    for t in range(n):
        whole = x[b + t]
        x[o + t] = 1.0 if whole <= 0.0 else (math.log(whole) - x[a + t] / whole) / math.log(p[0])


@kernel
def _high_low_spread(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, high, low, close = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        top, bottom, last = x[high + t], x[low + t], x[close + t - 1]
        gap = bottom - last if bottom > last else (top - last if top < last else 0.0)
        top, bottom = top - gap, bottom - gap
        one, other = math.log(top / bottom), math.log(x[high + t - 1] / x[low + t - 1])
        both = math.log(max(top, x[high + t - 1]) / min(bottom, x[low + t - 1]))
        beta = one * one + other * other
        alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / _CORWIN_SCHULTZ - both / math.sqrt(_CORWIN_SCHULTZ)
        spread = 2.0 * math.tanh(0.5 * alpha)
        x[o + t] = 0.0 if spread < 0.0 else spread


@kernel
def _close_high_low(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, high, low, close = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        last, before = x[close + t - 1], x[high + t - 1] * x[low + t - 1]
        x[o + t] = math.log(last * last / before) * math.log(last * last / (x[high + t] * x[low + t])) / 4.0
