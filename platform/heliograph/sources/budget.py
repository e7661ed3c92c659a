"""How fast a venue may be asked: a sliding window that counts calls as the venue does, and a queue in front of it.

The port is `heliograph.core.ports.Budget`. A caller that puts its calls into `spending` also tells when they are over:
then not one unit of the limit is lost to guesses about how long calls are on their way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from heliograph.core.market import VenueRules

Clock = Callable[[], float]
"""Seconds that never run backwards."""

BURST_S = 0.5
"""So much of the pace may be let through at once: calls that come evenly are answered soonest."""

HASTE = 1.1
"""The pace over the steady rate: what a hiccup has cost is made up before its window is over."""

TRANSIT_S = 0.5
"""A call that nobody will report is taken to reach its venue within this."""

LAPSE_S = 30.0
"""A reported call whose report is missing is given up after this: longer than any client waits for an answer."""

_SURE = 0.8  # of the shortest call's time is travel; the rest is for calls that were all slow, or a shorter route
_SLACK_S = 0.01  # and so much of it may be what a busy process adds
_SAMPLES = 32  # calls to have seen before the shortest says anything
_MEMORY_S = 2.0  # how late a venue's word about used weight may come
_LEAST_WAIT_S = 1e-4  # less may not move a clock
_DUST = 1e-9  # what adding and taking decimal weights leaves in a double

_Calls = list[tuple["asyncio.Task[Any] | None", Callable[[], None]]]

_calls: ContextVar[_Calls | None] = ContextVar("_calls", default=None)


@contextmanager
def spending() -> Iterator[None]:
    """Calls that a budget lets through inside the block are over (answered, refused or given up) when it ends.

    A task makes one call after the other: its next one says that the one before is over.
    """
    calls: _Calls = []
    token = _calls.set(calls)
    try:
        yield
    finally:
        _calls.reset(token)
        for _, tell in calls:
            tell()


def next_call() -> bool:
    """This task's earlier calls are over; False outside `spending`, where nobody will tell when this one is."""
    calls = _calls.get()
    if calls is None:
        return False
    task = asyncio.current_task()
    over = [tell for caller, tell in calls if caller is task]
    calls[:] = [call for call in calls if call[0] is not task]
    for tell in over:
        tell()
    return True


def when_over(tell: Callable[[], None]) -> None:
    """Call ``tell`` once this task's call is over, if anybody says so."""
    calls = _calls.get()
    if calls is not None:
        calls.append((asyncio.current_task(), tell))


@dataclass(slots=True)
class _Lot:
    """Weight that was let through and is not answered yet."""

    weight: float
    granted_s: float
    holder: str


class Allowance:
    """What one venue grants one address: ``limit`` units in any ``window_s`` seconds, counted as calls *arrive*.

    A call arrives somewhere between being let through and being answered. So its weight is held from the one until
    ``window_s`` after the other, less the time that even the quickest call travels: then no window of the venue can
    hold more than ``limit``, however calls are delayed, and what is lost is a call's time in every window. Within that,
    weight is let through at a pace little above the steady rate, so that no window is spent at its beginning.

    Args:
        is_spent: begin as after a whole window's use, for whoever has lost the memory of it.
    """

    def __init__(self, limit: float, window_s: float, clock: Clock, *, is_spent: bool = False) -> None:
        self.limit = limit
        self._window_s = window_s
        self._clock = clock
        self._ids = itertools.count(1)
        self._lots: dict[int, _Lot] = {}
        self._lapses: list[tuple[float, int]] = []  # heap
        self._answered: list[tuple[float, float]] = []  # heap of (held until, weight)
        self._freed: deque[tuple[float, float]] = deque()  # the newest of those that are held no more
        self._held = 0.0
        self._shortest_s = math.inf
        self._answers = 0
        self._paused_until_s = -math.inf
        self._level = self._capacity()
        self._filled_s = clock()
        if is_spent:
            self._hold(self._filled_s + TRANSIT_S + window_s, limit)

    @property
    def held(self) -> float:
        """Weight that may stand in a window of the venue now."""
        self._free(self._clock())
        return self._held

    def take(self, weight: float, *, lapse_s: float = TRANSIT_S, holder: str = "") -> tuple[int, float]:
        """Let ``weight`` through, all of it or nothing.

        Args:
            weight: more than the limit counts as the limit.
            lapse_s: when to take it for answered if nobody says so.
            holder: who will say so.

        Returns:
            ``(lot, 0.0)`` where it was let through; ``(0, wait_s)`` where not, and when to ask again at the latest.

        >>> take = Allowance(20.0, 2.0, clock=lambda: 0.0).take
        >>> take(5.5), take(5.5)
        ((1, 0.0), (0, 0.5))
        """
        now_s = self._clock()
        self._free(now_s)
        self._fill(now_s)
        weight = min(weight, self.limit)
        wait_s = self._wait_s(weight, now_s)
        if wait_s > 0:
            return 0, wait_s
        lot = next(self._ids)
        self._lots[lot] = _Lot(weight, now_s, holder)
        heapq.heappush(self._lapses, (now_s + lapse_s, lot))
        self._held += weight
        self._level -= weight
        return lot, 0.0

    def answered(self, lot: int, weight: float, *, age_s: float = 0.0, took_s: float = 0.0) -> None:
        """So much of a lot was answered ``age_s`` ago, ``took_s`` after it was let through."""
        open_lot = self._lots.get(lot)
        if open_lot is None:  # it lapsed, or it is of a time before this allowance
            return
        weight = self._close(lot, open_lot, weight)
        self._shortest_s = min(self._shortest_s, took_s)
        self._answers += 1
        travel_s = max(_SURE * self._shortest_s - _SLACK_S, 0.0) if self._answers > _SAMPLES else 0.0
        self._answer(max(self._clock() - age_s - travel_s, open_lot.granted_s) + self._window_s, weight)

    def unspent(self, lot: int, weight: float) -> None:
        """So much of a lot was never sent."""
        open_lot = self._lots.get(lot)
        if open_lot is not None:
            weight = self._close(lot, open_lot, weight)
            self._held -= weight
            self._level = min(self._capacity(), self._level + weight)

    def abandon(self, is_gone: Callable[[str], bool]) -> None:
        """Wait no longer for the answers of holders who are gone: what they sent arrives within `TRANSIT_S`."""
        lapses_s = self._clock() + TRANSIT_S
        for lot, held in self._lots.items():
            if is_gone(held.holder):
                heapq.heappush(self._lapses, (lapses_s, lot))

    def pause(self, seconds: float) -> None:
        """Let nothing through for ``seconds``, then start without a burst: what a venue means when it says 429."""
        now_s = self._clock()
        self._paused_until_s = max(self._paused_until_s, now_s + seconds)
        self._level = min(self._level, 0.0)
        self._filled_s = max(self._filled_s, self._paused_until_s)

    def used(self, weight: float, *, age_s: float = 0.0) -> None:
        """The venue said ``age_s`` ago that so much was used; what nobody here has spent, somebody else has."""
        now_s = self._clock()
        self._free(now_s)
        known = self._held + sum(w for until_s, w in self._freed if until_s > now_s - age_s)
        if weight > known + _DUST:
            self._hold(now_s + self._window_s, weight - known)

    def _wait_s(self, weight: float, now_s: float) -> float:
        """0.0 where ``weight`` may go through now; else when something will have changed at the latest."""
        wait_s = self._paused_until_s - now_s
        missing = min(weight, self._capacity()) - self._level
        if missing > _DUST:
            wait_s = max(wait_s, missing / self._pace())
        if self._held + weight > self.limit + _DUST:
            ends_s = [heap[0][0] for heap in (self._answered, self._lapses) if heap]
            wait_s = max(wait_s, min(ends_s) - now_s)
        return max(wait_s, _LEAST_WAIT_S) if wait_s > 0 else 0.0

    def _pace(self) -> float:
        return HASTE * self.limit / self._window_s

    def _capacity(self) -> float:
        return min(self.limit, self._pace() * BURST_S)

    def _fill(self, now_s: float) -> None:
        if now_s > self._filled_s:  # a pause lies in the future
            self._level = min(self._capacity(), self._level + (now_s - self._filled_s) * self._pace())
            self._filled_s = now_s

    def _free(self, now_s: float) -> None:
        while self._lapses and self._lapses[0][0] <= now_s:
            lapsed_s, lot = heapq.heappop(self._lapses)
            if lot in self._lots:
                self._answer(lapsed_s + self._window_s, self._lots.pop(lot).weight)
        while self._answered and self._answered[0][0] <= now_s:
            self._freed.append(heapq.heappop(self._answered))
            self._held -= self._freed[-1][1]
        while self._freed and self._freed[0][0] <= now_s - _MEMORY_S:
            self._freed.popleft()
        if not self._lots and not self._answered:
            self._held = 0.0  # without the dust of many sums

    def _close(self, lot: int, open_lot: _Lot, weight: float) -> float:
        weight = min(weight, open_lot.weight)
        open_lot.weight -= weight
        if open_lot.weight <= _DUST:
            del self._lots[lot]
        return weight

    def _answer(self, until_s: float, weight: float) -> None:
        heapq.heappush(self._answered, (until_s, weight))

    def _hold(self, until_s: float, weight: float) -> None:
        self._answer(until_s, weight)
        self._held += weight


class Turnstile:
    """The queue in front of an `Allowance`: served in the order in which they came."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def enter(self, weight: float, *, lapse_s: float, holder: str = "") -> int:
        """Return the lot once ``weight`` has been let through."""
        async with self._turn:
            while True:
                self._changed.clear()
                lot, wait_s = self.allowance.take(weight, lapse_s=lapse_s, holder=holder)
                if lot:
                    return lot
                try:
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def changed(self) -> None:
        """Look again: the allowance has been told something."""
        self._changed.set()


class LocalBudget:
    """`Budget` of one process: all callers share one allowance, served in the order in which they came."""

    def __init__(self, allowance: Allowance, clock: Clock = time.monotonic) -> None:
        self._turnstile = Turnstile(allowance)
        self._clock = clock

    @classmethod
    def of(cls, rules: VenueRules, scale: float, clock: Clock = time.monotonic) -> Self:
        """The budget of a venue; ``scale`` is the share of its published limit that is used."""
        return cls(Allowance(rules.weight_limit * scale, rules.window_s, clock), clock)

    async def __call__(self, weight: float) -> None:
        """See `Budget`."""
        lot = await self._turnstile.enter(weight, lapse_s=LAPSE_S if next_call() else TRANSIT_S)
        when_over(partial(self._answered, lot, weight, self._clock()))

    def pause(self, seconds: float) -> None:
        """See `Budget`."""
        self._turnstile.allowance.pause(seconds)
        self._turnstile.changed()

    def used(self, weight: float) -> None:
        """See `Budget`."""
        self._turnstile.allowance.used(weight)

    def _answered(self, lot: int, weight: float, at_s: float) -> None:
        self._turnstile.allowance.answered(lot, weight, took_s=self._clock() - at_s)
        self._turnstile.changed()
