"""Bars that a series lacks while the venue was up and the asset was traded: pages cut short, shards never fetched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heliograph.audit import robust
from heliograph.audit.finding import KINDS, BoolArray, Finding
from heliograph.audit.span import ends
from heliograph.core.market import FloatArray, IntArray
from heliograph.core.timeframe import Timeframe

_AROUND = 500  # bars on either side that say how often this market has none
_RAREST = 1e-4
_SURE = 12.0  # decimal exponent of the chance that a quiet market leaves so many bars out
_PAGE = 20
_SEEN = 0.8  # share of the absent bars that another series must have


def missing(
    name: tuple[str, str],
    timeframe: Timeframe,
    opens: IntArray,
    *,
    siblings: Sequence[IntArray],
    peers: Sequence[IntArray],
) -> list[Finding]:
    """Runs of absent bars that neither the market's own habit of quiet bars nor an outage explains; or that come too evenly.

    Args:
        name: venue and unified symbol.
        opens: of the series, ascending, each once.
        siblings: opens of other markets of the venue; most of those that span a hole must have its bars. Without any,
            a peer must.
        peers: opens of the same asset on other venues.
    """
    after = ends(opens[:-1], timeframe)
    at = np.flatnonzero(after < opens[1:])
    if not at.size:
        return []
    starts, stops = after[at], opens[1:][at]
    lengths = _count(starts, stops, timeframe)
    share = _absent_share(opens, starts, stops, timeframe)
    long = lengths * -np.log10(np.maximum(share, _RAREST)) > _SURE
    regular = _regular(np.diff(np.concatenate([[-1], at])))
    found = long & _seen(starts, stops, lengths, siblings or peers) | regular
    return [
        Finding(
            *name,
            str(timeframe),
            int(starts[i]),
            int(stops[i]),
            "missing",
            "bars are absent after every so many, as if pages were cut short" if regular[i] else KINDS["missing"],
            int(lengths[i]),
        )
        for i in np.flatnonzero(found)
    ]


def _regular(between: IntArray) -> BoolArray:
    """Holes with the same number of bars, twenty or more, before each of three in a row: the mark of a paging fault."""
    same = np.append(False, (np.diff(between) == 0) & (between[1:] >= _PAGE))
    inside = robust.longest(same) >= 2
    regular: BoolArray = inside | np.append(inside[1:], False)
    return regular


def _seen(starts: IntArray, stops: IntArray, lengths: IntArray, others: Sequence[IntArray]) -> BoolArray:
    """Holes that at least half of the series around them do not share."""
    have, spans = np.zeros(starts.size), np.zeros(starts.size)
    for opens in others:
        if opens.size:
            held = np.searchsorted(opens, stops) - np.searchsorted(opens, starts)
            have += held >= _SEEN * lengths
            spans += (opens[0] <= starts) & (opens[-1] >= stops)
    seen: BoolArray = (spans > 0) & (have >= 0.5 * spans)
    return seen


def _absent_share(opens: IntArray, starts: IntArray, stops: IntArray, timeframe: Timeframe) -> FloatArray:
    """How many of the bars on either side of each hole are absent, at most 0.9."""
    reach = _AROUND * timeframe.ms
    before = np.searchsorted(opens, starts) - np.searchsorted(opens, starts - reach)
    after = np.searchsorted(opens, stops + reach) - np.searchsorted(opens, stops)
    room = np.minimum(starts - opens[0], reach) + np.minimum(opens[-1] + timeframe.ms - stops, reach)
    share: FloatArray = np.clip(1.0 - (before + after) * timeframe.ms / np.maximum(room, timeframe.ms), 0.0, 0.9)
    return share


def _count(starts: IntArray, stops: IntArray, timeframe: Timeframe) -> IntArray:
    if timeframe.is_calendar:
        return np.asarray([timeframe.count(int(a), int(b)) for a, b in zip(starts, stops, strict=True)], dtype=np.int64)
    return (stops - starts) // timeframe.ms
