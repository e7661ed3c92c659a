"""The bucket never grants more than the venue allows, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.market import VenueRules
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget, TokenBucket


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


STEPS = st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 20), st.booleans()), min_size=1, max_size=60)


@given(weight_per_s=st.floats(0.1, 50), burst=st.floats(0.1, 100), steps=STEPS)
def test_no_interval_is_granted_more_than_rate_times_time_plus_burst(weight_per_s, burst, steps) -> None:
    clock = Hand()
    bucket = TokenBucket(weight_per_s, burst, clock)
    grants: list[tuple[float, float]] = []
    for passed_s, weight, is_pause in steps:
        clock.now_s += passed_s
        if is_pause and weight < 2:
            bucket.pause(weight)
            continue
        granted, wait_s = bucket.lease(weight)
        assert 0 <= granted <= weight
        assert (wait_s == 0.0) == (weight - granted <= 1e-9)
        grants.append((clock.now_s, granted))
    for i, j in itertools.combinations_with_replacement(range(len(grants)), 2):
        total = sum(g for _, g in grants[i : j + 1])
        assert total <= weight_per_s * (grants[j][0] - grants[i][0]) + burst + 1e-6


@given(weight=st.floats(0.1, 50))
def test_asking_again_after_the_wait_always_gets_on(weight: float) -> None:
    clock = Hand()
    bucket = TokenBucket(2.0, 5.0, clock)
    rest, rounds = weight, 0
    while rest > 1e-9:
        granted, wait_s = bucket.lease(rest)
        rest -= granted
        clock.now_s += wait_s
        rounds += 1
    assert rounds <= weight / 5.0 + 3
    assert clock.now_s - 100.0 == pytest.approx(max(weight - 5.0, 0) / 2.0)


def test_pause_grants_nothing_and_then_starts_empty() -> None:
    clock = Hand()
    bucket = TokenBucket(2.0, 10.0, clock)
    bucket.pause(3.0)
    clock.now_s += 2.0
    assert bucket.lease(4.0) == (0.0, 1.0 + 2.0)
    clock.now_s += 3.0
    assert bucket.lease(4.0) == (4.0, 0.0)


def test_callers_are_served_in_order() -> None:
    served: list[int] = []

    async def caller(budget: LocalBudget, name: int) -> None:
        await budget.acquire(1.0)
        served.append(name)

    async def story() -> None:
        rules = VenueRules("x", (), 1, None, 1.0, weight_per_s=500.0, weight_burst=2.0, seeks_first=True)
        budget = LocalBudget.of(rules, 1.0)
        await asyncio.gather(*(caller(budget, n) for n in range(10)))

    asyncio.run(story())
    assert served == list(range(10))


def test_local_budget_keeps_the_rate() -> None:
    async def story() -> float:
        loop = asyncio.get_running_loop()
        budget = LocalBudget(TokenBucket(100.0, 5.0, loop.time))
        started_s = loop.time()
        await asyncio.gather(*(budget.acquire(1.0) for _ in range(25)))
        return loop.time() - started_s

    assert asyncio.run(story()) >= 0.199


@pytest.mark.parametrize(
    ("venue", "window_s", "weight"), [("binance", 60, 1_200), ("okx", 2, 20), ("kraken", 15, 16.2)]
)
def test_full_budget_stays_within_the_venues_window(venue: str, window_s: float, weight: float) -> None:
    """Binance grants 6,000 weight a minute, five to one of ccxt's units; okx 20 calls in two seconds."""
    rules = catalog.rules(venue)
    assert rules.weight_per_s * window_s + rules.weight_burst <= weight + 1e-9
