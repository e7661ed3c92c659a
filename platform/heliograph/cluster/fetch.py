"""Fetch what the lake lacks: the plan goes out over Ray Data, the manifests come back to one committer."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from heliograph.cluster.governor import LeasedBudget
from heliograph.config.settings import FetchSettings, LakeSettings, Settings
from heliograph.core.market import Market
from heliograph.core.schema import MANIFEST
from heliograph.ingest import plan as planning
from heliograph.ingest.select import venues
from heliograph.ingest.shard import fetch_shard
from heliograph.ingest.survey import survey
from heliograph.lake import coverage
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.sources.catalog import rules
from heliograph.sources.rest import CcxtSource
from heliograph.telemetry.progress import Bar
from heliograph.wiring import catalogue

Key = tuple[str, str]
WORKER_CPUS = 0.5  # a fetcher waits for the venue most of the time


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What one run did.

    Attributes:
        requests: candle pages asked for.
        requests_minimum: fewest pages that could have brought what was planned.
        failed: shards that the next run will try again, each with its reason.
        version: of the candles table, after it.
    """

    shards: int
    candles: int
    requests: int
    requests_minimum: int
    failed: tuple[str, ...]
    version: int


def budget(venue: str, fetch: FetchSettings) -> LeasedBudget:
    """This process's part of the venue's budget."""
    return LeasedBudget(rules(venue), fetch.venues[venue].budget_scale)


class FetchWorker:
    """One actor of the pool: fetches the shards of a block side by side and writes each as a part."""

    def __init__(self, fetch: FetchSettings, lake: LakeSettings, markets: Mapping[Key, Market]) -> None:
        self._fetch = fetch
        self._store = open_store(lake)
        self._markets = markets
        self._sources: dict[str, CcxtSource] = {}

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        """PLAN rows in, MANIFEST rows out as their shards are done."""
        slots = asyncio.Semaphore(self._fetch.pages_in_flight)

        async def one(row: dict[str, Any]) -> list[dict[str, Any]]:
            async with slots:
                market = self._markets[row["venue"], row["symbol"]]
                source = self._source(row["venue"])
                return await fetch_shard(source, self._store, row, market=market, attempts=self._fetch.attempts)

        for done in asyncio.as_completed([one(row) for row in batch.to_pylist()]):
            yield pa.Table.from_pylist(await done, schema=MANIFEST)

    def _source(self, venue: str) -> CcxtSource:
        if venue not in self._sources:
            self._sources[venue] = CcxtSource(venue, self._fetch.venues[venue], budget(venue, self._fetch))
        return self._sources[venue]


def run(settings: Settings, shown: Bar) -> FetchReport:
    """Survey the venues, plan, fetch, commit.

    Raises:
        ConfigError: a selection names a venue, symbol or timeframe that is not there.
        Retryable: a venue gives neither markets nor time, or another run is committing to this lake.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}"
    with Committer(settings.lake, open_store(settings.lake), holder) as committer:
        known = coverage.read(settings.lake)
        found = asyncio.run(_survey(settings, known))
        for c in found:
            catalogue.write(settings.lake, c.rules.venue, c.markets)
        todo = planning.plan(found, known, settings.fetch.selections, pages_per_shard=settings.fetch.pages_per_shard)
        version = committer.commit([], todo.reasons.to_pylist())
        pages = sum(todo.shards.column("pages").to_pylist())
        waiting: list[dict[str, Any]] = []
        done: list[dict[str, Any]] = []
        if todo.shards.num_rows:
            for manifests in _spread(settings, todo.shards, {(m.venue, m.symbol): m for c in found for m in c.markets}):
                waiting += manifests
                done += manifests
                shown.reach(
                    min(1.0, sum(m["requests"] for m in done) / pages), f"{sum(m['candles'] for m in done):,} candles"
                )
                if len(waiting) >= settings.lake.parts_per_commit:
                    version = committer.commit(waiting)
                    waiting = []
        version = committer.commit(waiting) if waiting else version
    return FetchReport(
        shards=todo.shards.num_rows,
        candles=sum(m["candles"] for m in done),
        requests=sum(m["requests"] for m in done),
        requests_minimum=pages,
        failed=tuple(
            f"{m['venue']} {m['symbol']} {m['timeframe']}: {m['detail']}" for m in done if m["status"] == "fetch_failed"
        ),
        version=version,
    )


async def _survey(settings: Settings, known: pa.Table) -> list[planning.Catalogue]:
    fetch = settings.fetch
    sources = [CcxtSource(v, fetch.venues[v], budget(v, fetch)) for v in venues(fetch.venues, fetch.selections)]
    try:
        surveys = (
            survey(s, known, fetch.selections, attempts=fetch.attempts, in_flight=fetch.pages_in_flight)
            for s in sources
        )
        return list(await asyncio.gather(*surveys))
    finally:
        await asyncio.gather(*(s.close() for s in sources))


def _spread(settings: Settings, shards: pa.Table, markets: Mapping[Key, Market]) -> Any:
    """Manifests as they come; a block mixes the venues, so that a slow one never has an actor to itself."""
    per_block = settings.fetch.shards_per_block
    count = -(-shards.num_rows // per_block)
    blocks = [shards.take(list(range(first, shards.num_rows, count))) for first in range(count)]
    planned = {(row["venue"], row["symbol"]) for row in shards.select(["venue", "symbol"]).to_pylist()}
    manifests = ray.data.from_arrow(blocks).map_batches(
        FetchWorker,
        fn_constructor_args=(settings.fetch, settings.lake, {k: markets[k] for k in planned}),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(settings.fetch.workers, count)),
        num_cpus=WORKER_CPUS,
    )
    for table in manifests.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield table.to_pylist()
