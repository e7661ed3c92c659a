"""What the lake has and why it has not the rest: interval arithmetic over the coverage table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from operator import and_

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from heliograph.config.settings import LakeSettings
from heliograph.core.schema import COVERAGE
from heliograph.lake import delta
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.tables import named

Interval = tuple[int, int]
"""Half-open, UTC epoch ms."""

Key = tuple[str, str, str]
"""Venue, timeframe, unified symbol."""

Index = dict[Key, list[Interval]]
"""Sorted intervals that do not touch, of each key."""

TRIED_AGAIN = ("fetch_failed",)
"""Statuses that leave an interval missing."""


def read(settings: LakeSettings, table: str = CANDLES_TABLE, *, as_of: int | None = None) -> pa.Table:
    """Every coverage row (COVERAGE), those of commits that no projection holds yet included; empty for a new lake.

    An interval can stand in several rows: one that failed and then came has both. `index` knows which count.

    Args:
        table: whose coverage.
        as_of: a version of that table; None takes the newest. An older one is read commit by commit.

    Raises:
        ConfigError: there is no such version.
    """
    if as_of is not None:
        past = delta.open_table(settings, table, as_of)
        return pa.Table.from_pylist([] if past is None else delta.unprojected(past, None), schema=COVERAGE)
    coverage = delta.open_table(settings, named(table).coverage)
    parts = delta.open_table(settings, table)
    rows = [] if parts is None else delta.unprojected(parts, coverage)
    late = pa.Table.from_pylist(rows, schema=COVERAGE)
    if coverage is None or not coverage.version():
        return late
    stored = pl.scan_delta(coverage).collect().to_arrow().select(COVERAGE.names).cast(COVERAGE)
    return pa.concat_tables([stored, late])


def of_market(coverage: pa.Table, key: Key) -> pa.Table:
    """The rows of one market and timeframe."""
    wanted = (pc.field(name) == value for name, value in zip(("venue", "timeframe", "symbol"), key, strict=True))
    return coverage.filter(reduce(and_, wanted))


def index(coverage: pa.Table, statuses: Iterable[str] | None = None) -> Index:
    """Merged intervals of every key.

    Args:
        coverage: a COVERAGE table.
        statuses: rows that count; None takes all that are not tried again.
    """
    wanted = None if statuses is None else set(statuses)
    found: dict[Key, list[Interval]] = defaultdict(list)
    columns = (coverage.column(n).to_pylist() for n in ("venue", "timeframe", "symbol", "start_ms", "end_ms", "status"))
    for venue, timeframe, symbol, start_ms, end_ms, status in zip(*columns, strict=True):
        if status not in TRIED_AGAIN if wanted is None else status in wanted:
            found[venue, timeframe, symbol].append((start_ms, end_ms))
    return {key: merge(intervals) for key, intervals in found.items()}


def missing(coverage: pa.Table, key: Key, wanted: Iterable[Interval]) -> list[Interval]:
    """The parts of the wanted intervals that the lake neither has nor has a reason to lack; what failed is missing."""
    covered = index(of_market(coverage, key)).get(key, [])
    return [gap for interval in merge(wanted) for gap in subtract(interval, covered)]


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted and joined where they touch or overlap.

    >>> merge([(5, 9), (0, 2), (2, 4), (6, 7)])
    [(0, 4), (5, 9)]
    """
    merged: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[0] < i[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def subtract(wanted: Interval, covered: Iterable[Interval]) -> list[Interval]:
    """What of ``wanted`` lies in none of ``covered`` (sorted, as `merge` leaves them).

    >>> subtract((0, 10), [(2, 4), (8, 12)])
    [(0, 2), (4, 8)]
    """
    left: list[Interval] = []
    start, end = wanted
    for low, high in covered:
        if high <= start:
            continue
        if low >= end:
            break
        if low > start:
            left.append((start, low))
        start = max(start, high)
    if start < end:
        left.append((start, end))
    return left
