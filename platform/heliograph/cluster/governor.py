"""One budget a venue for the whole cluster: an actor leases it out in lots."""

from __future__ import annotations

import asyncio
import time

import ray

from heliograph.core.market import VenueRules
from heliograph.sources.budget import TokenBucket

LOT_PAGES = 4  # a lot is this many pages: few actor calls, and little is lost with a worker that dies


@ray.remote(num_cpus=0, max_concurrency=1_000)
class Governor:
    """Holds the token buckets; lives as long as the cluster, so that every job shares it."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    async def lease(self, rules: VenueRules, scale: float, weight: float) -> float:
        """Take ``weight`` from the venue's budget, now or in the future.

        Returns:
            Seconds to wait before it may be spent.
        """
        bucket = self._buckets.get(rules.venue)
        if bucket is None:
            rate = rules.weight_per_s * scale
            bucket = self._buckets[rules.venue] = TokenBucket(weight_per_s=rate, burst=rules.weight_burst * scale)
        return bucket.lease(weight, now_s=time.monotonic())


def governor() -> ray.actor.ActorHandle:
    """The cluster's governor, started by whoever asks first."""
    return Governor.options(name="governor", get_if_exists=True, lifetime="detached").remote()


class LeasedBudget:
    """The part of a venue's budget that this process holds; called like ccxt's own throttle."""

    def __init__(self, rules: VenueRules, scale: float) -> None:
        self._rules = rules
        self._scale = scale
        self._held = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self, weight: float) -> None:
        """Wait until ``weight`` may be spent."""
        async with self._lock:
            if self._held < weight:
                lot = max(weight, LOT_PAGES * self._rules.weight_per_page)
                wait_s = await governor().lease.remote(self._rules, self._scale, lot)
                await asyncio.sleep(wait_s)
                self._held += lot
            self._held -= weight
