"""The fetch workers of a cluster: actors that hold a venue's connections and write what comes as parts."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from heliograph.cluster.governor import LeasedBudget, egress, governor
from heliograph.config.settings import FetchSettings, LakeSettings, VenueSettings
from heliograph.core.errors import Retryable
from heliograph.core.market import VenueRules
from heliograph.core.ports import CandleSource, ObjectStore
from heliograph.ingest.fallback import fill_in
from heliograph.ingest.page import Patience
from heliograph.ingest.plan import Lane
from heliograph.ingest.series import fetch_series_shard
from heliograph.ingest.shard import fetch_shard
from heliograph.ingest.spread import Job, WorkerLost
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.store import open_store
from heliograph.lake.write import Row
from heliograph.sources.catalog import rules
from heliograph.sources.dialect import Data
from heliograph.sources.paid import CoinApiSource
from heliograph.sources.paid import rules_of as paid_rules
from heliograph.sources.rest import CcxtSource
from heliograph.sources.series import CcxtSeries

WORKER_CPUS = 0.5  # a fetcher waits for the venue most of the time
MOST_CALLS = 2_000  # shards under way in one worker
WRITERS = 8  # threads of one worker
STORE_PATIENCE_S = 120.0  # candles that were fetched are held so long for a store that is away


def open_series(
    lane: Lane, fetch: FetchSettings, *, holder: str, listing: Sequence[Mapping[str, object]] | None = None
) -> CcxtSeries:
    """What a venue gives beside candles, for this process."""
    venue, kind = lane
    paid = budget(rules(venue, kind), fetch, holder=holder)
    return CcxtSeries(venue, reach(fetch.venues[venue]), paid, kind=kind, listing=listing)


class WriteBehind:
    """One job's way to the store: it writes in other threads, for a write must not hold up the calls under way.

    A store that is away is asked again for `STORE_PATIENCE_S`, so that what was fetched need not be fetched again.
    """

    def __init__(self, store: ObjectStore, writers: Executor) -> None:
        self.uri = store.uri
        self._store = store
        self._writers = writers
        self._writes: list[asyncio.Future[bool]] = []

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Begin to write; names are made of contents here, so that two of the same do no harm. See `settled`."""
        write = asyncio.get_running_loop().run_in_executor(self._writers, self._put, key, body)
        self._writes.append(write)
        return True

    async def settled(self) -> None:
        """Return once everything is in the store.

        Raises:
            Retryable: the store stayed away.
        """
        await asyncio.gather(*self._writes)

    def _put(self, key: str, body: bytes) -> bool:
        give_up_s, wait_s = time.monotonic() + STORE_PATIENCE_S, 0.25
        while True:
            try:
                return self._store.put_if_absent(key, body)
            except Retryable:
                if time.monotonic() >= give_up_s:
                    raise
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, 4.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def budget(said: VenueRules, fetch: FetchSettings, *, holder: str = "") -> LeasedBudget:
    """This process's part of the venue's budget."""
    return LeasedBudget(said, fetch.venues[said.venue].budget_scale, holder=holder)


def reach(settings: VenueSettings) -> VenueSettings:
    """How this node reaches a venue: where its egress is a proxy, through that."""
    address = egress()
    return settings.model_copy(update={"http_proxy": address}) if address.startswith("http://") else settings


def open_source(
    lane: Lane, fetch: FetchSettings, *, holder: str, listing: Sequence[Mapping[str, object]] | None = None
) -> CcxtSource:
    """A venue's history for this process."""
    venue, kind = lane
    paid = budget(rules(venue, kind), fetch, holder=holder)
    return CcxtSource(venue, reach(fetch.venues[venue]), paid, kind=kind, listing=listing)


def open_fallback(lane: Lane, fetch: FetchSettings, *, holder: str) -> CandleSource | None:
    """The paid provider's history of a venue for this process; None where the settings name none."""
    if fetch.fallback is None:
        return None
    said = rules(*lane)
    return CoinApiSource(said, fetch.fallback, LeasedBudget(paid_rules(said, fetch.fallback), 1.0, holder=holder))


class FetchWorker:
    """One actor: fetches the shards that it is sent, side by side, and writes each as a part."""

    def __init__(self, fetch: FetchSettings, lake: LakeSettings, name: str) -> None:
        self._fetch = fetch
        self._name = name
        self._store = open_store(lake)
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="writer")
        self._sources: dict[Lane, asyncio.Task[CandleSource]] = {}
        self._series: dict[Lane, asyncio.Task[CcxtSeries]] = {}
        self._fallbacks: dict[Lane, CandleSource | None] = {}

    async def address(self) -> str:
        """By which its calls go out; answers once it is ready."""
        return egress()

    async def fetch(self, job: Job) -> list[Row]:
        """MANIFEST rows of the job."""
        store = WriteBehind(self._store, self._writers)
        rows = await (self._candles(job, store) if job.data == CANDLES_TABLE else self._other(job, store))
        await store.settled()
        return rows

    async def _candles(self, job: Job, store: ObjectStore) -> list[Row]:
        if job.lane not in self._sources:
            self._sources[job.lane] = asyncio.create_task(self._open(job))
            self._fallbacks[job.lane] = open_fallback(job.lane, self._fetch, holder=self._name)
        source, attempts = await self._sources[job.lane], self._fetch.attempts
        rows = await fetch_shard(source, store, job.row, market=job.market, attempts=attempts)
        provider = self._fallbacks[job.lane]
        return await fill_in(provider, store, rows, market=job.market, attempts=attempts) if provider else rows

    async def _other(self, job: Job, store: ObjectStore) -> list[Row]:
        """Trades, funding rates, open interest."""
        if job.lane not in self._series:
            self._series[job.lane] = asyncio.create_task(self._open_series(job))
        source = await self._series[job.lane]
        return await fetch_series_shard(
            source,
            store,
            job.row,
            data=cast(Data, job.data),
            market=job.market,
            now_ms=job.row["end_ms"],
            patience=Patience(self._fetch.attempts, np.random.default_rng(job.row["start_ms"])),
        )

    async def _open_series(self, job: Job) -> CcxtSeries:
        (listing,) = job.listing
        return open_series(job.lane, self._fetch, holder=self._name, listing=await listing)

    async def _open(self, job: Job) -> CandleSource:
        (listing,) = job.listing
        return open_source(job.lane, self._fetch, holder=self._name, listing=await listing)


class RayCrew:
    """`Crew` of actors, spread over the cluster's nodes; a dead one is never restarted but replaced.

    Args:
        run: name of this run; the governor knows its processes by it.
    """

    def __init__(self, fetch: FetchSettings, lake: LakeSettings, run: str) -> None:
        self._make = ray.remote(FetchWorker).options(
            num_cpus=WORKER_CPUS, max_concurrency=MOST_CALLS, scheduling_strategy="SPREAD"
        )
        self._fetch = fetch
        self._lake = lake
        self._run = run
        self._numbers = itertools.count(1)
        self._actors: dict[str, ActorHandle] = {}

    async def hire(self) -> tuple[str, str]:
        """See `Crew`; waits for as long as the cluster has no room."""
        name = f"{self._run}{next(self._numbers)}/"
        self._actors[name] = self._make.remote(self._fetch, self._lake, name)
        try:
            return name, await self._ask(name, "address")
        except WorkerLost:
            self._actors.pop(name, None)
            raise

    async def fetch(self, worker: str, job: Job) -> list[Row]:
        """See `Crew`."""
        rows: list[Row] = await self._ask(worker, "fetch", job)
        return rows

    def bury(self, worker: str) -> None:
        """See `Crew`."""
        if (actor := self._actors.pop(worker, None)) is not None:
            ray.kill(actor)
        governor().abandon.remote(worker)

    def dismiss(self) -> None:
        """End every worker."""
        while self._actors:
            ray.kill(self._actors.popitem()[1])

    async def _ask(self, worker: str, method: str, *args: object) -> Any:
        actor = self._actors.get(worker)
        if actor is None:
            raise WorkerLost(f"worker {worker} is gone")
        try:
            return await getattr(actor, method).remote(*args)
        except RayActorError as e:
            raise WorkerLost(f"worker {worker} is gone: {e}") from e
