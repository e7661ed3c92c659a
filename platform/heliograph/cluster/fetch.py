"""Fetch what the lake lacks: the plan goes out over Ray Data, the manifests come back to one committer."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from heliograph.cluster.governor import LeasedBudget
from heliograph.config.settings import FetchSettings, LakeSettings, Settings
from heliograph.core.errors import Retryable, SymbolGone
from heliograph.core.market import Market
from heliograph.core.schema import MANIFEST
from heliograph.ingest import plan as planning
from heliograph.ingest.select import venues
from heliograph.ingest.shard import fetch_shard
from heliograph.ingest.survey import survey
from heliograph.lake import coverage
from heliograph.lake.audit import BadPart
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
    with _committer(settings.lake) as committer:
        known = coverage.read(settings.lake)
        found = asyncio.run(_survey(settings, known))
        catalogue.write_origin(settings.lake, settings.data_origin)
        for c in found:
            catalogue.write(settings.lake, c.rules.venue, c.markets)
        todo = planning.plan(found, known, settings.fetch.selections, pages_per_shard=settings.fetch.pages_per_shard)
        version = committer.commit([], todo.reasons.to_pylist())
        pages = sum(todo.shards.column("pages").to_pylist())
        done: list[dict[str, Any]] = []
        if todo.shards.num_rows:
            markets = {(m.venue, m.symbol): m for c in found for m in c.markets}
            waiting: list[dict[str, Any]] = []
            for manifests in _arrivals(_spread(settings, todo.shards, markets), committer, settings.lake.lease_s / 3):
                waiting += manifests
                done += manifests
                note = f"{sum(m['candles'] for m in done):,} candles"
                shown.reach(min(1.0, sum(m["requests"] for m in done) / pages), note)
                if len(waiting) >= settings.lake.parts_per_commit:
                    version = committer.commit(waiting)
                    waiting = []
            version = committer.commit(waiting)
    failed = [row for row in (*todo.reasons.to_pylist(), *done) if row["status"] == "fetch_failed"]
    return FetchReport(
        shards=todo.shards.num_rows,
        candles=sum(m["candles"] for m in done),
        requests=sum(m["requests"] for m in done),
        requests_minimum=pages,
        failed=tuple(f"{row['venue']} {row['symbol']} {row['timeframe']}: {row['detail']}" for row in failed),
        version=version,
    )


def repair(settings: Settings, bad: Sequence[BadPart], shown: Bar) -> tuple[str, ...]:
    """Fetch the candles of broken parts again and swap the parts.

    Returns:
        Those that could not be mended, each with the reason; they stay as they are.
    """
    stuck = []
    with _committer(settings.lake) as committer:
        for count, part in enumerate(bad, start=1):
            try:
                rows = asyncio.run(_again(settings, part))
                if sum(row["candles"] for row in rows) < part.part["candles"]:
                    raise SymbolGone("the venue no longer gives all of its candles; put the file back from a backup")
                committer.replace(part.part, rows)
            except (Retryable, SymbolGone) as e:
                stuck.append(f"{part}: {e}")
            shown.reach(count / len(bad), part.symbol)
    return tuple(stuck)


async def _again(settings: Settings, part: BadPart) -> list[dict[str, Any]]:
    market = catalogue.read(settings.lake, part.venue)[part.venue, part.symbol]
    names = ("venue", "timeframe", "symbol", "start_ms", "end_ms")
    row = {**{name: getattr(part, name) for name in names}, "pages": 1}
    origin = CcxtSource(part.venue, settings.fetch.venues[part.venue], budget(part.venue, settings.fetch))
    try:
        attempts = settings.fetch.attempts
        return await fetch_shard(origin, open_store(settings.lake), row, market=market, attempts=attempts)
    finally:
        await origin.close()


def _committer(lake: LakeSettings) -> Committer:
    return Committer(lake, open_store(lake), f"{socket.gethostname()}:{os.getpid()}")


def _arrivals(
    came: Iterator[list[dict[str, Any]]], committer: Committer, renew_s: float
) -> Iterator[list[dict[str, Any]]]:
    """Manifests as they come; while none comes, the committer keeps its lease."""
    with ThreadPoolExecutor(1) as reader:
        while True:
            coming = reader.submit(next, came, None)
            while not wait({coming}, timeout=renew_s).done:
                committer.renew()
            if (manifests := coming.result()) is None:
                return
            yield manifests


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


def _spread(settings: Settings, shards: pa.Table, markets: Mapping[Key, Market]) -> Iterator[list[dict[str, Any]]]:
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
