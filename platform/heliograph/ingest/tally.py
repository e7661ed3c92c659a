"""What a run has done so far: the bars that show it, and the report at its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from heliograph.ingest.plan import Lane, Outline
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.write import Row
from heliograph.telemetry.progress import Bar, duration

ARCHIVES = "archives"
"""What stands for candles out of bulk files in a run's outline."""

OF_CANDLES = (CANDLES_TABLE, ARCHIVES)


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What one run did.

    Attributes:
        requests: candle pages and files asked for.
        requests_minimum: fewest that could have brought what was planned.
        failed: shards, and whole venues, that the next run will try again, each with its reason.
        version: of the candles table, after it.
        again: shards that were sent again because their worker was lost.
    """

    shards: int
    candles: int
    requests: int
    requests_minimum: int
    failed: tuple[str, ...]
    version: int
    again: int = 0


@dataclass(slots=True)
class Tally:
    """What a run has done so far, and the bars that say so."""

    shown: Bar
    shards: int = 0
    candles: int = 0
    requests: int = 0
    pages: int = 0
    least: int = 0
    again: int = 0
    failed: list[str] = field(default_factory=list)
    lanes: dict[tuple[Lane, str], tuple[Bar, list[int]]] = field(default_factory=dict)

    def planned(self, row: Outline) -> None:
        """A lane has so much to do."""
        self.shards += row.shards
        self.pages += row.requests
        self.least += row.requests if row.what in OF_CANDLES else 0
        self.shown.tell(words(row))
        bar = self.shown.lane(f"{row.venue} {row.kind} {row.what}".removesuffix(f" {CANDLES_TABLE}"), row.seconds)
        self.lanes[(row.venue, row.kind), row.what] = bar, [0, row.requests, 0]

    def landed(self, key: tuple[Lane, str], pages: int, rows: Sequence[Row]) -> None:
        """A shard is done.

        Args:
            pages: that were planned for it.
        """
        bar, tally = self.lanes[key]
        tally[0] += pages
        tally[2] += sum(row["candles"] for row in rows)
        self.candles += sum(row["candles"] for row in rows)
        if key[1] in OF_CANDLES:
            self.requests += sum(row["requests"] for row in rows)
        self.fail(row for row in rows if row["status"] == "fetch_failed")
        bar.reach(min(tally[0] / tally[1], 1.0), f"{tally[2]:,} rows")
        done = sum(tally[0] for _, tally in self.lanes.values())
        self.shown.reach(min(done / self.pages, 1.0), f"{self.candles:,} rows")

    def fail(self, rows: Iterable[Row]) -> None:
        """What the next run will try again."""
        self.failed += [f"{row['venue']} {row['symbol']} {row['timeframe']}: {row['detail']}" for row in rows]

    def report(self, version: int) -> FetchReport:
        """At the end."""
        return FetchReport(
            self.shards, self.candles, self.requests, self.least, tuple(self.failed), version, again=self.again
        )


def words(row: Outline) -> str:
    """A plan's row as a line to read before it starts."""
    return (
        f"{row.venue:<12} {row.kind:<5} {row.what:<14} {row.symbols:>6,} symbols {row.requests:>9,} requests "
        f"{row.candles:>14,} candles {row.size_bytes / 2**20:>9,.0f} MB {duration(row.seconds):>9}"
    )
