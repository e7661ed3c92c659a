"""What a venue does not give, asked of a paid provider; what it has neither keeps its first reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heliograph.core.calendars import grid
from heliograph.core.market import Market
from heliograph.core.ports import CandleSource, ObjectStore
from heliograph.core.schema import HAVE
from heliograph.ingest.plan import least_pages
from heliograph.ingest.shard import fetch_shard
from heliograph.lake.write import Row

LACKING = ("fetch_failed", "beyond_history")


async def fill_in(
    provider: CandleSource, store: ObjectStore, rows: Sequence[Row], *, market: Market, attempts: int
) -> list[Row]:
    """MANIFEST rows of a shard, with what the provider has in place of what failed or lies beyond the venue's history.

    The provider's candles are parts of their own, so that no part mixes two origins; their provenance names its
    endpoint.
    """
    filled: list[Row] = []
    for row in rows:
        if row["status"] not in LACKING or row["timeframe"] not in provider.rules.timeframes:
            filled.append(row)
            continue
        told = await fetch_shard(provider, store, _asked(provider, row), market=market, attempts=attempts)
        came = [r for r in told if r["status"] == HAVE]
        filled += [*came, *_rest(row, came)] if came else [{**row, "requests": _requests(row, told)}]
    return filled


def _asked(provider: CandleSource, row: Row) -> Mapping[str, object]:
    timeframe = grid(row["venue"], row["timeframe"])
    pages = least_pages(timeframe, row["start_ms"], row["end_ms"], page_limit=provider.rules.page_limit)
    return {**row, "pages": pages}


def _rest(row: Row, came: Sequence[Row]) -> list[Row]:
    """What is left of the row after its part that came, which is its beginning."""
    after_ms = max(r["end_ms"] for r in came)
    return [{**row, "start_ms": after_ms, "requests": 0}] if after_ms < row["end_ms"] else []


def _requests(row: Row, told: Sequence[Row]) -> int:
    return int(row["requests"] + sum(r["requests"] for r in told))
