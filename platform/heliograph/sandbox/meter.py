"""How much of its rate limit a caller has used, in real time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs.

    Attributes:
        pool: name of the budget that pays.
        weight: units taken from it.
        limit: units that the pool grants within any ``window_s`` seconds.
    """

    pool: str
    weight: float
    limit: float
    window_s: float


class Meter:
    """Sliding windows, one for each pool of a venue.

    Attributes:
        scale: multiplies every limit.
        spent: weight of all requests that were let through.
        violations: requests that were over the limit.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.spent = 0.0
        self.violations = 0
        self._windows: dict[str, deque[tuple[float, float]]] = {}
        self._refused: dict[str, deque[float]] = {}

    def take(self, charge: Charge, now_s: float) -> bool:
        """Spend the charge if its pool has room; a request that finds none is a violation and costs nothing.

        >>> meter = Meter(1.0)
        >>> two_a_second = Charge("public", 1.0, limit=2.0, window_s=1.0)
        >>> [meter.take(two_a_second, t) for t in (0.0, 0.5, 0.9, 1.1)]
        [True, True, False, True]
        """
        window = self._windows.setdefault(charge.pool, deque())
        while window and window[0][0] <= now_s - charge.window_s:
            window.popleft()
        if sum(w for _, w in window) + charge.weight > charge.limit * self.scale:
            self.violations += 1
            self._refused.setdefault(charge.pool, deque(maxlen=100)).append(now_s)
            return False
        window.append((now_s, charge.weight))
        self.spent += charge.weight
        return True

    def used(self, charge: Charge) -> float:
        """Weight spent in the pool's running window."""
        return sum(w for _, w in self._windows.get(charge.pool, ()))

    def retry_after_s(self, charge: Charge, now_s: float) -> float:
        """Seconds until the oldest request leaves the pool's window."""
        window = self._windows.get(charge.pool)
        return max(window[0][0] + charge.window_s - now_s, 0.0) if window else charge.window_s

    def recent_refusals(self, charge: Charge, now_s: float) -> int:
        """Violations in the pool's running window."""
        return sum(1 for t in self._refused.get(charge.pool, ()) if t > now_s - charge.window_s)
