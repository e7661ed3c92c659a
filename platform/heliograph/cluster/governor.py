"""One budget a venue and address for the whole cluster: an actor leases it out to whoever waits."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from heliograph.core.errors import Permanent
from heliograph.core.market import VenueRules
from heliograph.sources.budget import LAPSE_S, TRANSIT_S, Allowance, Turnstile, next_call, when_over

EGRESS_VARIABLE = "HELIOGRAPH_EGRESS"
NAMESPACE = "heliograph"
"""Of every named actor."""

NAME = "governor"
MOST_CALLS = 10_000  # that wait in the governor at the same time
LOT_SHARE = 0.005  # of a window's limit: fewer actor calls where windows are long, single pages where they are short
HOLD_SHARE = 0.005  # of a window, for which a process may hold weight that it has no caller for yet
LONGEST_HOLD_S = 0.3
LONGEST_SILENCE_S = 1.0  # before a worker reports what was answered
_DUST = 1e-9
AGAIN_S = 0.2  # between two looks for a governor that is being restarted

Key = tuple[str, str]
"""Pool and egress address."""

Report = tuple[int, float, float, float]
"""Lot, weight, seconds since it was answered, seconds that the call took; a negative time: it was never sent."""


@dataclass(frozen=True, slots=True)
class Want:
    """What a process asks for.

    Attributes:
        limit, window_s: of the pool, as this job may use it.
        first: weight of the caller who waits longest.
        total: weight of all who wait, and of those who will within a moment.
        lapse_s: see `Allowance.take`.
        holder: who asks: ``run/process``.
    """

    key: Key
    limit: float
    window_s: float
    first: float
    total: float
    lapse_s: float
    holder: str = ""


class Lessor(Protocol):
    """Who leases: the governor, or what stands for it in this process."""

    async def lease(self, want: Want) -> tuple[int, float]:
        """Return ``(lot, weight)`` once there is some; at least ``want.first``, at most ``want.total``."""

    def report(self, key: Key, reports: Sequence[Report], used: Sequence[tuple[float, float]]) -> None:
        """Say what was answered, and what the venue said was used: ``(weight, seconds ago)``."""

    def pause(self, key: Key, seconds: float) -> None:
        """Hold everybody back."""


class Governor:
    """Holds the allowances; lives as long as the cluster, so that every job shares them.

    Args:
        is_restarted: its memory was lost: it takes every limit for spent.
    """

    def __init__(self, *, is_restarted: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_restarted = is_restarted
        self._clock = clock
        self._gates: dict[Key, Turnstile] = {}
        self._gone: dict[str, str] = {}

    async def lease(self, want: Want) -> tuple[int, float]:
        """See `Lessor`.

        Raises:
            Permanent: the one who asks is taken for dead.
        """
        gate = self._gate(want)
        gate.allowance.limit = want.limit
        weight = min(want.total, max(1.0, LOT_SHARE * want.limit // want.first) * want.first)
        lot = await gate.enter(weight, lapse_s=want.lapse_s, holder=want.holder)
        if self._is_gone(want.holder):
            gate.allowance.unspent(lot, weight)
            gate.changed()
            raise Permanent(f"{want.holder} was taken for dead and leases nothing more; start the job again")
        return lot, weight

    def abandon(self, prefix: str, but: str = "-") -> None:
        """Holders whose names begin with ``prefix``, but not with ``but``, are dead: their calls are over soon."""
        self._gone[prefix] = but
        for gate in self._gates.values():
            gate.allowance.abandon(self._is_gone)
            gate.changed()

    def report(self, key: Key, reports: Sequence[Report], used: Sequence[tuple[float, float]]) -> None:
        """See `Lessor`."""
        if (gate := self._gates.get(key)) is None:
            return
        for lot, weight, age_s, took_s in reports:
            if took_s < 0:
                gate.allowance.unspent(lot, weight)
            else:
                gate.allowance.answered(lot, weight, age_s=age_s, took_s=took_s)
        for weight, age_s in used:
            gate.allowance.used(weight, age_s=age_s)
        gate.changed()

    def pause(self, key: Key, seconds: float) -> None:
        """See `Lessor`."""
        if (gate := self._gates.get(key)) is not None:
            gate.allowance.pause(seconds)
            gate.changed()

    def held(self) -> dict[Key, float]:
        """Weight that may stand in the venues' windows now, by pool and address."""
        return {key: gate.allowance.held for key, gate in self._gates.items()}

    def _is_gone(self, holder: str) -> bool:
        return any(holder.startswith(prefix) and not holder.startswith(but) for prefix, but in self._gone.items())

    def _gate(self, want: Want) -> Turnstile:
        if want.key not in self._gates:
            allowance = Allowance(want.limit, want.window_s, self._clock, is_spent=self._is_restarted)
            self._gates[want.key] = Turnstile(allowance)
        return self._gates[want.key]


class _Actor(Governor):
    """The governor as an actor; Ray runs all of its methods on one event loop."""

    def __init__(self) -> None:
        super().__init__(is_restarted=ray.get_runtime_context().was_current_actor_reconstructed)

    def pid(self) -> int:
        """Of its process; another one after a crash."""
        return os.getpid()


def governor() -> ActorHandle:
    """The cluster's governor, started by whoever asks first and restarted wherever it dies."""
    shared = {"name": NAME, "namespace": NAMESPACE, "get_if_exists": True, "lifetime": "detached"}
    return ray.remote(_Actor).options(num_cpus=0, max_restarts=-1, max_concurrency=MOST_CALLS, **shared).remote()


def egress() -> str:
    """The address by which this node's calls go out: what `EGRESS_VARIABLE` says, else the node's own."""
    return os.environ.get(EGRESS_VARIABLE) or ray.util.get_node_ip_address()


class RemoteLessor:
    """`Lessor` that asks the cluster's governor; one that is being restarted is waited for."""

    def __init__(self) -> None:
        self._actor = governor()

    async def lease(self, want: Want) -> tuple[int, float]:
        """See `Lessor`."""
        while True:
            try:
                granted: tuple[int, float] = await self._actor.lease.remote(want)
            except RayActorError:
                await asyncio.sleep(AGAIN_S)
                self._actor = governor()
            else:
                return granted

    def report(self, key: Key, reports: Sequence[Report], used: Sequence[tuple[float, float]]) -> None:
        """See `Lessor`; a report that is lost lapses."""
        self._actor.report.remote(key, reports, used)

    def pause(self, key: Key, seconds: float) -> None:
        """See `Lessor`."""
        self._actor.pause.remote(key, seconds)


@dataclass(slots=True)
class _Waiter:
    weight: float
    lapse_s: float
    lot: asyncio.Future[int]


@dataclass(slots=True)
class _Purse:
    """Weight of a lot that is held for callers to come."""

    lot: int
    weight: float
    until_s: float


class LeasedBudget:
    """`Budget` of one process: it leases for all who wait in it at once, and reports when their calls are over.

    Where windows are long it leases a moment ahead, so that a quick worker does not ask for every call; what nobody
    takes in that moment goes back.

    Args:
        scale: share of the venue's published limit to use.
        holder: this process; who knows it dead tells the governor.
        address: the egress that pays; None for this node's.
        lessor: None for the cluster's governor.
    """

    def __init__(
        self,
        rules: VenueRules,
        scale: float,
        *,
        holder: str = "",
        address: str | None = None,
        lessor: Lessor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = (rules.pool or rules.venue, address or egress())
        self._limit = rules.weight_limit * scale
        self._window_s = rules.window_s
        self._holder = holder
        self._lessor = lessor or RemoteLessor()
        self._clock = clock
        self._waiting: deque[_Waiter] = deque()
        self._leasing: asyncio.Task[None] | None = None
        self._hold_s = min(HOLD_SHARE * rules.window_s, LONGEST_HOLD_S)
        self._purse = _Purse(0, 0.0, 0.0)
        self._spent = 0.0
        self._spent_since_s = clock()
        self._over: list[tuple[int, float, float, float]] = []
        self._used: tuple[float, float] | None = None
        self._flushing: asyncio.TimerHandle | None = None

    async def __call__(self, weight: float) -> None:
        """See `Budget`."""
        is_told, now_s = next_call(), self._clock()
        self._spent += weight
        purse = self._purse
        if is_told and not self._waiting and weight <= purse.weight * (1 + _DUST) and now_s < purse.until_s:
            purse.weight -= weight
            when_over(partial(self._answered, purse.lot, weight, now_s))
            return
        waiter = _Waiter(weight, LAPSE_S if is_told else TRANSIT_S, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        if self._leasing is None or self._leasing.done():
            self._leasing = asyncio.create_task(self._lease())
            self._leasing.add_done_callback(self._tell_failure)
        try:
            lot = await waiter.lot
        except asyncio.CancelledError:
            if waiter.lot.done() and not waiter.lot.cancelled() and not waiter.lot.exception():
                self._note(waiter.lot.result(), weight, -1.0)
            raise
        when_over(partial(self._answered, lot, weight, self._clock()))

    def pause(self, seconds: float) -> None:
        """See `Budget`; every process that shares the pool and the address is held back."""
        self._put_back()
        self._lessor.pause(self._key, seconds)

    def used(self, weight: float) -> None:
        """See `Budget`."""
        self._used = (weight, self._clock())
        self._flush_later()

    async def _lease(self) -> None:
        """Lease until nobody waits; what nobody waits for any more goes back."""
        while self._waiting:
            lapse_s = max(waiter.lapse_s for waiter in self._waiting)
            first, total = self._waiting[0].weight, sum(waiter.weight for waiter in self._waiting)
            total += self._ahead() if lapse_s == LAPSE_S else 0.0
            want = Want(self._key, self._limit, self._window_s, first, total, lapse_s, self._holder)
            lot, weight = await self._lessor.lease(want)
            while self._waiting and (self._waiting[0].lot.done() or self._waiting[0].weight <= weight * (1 + _DUST)):
                waiter = self._waiting.popleft()
                if not waiter.lot.done():
                    waiter.lot.set_result(lot)
                    weight -= waiter.weight
            if weight > _DUST:
                self._put_back()
                self._purse = _Purse(lot, weight, self._clock() + self._hold_s)
                asyncio.get_running_loop().call_later(self._hold_s, self._put_back_old)

    def _ahead(self) -> float:
        """What is spent while a lot may be held, at the pace since the last lease."""
        now_s = self._clock()
        passed_s, spent = max(now_s - self._spent_since_s, self._hold_s / 10), self._spent
        self._spent, self._spent_since_s = 0.0, now_s
        return spent * self._hold_s / passed_s

    def _put_back_old(self) -> None:
        if self._clock() >= self._purse.until_s:
            self._put_back()

    def _put_back(self) -> None:
        if self._purse.weight > _DUST:
            self._note(self._purse.lot, self._purse.weight, -1.0)
        self._purse = _Purse(0, 0.0, 0.0)

    def _tell_failure(self, leasing: asyncio.Task[None]) -> None:
        """Whoever waits hears why nothing can be leased."""
        error = None if leasing.cancelled() else leasing.exception()
        while error is not None and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.lot.done():
                waiter.lot.set_exception(error)

    def _answered(self, lot: int, weight: float, at_s: float) -> None:
        self._note(lot, weight, self._clock() - at_s)

    def _note(self, lot: int, weight: float, took_s: float) -> None:
        self._over.append((lot, weight, self._clock(), took_s))
        self._flush_later()

    def _flush_later(self) -> None:
        """Report in a while: a call's answer is of no use to anybody before its window has passed."""
        if self._flushing is None:
            wait_s = min(self._window_s / 8, LONGEST_SILENCE_S)
            self._flushing = asyncio.get_running_loop().call_later(wait_s, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        now_s = self._clock()
        reports = [(lot, weight, now_s - at_s, took_s) for lot, weight, at_s, took_s in self._over]
        used = [] if self._used is None else [(self._used[0], now_s - self._used[1])]
        self._over, self._used = [], None
        self._lessor.report(self._key, reports, used)
