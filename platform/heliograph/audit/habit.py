"""Checks of a series against its own habits: how it opens, spikes, repeats and steps. No other series is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from heliograph.audit import digits, robust
from heliograph.audit.finding import BoolArray, Mark, mark
from heliograph.audit.span import follows
from heliograph.core.market import Candles, FloatArray
from heliograph.core.timeframe import Timeframe

LEAST_BARS = 64
"""Fewer bars have no habits."""

_CHAIN = 32  # bars in a window whose bodies must follow from each other


@dataclass(frozen=True, slots=True)
class Bars:
    """Sound candles, and what several checks want to know of them. Each n long.

    Attributes:
        candles: ascending, each open once, finite, above zero.
        follows: the bar opens where the bar before it ends.
        open, high, low, close: natural logarithms.
        body: close less open.
        gap: open less the close before; 0 where the bar does not follow.
        usual: the usual size of a body hereabouts, above 0 unless no bar ever moved.
    """

    candles: Candles
    timeframe: Timeframe
    follows: BoolArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    body: FloatArray
    gap: FloatArray
    usual: FloatArray

    @classmethod
    def of(cls, candles: Candles, timeframe: Timeframe) -> Self:
        """From sound candles."""
        ts = candles.open_ts_ms
        after = follows(ts, timeframe)
        opened, closed = np.log(candles.open), np.log(candles.close)
        body = closed - opened
        gap = np.zeros(ts.size)
        gap[1:] = np.where(after[1:], opened[1:] - closed[:-1], 0.0)
        return cls(
            candles=candles,
            timeframe=timeframe,
            follows=after,
            open=opened,
            high=np.log(candles.high),
            low=np.log(candles.low),
            close=closed,
            body=body,
            gap=gap,
            usual=robust.usual_size(np.abs(body)),
        )

    def __len__(self) -> int:
        return len(self.candles)


def check(bars: Bars) -> list[Mark]:
    """Marks of every check here; none where there are too few bars."""
    if len(bars) < LEAST_BARS or not bars.body.any():
        return []
    found = (breaks(bars), shuffled(bars), spikes(bars), repeated(bars), straight(bars), nested(bars))
    return [m for m in found if m.where.any()]


def breaks(bars: Bars) -> Mark:
    """Opens farther from the close before than this market's opens are.

    Where the venue carries closes over, any step beyond a quarter of a usual body is one; elsewhere six times what 98 %
    of the opens keep to, and no less than 1.5 usual bodies.
    """
    size = np.abs(bars.gap) / bars.usual
    following = size[bars.follows]
    if not following.size:
        return mark("break", np.zeros(len(bars), dtype=np.bool_))
    carries = np.count_nonzero(following) < 0.005 * following.size
    limit = 0.25 if carries else max(1.5, 6.0 * float(np.quantile(following, 0.98)))
    words = "the open is {most:.1f} usual bars away from the close before it"
    return mark("break", size > limit, words, size)


def shuffled(bars: Bars) -> Mark:
    """Windows in which each open undoes this body and the one before: open and close swapped, or the order reversed."""
    n = len(bars)
    most = 8.0 * bars.usual  # so that no single bar decides
    two = np.where(bars.follows, bars.body + np.append(0.0, bars.body[:-1]), 0.0)
    moved = robust.window_sums(np.clip(two, -most, most) ** 2, _CHAIN)
    left = robust.window_sums(np.clip(np.where(bars.follows, bars.gap + two, 0.0), -most, most) ** 2, _CHAIN)
    lively = robust.window_sums((bars.follows & (bars.body != 0.0)).astype(np.float64), _CHAIN)
    usual = robust.window_sums(bars.usual**2, _CHAIN)
    bad = (left < 0.2 * moved) & (moved > usual) & (lively > 0.75 * _CHAIN)
    return mark("shuffled", robust.cover(bad, n, _CHAIN, 1))


def spikes(bars: Bars) -> Mark:
    """Bars whose range sticks out of both neighbours' by sixty usual bodies and three per cent."""
    out = excursions(bars.high, bars.low)
    bad = (out > 60.0 * bars.usual) & (out > 0.03)
    return mark("spike", bad, "it left its neighbours' range by {most:.1%}", np.expm1(out))


def excursions(high: FloatArray, low: FloatArray) -> FloatArray:
    """How far each bar's range sticks out of both neighbours', on the side where it does most; 0 at the ends."""
    out = np.zeros(high.size)
    above = high[1:-1] - np.maximum(high[:-2], high[2:])
    below = np.minimum(low[:-2], low[2:]) - low[1:-1]
    out[1:-1] = np.maximum(np.maximum(above, below), 0.0)
    return out


def repeated(bars: Bars) -> Mark:
    """Three bars in a row that stand somewhere before already, number by number; or a moving bar sent three times running."""
    c, n = bars.candles, len(bars)
    moving = (c.high > c.low) & (c.volume > 0.0)
    same = np.ones(n - 1, dtype=np.bool_)
    digest = np.zeros(n, dtype=np.uint64)
    for i, column in enumerate((c.open, c.high, c.low, c.close, c.volume)):
        same &= column[1:] == column[:-1]
        digest = _mixed(digest + _mixed(column.view(np.uint64) + np.uint64(i)))
    at_once = np.append(False, same & moving[1:])
    at_once &= robust.longest(at_once) >= 2
    three = _mixed(_mixed(digest[:-2]) + digest[1:-1]) + digest[2:]
    lively = np.flatnonzero(moving[:-2].astype(np.int8) + moving[1:-1] + moving[2:] >= 2)
    again = np.zeros(three.size, dtype=np.bool_)
    again[lively] = _seen_before(three[lively])
    return mark("repeated", at_once | robust.cover(again, n, 3, 1))


def straight(bars: Bars) -> Mark:
    """Eight closes or more in a row with the same step to a tick, the step many ticks; or five to the last digit."""
    close = bars.candles.close
    tick = digits.tick(close)
    step = np.append(0.0, np.diff(close))
    bend = np.abs(np.append(0.0, np.diff(step)))
    nearly = bars.follows & (bend <= 1.01 * tick) & (np.abs(step) > 3.0 * tick)
    coarse = (np.abs(step) > 3.0 * tick) | (np.abs(np.rint(close / max(tick, 1e-12)) * tick - close) > 0.01 * tick)
    exactly = bars.follows & (bend <= 1e-11 * close) & (np.abs(step) > 1e-9 * close) & coarse
    return mark("straight", (robust.longest(nearly) >= 7) | (robust.longest(exactly) >= 4))


def nested(bars: Bars) -> Mark:
    """Bars that sum up the ones after them, three in a row on a longer grid; or a stretch with bars on that grid only."""
    where = np.zeros(len(bars), dtype=np.bool_)
    for times in (3, 5, 15, 30, 60):
        if len(bars) > 8 * times:
            where |= _summing(bars, times) | _sparse(bars, times)
    return mark("nested", where)


def _summing(bars: Bars, times: int) -> BoolArray:
    c, last = bars.candles, times - 1
    step = times * bars.timeframe.ms
    on_grid = (c.open_ts_ms[:-last] - bars.timeframe.offset_ms) % step == 0
    whole = c.open_ts_ms[last:] - c.open_ts_ms[:-last] == last * bars.timeframe.ms
    wide = (bars.high - bars.low > bars.usual)[:-last]
    start = np.flatnonzero(on_grid & whole & (c.close[:-last] == c.close[last:]) & wide)
    within = np.zeros(start.size)
    for k in range(1, times):
        fits = (c.high[start] >= c.high[start + k]) & (c.low[start] <= c.low[start + k])
        start, within = start[fits], (within + c.volume[start + k])[fits]
    start = start[c.volume[start] >= within]
    in_a_row = np.append(False, np.diff(c.open_ts_ms[start]) == step)[: start.size]
    found = np.zeros(len(bars), dtype=np.bool_)
    found[start[robust.longest(in_a_row) >= 2]] = True
    return found


def _sparse(bars: Bars, times: int) -> BoolArray:
    ts, step = bars.candles.open_ts_ms, times * bars.timeframe.ms
    apart = np.append(False, np.diff(ts) == step) & ((ts - bars.timeframe.offset_ms) % step == 0)
    return robust.longest(apart) >= 12


def _seen_before(words: npt.NDArray[np.uint64]) -> BoolArray:
    """Words that stand earlier in the array already."""
    ordered = np.sort(words)  # of the words alone, as nearly always there are no two alike
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    seen = np.isin(words, twice) if twice.size else np.zeros(words.size, dtype=np.bool_)
    _, first = np.unique(words[seen], return_index=True)
    seen[np.flatnonzero(seen)[first]] = False
    return seen


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every bit of each word depends on all its bits (splitmix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
