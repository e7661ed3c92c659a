"""How fast a venue may be asked: a token bucket, and a queue of callers in front of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

from heliograph.core.market import VenueRules

_DUST = 1e-9  # what adding and taking decimal weights leaves in a double


class TokenBucket:
    """Grants at most ``weight_per_s * t + burst`` in any t seconds; starts full.

    Args:
        weight_per_s: refill.
        burst: what may be granted at once.
        clock: seconds that never run backwards.
    """

    def __init__(self, weight_per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._weight_per_s = weight_per_s
        self._burst = burst
        self._clock = clock
        self._level = burst
        self._filled_s = clock()

    def lease(self, weight: float) -> tuple[float, float]:
        """Take as much of ``weight`` as there is.

        Returns:
            ``(granted, wait_s)``: what was granted, between 0 and ``weight``, and how long to wait before asking for
            the rest; 0.0 when nothing is left to ask for.

        >>> lease = TokenBucket(2.0, 10.0, clock=lambda: 0.0).lease
        >>> lease(4.0), lease(7.0)
        ((4.0, 0.0), (6.0, 0.5))
        """
        now_s = self._clock()
        if now_s > self._filled_s:  # a pause lies in the future
            self._level = min(self._burst, self._level + (now_s - self._filled_s) * self._weight_per_s)
            self._filled_s = now_s
        granted = min(weight, self._level) if now_s >= self._filled_s else 0.0
        self._level -= granted
        rest = weight - granted
        if rest <= _DUST:
            return granted, 0.0
        missing = max(min(rest, self._burst) - self._level, 0.0)
        return granted, self._filled_s - now_s + missing / self._weight_per_s

    def pause(self, seconds: float) -> None:
        """Grant nothing for ``seconds``, then start empty: what a venue means when it says 429."""
        self._level = 0.0
        self._filled_s = max(self._filled_s, self._clock() + seconds)


class LocalBudget:
    """One bucket for all callers of this process, served in the order in which they came."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self._turn = asyncio.Lock()

    @classmethod
    def of(cls, rules: VenueRules, scale: float, clock: Callable[[], float] = time.monotonic) -> Self:
        """The budget of a venue; ``scale`` is the share of its published limit that is used."""
        return cls(TokenBucket(rules.weight_per_s * scale, rules.weight_burst * scale, clock))

    async def acquire(self, weight: float) -> None:
        """Return once ``weight`` has been granted."""
        async with self._turn:
            while weight > _DUST:
                granted, wait_s = self.bucket.lease(weight)
                weight -= granted
                if wait_s:
                    await asyncio.sleep(wait_s)
