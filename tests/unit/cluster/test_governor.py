"""One budget for all: however many processes lease, the venue never sees more than it allows, and hardly less."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import ray

from heliograph.cluster import governor as home
from heliograph.cluster.governor import Governor, Key, LeasedBudget, Report, Want, governor
from heliograph.core.errors import Permanent
from heliograph.core.market import VenueRules
from heliograph.sources.budget import spending
from heliograph.testing.virtual import run as run_virtually

WINDOW_S = 2.0
LIMIT = 20.0
HERE = "10.0.0.1"


def rules(pool: str, *, limit: float = LIMIT, window_s: float = WINDOW_S) -> VenueRules:
    return VenueRules("x", ("1h",), 1_000, None, 1.0, limit, window_s, seeks_first=True, pool=pool)


class Wire:
    """A `Lessor` that reaches the governor after a while, as over a network; a dead one says nothing more."""

    def __init__(self, governor: Governor, delay_s: float) -> None:
        self.is_dead = False
        self._governor = governor
        self._delay_s = delay_s

    async def lease(self, want: Want) -> tuple[int, float]:
        await asyncio.sleep(self._delay_s)
        granted = await self._governor.lease(want)
        await asyncio.sleep(self._delay_s)
        if self.is_dead:
            await asyncio.Event().wait()
        return granted

    def report(self, key: Key, reports: Sequence[Report], used: Sequence[tuple[float, float]]) -> None:
        if not self.is_dead:
            asyncio.get_running_loop().call_later(self._delay_s, self._governor.report, key, reports, used)

    def pause(self, key: Key, seconds: float) -> None:
        self._governor.pause(key, seconds)


async def _storm(workers: int, *, limit: float, window_s: float, call_s: float, deaths: int = 0) -> list[float]:
    """When calls of weight 1 arrive at the venue, with so many workers of eight callers each asking all the time."""
    now_s = asyncio.get_running_loop().time
    shared, rng, arrived = Governor(clock=now_s), np.random.default_rng(1), list[float]()
    wires = [Wire(shared, 0.003) for _ in range(workers)]

    async def caller(budget: LeasedBudget) -> None:
        while now_s() < 40 * window_s:
            with spending():
                await budget(1.0)
                there_s, back_s = rng.uniform(0, call_s, 2)
                await asyncio.sleep(there_s)
                arrived.append(now_s())
                await asyncio.sleep(back_s)

    callers = []
    for n, wire in enumerate(wires):
        asked = rules("p", limit=limit, window_s=window_s)
        budget = LeasedBudget(asked, 1.0, holder=f"run/{n}", address=HERE, lessor=wire, clock=now_s)
        callers.append([asyncio.create_task(caller(budget)) for _ in range(8)])
    for n in range(deaths):
        await asyncio.sleep(3 * window_s)
        wires[n].is_dead = True
        for task in callers[n]:
            task.cancel()
        shared.abandon(f"run/{n}")
    await asyncio.wait([t for tasks in callers[deaths:] for t in tasks], timeout=60 * window_s)
    for task in (t for tasks in callers for t in tasks):
        task.cancel()
    return sorted(arrived)


def _worst(arrived: list[float], window_s: float) -> int:
    at_s = np.asarray(arrived)
    return int(max(np.arange(1, len(at_s) + 1) - np.searchsorted(at_s, at_s - window_s, side="right")))


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize(("limit", "window_s"), [(20, 2.0), (20, 1.0), (600, 60.0)])
def test_nearly_all_of_the_limit_is_used_and_never_more(workers: int, limit: float, window_s: float) -> None:
    arrived = run_virtually(_storm(workers, limit=limit, window_s=window_s, call_s=0.02))
    steady = [t for t in arrived if 5 * window_s <= t < 35 * window_s]
    assert _worst(arrived, window_s) <= limit
    assert len(steady) >= 0.95 * limit * 30


def test_dead_workers_cost_their_calls_under_way_and_no_violation() -> None:
    arrived = run_virtually(_storm(6, limit=20, window_s=2.0, call_s=0.05, deaths=3))
    assert _worst(arrived, 2.0) <= 20
    assert len([t for t in arrived if 20 <= t < 80]) >= 0.9 * 20 * 30


def test_a_run_that_was_replaced_leases_nothing_more() -> None:
    async def story() -> None:
        now_s = asyncio.get_running_loop().time
        shared = Governor(clock=now_s)
        old, new = (
            LeasedBudget(rules("p"), 1.0, holder=f"lake@{n}/w", address=HERE, lessor=Wire(shared, 0), clock=now_s)
            for n in (1, 2)
        )
        shared.abandon("lake@", but="lake@2/")
        await new(1.0)
        with pytest.raises(Permanent, match="taken for dead"):
            await old(1.0)

    run_virtually(story())


def test_a_refusal_to_one_holds_back_all() -> None:
    async def story() -> float:
        now_s = asyncio.get_running_loop().time
        wire = Wire(Governor(clock=now_s), 0.001)
        one, other = (LeasedBudget(rules("p"), 1.0, address=HERE, lessor=wire, clock=now_s) for _ in range(2))
        await one(1.0)
        one.pause(7.0)
        await other(1.0)
        return now_s()

    assert run_virtually(story()) >= 7.0


def test_each_address_has_a_budget_of_its_own_and_kinds_of_one_pool_share_it() -> None:
    async def story() -> dict[Key, float]:
        now_s = asyncio.get_running_loop().time
        shared = Governor(clock=now_s)
        for kind, address, calls in (("spot", HERE, 3), ("swap", HERE, 2), ("spot", "10.0.0.2", 1)):
            said = replace(rules("okx"), kind=kind)
            budget = LeasedBudget(said, 1.0, address=address, lessor=Wire(shared, 0.0), clock=now_s)
            for _ in range(calls):
                await budget(1.0)
        return shared.held()

    assert run_virtually(story()) == {("okx", HERE): 5.0, ("okx", "10.0.0.2"): 1.0}


def test_a_quick_worker_asks_for_many_calls_at_once_and_hands_back_what_it_does_not_need() -> None:
    class Counting(Wire):
        leases = 0

        async def lease(self, want: Want) -> tuple[int, float]:
            self.leases += 1
            return await super().lease(want)

    async def story() -> tuple[int, float]:
        now_s = asyncio.get_running_loop().time
        shared = Governor(clock=now_s)
        wire = Counting(shared, 0.001)
        budget = LeasedBudget(rules("p", limit=60_000, window_s=60), 1.0, address=HERE, lessor=wire, clock=now_s)
        for _ in range(200):
            with spending():
                await budget(1.0)
                await asyncio.sleep(0.01)
        await asyncio.sleep(2.0)
        return wire.leases, shared.held()["p", HERE]

    leases, held = run_virtually(story())
    assert leases < 30
    assert held == 200


def test_a_caller_who_gives_up_hands_his_weight_back() -> None:
    async def story() -> float:
        now_s = asyncio.get_running_loop().time
        shared = Governor(clock=now_s)
        budget = LeasedBudget(rules("p"), 1.0, address=HERE, lessor=Wire(shared, 0.05), clock=now_s)
        waits = asyncio.create_task(budget(5.0))
        await asyncio.sleep(0.07)
        waits.cancel()
        await asyncio.sleep(1.0)
        return shared.held()["p", HERE]

    assert run_virtually(story()) == 0.0


def test_what_others_use_of_the_address_is_left_to_them() -> None:
    async def story() -> float:
        now_s = asyncio.get_running_loop().time
        shared = Governor(clock=now_s)
        budget = LeasedBudget(
            rules("p", limit=100, window_s=60), 1.0, address=HERE, lessor=Wire(shared, 0), clock=now_s
        )
        with spending():
            await budget(1.0)
        budget.used(81.0)
        await asyncio.sleep(2.0)
        return shared.held()["p", HERE]

    assert run_virtually(story()) == 81.0


def test_a_governor_without_memory_takes_the_limit_for_spent() -> None:
    async def story() -> float:
        now_s = asyncio.get_running_loop().time
        wire = Wire(Governor(is_restarted=True, clock=now_s), 0.0)
        await LeasedBudget(rules("p"), 1.0, address=HERE, lessor=wire, clock=now_s)(1.0)
        return now_s()

    assert run_virtually(story()) >= WINDOW_S


@pytest.mark.usefixtures("ray_session")
def test_budgets_of_one_cluster_share_the_governor_and_outlive_it() -> None:
    """The governor is killed in the middle: who waits goes on with the one that Ray starts in its place."""
    shared = rules("shared", limit=10.0, window_s=0.5)

    async def spend(budget: LeasedBudget, times: int) -> None:
        for _ in range(times):
            with spending():
                await budget(1.0)

    async def story() -> float:
        budgets = [LeasedBudget(shared, 1.0) for _ in range(3)]
        started_s = time.monotonic()
        await asyncio.gather(*(spend(b, 10) for b in budgets))
        took_s = time.monotonic() - started_s
        os.kill(ray.get(governor().pid.remote()), signal.SIGKILL)
        await asyncio.gather(*(spend(b, 2) for b in budgets))
        return took_s

    assert asyncio.run(story()) >= 1.0
    assert ray.get(governor().held.remote())["shared", home.egress()] > 0
