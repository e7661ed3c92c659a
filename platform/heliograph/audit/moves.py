"""Does a series move as the same asset does on other venues, and at the same time?

Correlations of close-to-close log-returns over windows of 256 bars. A window in which less than usual moves proves
nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heliograph.audit import robust
from heliograph.audit.finding import BoolArray, Mark
from heliograph.audit.habit import Bars
from heliograph.audit.span import follows
from heliograph.audit.verdict import Verdict, settle
from heliograph.core.market import Candles, FloatArray, IntArray
from heliograph.core.timeframe import HOUR_MS, Timeframe

WINDOW, STEP = 256, 128
_LEAST_POWER = 0.7  # of the median window, in standard deviations
_ALIKE = 0.5
_SHIFT_BARS = (1, 2, 3, 5)
_SHIFT_HOURS = (0.5, 1, 2, 3, 4, 5, 5.5, 6, 7, 8, 9, 9.5, 10, 11, 12, 13, 14)


@dataclass(frozen=True, slots=True)
class Moves:
    """Log-returns of a series' closes, clipped at eight usual ones: no single move makes a window's correlation.

    Attributes:
        opens: int64[n], bar opens.
        values: float64[n]; 0 where a bar does not follow the one before.
    """

    opens: IntArray
    values: FloatArray

    @classmethod
    def of(cls, candles: Candles, after: BoolArray) -> Moves:
        """Of candles, given which of them follow the one before."""
        values = np.zeros(len(candles))
        values[1:] = np.where(after[1:], np.diff(np.log(candles.close)), 0.0)
        moving = np.abs(values[values != 0.0])
        most = 8.0 * float(np.median(moving)) if moving.size else 0.0
        return cls(candles.open_ts_ms, np.clip(values, -most, most))

    def at(self, opens: IntArray) -> FloatArray:
        """The returns of the bars that open at ``opens`` (of any shape); 0 where there is none."""
        at = np.minimum(np.searchsorted(self.opens, opens), self.opens.size - 1)
        found: FloatArray = np.where(self.opens[at] == opens, self.values[at], 0.0)
        return found


def check(bars: Bars, peers: Sequence[Candles]) -> list[Mark]:
    """Marks of windows that move unlike every peer, and of windows that move as a peer does at another time."""
    n = len(bars)
    if n < 2 * WINDOW or not bars.body.any():
        return []
    own = Moves.of(bars.candles, bars.follows)
    unlike, lagged = [], []
    for peer in peers:
        moves = Moves.of(peer, follows(peer.open_ts_ms, bars.timeframe))
        if moves.values.any():
            a, b = _judge(own, moves, bars.timeframe)
            unlike.append(a)
            lagged.append(b)
    words = "another venue's moves come {most:.4g} hours apart"
    found = settle("unlike_peers", n, unlike), settle("lagged", n, lagged, words)
    return [m for m in found if m.where.any()]


def shifts(timeframe: Timeframe) -> list[int]:
    """Lags worth a try, bars: a few, and those that a time zone makes."""
    hours = [h * HOUR_MS / timeframe.ms for h in _SHIFT_HOURS]
    bars = sorted({*_SHIFT_BARS, *(int(h) for h in hours if h == int(h))})
    return [sign * b for b in bars for sign in (1, -1)]


def _judge(own: Moves, peer: Moves, timeframe: Timeframe) -> tuple[Verdict, Verdict]:
    """One peer's word on likeness, and on the time."""
    n = own.opens.size
    a, b = (robust.windows(x, WINDOW, STEP) for x in (own.values, peer.at(own.opens)))
    together, aa, bb = _correlation(a, b)
    power = np.sqrt(np.minimum(_relative(aa), _relative(bb)))
    is_strong = power > _LEAST_POWER
    usual = float(np.quantile(together[is_strong], 0.1)) if is_strong.any() else 0.0
    unlike = is_strong & ((together < 0.5 * usual) & (usual > 0.4) | (together < -_ALIKE))
    late, hours = _late(
        own, peer, timeframe, np.flatnonzero((together < _ALIKE) & (_relative(aa) > _LEAST_POWER**2)), together
    )
    clear = robust.cover(is_strong & (together > _ALIKE), n, WINDOW, STEP)
    sees = np.where(clear, 0.0, np.inf)
    return (
        Verdict(robust.cover(unlike, n, WINDOW, STEP), robust.cover(unlike, n, WINDOW, STEP).astype(np.float64), sees),
        Verdict(robust.cover(late, n, WINDOW, STEP), hours, sees),
    )


def _late(
    own: Moves, peer: Moves, timeframe: Timeframe, doubtful: IntArray, together: FloatArray
) -> tuple[BoolArray, FloatArray]:
    """Windows out of ``doubtful`` that follow the peer far better at another time; that time's distance, h, of each bar."""
    late, hours = np.zeros(together.size, dtype=np.bool_), np.zeros(own.opens.size)
    if not doubtful.size:
        return late, hours
    rows = doubtful[:, None] * STEP + np.arange(WINDOW)
    best, by = np.full(doubtful.size, -1.0), np.zeros(doubtful.size)
    for lag in shifts(timeframe):
        found, aa, bb = _correlation(own.values[rows], peer.at(own.opens[rows] + lag * timeframe.ms))
        better = (found > best) & (bb > 0.25 * aa)
        best[better], by[better] = found[better], abs(lag) * timeframe.ms / HOUR_MS
    found_late = (best > _ALIKE) & (best - together[doubtful] > 0.4)
    late[doubtful] = found_late
    for w, h in zip(doubtful[found_late], by[found_late], strict=True):
        hours[w * STEP : w * STEP + WINDOW] = np.maximum(hours[w * STEP : w * STEP + WINDOW], h)
    return late, hours


def _correlation(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each row of two [w, s] arrays of mean near zero, and their sums of squares."""
    aa, bb = np.einsum("wi,wi->w", a, a), np.einsum("wi,wi->w", b, b)
    return np.einsum("wi,wi->w", a, b) / np.sqrt(np.maximum(aa * bb, 1e-300)), aa, bb


def _relative(squares: FloatArray) -> FloatArray:
    """To the median window that moves at all."""
    moving = squares[squares > 0.0]
    return squares / float(np.median(moving)) if moving.size else squares
