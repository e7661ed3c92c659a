"""One budget for all: however many workers lease, together they never exceed the venue's limit."""

from __future__ import annotations

import asyncio
import time

import pytest

from heliograph.cluster.governor import LeasedBudget
from heliograph.core.market import VenueRules

RATE_PER_S, BURST = 40.0, 10.0


def rules(venue: str) -> VenueRules:
    return VenueRules(venue, ("1h",), 1_000, None, 1.0, RATE_PER_S, BURST, seeks_first=True)


@pytest.mark.usefixtures("ray_session")
def test_budgets_of_one_venue_share_its_limit():
    spent: list[float] = []

    async def work() -> None:
        budgets = [LeasedBudget(rules("shared"), 1.0) for _ in range(3)]
        started = time.monotonic()

        async def spend(budget: LeasedBudget) -> None:
            for _ in range(20):
                await budget(1.0)
                spent.append(time.monotonic() - started)

        await asyncio.gather(*(spend(b) for b in budgets))

    asyncio.run(work())
    assert len(spent) == 60
    for count, at_s in enumerate(sorted(spent), start=1):
        assert count <= BURST + RATE_PER_S * (at_s + 0.05)


@pytest.mark.usefixtures("ray_session")
def test_venues_do_not_wait_for_each_other():
    async def work() -> float:
        slow, quick = LeasedBudget(rules("busy"), 1.0), LeasedBudget(rules("idle"), 1.0)
        await slow(BURST)
        started = time.monotonic()
        await quick(1.0)
        return time.monotonic() - started

    assert asyncio.run(work()) < 1 / RATE_PER_S + 0.5
