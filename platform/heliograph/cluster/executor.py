"""The execution actor: one at a time, fenced by a lease, restarted for ever, with the journal as its memory."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import serve
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve.handle import DeploymentHandle

from heliograph.cluster.fetch import budget
from heliograph.cluster.serving import APP
from heliograph.config.settings import Settings
from heliograph.core.errors import Permanent, Retryable, VenueTimeout
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.lake.lease import Lease
from heliograph.lake.store import open_store
from heliograph.live import journal
from heliograph.live import run as driver
from heliograph.telemetry.clock import SystemClock
from heliograph.telemetry.progress import Bar
from heliograph.trading import engine
from heliograph.wiring.floor import Floor, journal_path, open_floor, warm_up

MOST_RESTARTS = 20
POLL_S = 0.5
GRACE_S = 60.0  # for an answer about the news, which waits while the actor starts


@dataclass(frozen=True, slots=True)
class News:
    """How far the executor is.

    Attributes:
        pid: its process; another one after a crash.
        candles: traded on by this process.
    """

    pid: int
    candles: int
    orders: int
    fills: int
    equity_quote: float


class Executor:
    """Trades one account. A retried call would run its orders twice, so none is ever retried by Ray."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._news = News(os.getpid(), 0, 0, 0, settings.risk.initial_cash_quote)
        self._service: DeploymentHandle | None = None

    async def news(self) -> News:
        """How far it is; answers while it trades."""
        return self._news

    async def journalled(self) -> int:
        """How many candles the account's journal holds."""
        return candles_in(self._settings)

    async def trade(self, *, stop_at: int | None, publishes: bool) -> driver.Closing:
        """Take the lease, recover from the journal, and trade.

        Args:
            stop_at: stop once the journal holds so many candles, however many processes it took; None: trade on.
            publishes: send every forecast to the signal service, off the order path.

        Raises:
            Permanent: another executor has taken over the account.
        """
        self._service = serve.get_app_handle(APP) if publishes else None
        lease = _lease(self._settings)
        await asyncio.to_thread(lease.acquire, time.sleep)
        floor = open_floor(self._settings, partial(budget, fetch=self._settings.fetch), epoch=lease.epoch)
        try:
            return await _fenced(self._trade(floor, stop_at), lease, self._settings.lake.lease_s)
        finally:
            await floor.close()
            await asyncio.to_thread(lease.release)

    async def _trade(self, floor: Floor, stop_at: int | None) -> driver.Closing:
        left = None if stop_at is None else stop_at - candles_in(self._settings)
        if left is not None and left <= 0:
            return driver.closing(floor.desk.state, 0)
        end_ms = floor.recovery.since_ms
        await asyncio.to_thread(warm_up, self._settings, floor.desk, floor.markets, end_ms=end_ms)  # may take minutes
        return await driver.run(
            floor.candles(),
            floor.desk,
            floor.broker,
            floor.journal,
            recovery=floor.recovery,
            guard=floor.guard,
            max_candles=left,
            on_bar=self._tell,
        )

    def _tell(self, _: CandleClosed, forecast: ForecastMade | None, state: engine.State) -> None:
        ledger = state.ledger
        self._news = News(
            os.getpid(), self._news.candles + 1, len(state.book.orders), ledger.fills, float(state.equity_quote)
        )
        if forecast is not None and self._service is not None:
            self._service.publish.remote(forecast)


def candles_in(settings: Settings) -> int:
    """How many candles the account's journal holds."""
    path = journal_path(settings)
    return sum(isinstance(entry, CandleClosed) for entry in journal.read(path)) if path.exists() else 0


async def _fenced(trading: Coroutine[Any, Any, driver.Closing], lease: Lease, lease_s: float) -> driver.Closing:
    """Trade only while the lease is ours.

    It is renewed every third of its time. Losing it stops the trading, and so does a store that does not answer before
    five sixths of it are gone.

    Raises:
        Permanent: another executor has taken over.
        Retryable: the store failed, or did not answer.
    """
    task = asyncio.create_task(trading)
    while True:
        done, _ = await asyncio.wait({task}, timeout=lease_s / 3)
        if done:
            return task.result()
        try:
            await asyncio.wait_for(asyncio.to_thread(lease.renew), timeout=lease_s / 2)
        except (Permanent, Retryable, TimeoutError) as e:
            task.cancel()
            await asyncio.wait({task})
            if isinstance(e, TimeoutError):
                raise Retryable(
                    f"the lake's store did not renew the account's lease within {lease_s / 2:.0f} s: trading stopped before "
                    "another may begin; see the store, then start again (the journal goes on), or raise lake.lease_s"
                ) from e
            raise


def _lease(settings: Settings) -> Lease:
    lease_ms = round(settings.lake.lease_s * 1000)
    holder = f"executor {socket.gethostname()}:{os.getpid()}"
    return Lease(
        open_store(settings.lake), f"executor-{settings.live.mode}", holder, lease_ms=lease_ms, clock=SystemClock()
    )


def start(settings: Settings) -> ActorHandle:
    """The execution actor; it trades once `trade` is called."""
    fate = {"max_restarts": -1, "max_task_retries": 0}
    return ray.remote(Executor).options(num_cpus=0.5, max_concurrency=8, **fate).remote(settings)


def run(
    settings: Settings,
    shown: Bar,
    *,
    publishes: bool = False,
    actor: ActorHandle | None = None,
    idle_s: float = math.inf,
) -> driver.Closing:
    """Trade until the settings say stop; when the actor dies, its successor goes on from the journal.

    Args:
        idle_s: give up after so many seconds without a candle.

    Raises:
        VenueTimeout: no candle came for ``idle_s``.
        HeliographError: trading ended in an error, or the actor died too often.
    """
    actor = actor or start(settings)
    most = settings.live.max_candles
    stop_at = None if most is None else most + int(ray.get(actor.journalled.remote(), timeout=GRACE_S))
    for _ in range(MOST_RESTARTS):
        closing = actor.trade.remote(stop_at=stop_at, publishes=publishes)
        try:
            _watch(actor, closing, settings, shown, idle_s)
            result: driver.Closing = ray.get(closing)
            return result
        except (ActorUnavailableError, ActorDiedError):
            continue  # the outcome is unknown and the journal knows it: trade() on the successor begins by reading it
    raise Permanent(f"the execution actor died {MOST_RESTARTS} times; see the newest log in Ray's session folder")


def _watch(actor: ActorHandle, closing: ray.ObjectRef, settings: Settings, shown: Bar, idle_s: float) -> None:
    candles, since_s = -1, time.monotonic()
    while not ray.wait([closing], timeout=POLL_S)[0]:
        try:
            news: News = ray.get(actor.news.remote(), timeout=GRACE_S)
        except (ActorUnavailableError, ActorDiedError):
            return  # it is being restarted; the call that it was trading in tells so too
        if news.candles != candles:
            candles, since_s = news.candles, time.monotonic()
        if time.monotonic() - since_s > idle_s:
            ray.kill(actor)
            raise VenueTimeout(
                f"no candle for {idle_s:.0f} s after {candles}; see the venues and the newest log of the actor"
            )
        share = candles / settings.live.max_candles if settings.live.max_candles else 0.0
        shown.reach(min(share, 1.0), f"{news.orders} orders, {news.fills} fills, equity {news.equity_quote:,.0f}")
