"""Moving averages and the oscillators made of them; recursions begin as TA-Lib's do and carry their state.

`heliograph.features.ops.window` has the simple and the weighted mean, `heliograph.features.ops.range` the indicators
that need highs and lows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from heliograph.features.engine import compiled
from heliograph.features.graph import Node, Series, kernel, node
from heliograph.features.ops.pointwise import magnitude
from heliograph.features.ops.window import highest, lowest, mean, total, weighted_mean

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SETTLED = 27.7
"""−ln of what is left of the first bars when an average counts as settled: 1e-12."""

NOTHING = 1e-14
"""Of a value: an average of its moves that is smaller counts as none. TA-Lib's tolerance, there in units of price."""


class Macd(NamedTuple):
    """Difference of two averages, its own average, and what the first exceeds the second by; in units of the series."""

    line: Series
    signal: Series
    histogram: Series


def settling_bars(share: float, seed_bars: int = 0) -> int:
    """Bars until an average that moves by ``share`` of the way each bar has forgotten the first ones, to 1e-12.

    >>> settling_bars(0.03)
    910
    """
    return seed_bars + math.ceil(SETTLED / -math.log1p(-share))


def ema(series: Series, bars: int) -> Series:
    """Exponential mean with the share 2 / (bars + 1), seeded by the mean of the first ``bars`` values; TA-Lib's EMA."""
    return _recursive(series, bars, 2.0 / (bars + 1.0))


def wilder(series: Series, bars: int) -> Series:
    """Exponential mean with the share 1 / bars, seeded by the mean of the first ``bars`` values.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    return _recursive(series, bars, 1.0 / bars)


def ewma(series: Series, decay: float) -> Series:
    """Mean with weights ``decay**age`` of all values so far; known from the first value on.

    Raises:
        ValueError: the decay is not between 0 and 1.
    """
    if not 0.0 < decay < 1.0:
        raise ValueError(f"a decay of {decay} gives no mean: use one between 0 and 1")
    return node(_weighted, series, parameters=(decay,), states=2, settle=settling_bars(1.0 - decay))[0]


def dema(series: Series, bars: int) -> Series:
    """Mulloy's double exponential mean; TA-Lib's DEMA."""
    once = ema(series, bars)
    return once * 2.0 - ema(once, bars)


def tema(series: Series, bars: int) -> Series:
    """Mulloy's triple exponential mean; TA-Lib's TEMA."""
    made = _chained(series, bars)
    return (made[0] - made[1]) * 3.0 + made[2]


def t3(series: Series, bars: int, volume_factor: float = 0.7) -> Series:
    """Six exponential means weighted to lag less; TA-Lib's T3.

    Source: T. Tillson, Better Moving Averages, Technical Analysis of Stocks & Commodities 16(1), 1998.
    """
    third = _chained(series, bars)[2]
    made, v = _chained(third, bars), volume_factor
    late, early = made[2] * -(v**3) + made[1] * (3.0 * (v**2 + v**3)), 3.0 * (v + v**3)
    return late + made[0] * (-6.0 * v**2 - early) + third * (1.0 + 3.0 * v + v**3 + 3.0 * v**2)


def trima(series: Series, bars: int) -> Series:
    """Mean with triangular weights; TA-Lib's TRIMA."""
    half = (bars + 1) // 2
    return mean(mean(series, half), bars + 1 - half)


def hull(series: Series, bars: int) -> Series:
    """Hull's moving average: weighted means of ``bars`` and half as many, smoothed over √bars.

    Source: A. Hull, Reducing Lag in a Moving Average, 2005.
    """
    leading = weighted_mean(series, max(bars // 2, 1)) * 2.0 - weighted_mean(series, bars)
    return weighted_mean(leading, max(math.isqrt(bars), 1))


def kama(series: Series, bars: int, fast: int = 2, slow: int = 30) -> Series:
    """Kaufman's adaptive mean: as fast as the move over ``bars`` was straight; TA-Lib's KAMA.

    Source: P. J. Kaufman, Smarter Trading, 1995.
    """
    least, most = 2.0 / (slow + 1.0), 2.0 / (fast + 1.0)
    move, path = series - series.lag(bars), _path(series, bars)
    settle = settling_bars(least * least)
    made = node(_adaptive, series, move, path, reach=(1, 0, 0), parameters=(least, most), states=2, settle=settle)
    return made[0]


def efficiency(series: Series, bars: int) -> Series:
    """Move over ``bars`` as a share of the way that was gone, with its sign, −1…1; 0 where nothing moves.

    Source: P. J. Kaufman, Smarter Trading, 1995; his is without the sign.
    """
    return node(_straightness, series - series.lag(bars), _path(series, bars))[0]


def macd(series: Series, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Appel's MACD; both means begin on the same bar, and all three series with the signal; TA-Lib's MACD.

    Raises:
        ValueError: the fast mean is not the faster one.
    """
    if not 1 <= fast < slow or signal < 1:
        raise ValueError(f"a MACD of {fast}, {slow} and {signal} bars: the first must be shorter than the second")
    made = node(
        _macd,
        series,
        parameters=(fast, slow, signal),
        outputs=3,
        states=4,
        warmup=slow + signal - 2,
        settle=settling_bars(2.0 / (slow + 1.0), slow) + settling_bars(2.0 / (signal + 1.0), signal),
    )
    return Macd(made[0], made[1], made[2])


def ppo(series: Series, fast: int = 12, slow: int = 26) -> Series:
    """Fast over slow exponential mean − 1, in percent; TA-Lib's PPO with ``matype=1``."""
    slower = ema(series, slow)
    return (ema(series, fast) - slower) / slower * 100.0


def trix(series: Series, bars: int = 30) -> Series:
    """Change of a threefold exponential mean since the bar before, in percent; TA-Lib's TRIX.

    Source: J. K. Hutson, Good Trix, Technical Analysis of Stocks & Commodities 1(5), 1983.
    """
    return change(_chained(series, bars)[2], 1)


def change(series: Series, bars: int) -> Series:
    """Change since ``bars`` ago, in percent; TA-Lib's ROC."""
    return (series / series.lag(bars) + -1.0) * 100.0


def rsi(series: Series, bars: int = 14) -> Series:
    """Wilder's relative strength index, 0…100; 0 where nothing moves; TA-Lib's RSI."""
    return _strength_of(series, bars)[0]


def cmo(series: Series, bars: int = 14) -> Series:
    """Gains less losses over their sum, −100…100, by Wilder's means as in TA-Lib's CMO: 2 · RSI − 100, 0 if flat."""
    return _strength_of(series, bars)[1]


def tsi(series: Series, slow: int = 25, fast: int = 13) -> Series:
    """Blau's true strength index: moves over their sizes, each smoothed twice; −1…1, 0 where nothing moves.

    Source: W. Blau, True Strength Index, Technical Analysis of Stocks & Commodities 9(11), 1991.
    """
    move = series - series.lag(1)
    size = magnitude(move)
    return node(_straightness, ema(ema(move, slow), fast), ema(ema(size, slow), fast))[0]


def coppock(series: Series, long: int = 14, short: int = 11, bars: int = 10) -> Series:
    """Weighted mean of two changes, in percent.

    Source: E. S. C. Coppock, Practical Relative Strength Charting, 1962.
    """
    return weighted_mean(change(series, long) + change(series, short), bars)


def kst(series: Series) -> Series:
    """Pring's "know sure thing" of 10, 15, 20 and 30 bars, in percent.

    Source: M. J. Pring, Summed Rate of Change (KST), Technical Analysis of Stocks & Commodities 10(9), 1992.
    """
    parts = [mean(change(series, bars), over) for bars, over in ((10, 10), (15, 10), (20, 10), (30, 15))]
    return parts[0] + parts[1] * 2.0 + parts[2] * 3.0 + parts[3] * 4.0


def dpo(series: Series, bars: int = 20) -> Series:
    """Detrended price: the value half a window ago less the mean of the window; nothing of the future in it."""
    return series.lag(bars // 2 + 1) - mean(series, bars)


def fisher(series: Series, bars: int = 10) -> Series:
    """Ehlers' Fisher transform of the place between the extremes of ``bars``; 0 where the market is flat.

    Source: J. F. Ehlers, Using the Fisher Transform, Technical Analysis of Stocks & Commodities 20(11), 2002.
    """
    top, bottom = highest(series, bars), lowest(series, bars)
    return node(_fisher, series, top, bottom, states=2, settle=150)[0]


def _recursive(series: Series, bars: int, share: float) -> Series:
    if _at_least(bars, 1) == 1:
        return series
    settle = settling_bars(share, bars)
    return node(_mean, series, parameters=(bars, share), states=2, warmup=bars - 1, settle=settle)[0]


def _chained(series: Series, bars: int) -> Node:
    """The exponential mean, its own, and that one's own; all known with the last."""
    share = 2.0 / (_at_least(bars, 2) + 1.0)
    settle = 3 * settling_bars(share, bars)
    return node(_threefold, series, parameters=(bars, share), outputs=3, states=4, warmup=3 * bars - 3, settle=settle)


def _at_least(bars: int, least: int) -> int:
    if bars < least:
        raise ValueError(f"{bars} bars are too few: use {least} or more")
    return bars


def _path(series: Series, bars: int) -> Series:
    return total(magnitude(series - series.lag(1)), bars)


def _strength_of(series: Series, bars: int) -> tuple[Series, Series]:
    settle = settling_bars(1.0 / _at_least(bars, 2), bars)
    made = node(_strength, series, reach=1, parameters=(bars,), outputs=2, states=3, warmup=bars, settle=settle)
    return made[0], made[1]


@compiled
def _next(mean_: float, value: float, count: float, bars: float, share: float) -> float:
    """The mean after its ``count``-th value: before ``bars`` of them are known it is their sum."""
    if count > bars:
        return mean_ + share * (value - mean_)
    return (mean_ + value) / bars if count == bars else mean_ + value


@kernel
def _mean(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    bars, share, mean_, seen = p[0], p[1], s[0], s[1]
    for t in range(n):
        if math.isnan(value[t]):
            out[t] = np.nan
            continue
        seen = min(seen + 1.0, bars + 1.0)
        mean_ = _next(mean_, value[t], seen, bars, share)
        out[t] = mean_ if seen >= bars else np.nan
    s[0], s[1] = mean_, seen


@kernel
def _threefold(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    """A mean, the mean of it, and the mean of that: three chains of sums that the processor runs side by side."""
    first, second, third, value = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    bars, share, a, b, c, seen = p[0], p[1], s[0], s[1], s[2], s[3]
    for t in range(n):
        first[t] = second[t] = third[t] = np.nan
        if math.isnan(value[t]):
            continue
        seen = min(seen + 1.0, 3.0 * bars)
        a = _next(a, value[t], seen, bars, share)
        if seen >= bars:
            b = _next(b, a, seen - bars + 1.0, bars, share)
        if seen >= 2.0 * bars - 1.0:
            c = _next(c, b, seen - 2.0 * bars + 2.0, bars, share)
        if seen >= 3.0 * bars - 2.0:
            first[t], second[t], third[t] = a, b, c
    s[0], s[1], s[2], s[3] = a, b, c, seen


@kernel
def _weighted(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    decay, sum_, weight = p[0], s[0], s[1]
    for t in range(n):
        if math.isnan(value[t]):
            out[t] = np.nan
        else:
            sum_ = decay * sum_ + value[t]
            weight = decay * weight + 1.0
            out[t] = sum_ / weight
    s[0], s[1] = sum_, weight


@kernel
def _adaptive(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value, before, least, most = x[at[0] + i :], x[at[1] + i :], x[at[1] + i - 1 :], p[0], p[1]
    move, path = x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        straight = abs(move[t] / path[t])
        share = (1.0 if path[t] <= move[t] else straight) * (most - least) + least
        out[t] = share * share
    mean_, is_seeded = s[0], s[1]
    for t in range(n):
        if math.isnan(out[t] + value[t]):
            out[t] = np.nan
            continue
        if is_seeded == 0.0:
            mean_, is_seeded = before[t], 1.0
        mean_ += out[t] * (value[t] - mean_)
        out[t] = mean_
    s[0], s[1] = mean_, is_seeded


@kernel
def _straightness(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, move, path = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        value = move[t] / path[t]
        out[t] = value if path[t] != 0.0 else 0.0 * move[t]


@kernel
def _macd(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    line, signal, histogram, value = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    fast, slow, mean_, seen, late = s[0], s[1], s[2], s[3], p[1] - p[0]
    near, far, last = 2.0 / (p[0] + 1.0), 2.0 / (p[1] + 1.0), 2.0 / (p[2] + 1.0)
    for t in range(n):
        line[t] = signal[t] = histogram[t] = np.nan
        if math.isnan(value[t]):
            continue
        seen = min(seen + 1.0, p[1] + p[2])
        slow = _next(slow, value[t], seen, p[1], far)
        if seen > late:
            fast = _next(fast, value[t], seen - late, p[0], near)
        if seen >= p[1]:
            mean_ = _next(mean_, fast - slow, seen - p[1] + 1.0, p[2], last)
        if seen >= p[1] + p[2] - 1.0:
            line[t], signal[t], histogram[t] = fast - slow, mean_, fast - slow - mean_
    s[0], s[1], s[2], s[3] = fast, slow, mean_, seen


@kernel
def _strength(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    index, balance, value, before = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[2] + i - 1 :]
    bars, share, up, down, seen = p[0], 1.0 / p[0], s[0], s[1], s[2]
    for t in range(n):
        move = value[t] - before[t]
        if math.isnan(move):
            index[t] = balance[t] = np.nan
            continue
        seen = min(seen + 1.0, bars + 1.0)
        up = _next(up, max(move, 0.0), seen, bars, share)
        down = _next(down, max(-move, 0.0), seen, bars, share)
        index[t], balance[t] = (up, down) if seen >= bars else (np.nan, np.nan)
    s[0], s[1], s[2] = up, down, seen
    for t in range(n):
        rise, fall = index[t], balance[t]
        both = rise + fall
        is_flat = both <= NOTHING * abs(value[t])
        index[t] = 0.0 if is_flat else 100.0 * (rise / both)
        balance[t] = 0.0 if is_flat else 100.0 * ((rise - fall) / both)


@kernel
def _fisher(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value, top, bottom = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        width = x[top + t] - x[bottom + t]
        if math.isnan(width):
            x[out + t] = np.nan
            continue
        place = (x[value + t] - x[bottom + t]) / width - 0.5 if width > 0.0 else 0.0
        s[0] = min(max(0.66 * place + 0.67 * s[0], -0.999), 0.999)
        s[1] = 0.5 * math.log((1.0 + s[0]) / (1.0 - s[0])) + 0.5 * s[1]
        x[out + t] = s[1]
