"""The crew is kept busy, a slow venue keeps nobody waiting, and who dies is replaced."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pytest

from heliograph.core.errors import Retryable
from heliograph.core.schema import PLAN
from heliograph.ingest.plan import Lane
from heliograph.ingest.spread import MOST_DEATHS, MOST_LOSSES, Job, Spread, WorkerLost
from heliograph.lake.write import Row, manifest
from heliograph.testing import fakes, lakes
from heliograph.testing.virtual import run

FAST: Lane = ("binance", "spot")
SLOW: Lane = ("kraken", "spot")


class Hands:
    """A crew whose workers take as long as they are told, and die when they are told."""

    def __init__(self, takes_s: Callable[[Job], float], dies: Callable[[str, Job], bool] = lambda *_: False) -> None:
        self.hired: list[str] = []
        self.buried: list[str] = []
        self.asked: Counter[int] = Counter()
        self._takes_s = takes_s
        self._dies = dies

    async def hire(self) -> tuple[str, str]:
        await asyncio.sleep(1.0)
        self.hired.append(f"w{len(self.hired)}")
        return self.hired[-1], "here"

    async def fetch(self, worker: str, job: Job) -> list[Row]:
        self.asked[job.row["start_ms"]] += 1
        await asyncio.sleep(self._takes_s(job))
        if worker in self.buried or self._dies(worker, job):
            raise WorkerLost(f"{worker} is gone")
        return [manifest(job.row, "no_trades", requests=1)]

    def bury(self, worker: str) -> None:
        self.buried.append(worker)


def shards(lane: Lane, count: int, first: int = 0) -> pa.Table:
    rows = [lakes.shard(n, n + 1, venue=lane[0], symbol="A/B") for n in range(first, first + count)]
    return pa.Table.from_pylist(rows, schema=PLAN)


def spread_over(hands: Hands, *tables: tuple[Lane, pa.Table], workers: int = 3) -> tuple[dict[Lane, float], list[Row]]:
    """When each lane was done, and all rows that landed."""
    ended, landed = {}, []

    async def story() -> None:
        def land(job: Job, rows: list[Row]) -> None:
            ended[job.lane] = asyncio.get_running_loop().time()
            landed.extend(rows)

        spread = Spread(hands, workers=workers, per_worker=4, land=land)
        for lane, table in tables:
            spread.add(lane, table, data="candles", markets={"A/B": fakes.market("A/B")}, pages_per_s=10.0)
        spread.close()
        await spread.run()

    run(story())
    return ended, landed


def test_a_slow_venue_keeps_nobody_waiting() -> None:
    hands = Hands(lambda job: 100.0 if job.lane == SLOW else 1.0)
    ended, landed = spread_over(hands, (SLOW, shards(SLOW, 30)), (FAST, shards(FAST, 120, first=30)))
    assert len(landed) == 150
    assert ended[FAST] == pytest.approx(1.0 + 120 / 12 * 1.0)
    assert ended[SLOW] == pytest.approx(1.0 + 3 * 100.0)


def test_no_more_workers_are_hired_than_there_are_shards() -> None:
    hands = Hands(lambda _: 1.0)
    spread_over(hands, (FAST, shards(FAST, 2)), workers=16)
    assert len(hands.hired) == 2


def test_shards_of_a_lost_worker_are_done_again_and_land_once() -> None:
    hands = Hands(lambda _: 1.0, dies=lambda worker, _: worker == "w1")
    _, landed = spread_over(hands, (FAST, shards(FAST, 60)))
    assert Counter(row["start_ms"] for row in landed) == Counter(range(60))
    assert sum(hands.asked.values()) == 64
    assert (hands.buried, len(hands.hired)) == (["w1"], 4)


def test_a_shard_that_kills_its_workers_is_given_up_and_told() -> None:
    hands = Hands(lambda job: job.row["start_ms"] + 1.0, dies=lambda _, job: job.row["start_ms"] == 7)
    _, landed = spread_over(hands, (FAST, shards(FAST, 8)), workers=1)
    told = {row["start_ms"]: row["status"] for row in landed}
    assert told == dict.fromkeys(range(7), "no_trades") | {7: "fetch_failed"}
    assert hands.asked[7] == MOST_DEATHS


def test_workers_that_all_die_end_the_run() -> None:
    hands = Hands(lambda _: 1.0, dies=lambda *_: True)
    with pytest.raises(Retryable, match=f"{MOST_LOSSES + 1} fetch workers died"):
        spread_over(hands, (FAST, shards(FAST, 500)))


def test_what_comes_later_is_done_too() -> None:
    hands, landed = Hands(lambda _: 1.0), []

    async def story() -> None:
        spread = Spread(hands, workers=2, per_worker=4, land=lambda _, rows: landed.extend(rows))
        running = asyncio.create_task(spread.run())
        for n in range(3):
            await asyncio.sleep(50)
            market = {"A/B": fakes.market("A/B")}
            spread.add(FAST, shards(FAST, 5, first=5 * n), data="candles", markets=market, pages_per_s=10.0)
        spread.close()
        await running

    run(story())
    assert sorted(row["start_ms"] for row in landed) == list(range(15))
