"""The shape of a bar, of two, of three: patterns as graded numbers, not as yes or no.

A pattern's number is 0 where its conditions fail and grows with how far they are met; its sign is the way it points.
S. Nison, Japanese Candlestick Charting Techniques, 2nd ed. 2001, names them; the grading is our own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from heliograph.features.engine import compiled
from heliograph.features.graph import Series, kernel, node
from heliograph.features.market import CLOSE, HIGH, LOW, OPEN, OPEN_TS_MS, SIGMA, STEPS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_DAY_MS = 86_400_000.0
_DAY_BARS = 1_440  # of the finest timeframe, a minute
_HEIKIN_BARS = 64  # 0.5**64 of a price is nothing beside a bar's range


class Parts(NamedTuple):
    """Shares of the bar's range; where it has none, the close is in the middle and the rest is 0."""

    close_position: Series
    body: Series
    upper_wick: Series
    lower_wick: Series
    doji: Series


class Sizes(NamedTuple):
    """Logs in standard deviations of a bar."""

    width: Series
    body: Series
    upper_wick: Series
    lower_wick: Series


class Pair(NamedTuple):
    """A bar beside the one before; see `heliograph.features.families.shape` for each."""

    overlap: Series
    widening: Series
    inside: Series
    outside: Series
    tweezers: Series
    shift: Series
    place: Series
    reversal: Series
    engulfing: Series
    harami: Series
    retracement: Series


class Heikin(NamedTuple):
    """Heikin-Ashi bar: body and lower less upper wick as shares of its range, body in standard deviations."""

    body: Series
    wicks: Series
    size: Series


class Day(NamedTuple):
    """The UTC day so far: place of the close in its range, its return and its range in standard deviations of its bars."""

    place: Series
    gain: Series
    width: Series


def parts() -> Parts:
    """The bar's own proportions."""
    made = node(_parts, OPEN, HIGH, LOW, CLOSE, outputs=5)
    return Parts(*(made[k] for k in range(5)))


def sizes() -> Sizes:
    """The bar's own sizes; wicks end at eight (`heliograph.features.market`)."""
    made = node(_sizes, OPEN, HIGH, LOW, CLOSE, SIGMA, outputs=4)
    return Sizes(*(made[k] for k in range(4)))


def gap() -> Series:
    """Log of open / close before, in standard deviations of the time between."""
    return node(_gap, OPEN, CLOSE, SIGMA, STEPS, reach=(0, 1, 0, 0))[0]


def pair() -> Pair:
    """Two bars."""
    spans = node(_spans, HIGH, LOW, CLOSE, reach=1, outputs=8, warmup=1)
    bodies = node(_bodies, OPEN, CLOSE, reach=1, outputs=3, warmup=1)
    return Pair(*(spans[k] for k in range(8)), *(bodies[k] for k in range(3)))


def triple() -> tuple[Series, Series]:
    """Three bars: morning (above 0) or evening star; three white soldiers (above 0) or black crows."""
    made = node(_triple, OPEN, HIGH, LOW, CLOSE, reach=2, outputs=2, warmup=2)
    return made[0], made[1]


def fractal() -> Series:
    """Five bars: how far the middle one's low stands below the other four (above 0), or its high above, by their range.

    Source: B. Williams, Trading Chaos, 1995.
    """
    return node(_fractal, HIGH, LOW, reach=4, warmup=4)[0]


def streak(bars: int) -> Series:
    """Closes in a row above the close before, as a share of ``bars``; below 0 for closes below."""
    return node(_streak, CLOSE, reach=bars, parameters=(bars,), warmup=bars)[0]


def heikin() -> Heikin:
    """The averaged bar.

    Source: D. Valcu, Using the Heikin-Ashi Technique, Technical Analysis of Stocks & Commodities 22(2), 2004.
    """
    made = node(_heikin, OPEN, HIGH, LOW, CLOSE, SIGMA, outputs=3, states=3, settle=_HEIKIN_BARS)
    return Heikin(*(made[k] for k in range(3)))


def day() -> Day:
    """From the first bar of the UTC day on."""
    made = node(_day, OPEN_TS_MS, OPEN, HIGH, LOW, CLOSE, SIGMA, outputs=3, states=5, settle=_DAY_BARS)
    return Day(*(made[k] for k in range(3)))


@compiled
def share(part: float, whole: float) -> float:
    """``part / whole``; 0 where there is no whole. NaN stays NaN."""
    return 0.0 * part if whole == 0.0 else part / whole


@kernel
def _parts(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    place, body, upper, lower, doji = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    open_, high, low, close = at[5] + i, at[6] + i, at[7] + i, at[8] + i
    for t in range(n):
        first, top, bottom, last = x[open_ + t], x[high + t], x[low + t], x[close + t]
        width = top - bottom
        x[place + t] = 0.5 if width == 0.0 else (last - bottom) / width
        x[body + t] = share(last - first, width)
        x[upper + t] = share(top - max(first, last), width)
        x[lower + t] = share(min(first, last) - bottom, width)
        x[doji + t] = share(2.0 * min(top - max(first, last), min(first, last) - bottom), width)


@kernel
def _sizes(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    width, body, upper, lower = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    open_, high, low, close, sigma = at[4] + i, at[5] + i, at[6] + i, at[7] + i, at[8] + i
    for t in range(n):
        first, top, bottom, last, unit = x[open_ + t], x[high + t], x[low + t], x[close + t], x[sigma + t]
        x[width + t] = math.log(top / bottom) / unit
        x[body + t] = math.log(last / first) / unit
        x[upper + t] = math.log(top / max(first, last)) / unit
        x[lower + t] = math.log(min(first, last) / bottom) / unit


@kernel
def _gap(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, open_, close, sigma, steps = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        x[o + t] = math.log(x[open_ + t] / x[close + t - 1]) / (x[sigma + t] * math.sqrt(x[steps + t]))


@compiled
def engulfs(open_: float, close: float, inner_open: float, inner_close: float) -> bool:
    """The second body points the other way and lies within the first, which is longer."""
    one, other = close - open_, inner_close - inner_open
    holds = max(open_, close) >= max(inner_open, inner_close) and min(open_, close) <= min(inner_open, inner_close)
    return one * other < 0.0 and holds and abs(one) > abs(other)


@kernel
def _spans(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    high, low, close = at[8] + i, at[9] + i, at[10] + i
    for t in range(n):
        top, bottom, last = x[high + t], x[low + t], x[close + t]
        top1, bottom1, last1 = x[high + t - 1], x[low + t - 1], x[close + t - 1]
        width, width1 = top - bottom, top1 - bottom1
        widths = width + width1
        whole = max(top, top1) - min(bottom, bottom1) + 0.0 * widths  # NaN stays NaN
        x[at[0] + i + t] = share(min(top, top1) - max(bottom, bottom1), whole)
        x[at[1] + i + t] = share(width - width1, widths)
        x[at[2] + i + t] = share(2.0 * max(min(top1 - top, bottom - bottom1), 0.0), widths)
        x[at[3] + i + t] = share(2.0 * max(min(top - top1, bottom1 - bottom), 0.0), widths)
        x[at[4] + i + t] = share(abs(top - top1) - abs(bottom - bottom1), whole)
        x[at[5] + i + t] = share((top + bottom) - (top1 + bottom1), 2.0 * whole)
        x[at[6] + i + t] = share(2.0 * last - top1 - bottom1, width1)
        up, down = min(bottom1 - bottom, last - last1), min(top - top1, last1 - last)
        x[at[7] + i + t] = share(max(up, 0.0) - max(down, 0.0), whole)


@kernel
def _bodies(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    engulfing, harami, retracement, open_, close = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        first, last, first1, last1 = x[open_ + t], x[close + t], x[open_ + t - 1], x[close + t - 1]
        body, body1 = last - first, last1 - first1
        lead = share(abs(body) - abs(body1), abs(body) + abs(body1))
        x[engulfing + t] = math.copysign(lead, body) if engulfs(first, last, first1, last1) else 0.0 * lead
        x[harami + t] = math.copysign(lead, body) if engulfs(first1, last1, first, last) else 0.0 * lead
        move = last - last1
        against = -move if body1 > 0.0 else (move if body1 < 0.0 else 0.0)
        x[retracement + t] = share(against, abs(move) + abs(body1))


@kernel
def _triple(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    star, march, open_, high, low, close = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    for t in range(n):
        new, middle, old = (
            x[close + t] - x[open_ + t],
            x[close + t - 1] - x[open_ + t - 1],
            x[close + t - 2] - x[open_ + t - 2],
        )
        small, large = min(abs(new), abs(old)), max(abs(new), abs(old))
        rest = max(1.0 - share(abs(middle), small), 0.0) * share(small, large)
        x[star + t] = math.copysign(rest, new) if new * old < 0.0 else 0.0 * (new + middle + old)
        a = share(new, x[high + t] - x[low + t])
        b = share(middle, x[high + t - 1] - x[low + t - 1])
        c = share(old, x[high + t - 2] - x[low + t - 2])
        least = min(abs(a), abs(b), abs(c))
        is_march = a * b > 0.0 and b * c > 0.0
        x[march + t] = math.copysign(least, a) if is_march else 0.0 * (a + b + c)


@kernel
def _fractal(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, high, low = at[0] + i, at[1] + i, at[2] + i
    for t in range(n):
        h, d = high + t, low + t
        top = max(x[h], x[h - 1], x[h - 3], x[h - 4])
        bottom = min(x[d], x[d - 1], x[d - 3], x[d - 4])
        whole = max(top, x[h - 2]) - min(bottom, x[d - 2])
        peak, trough = max(x[h - 2] - top, 0.0), max(bottom - x[d - 2], 0.0)
        x[o + t] = share(trough - peak, whole) + 0.0 * (x[h - 4] + x[d - 4])  # NaN stays NaN


@kernel
def _streak(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, bars = at[0] + i, at[1] + i, int(p[0])
    for t in range(n):
        now, run = a + t, 0.0
        up = x[now] - x[now - 1]
        for k in range(bars):
            move = x[now - k] - x[now - k - 1]
            if not move * up > 0.0:
                break
            run += 1.0
        x[o + t] = math.copysign(run / bars, up) + 0.0 * x[now - bars]  # NaN stays NaN


@kernel
def _heikin(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    body, wicks, size = at[0] + i, at[1] + i, at[2] + i
    open_, high, low, close, sigma = at[3] + i, at[4] + i, at[5] + i, at[6] + i, at[7] + i
    for t in range(n):
        first = 0.5 * (s[0] + s[1]) if s[2] > 0.0 else 0.5 * (x[open_ + t] + x[close + t])
        last = 0.25 * (x[open_ + t] + x[high + t] + x[low + t] + x[close + t])
        top, bottom = max(x[high + t], first, last), min(x[low + t], first, last)
        s[0], s[1], s[2] = first, last, 1.0
        known = 0.0 * x[sigma + t]
        x[body + t] = share(last - first, top - bottom) + known
        x[wicks + t] = share((min(first, last) - bottom) - (top - max(first, last)), top - bottom) + known
        x[size + t] = math.log(last / first) / x[sigma + t]


@kernel
def _day(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    place, gain, width, ts = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    open_, high, low, close, sigma = at[4] + i, at[5] + i, at[6] + i, at[7] + i, at[8] + i
    for t in range(n):
        today = math.floor(x[ts + t] / _DAY_MS)
        if today != s[0] or s[4] == 0.0:
            s[0], s[1], s[2], s[3], s[4] = today, x[open_ + t], x[high + t], x[low + t], 0.0
        s[2], s[3], s[4] = max(s[2], x[high + t]), min(s[3], x[low + t]), s[4] + 1.0
        unit = x[sigma + t] * math.sqrt(s[4])
        x[place + t] = 0.5 + 0.0 * unit if s[2] == s[3] else (x[close + t] - s[3]) / (s[2] - s[3]) + 0.0 * unit
        x[gain + t] = math.log(x[close + t] / s[1]) / unit
        x[width + t] = math.log(s[2] / s[3]) / unit
