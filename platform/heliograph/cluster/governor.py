"""One budget a venue for the whole cluster: an actor leases it out in lots."""

from __future__ import annotations

import asyncio
import time

import ray
from ray.actor import ActorHandle

from heliograph.cluster.session import NAMESPACE
from heliograph.core.market import VenueRules
from heliograph.sources.budget import TokenBucket

LOT_PAGES = 4  # a lot is this many pages: few actor calls, and little is lost with a worker that dies


class Governor:
    """Holds the token buckets; lives as long as the cluster, so that every job shares it."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def lease(self, rules: VenueRules, scale: float, weight: float) -> tuple[float, float]:
        """Take as much of ``weight`` from the venue's budget as there is; ``(granted, seconds until more)``."""
        if rules.venue not in self._buckets:
            self._buckets[rules.venue] = TokenBucket(
                rules.weight_per_s * scale, rules.weight_burst * scale, time.monotonic
            )
        return self._buckets[rules.venue].lease(weight)


def governor() -> ActorHandle:
    """The cluster's governor, started by whoever asks first."""
    shared = {"name": "governor", "namespace": NAMESPACE, "get_if_exists": True, "lifetime": "detached"}
    return ray.remote(Governor).options(num_cpus=0, **shared).remote()


class LeasedBudget:
    """The part of a venue's budget that this process holds; awaited before every call, like ccxt's own throttle."""

    def __init__(self, rules: VenueRules, scale: float) -> None:
        self._rules = rules
        self._scale = scale
        self._held = 0.0
        self._turn = asyncio.Lock()
        self._governor = governor()

    async def __call__(self, weight: float) -> None:
        """Return once ``weight`` may be spent."""
        lot = LOT_PAGES * self._rules.weight_per_page
        async with self._turn:
            while self._held < weight:
                granted, wait_s = await self._governor.lease.remote(
                    self._rules, self._scale, max(weight - self._held, lot)
                )
                self._held += granted
                if self._held < weight:
                    await asyncio.sleep(wait_s)
            self._held -= weight
