"""Is a series of candles true? Its rows, its habits, the same asset elsewhere, and its other timeframes are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heliograph.audit import derived, digits, habit, holes, moves, peers, shape
from heliograph.audit.finding import Finding, Mark, mark, of_marks
from heliograph.audit.habit import Bars
from heliograph.core.market import Candles, IntArray
from heliograph.core.timeframe import Timeframe

Series = tuple[Timeframe, Candles]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a series is judged by, besides itself.

    Attributes:
        peers: the same asset on other venues, same timeframe.
        siblings: opens of other markets of the venue, same timeframe, ascending; they tell a hole from an outage.
        others: the same market in other timeframes, finer or coarser, on the venue's grid.
    """

    peers: Sequence[Candles] = ()
    siblings: Sequence[IntArray] = ()
    others: Sequence[Series] = ()


NONE = Evidence()


def check(name: tuple[str, str], timeframe: Timeframe, candles: Candles, evidence: Evidence = NONE) -> list[Finding]:
    """Everything that can't be true in a series, sorted by start.

    Args:
        name: venue and unified symbol.
        timeframe: on the venue's own grid.
        candles: rows as they came; they may be out of order or hold anything.
    """
    found = list(of_marks(name, timeframe, candles, shape.check(candles, timeframe)))
    held = candles.take(shape.sound(candles, timeframe))
    if len(held):
        span = int(held.open_ts_ms[0]), int(held.open_ts_ms[-1]) + timeframe.ms
        known = [peer.between(*span) for peer in (p.take(shape.faultless(p, timeframe)) for p in evidence.peers)]
        bars = Bars.of(held, timeframe)
        marks = [
            *habit.check(bars),
            *digits.check(held, timeframe),
            *peers.check(bars, known),
            *moves.check(bars, known),
        ]
        marks += [m for other in evidence.others if (m := _not_derived(held, timeframe, *other)).where.any()]
        found += of_marks(name, timeframe, held, marks)
        elsewhere = [peer.open_ts_ms for peer in known]
        found += holes.missing(name, timeframe, held.open_ts_ms, siblings=evidence.siblings, peers=elsewhere)
    return sorted(found, key=lambda f: (f.start_ms, f.end_ms, f.kind))


def _not_derived(candles: Candles, timeframe: Timeframe, other_timeframe: Timeframe, other: Candles) -> Mark:
    """Bars that differ from the finer ones' sum; or bars whose sum differs from the coarser one."""
    other = other.take(shape.sound(other, other_timeframe))
    if other_timeframe.ms < timeframe.ms:
        compared = derived.compare(candles, other, timeframe, other_timeframe)
        wrong = compared.open_ts_ms[compared.differs.any(axis=0)]
        where = np.isin(candles.open_ts_ms, wrong, assume_unique=True)
    else:
        compared = derived.compare(other, candles, other_timeframe, timeframe)
        wrong = compared.open_ts_ms[compared.differs.any(axis=0)]
        where = np.isin(other_timeframe.floor_array(candles.open_ts_ms), wrong)
    return mark("not_derived", where, f"it does not agree with the {other_timeframe} candles")
