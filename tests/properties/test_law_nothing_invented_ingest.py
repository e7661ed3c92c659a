"""Nothing invented, nothing lost: the lake holds exactly what the venue sent, whatever went wrong on the way.

Whole runs — survey, plan, fetch, commit — against a venue that cuts pages short, answers from either end, limits,
times out and has holes.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings, Selection
from heliograph.core.errors import RateLimited, VenueTimeout
from heliograph.core.market import Candles
from heliograph.core.timeframe import parse
from heliograph.ingest.plan import Plan, plan
from heliograph.ingest.shard import fetch_shard
from heliograph.ingest.survey import survey
from heliograph.lake import coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.part import PRICES
from heliograph.lake.store import open_store
from heliograph.testing import fakes
from heliograph.testing.strategies import candles

HOUR = parse("1h")
BARS = 60
KEY = ("fake", "1h", "A/B")
WANTED = Selection(venues=("fake",))


async def _no_sleep(_: float) -> None:
    return


def _run(lake: LakeSettings, source: fakes.FakeSource) -> Plan:
    """One whole fetch, in this process."""
    store = open_store(lake)
    markets = {m.symbol: m for m in asyncio.run(source.markets())}

    async def rows(todo: Plan) -> list[dict[str, object]]:
        shards = (
            fetch_shard(source, store, row, market=markets[row["symbol"]], attempts=2, sleep=_no_sleep)
            for row in todo.shards.to_pylist()
        )
        return [row for done in await asyncio.gather(*shards) for row in done]

    with Committer(lake, store, "t") as committer:
        known = coverage.read(lake)
        catalogue = asyncio.run(survey(source, known, [WANTED], attempts=2, in_flight=2, sleep=_no_sleep, dawn_ms=0))
        todo = plan([catalogue], known, [WANTED], pages_per_shard=2)
        committer.commit(asyncio.run(rows(todo)), todo.reasons.to_pylist())
    return todo


def _subset(part: Candles, whole: Candles) -> bool:
    where = np.searchsorted(whole.open_ts_ms, part.open_ts_ms)
    same = whole.take(where)
    return all(np.array_equal(getattr(part, n), getattr(same, n)) for n in ("open_ts_ms", *PRICES, "volume"))


@settings(max_examples=12)
@given(
    sent=candles(HOUR, bars=BARS),
    seeks_first=st.booleans(),
    gives_newest=st.booleans(),
    cuts=st.lists(st.integers(1, 10), min_size=1, max_size=5),
    outages=st.lists(st.tuples(st.integers(0, 15), st.integers(1, 4)), max_size=4),
    is_active=st.booleans(),
)
def test_lake_equals_what_the_venue_sent(
    sent: Candles,
    *,
    seeks_first: bool,
    gives_newest: bool,
    cuts: list[int],
    outages: list[tuple[int, int]],
    is_active: bool,
) -> None:
    def fault(number: int, _: str, __: tuple[int, int]) -> Exception | None:
        if not any(start <= number < start + length for start, length in outages):
            return None
        return VenueTimeout("no answer") if number % 2 else RateLimited("slow down", retry_after_s=1)

    source = fakes.FakeSource(
        {("A/B", "1h"): sent},
        now_ms=(BARS + 10) * HOUR.ms,
        rules=fakes.rules(seeks_first=seeks_first and not gives_newest),
        markets=[fakes.market("A/B", is_active=is_active)],
        fault=fault,
        shorten=None if gives_newest else lambda n, size: min(size, cuts[n % len(cuts)]),
        gives_newest=gives_newest,
    )
    wanted = (0, (BARS + 10) * HOUR.ms)
    with tempfile.TemporaryDirectory() as folder:
        lake = LakeSettings(uri=str(Path(folder) / "lake"))
        for _ in range(12):
            _run(lake, source)
            held = read.candles(lake, "fake", "A/B", "1h")
            table = coverage.read(lake)
            assert _subset(held, sent)
            assert read.scan(lake, venue="fake", timeframe="1h").collect().height == len(held)
            missing = coverage.missing(table, KEY, [wanted])
            assert coverage.merge([*coverage.index(table).get(KEY, []), *missing]) == [wanted]
            if not any(start < BARS * HOUR.ms for start, _ in missing):
                break
        assert len(held) == len(sent)
        before = len(source.requests)
        again = _run(lake, source)
        settled = [row for row in again.shards.to_pylist() if row["start_ms"] < BARS * HOUR.ms]
        assert settled == []
        if not again.shards.num_rows:
            assert len(source.requests) == before
