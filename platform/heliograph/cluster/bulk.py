"""Archive files over Ray Data: no limit holds them back, so whoever has a free core takes the next block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from heliograph.cluster.crew import WORKER_CPUS, open_fallback, open_source, reach
from heliograph.config.settings import FetchSettings, LakeSettings
from heliograph.core.market import Market, kind_of
from heliograph.core.ports import CandleSource
from heliograph.core.schema import MANIFEST
from heliograph.ingest.archive_shard import fetch_archive_shard
from heliograph.ingest.fallback import fill_in
from heliograph.ingest.plan import Lane
from heliograph.lake.store import open_store
from heliograph.lake.write import Row
from heliograph.sources.archive.client import ArchiveClient
from heliograph.sources.archive.venues import layouts

SHARDS_PER_BLOCK = 4
AT_ONCE = 4  # shards of one worker: while one file is read, others are on their way


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker must know of one lane.

    Attributes:
        now_ms: the venue's clock, when the plan was made.
        listing: its markets as ccxt keeps them.
    """

    markets: Mapping[str, Market]
    now_ms: int
    listing: list[dict[str, Any]]


class BulkWorker:
    """One actor of the pool: PLAN rows in, MANIFEST rows out, each block whole or not at all."""

    def __init__(self, fetch: FetchSettings, lake: LakeSettings, holder: str, desks: Mapping[Lane, Desk]) -> None:
        self._fetch = fetch
        self._holder = holder
        self._desks = desks
        self._store = open_store(lake)
        self._sources: dict[Lane, CandleSource] = {}
        self._fallbacks: dict[Lane, CandleSource | None] = {}
        self._archives: dict[Lane, list[ArchiveClient]] = {}

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        """One answer a block: a block that is done again must not answer twice."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(row: dict[str, Any]) -> list[Row]:
            async with places:
                return await self._shard(row)

        told = await asyncio.gather(*(one(row) for row in batch.to_pylist()))
        yield pa.Table.from_pylist([row for rows in told for row in rows], schema=MANIFEST)

    async def _shard(self, row: dict[str, Any]) -> list[Row]:
        lane = (row["venue"], kind_of(row["symbol"]))
        desk, attempts = self._desks[lane], self._fetch.attempts
        market = desk.markets[row["symbol"]]
        self._open(lane, desk)
        rows = await fetch_archive_shard(
            offered(self._archives[lane], market),
            self._sources[lane],
            self._store,
            row,
            market=market,
            now_ms=desk.now_ms,
            attempts=attempts,
        )
        provider = self._fallbacks[lane]
        return await fill_in(provider, self._store, rows, market=market, attempts=attempts) if provider else rows

    def _open(self, lane: Lane, desk: Desk) -> None:
        if lane in self._sources:
            return
        self._sources[lane] = open_source(lane, self._fetch, holder=self._holder, listing=desk.listing)
        self._fallbacks[lane] = open_fallback(lane, self._fetch, holder=self._holder)
        self._archives[lane] = archives_of(lane, self._fetch, desk.now_ms)


def archives_of(lane: Lane, fetch: FetchSettings, now_ms: int) -> list[ArchiveClient]:
    """The archives of a venue and kind, as this node reaches them."""
    reached = reach(fetch.venues[lane[0]])
    return [ArchiveClient(layout, reached, now_ms=partial(_constant, now_ms)) for layout in layouts(*lane)]


def offered(archives: Sequence[ArchiveClient], market: Market) -> list[ArchiveClient]:
    """Those that a market's candles are taken from: candles made of trades are worth it for a dead market alone."""
    return [archive for archive in archives if not archive.layout.is_trades or not market.is_active]


def stream(
    fetch: FetchSettings, lake: LakeSettings, holder: str, shards: pa.Table, desks: Mapping[Lane, Desk]
) -> Iterator[list[Row]]:
    """MANIFEST rows as blocks are done; a block mixes the lanes, so that none waits for another."""
    count = -(-shards.num_rows // SHARDS_PER_BLOCK)
    blocks = [shards.take(list(range(first, shards.num_rows, count))) for first in range(count)]
    manifests = ray.data.from_arrow(blocks).map_batches(
        BulkWorker,
        fn_constructor_args=(fetch, lake, holder, desks),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(fetch.workers, count)),
        num_cpus=WORKER_CPUS,
    )
    for table in manifests.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield table.to_pylist()


def _constant(now_ms: int) -> int:
    return now_ms
