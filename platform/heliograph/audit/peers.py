"""Checks of a series against the same asset on other venues: its level, its rests, its volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from heliograph.audit import digits, habit, robust
from heliograph.audit.finding import Mark
from heliograph.audit.habit import Bars
from heliograph.audit.verdict import Verdict, settle
from heliograph.core.market import Candles, FloatArray, IntArray

LEAST_COMMON = 128
"""Bars that a peer must share with the series to say anything."""

_LIMIT = 8.0  # usual sizes; of real pairs, between 0 and 0.03 % of bars are farther off
_FAR = 0.25  # log-price; premiums of 8 % and depegs of 13 % are real
_REST = 5  # bars without a move that make a rest


@dataclass(frozen=True, slots=True)
class Pair:
    """A series and one peer over the m bars that both have.

    Attributes:
        rows: int64[m], rows of the series.
        peer: the peer's candles at those rows.
        off: float64[4, m], log-price of open, high, low, close less the peer's and less the usual premium hereabouts.
        premium: float64[m], that usual premium.
        noise: float64[m], the usual size of the close's ``off`` hereabouts.
        swing: float64[m], the widest log-range hereabouts: of the peer's bar and its neighbours, and of the own neighbours.
        strays: float64[m], how far the peer's bar leaves the range of its neighbours, where the own bar hardly does.
    """

    rows: IntArray
    peer: Candles
    off: FloatArray
    premium: FloatArray
    noise: FloatArray
    swing: FloatArray
    strays: FloatArray

    @classmethod
    def of(cls, bars: Bars, peer: Candles) -> Self | None:
        """Aligned by open; None where too few bars are common."""
        if not len(peer):
            return None
        at = np.minimum(np.searchsorted(peer.open_ts_ms, bars.candles.open_ts_ms), len(peer) - 1)
        rows = np.flatnonzero(peer.open_ts_ms[at] == bars.candles.open_ts_ms)
        if rows.size < LEAST_COMMON:
            return None
        other = peer.take(at[rows])
        logs = [np.log(getattr(other, name)) for name in ("open", "high", "low", "close")]
        off = np.stack(
            [own[rows] - log for own, log in zip((bars.open, bars.high, bars.low, bars.close), logs, strict=True)]
        )
        premium = robust.around(off[3], 16, 5)
        off -= premium
        ranges = bars.high - bars.low
        beside = np.maximum(np.append(ranges[0], ranges[:-1]), np.append(ranges[1:], ranges[-1]))[rows]
        swing = np.maximum(robust.widest(np.maximum(logs[1] - logs[2], 1e-5)), beside)
        mine, theirs = habit.excursions(bars.high, bars.low)[rows], habit.excursions(logs[1], logs[2])
        strays = np.where(theirs > 3.0 * mine, theirs, 0.0)
        return cls(rows, other, off, premium, robust.usual_size(np.abs(off[3])), swing, strays)


def check(bars: Bars, peers: Sequence[Candles]) -> list[Mark]:
    """Marks against every peer that shares enough bars.

    Args:
        bars: of the series under test.
        peers: sound candles of the same asset and timeframe, from other venues.
    """
    pairs = [pair for peer in peers if (pair := Pair.of(bars, peer))]
    if not pairs or not bars.body.any():
        return []
    n = len(bars)
    bodies, wicks = zip(*(off_peer(bars, pair) for pair in pairs), strict=True)
    found = (
        settle("off_peers", n, bodies, "it opens or closes {most:.2%} off other venues"),
        settle("off_peers", n, wicks, "its high or low is {most:.2%} off other venues"),
        settle("frozen", n, [frozen(bars, pair) for pair in pairs], "another venue moved {most:.2%} meanwhile"),
        settle("volume_scale", n, [other_volume(bars, pair) for pair in pairs], digits.VOLUME_WORDS),
    )
    return [m for m in found if m.where.any()]


def off_peer(bars: Bars, pair: Pair) -> tuple[Verdict, Verdict]:
    """Bars whose open or close, and whose high or low, is not the peer's, beyond what noise and swing explain.

    Where only the peer's bar leaves the range of its neighbours, the fault is the peer's, and nothing is said.
    """
    size = np.abs(pair.off)
    far = np.abs(pair.premium - float(np.median(pair.premium)))
    still = robust.MAD * pair.noise + 1e-5
    body_share = min(4.0 * float(np.median(size[3] / pair.swing)), 0.5)
    wick_share = min(2.0 * float(np.quantile(size[1:3] / pair.swing, 0.97)), 0.5)
    body = np.where(far > _FAR, np.maximum(np.maximum(size[0], size[3]), far), np.maximum(size[0], size[3]))
    return (
        _disagreement(len(bars), pair, body, still + body_share * pair.swing),
        _disagreement(len(bars), pair, np.maximum(size[1], size[2]), still + wick_share * pair.swing),
    )


def _disagreement(n: int, pair: Pair, off: FloatArray, usual: FloatArray) -> Verdict:
    """A verdict from how far bars are off the peer's, beside how far they usually are; float64[m] each."""
    bad = off > np.minimum(_LIMIT * usual, _FAR)
    is_theirs = bad & (pair.strays > 0.5 * off)
    verdict = Verdict.silent(n)
    verdict.accused[pair.rows] = bad & ~is_theirs
    verdict.size[pair.rows] = np.where(bad & ~is_theirs, np.expm1(np.minimum(off, 50.0)), 0.0)
    noticed = np.maximum(usual, 2.5 * off)  # it would have seen the fault, and is far nearer itself
    verdict.sees[pair.rows] = np.where(is_theirs, np.inf, noticed)
    return verdict


def frozen(bars: Bars, pair: Pair) -> Verdict:
    """Five bars or more without any move, during which the peer moved by many times the pair's noise."""
    verdict = Verdict.silent(len(bars))
    c = bars.candles
    still = np.append(False, (c.close[1:] == c.close[:-1]) & (c.high == c.low)[1:])
    inside = np.flatnonzero(robust.longest(still)[pair.rows] >= _REST)
    if not inside.size:
        return verdict
    begins = np.append(True, np.diff(pair.rows[inside]) > 1)
    first, run = np.flatnonzero(begins), np.cumsum(begins) - 1
    close = np.log(pair.peer.close)
    moved = np.maximum.reduceat(close[inside], first) - np.minimum.reduceat(close[inside], first)
    typical = float(np.median(np.abs(np.diff(close))))
    limit = np.maximum(8.0 * robust.MAD * np.maximum.reduceat(pair.noise[inside], first), 3.0 * typical)
    rows, bad = pair.rows[inside], (moved > limit)[run]
    verdict.accused[rows] = bad
    verdict.size[rows] = np.where(bad, np.expm1(moved[run]), 0.0)
    verdict.sees[rows] = limit[run]
    return verdict


def other_volume(bars: Bars, pair: Pair) -> Verdict:
    """Volumes of another size than those around, beside the peer's."""
    reference = np.zeros(len(bars))
    reference[pair.rows] = pair.peer.volume
    judged = digits.volume_scale(bars.candles, reference)
    return replace(Verdict.silent(len(bars)), accused=judged.where, size=judged.size * judged.where, sees=judged.sees)
