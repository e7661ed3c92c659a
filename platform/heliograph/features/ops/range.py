"""Indicators of the bar's whole range: what the market moved, which way, and where in its range it stands.

The caller passes high, low and close: the market's tamed ones (`heliograph.features.market`) or any other series.
`heliograph.features.ops.trail` has the stops that trail behind a trend.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node
from heliograph.features.ops.order import bars_since_highest, bars_since_lowest
from heliograph.features.ops.pointwise import log, ratio, where
from heliograph.features.ops.smooth import NOTHING, ema, rsi, settling_bars, wilder
from heliograph.features.ops.window import highest, lowest, mean, total

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Directional(NamedTuple):
    """Wilder's directional movement: +DI, −DI and DX (0…100), their ADX, and the average true range, a price."""

    plus: Series
    minus: Series
    dx: Series
    adx: Series
    atr: Series


class Stochastic(NamedTuple):
    """Lane's stochastics, 0…100: the bare %K, the slow %K and its %D."""

    fast: Series
    slow: Series
    signal: Series


class Aroon(NamedTuple):
    """Chande's Aroon: up and down 0…100, and up − down."""

    up: Series
    down: Series
    oscillator: Series


class Vortex(NamedTuple):
    """VI+ and VI−; 0 where nothing moves."""

    plus: Series
    minus: Series


def directional(high: Series, low: Series, close: Series, bars: int = 14) -> Directional:
    """Wilder's directional movement in one pass; TA-Lib's PLUS_DI, MINUS_DI, DX, ADX and ATR, 0 where nothing moves.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.

    Raises:
        ValueError: fewer than two bars.
    """
    if bars < 2:
        raise ValueError(f"a directional movement of {bars} bars: use 2 or more")
    settle = settling_bars(1.0 / bars, bars)
    made = node(
        _directional, high, low, close, reach=1, parameters=(bars,), outputs=4, states=5, warmup=bars, settle=settle
    )
    return Directional(made[0], made[1], made[2], wilder(made[2], bars), made[3])


def true_range(high: Series, low: Series, close: Series) -> Series:
    """Range of the bar and of the gap before it; NaN at the first bar; TA-Lib's TRANGE."""
    return _pressed(high, low, close)[1]


def atr(high: Series, low: Series, close: Series, bars: int = 14) -> Series:
    """Wilder's average true range; TA-Lib's ATR. `directional` gives the same at less cost beside its others."""
    return wilder(true_range(high, low, close), bars)


def typical(high: Series, low: Series, close: Series) -> Series:
    """(high + low + close) / 3; TA-Lib's TYPPRICE."""
    return node(_typical, high, low, close)[0]


def middle(high: Series, low: Series, bars: int) -> Series:
    """Half way between the highest high and the lowest low; TA-Lib's MIDPRICE, Ichimoku's lines."""
    return (highest(high, bars) + lowest(low, bars)) / 2.0


def place(close: Series, top: Series, bottom: Series, *, otherwise: float = 0.0) -> Series:
    """Share of a range below the close, in percent; ``otherwise`` where there is no range."""
    return node(_placed, close, top, bottom, parameters=(otherwise, 100.0 - otherwise), outputs=2)[0]


def stochastic(
    high: Series, low: Series, close: Series, bars: int = 14, *, smooth: int = 3, signal: int = 3
) -> Stochastic:
    """Place of the close in the range of ``bars``, its mean, and the mean of that; TA-Lib's STOCHF and STOCH.

    Source: G. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2(3), 1984.
    """
    fast = place(close, highest(high, bars), lowest(low, bars))
    slow = mean(fast, smooth)
    return Stochastic(fast, slow, mean(slow, signal))


def stochastic_rsi(series: Series, bars: int = 14, *, fast: int = 5, signal: int = 3) -> Stochastic:
    """Place of the RSI in its own range; TA-Lib's STOCHRSI is ``fast`` and ``slow``.

    Source: T. Chande, S. Kroll, The New Technical Trader, 1994.
    """
    strength = rsi(series, bars)
    return stochastic(strength, strength, strength, fast, smooth=signal, signal=signal)


def williams_r(high: Series, low: Series, close: Series, bars: int = 14) -> Series:
    """Williams' %R, −100…0; 0 where there is no range; TA-Lib's WILLR.

    Source: L. Williams, How I Made One Million Dollars, 1973.
    """
    return node(_placed, close, highest(high, bars), lowest(low, bars), parameters=(0.0, 0.0), outputs=2)[1]


def aroon(high: Series, low: Series, bars: int = 14) -> Aroon:
    """How fresh the extremes of the last ``bars`` + 1 bars are; TA-Lib's AROON and AROONOSC.

    Source: T. Chande, A Time Price Oscillator, Technical Analysis of Stocks & Commodities 13(9), 1995.
    """
    top, bottom = bars_since_highest(high, bars + 1), bars_since_lowest(low, bars + 1)
    share = -100.0 / bars
    return Aroon(top * share + 100.0, bottom * share + 100.0, (top - bottom) * share)


def cci(high: Series, low: Series, close: Series, bars: int = 20) -> Series:
    """Typical price off its mean, in 0.015 mean absolute deviations; 0 where it never left it; TA-Lib's CCI.

    Source: D. Lambert, Commodity Channel Index, Commodities 9(10), 1980.
    """
    price = typical(high, low, close)
    return node(_off_mean, price, reach=bars - 1, parameters=(bars,), outputs=2, warmup=bars - 1)[0]


def ultimate(high: Series, low: Series, close: Series, first: int = 7, second: int = 14, third: int = 28) -> Series:
    """Williams' ultimate oscillator of three windows, 0…100; TA-Lib's ULTOSC.

    Source: L. Williams, The Ultimate Oscillator, Technical Analysis of Stocks & Commodities 3(4), 1985.
    """
    pressure, range_ = _pressed(high, low, close)
    windows = (first, second, third)
    return node(_ultimate, *(total(of, bars) for of in (pressure, range_) for bars in windows))[0]


def vortex(high: Series, low: Series, close: Series, bars: int = 14) -> Vortex:
    """Way from the low before to the high, and from the high before to the low, over the true range.

    Source: E. Botes, D. Siepman, The Vortex Indicator, Technical Analysis of Stocks & Commodities 28(1), 2010.
    """
    ways = node(_vortex, high, low, reach=1, outputs=2, warmup=1)
    under = total(true_range(high, low, close), bars)
    return Vortex(*(ratio(total(ways[k], bars), under) for k in range(2)))


def choppiness(high: Series, low: Series, close: Series, bars: int = 14) -> Series:
    """Way gone over the range that it stayed in, on a log scale, 0 (straight) to 100; 100 where nothing moves.

    Source: E. W. Dreiss, Choppiness Index, 1993.
    """
    range_ = highest(high, bars) - lowest(low, bars)
    way = total(true_range(high, low, close), bars)
    return log(ratio(way, range_, least=NOTHING, measure=close, otherwise=float(bars))) * (100.0 / math.log(bars))


def mass_index(high: Series, low: Series, span: int = 9, bars: int = 25) -> Series:
    """Sum of smoothed over twice smoothed ranges: above ``bars`` while ranges widen; ``bars`` where there are none.

    Source: D. Dorsey, The Mass Index, Technical Analysis of Stocks & Commodities 10(6), 1992.
    """
    once = ema(high - low, span)
    return total(ratio(once, ema(once, span), least=NOTHING, measure=high, otherwise=1.0), bars)


def awesome(high: Series, low: Series, fast: int = 5, slow: int = 34) -> Series:
    """Mean of few middles of the bar less the mean of many, a price.

    Source: B. Williams, New Trading Dimensions, 1998.
    """
    middle_ = (high + low) / 2.0
    return mean(middle_, fast) - mean(middle_, slow)


def schaff(series: Series, fast: int = 23, slow: int = 50, bars: int = 10) -> Series:
    """Schaff's trend cycle: the place of a MACD in its range, and the place of that in its own, 0…100; 50 if flat.

    Where the first place has stood still for ``bars``, as it does at 100 in a long rise, it is its own place: the
    published rule, the value before, would never forget.

    Source: D. Schaff, The Schaff Trend Cycle, 1999.
    """
    line = ema(series, fast) - ema(series, slow)
    first = ema(place(line, highest(line, bars), lowest(line, bars), otherwise=50.0), 3)
    top, bottom = highest(first, bars), lowest(first, bars)
    return ema(where(top - bottom, place(first, top, bottom), first), 3)


def _pressed(high: Series, low: Series, close: Series) -> tuple[Series, Series]:
    """Close above the true low; true range."""
    made = node(_pressure, high, low, close, reach=(0, 0, 1), outputs=2, warmup=1)
    return made[0], made[1]


@kernel
def _directional(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    plus, minus, dx, atr_ = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    high, low, before = x[at[4] + i :], x[at[5] + i :], x[at[6] + i - 1 :]
    high_before, low_before = x[at[4] + i - 1 :], x[at[5] + i - 1 :]
    for t in range(n):
        rise, fall = high[t] - high_before[t], low_before[t] - low[t]
        plus[t] = rise if rise > max(fall, 0.0) else 0.0 * (rise + fall)
        minus[t] = fall if fall > max(rise, 0.0) else 0.0 * (rise + fall)
        atr_[t] = max(high[t] - low[t], abs(high[t] - before[t]), abs(low[t] - before[t]))
    bars, keep, share = p[0], 1.0 - 1.0 / p[0], 1.0 / p[0]
    up, down, wide, mean_, seen = s[0], s[1], s[2], s[3], s[4]
    for t in range(n):
        if math.isnan(plus[t] + minus[t] + before[t]):
            plus[t] = minus[t] = dx[t] = atr_[t] = np.nan
            continue
        is_early = seen < bars - 1.0
        up = up * (1.0 if is_early else keep) + plus[t]
        down = down * (1.0 if is_early else keep) + minus[t]
        wide = wide * (1.0 if is_early else keep) + atr_[t]
        mean_ = mean_ + share * (atr_[t] - mean_) if seen >= bars else mean_ + atr_[t]
        seen = min(seen + 1.0, bars + 1.0)
        mean_ = mean_ / bars if seen == bars else mean_
        plus[t], minus[t], dx[t], atr_[t] = up, down, wide, mean_
        if is_early:
            plus[t] = minus[t] = dx[t] = atr_[t] = np.nan
    s[0], s[1], s[2], s[3], s[4] = up, down, wide, mean_, seen
    for t in range(n):
        rising, falling, range_, least = plus[t], minus[t], dx[t], NOTHING * abs(before[t])
        apart, both = 100.0 * abs(rising - falling), rising + falling
        plus[t] = 0.0 if range_ <= least else 100.0 * rising / range_
        minus[t] = 0.0 if range_ <= least else 100.0 * falling / range_
        dx[t] = 0.0 if both <= least else apart / both


@kernel
def _pressure(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    pressure, range_, high, low = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    close, before = x[at[4] + i :], x[at[4] + i - 1 :]
    for t in range(n):
        nothing = 0.0 * (high[t] + low[t] + before[t])  # NaN stays NaN
        up, down = abs(high[t] - before[t]), abs(low[t] - before[t])
        larger, span = up if up > down else down, high[t] - low[t]
        range_[t] = (span if span > larger else larger) + nothing
        pressure[t] = close[t] - (low[t] if low[t] < before[t] else before[t]) + nothing


@kernel
def _typical(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, high, low, close = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        out[t] = (high[t] + low[t] + close[t]) / 3.0


@kernel
def _placed(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    share, williams, close = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    top, bottom, flat, flat_williams = x[at[3] + i :], x[at[4] + i :], p[0], -p[1]
    for t in range(n):
        range_ = top[t] - bottom[t]
        over, under = 100.0 * (close[t] - bottom[t]) / range_, -100.0 * (top[t] - close[t]) / range_
        share[t] = over if range_ != 0.0 else flat
        williams[t] = under if range_ != 0.0 else flat_williams


@kernel
def _off_mean(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    index, mean_, a, bars = x[at[0] + i :], x[at[1] + i :], at[2] + i, int(p[0])
    value = x[a:]
    for t in range(n):
        mean_[t] = index[t] = 0.0
    for j in range(bars):
        older = x[a - j :]
        for t in range(n):
            mean_[t] += older[t]
    for t in range(n):
        mean_[t] /= bars
    for j in range(bars):
        older = x[a - j :]
        for t in range(n):
            index[t] += abs(older[t] - mean_[t])
    for t in range(n):
        off, deviation = value[t] - mean_[t], index[t] / bars
        ratio_ = off / (0.015 * deviation)
        index[t] = ratio_ if deviation != 0.0 else 0.0 * off


@kernel
def _ultimate(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out = x[at[0] + i :]
    a, b, c = x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    d, e, f = x[at[4] + i :], x[at[5] + i :], x[at[6] + i :]
    for t in range(n):
        first = a[t] / d[t] if d[t] != 0.0 else 0.0
        second = b[t] / e[t] if e[t] != 0.0 else 0.0
        third = c[t] / f[t] if f[t] != 0.0 else 0.0
        out[t] = 100.0 * (4.0 * first + 2.0 * second + third) / 7.0


@kernel
def _vortex(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    up, down, high, low = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    high_before, low_before = x[at[2] + i - 1 :], x[at[3] + i - 1 :]
    for t in range(n):
        up[t], down[t] = abs(high[t] - low_before[t]), abs(low[t] - high_before[t])
