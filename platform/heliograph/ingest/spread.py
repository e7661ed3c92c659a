"""Keep a crew of workers busy until nothing is left to fetch; whoever is lost is replaced, and nothing with him."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from heliograph.core.errors import Retryable
from heliograph.core.market import Market
from heliograph.ingest.dispatch import Dispatch
from heliograph.ingest.plan import Lane
from heliograph.lake.write import Row, manifest

MOST_LOSSES = 20
"""Workers lost in a row, none of which finished a shard, before the run gives up."""

MOST_DEATHS = 10
"""Workers that may be lost over one shard before it is given up."""


class WorkerLost(Retryable):
    """The process that was asked is gone; whether it did what it was asked to is not known."""


@dataclass(frozen=True, slots=True)
class Job:
    """One shard to fetch.

    Attributes:
        data: the table that its rows belong to.
        row: of PLAN.
        listing: what the source of the venue is opened with; how it travels is the crew's business.
    """

    data: str
    lane: Lane
    row: Mapping[str, Any]
    market: Market
    listing: Any = None


class Crew(Protocol):
    """Those who fetch."""

    async def hire(self) -> tuple[str, str]:
        """A new worker, once it is ready: its name, and the address by which its calls go out.

        Raises:
            WorkerLost: it died before it was ready.
        """

    async def fetch(self, worker: str, job: Job) -> list[Row]:
        """MANIFEST rows of the job.

        Raises:
            WorkerLost: the worker is gone.
        """

    def bury(self, worker: str) -> None:
        """A worker is gone: what it held is free."""


@dataclass(frozen=True, slots=True)
class _Load:
    """Shards of one lane that came together."""

    data: str
    lane: Lane
    shards: pa.Table
    markets: Mapping[str, Market]
    listing: Any


class Spread:
    """Sends shards to workers; more may come while it runs.

    Args:
        workers: how many to hire; no more than there are shards.
        per_worker: shards of one venue that a worker may have under way.
        land: takes a job's MANIFEST rows.

    Attributes:
        again: shards that were sent a second time, because their worker was lost.
    """

    def __init__(self, crew: Crew, *, workers: int, per_worker: int, land: Callable[[Job, list[Row]], None]) -> None:
        self.again = 0
        self._crew = crew
        self._workers = workers
        self._land = land
        self._dispatch = Dispatch(per_worker)
        self._loads: list[_Load] = []
        self._firsts = [0]
        self._hired = 0
        self._losses = 0
        self._deaths: Counter[int] = Counter()
        self._under_way: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()
        self._is_closed = False

    def add(
        self,
        lane: Lane,
        shards: pa.Table,
        *,
        data: str,
        markets: Mapping[str, Market],
        listing: Any = None,
        pages_per_s: float,
    ) -> None:
        """More to fetch: PLAN rows of one lane; ``pages_per_s`` is what its limit lets through from one address."""
        first = self._firsts[-1]
        self._loads.append(_Load(data, lane, shards, markets, listing))
        self._firsts.append(first + shards.num_rows)
        self._dispatch.add(lane, range(first, first + shards.num_rows), pages_per_s=pages_per_s)
        self._wake.set()

    def close(self) -> None:
        """Nothing more will come: `run` ends when all is done."""
        self._is_closed = True
        self._wake.set()

    async def run(self) -> None:
        """Fetch everything.

        Raises:
            Retryable: workers die as fast as they are hired.
        """
        try:
            while not (self._is_closed and self._dispatch.is_idle):
                self._wake.clear()
                for _ in range(min(self._workers, self._firsts[-1]) - self._hired):
                    self._hired += 1
                    self._start(self._hire())
                for worker, shard in self._dispatch.sends():
                    self._start(self._fetch(worker, shard))
                await self._wake.wait()
                if self._failure is not None:
                    raise self._failure
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._failure = self._failure or task.exception()
        self._wake.set()

    def job(self, shard: int) -> Job:
        """What the shard's number means."""
        at = bisect_right(self._firsts, shard) - 1
        load = self._loads[at]
        row = load.shards.slice(shard - self._firsts[at], 1).to_pylist()[0]
        return Job(load.data, load.lane, row, load.markets[row["symbol"]], load.listing)

    async def _hire(self) -> None:
        try:
            self._dispatch.join(*await self._crew.hire())
        except WorkerLost as e:
            self._lose("", e)

    async def _fetch(self, worker: str, shard: int) -> None:
        job = self.job(shard)
        try:
            rows = await self._crew.fetch(worker, job)
        except WorkerLost as e:
            self._lose(worker, e)
            return
        if self._dispatch.finish(worker, shard):
            self._losses = 0
            self._land(job, rows)

    def _lose(self, worker: str, error: WorkerLost) -> None:
        """Once for each lost worker, however many of its calls say so."""
        lost = self._dispatch.leave(worker)
        if worker and lost is None:
            return
        self._hired -= 1
        self._losses += 1
        if worker:
            self._crew.bury(worker)
        if self._losses > MOST_LOSSES:
            raise Retryable(f"{self._losses} fetch workers died one after the other; the last: {error}") from error
        self.again += len(lost or ())
        for shard in lost or ():
            self._deaths[shard] += 1
            if self._deaths[shard] >= MOST_DEATHS:
                self._dispatch.drop(shard)
                job = self.job(shard)
                told = f"its worker died {MOST_DEATHS} times: {error}"
                self._land(job, [manifest(job.row, "fetch_failed", detail=told)])
