"""Which shard goes to which worker next: every venue on its own, so that a slow one keeps nobody waiting."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from heliograph.ingest.plan import Lane

AHEAD_S = 2.0
"""A lane's limit for so long, in pages, is under way at most: enough to hide a slow answer, little to lose with a
worker."""

LEAST_AHEAD = 2


@dataclass(slots=True)
class _Road:
    """One lane's shards that wait, and how many it may have under way from one address."""

    ahead: int
    waiting: deque[int] = field(default_factory=deque)


class Dispatch:
    """Hands out shards, each to one worker at a time; pure, so that it runs on a virtual clock as on a cluster.

    A worker has at most ``per_worker`` shards of a lane under way, and all workers of one address together at most what
    the lane's limit lets through in `AHEAD_S`. Of a lost worker's shards, those not finished wait at the front again.

    Args:
        per_worker: shards of one lane that one worker may have under way.
    """

    def __init__(self, per_worker: int) -> None:
        self._per_worker = per_worker
        self._roads: dict[Lane, _Road] = {}
        self._addresses: dict[str, list[str]] = defaultdict(list)
        self._under_way: dict[str, dict[int, Lane]] = {}
        self._counts: dict[tuple[Lane, str], int] = defaultdict(int)

    @property
    def is_idle(self) -> bool:
        """True where nothing waits and nothing is under way."""
        return not any(self._under_way.values()) and not any(road.waiting for road in self._roads.values())

    def add(self, lane: Lane, shards: Iterable[int], *, pages_per_s: float) -> None:
        """More shards of a lane; ``pages_per_s`` is what its limit lets through from one address."""
        ahead = max(LEAST_AHEAD, math.ceil(pages_per_s * AHEAD_S))
        self._roads.setdefault(lane, _Road(ahead)).waiting.extend(shards)

    def join(self, worker: str, address: str) -> None:
        """A worker is ready; its calls go out by ``address``."""
        self._addresses[address].append(worker)
        self._under_way[worker] = {}

    def leave(self, worker: str) -> list[int] | None:
        """A worker is lost; returns those of its shards that will be done again, None where it was lost before."""
        lost = self._under_way.pop(worker, None)
        if lost is None:
            return None
        for workers in self._addresses.values():
            if worker in workers:
                workers.remove(worker)
        for shard, lane in sorted(lost.items(), reverse=True):
            self._roads[lane].waiting.appendleft(shard)
            self._counts.pop((lane, worker), None)
        return sorted(lost)

    def drop(self, shard: int) -> None:
        """Take a shard that waits out for good."""
        for road in self._roads.values():
            if shard in road.waiting:
                road.waiting.remove(shard)

    def finish(self, worker: str, shard: int) -> bool:
        """A worker has answered; False where the worker was lost before, and the shard waits again."""
        lane = self._under_way.get(worker, {}).pop(shard, None)
        if lane is not None:
            self._counts[lane, worker] -= 1
        return lane is not None

    def sends(self) -> Iterator[tuple[str, int]]:
        """``(worker, shard)`` pairs to send now."""
        for lane, road in self._roads.items():
            for workers in self._addresses.values():
                room = road.ahead - sum(self._counts[lane, worker] for worker in workers)
                while workers and road.waiting and room > 0:
                    least = min(workers, key=lambda w: (self._counts[lane, w], len(self._under_way[w])))
                    if self._counts[lane, least] >= self._per_worker:
                        break
                    room -= 1
                    yield least, self._start(lane, least)

    def _start(self, lane: Lane, worker: str) -> int:
        shard = self._roads[lane].waiting.popleft()
        self._under_way[worker][shard] = lane
        self._counts[lane, worker] += 1
        return shard
