"""Which of a plan's work bulk archives can do: whole months and days where a file replaces several pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from heliograph.core.calendars import grid
from heliograph.core.market import Market, VenueRules
from heliograph.core.schema import COVERAGE, PLAN
from heliograph.core.timeframe import DAY_MS, Timeframe
from heliograph.ingest.archive import cut, split
from heliograph.ingest.plan import Plan, forward, least_pages
from heliograph.lake.coverage import Interval, Key, merge, subtract
from heliograph.sources.archive.layout import Layout

LEAST_PAGES = 4
"""A month's file is worth its download where it replaces so many pages."""

MOST_BARS = 150_000
"""Of one shard, where months are shorter: few commits, and little to do again."""

_MONTH_MS = 30 * DAY_MS
_BEYOND = "beyond_history"


@dataclass(frozen=True, slots=True)
class Carved:
    """A plan in two.

    Attributes:
        bulk: PLAN rows for the archives; ``pages`` counts the files and the page that proves the seam.
        rest: what the venue is asked for, and what nobody has.
    """

    bulk: pa.Table
    rest: Plan


def carve(
    plan: Plan,
    rules: VenueRules,
    markets: Mapping[str, Market],
    layouts: Sequence[Layout],
    *,
    now_ms: int,
    pages_per_shard: int,
    has_fallback: bool = False,
) -> Carved:
    """Give the archives what they serve of one venue's plan; also of what is beyond the venue's own history.

    Args:
        markets: by unified symbol.
        layouts: of the venue and kind, the best first; none leaves the plan as it is.
        now_ms: the venue's clock; it decides which files are out.
        has_fallback: a paid provider is asked for what is beyond history and in no file.
    """
    if not layouts and not has_fallback:
        return Carved(PLAN.empty_table(), plan)
    asked, beyond = _spans(plan.shards), _spans(plan.reasons, status=_BEYOND)
    bulk: list[dict[str, Any]] = []
    shards: list[dict[str, Any]] = []
    reasons = [row for row in plan.reasons.to_pylist() if row["status"] != _BEYOND]
    details = {_key(row): row["detail"] for row in plan.reasons.to_pylist() if row["status"] == _BEYOND}
    for key in dict.fromkeys([*asked, *beyond]):
        timeframe = grid(key[0], key[1])
        layout = chosen(layouts, markets[key[2]], timeframe, rules)
        wanted = merge([*asked.get(key, []), *beyond.get(key, [])])
        served = [] if layout is None else _served(layout, markets[key[2]], timeframe, wanted, now_ms=now_ms)
        bulk += [_row(key, i, pages) for i, pages in served]
        done = [interval for interval, _ in served]
        for gap in _without(asked.get(key, []), done):
            shards += _pages(key, gap, timeframe, rules.page_limit, pages_per_shard)
        for gap in _without(beyond.get(key, []), done):
            if has_fallback:
                bulk += _pages(key, gap, timeframe, rules.page_limit, MOST_BARS // rules.page_limit)
                continue
            why = {"status": _BEYOND, "candles": 0, "requests": 0, "detail": details[key]}
            reasons.append({**_row(key, gap, 0), **why})
    made = Plan(pa.Table.from_pylist(shards, schema=PLAN), pa.Table.from_pylist(reasons, schema=COVERAGE))
    return Carved(pa.Table.from_pylist(bulk, schema=PLAN), made)


def chosen(layouts: Sequence[Layout], market: Market, timeframe: Timeframe, rules: VenueRules) -> Layout | None:
    """The archive that a market's candles come from; None where pages do as well.

    Candles that have to be made of trades are worth it only for a market that the venue itself has forgotten.
    """
    if _MONTH_MS // timeframe.ms < LEAST_PAGES * rules.page_limit and rules.horizon_candles is None:
        return None
    for layout in layouts:
        if timeframe.name in layout.offers and (not layout.is_trades or not market.is_active):
            return layout
    return None


def _served(
    layout: Layout, market: Market, timeframe: Timeframe, wanted: Iterable[Interval], *, now_ms: int
) -> list[tuple[Interval, int]]:
    """Shards, and how many files and pages each takes."""
    shards = [
        shard
        for interval in wanted
        for shard in cut(layout, market, timeframe, interval, now_ms=now_ms, most_bars=MOST_BARS)[0]
    ]
    return [(shard, len(split(layout, market, timeframe, shard, now_ms)[0]) + 1) for shard in shards]


def _spans(table: pa.Table, *, status: str | None = None) -> dict[Key, list[Interval]]:
    """Merged intervals of every series, of PLAN or COVERAGE rows."""
    found: dict[Key, list[Interval]] = defaultdict(list)
    for row in table.to_pylist():
        if status is None or row["status"] == status:
            found[_key(row)].append((row["start_ms"], row["end_ms"]))
    return {key: merge(intervals) for key, intervals in found.items()}


def _without(intervals: Iterable[Interval], taken: Sequence[Interval]) -> list[Interval]:
    covered = merge(taken)
    return [gap for interval in intervals for gap in subtract(interval, covered)]


def _pages(
    key: Key, gap: Interval, timeframe: Timeframe, page_limit: int, pages_per_shard: int
) -> list[dict[str, Any]]:
    rows, start_ms = [], gap[0]
    while start_ms < gap[1]:
        end_ms = min(forward(timeframe, start_ms, page_limit * pages_per_shard), gap[1])
        rows.append(_row(key, (start_ms, end_ms), least_pages(timeframe, start_ms, end_ms, page_limit=page_limit)))
        start_ms = end_ms
    return rows


def _key(row: Mapping[str, Any]) -> Key:
    return row["venue"], row["timeframe"], row["symbol"]


def _row(key: Key, interval: Interval, pages: int) -> dict[str, Any]:
    venue, timeframe, symbol = key
    bounds = {"start_ms": interval[0], "end_ms": interval[1], "pages": pages}
    return {"venue": venue, "timeframe": timeframe, "symbol": symbol, **bounds}
