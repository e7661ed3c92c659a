"""No window of a venue ever holds more than it allows, hardly less where somebody waits, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.market import VenueRules
from heliograph.sources.budget import HASTE, LAPSE_S, TRANSIT_S, Allowance, LocalBudget, spending
from heliograph.testing.virtual import run

RULES = VenueRules("x", (), 1, None, 1.0, weight_limit=10.0, window_s=0.5, seeks_first=True)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True)
class Step:
    """What happens ``after_s`` the step before: a call that goes there in ``there_s``, and back in ``back_s``."""

    after_s: float
    kind: str
    weight: float
    there_s: float
    back_s: float


STEP = st.builds(
    Step,
    st.floats(0, 2),
    st.sampled_from(["call"] * 8 + ["lost", "unspent", "pause"]),
    st.floats(0.05, 6),
    st.floats(0, 3),
    st.floats(0, 3),
)


class Venue:
    """Counts what arrives."""

    def __init__(self, limit: float, window_s: float, travel_s: float, clock: Hand) -> None:
        self.allowance = Allowance(limit, window_s, clock)
        self.arrivals: list[tuple[float, float]] = []
        self._clock = clock
        self._travel_s = travel_s
        self._due: list[tuple[float, int, float, float]] = []

    def move_to(self, now_s: float) -> None:
        """Let time pass; answers that are due come in on their way."""
        while self._due and self._due[0][0] <= now_s:
            self._clock.now_s, lot, weight, sent_s = heapq.heappop(self._due)
            self.allowance.answered(lot, weight, took_s=self._clock.now_s - sent_s)
        self._clock.now_s = now_s

    def act(self, step: Step) -> None:
        """Do one step."""
        now_s = self._clock.now_s
        if step.kind == "pause":
            self.allowance.pause(step.weight / 10)
            return
        lot, wait_s = self.allowance.take(step.weight, lapse_s=4.0 if step.kind == "lost" else LAPSE_S)
        assert (lot == 0) == (wait_s > 0)
        if not lot:
            return
        if step.kind == "unspent":
            self.allowance.unspent(lot, step.weight)
            return
        arrived_s = now_s + self._travel_s / 2 + step.there_s
        self.arrivals.append((arrived_s, min(step.weight, self.allowance.limit)))
        if step.kind == "call":
            heapq.heappush(self._due, (arrived_s + self._travel_s / 2 + step.back_s, lot, step.weight, now_s))

    def worst(self, window_s: float) -> float:
        """Most that any window held."""
        return max(
            (sum(w for s, w in self.arrivals if end_s - window_s < s <= end_s) for end_s, _ in self.arrivals), default=0
        )


@given(
    limit=st.floats(1, 30),
    window_s=st.floats(0.5, 20),
    travel_s=st.floats(0, 0.5),
    steps=st.lists(STEP, min_size=1, max_size=120),
)
def test_no_window_of_the_venue_holds_more_than_the_limit(limit, window_s, travel_s, steps) -> None:
    """However calls are delayed, lost, handed back or paused; one of the first is as quick as any ever is."""
    clock = Hand()
    venue = Venue(limit, window_s, travel_s, clock)
    venue.act(Step(0, "call", 0.05, 0, 0))
    for step in steps * 2:
        venue.move_to(clock.now_s + step.after_s)
        venue.act(step)
    assert venue.worst(window_s) <= limit + 1e-6


@pytest.mark.parametrize(
    ("limit", "window_s", "weight", "call_s"), [(20, 2, 1, 0.08), (20, 1, 1, 0.04), (1200, 60, 0.4, 2.0)]
)
def test_who_always_waits_gets_all_but_a_calls_time_in_a_window(limit, window_s, weight, call_s) -> None:
    clock = Hand()
    allowance = Allowance(limit, window_s, clock)
    due: list[tuple[float, int]] = []
    spent, start_s = 0.0, clock.now_s
    while clock.now_s < start_s + 20 * window_s:
        lot, wait_s = allowance.take(weight, lapse_s=LAPSE_S)
        if lot:
            spent += weight if clock.now_s >= start_s + 5 * window_s else 0.0
            heapq.heappush(due, (clock.now_s + call_s, lot))
            continue
        next_s = clock.now_s + wait_s
        if due and due[0][0] <= next_s:
            clock.now_s, lot = heapq.heappop(due)
            allowance.answered(lot, weight, took_s=0.0)
        else:
            clock.now_s = next_s
    assert 0.95 * limit <= spent / 15 <= limit


@given(weights=st.lists(st.floats(0.1, 20), min_size=1, max_size=30))
def test_asking_again_after_the_wait_always_gets_on(weights) -> None:
    clock = Hand()
    allowance = Allowance(10.0, 2.0, clock)
    for weight in weights:
        looks = 0
        while not (told := allowance.take(weight))[0]:
            clock.now_s += told[1]
            looks += 1
            assert looks < 200
    assert clock.now_s - 100.0 <= (sum(weights) / 10 + 2) * (2.0 + TRANSIT_S) * 2


def test_a_long_window_is_spent_evenly() -> None:
    clock = Hand()
    allowance = Allowance(60.0, 60.0, clock)
    taken = []
    for tenth in range(600):
        clock.now_s = 100.0 + tenth / 10
        while (lot := allowance.take(2.7)[0]) != 0:
            allowance.answered(lot, 2.7)
            taken.append(tenth / 10)
    gaps = [b - a for a, b in itertools.pairwise(taken)]
    assert len(taken) == 22
    assert all(2.7 / HASTE - 0.1 <= gap <= 2.7 / HASTE + 0.1 for gap in gaps)


def test_a_pause_lets_nothing_through_and_then_starts_without_a_burst() -> None:
    clock = Hand()
    allowance = Allowance(10.0, 5.0, clock)
    allowance.pause(3.0)
    assert allowance.take(1.0) == (0, 3.0)
    clock.now_s += 3.0
    assert allowance.take(1.0) == (0, pytest.approx(1.0 / (2.0 * HASTE)))
    clock.now_s += 1.0
    assert allowance.take(1.0)[0]


def test_weight_that_somebody_else_used_is_held_for_a_window() -> None:
    clock = Hand()
    allowance = Allowance(10.0, 5.0, clock)
    lot, _ = allowance.take(2.0)
    allowance.answered(lot, 2.0)
    allowance.used(2.0)
    assert allowance.held == 2.0
    allowance.used(9.0)
    assert allowance.held == 9.0
    allowance.used(9.0)
    assert allowance.held == 9.0
    assert not allowance.take(2.0)[0]
    clock.now_s += 5.0
    assert allowance.held == 0.0


def test_a_late_word_about_used_weight_is_compared_with_what_was_held_then() -> None:
    clock = Hand()
    allowance = Allowance(10.0, 5.0, clock)
    lot, _ = allowance.take(4.0)
    allowance.answered(lot, 4.0)
    clock.now_s += 5.5
    allowance.used(4.0, age_s=1.0)
    assert allowance.held == 0.0


def test_who_lost_the_memory_of_a_window_waits_for_its_end() -> None:
    clock = Hand()
    allowance = Allowance(10.0, 5.0, clock, is_spent=True)
    assert allowance.take(1.0)[1] == pytest.approx(5.0 + TRANSIT_S)
    clock.now_s += 5.0 + TRANSIT_S
    assert allowance.take(1.0)[0]


def test_callers_are_served_in_order() -> None:
    served: list[int] = []

    async def caller(budget: LocalBudget, name: int) -> None:
        with spending():
            await budget(1.0)
            served.append(name)

    async def story() -> None:
        budget = LocalBudget.of(RULES, 0.3)
        await asyncio.gather(*(caller(budget, n) for n in range(7)))

    asyncio.run(story())
    assert served == list(range(7))


def test_calls_of_one_task_never_wait_for_each_other() -> None:
    """Eight pages at once, each after a look at the venue's clock, once spent a limit of eight on clocks alone."""

    async def page(budget: LocalBudget) -> None:
        with spending():
            await budget(1.0)
            await budget(1.0)

    async def story() -> float:
        now_s = asyncio.get_running_loop().time
        budget = LocalBudget(Allowance(8.0, 2.0, now_s), now_s)
        await asyncio.gather(*(page(budget) for _ in range(8)))
        return now_s()

    assert 2.0 <= run(story()) < 4.0


def test_a_caller_who_gives_up_takes_nothing_with_him() -> None:
    async def story() -> float:
        allowance = Allowance(1.0, 0.2, asyncio.get_running_loop().time)
        budget = LocalBudget(allowance, asyncio.get_running_loop().time)
        with spending():
            await budget(1.0)
        waits = asyncio.create_task(budget(1.0))
        await asyncio.sleep(0.02)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        return allowance.held

    assert asyncio.run(story()) == 1.0


def test_a_budget_grants_its_limit_in_every_window_and_no_more() -> None:
    async def story() -> float:
        loop = asyncio.get_running_loop()
        budget = LocalBudget.of(RULES, 1.0, loop.time)
        started_s = loop.time()

        async def call() -> None:
            with spending():
                await budget(1.0)

        await asyncio.gather(*(call() for _ in range(25)))
        return loop.time() - started_s

    assert 1.0 <= asyncio.run(story()) < 1.4


def test_a_pause_of_a_budget_holds_back_whoever_waits() -> None:
    async def story() -> float:
        loop = asyncio.get_running_loop()
        budget = LocalBudget.of(RULES, 1.0, loop.time)
        budget.pause(0.2)
        started_s = loop.time()
        await budget(1.0)
        return loop.time() - started_s

    assert asyncio.run(story()) >= 0.2
