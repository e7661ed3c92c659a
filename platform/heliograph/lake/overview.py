"""What stands in the lake, in a few rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from heliograph.config.settings import LakeSettings
from heliograph.core.schema import HAVE
from heliograph.lake import coverage, delta, read
from heliograph.lake.coverage import Index
from heliograph.lake.tables import TABLES

_ASKED = (HAVE, "no_trades", "venue_outage", "fetch_failed")


@dataclass(frozen=True, slots=True)
class Shelf:
    """One venue and timeframe of one table.

    Attributes:
        parts: Parquet files.
        size_bytes: of those.
        first_ts_ms, last_ts_ms: of the first and last row of any symbol.
        covered_pct: of the time from each symbol's first row to the end of what was asked for, how much the lake has.
    """

    table: str
    venue: str
    timeframe: str
    symbols: int
    rows: int
    parts: int
    size_bytes: int
    first_ts_ms: int
    last_ts_ms: int
    covered_pct: float

    @property
    def bytes_per_row(self) -> float:
        """What a row takes, everything counted."""
        return self.size_bytes / self.rows


def shelves(settings: LakeSettings) -> list[Shelf]:
    """Every table's venues and timeframes, sorted; empty for a new lake.

    Raises:
        Retryable: the store failed.
    """
    names = [name for name in TABLES if delta.open_table(settings, name) is not None]
    return [shelf for name in names for shelf in _of_table(settings, name)]


def _of_table(settings: LakeSettings, table: str) -> list[Shelf]:
    held = defaultdict(list)
    for part in read.live_parts(settings, table=table):
        held[part["venue"], part["timeframe"]].append(part)
    rows = coverage.read(settings, table)
    have, asked = coverage.index(rows, (HAVE,)), coverage.index(rows, _ASKED)
    return [
        Shelf(
            table=table,
            venue=venue,
            timeframe=timeframe,
            symbols=len({part["symbol"] for part in parts}),
            rows=sum(part["candles"] for part in parts),
            parts=len(parts),
            size_bytes=sum(part["size_bytes"] for part in parts),
            first_ts_ms=min(part["first_ts_ms"] for part in parts),
            last_ts_ms=max(part["last_ts_ms"] for part in parts),
            covered_pct=_covered_pct(have, asked, (venue, timeframe)),
        )
        for (venue, timeframe), parts in sorted(held.items())
    ]


def _covered_pct(have: Index, asked: Index, shelf: tuple[str, str]) -> float:
    keys = [key for key in have if key[:2] == shelf]
    had_ms = sum(end - start for key in keys for start, end in have[key])
    asked_ms = sum(asked[key][-1][1] - have[key][0][0] for key in keys)
    return 100 * had_ms / asked_ms
