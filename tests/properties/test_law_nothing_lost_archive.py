"""Nothing lost, nothing invented: whatever is wrong with an archive's files, the lake ends up with the venue's candles.

Whole runs — cut, fetch, commit — over files that are missing, torn, lack rows or belie their check sums, beside a REST
that fails now and then, until nothing is missing.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.sources.archives import NOW_MS, OUTAGE, START_MS, Shelf, books, layout, market, same, tape

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import RateLimited, VenueTimeout
from heliograph.core.timeframe import DAY_MS, MINUTE_MS, parse
from heliograph.ingest.archive import cut
from heliograph.ingest.archive_shard import fetch_archive_shard
from heliograph.lake import coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.sandbox.archive.host import Archive, Damage
from heliograph.testing import fakes, lakes

TRUTH = tape()
MINUTE = parse("1m")
HOST = Archive(books(TRUTH))
DAMAGES: list[Damage] = ["wrong_checksum", "truncated", "missing", "lacking"]
FIRST_DAY = 6  # of the tape; the outage is on the tenth
WANTED = (START_MS + FIRST_DAY * DAY_MS + 77 * MINUTE_MS, START_MS + (FIRST_DAY + 7) * DAY_MS - 5 * MINUTE_MS)
KEY = ("binance", "1m", "BTC/USDT")


def path(day: int) -> str:
    date = np.datetime_as_string(np.datetime64(START_MS + (FIRST_DAY + day) * DAY_MS, "ms"), unit="D")
    return f"https://data.binance.vision/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{date}.zip"


def damage_only(damages: dict[int, Damage]) -> None:
    for day in range(7):
        HOST.mend(path(day))
    for day, damage in damages.items():
        HOST.spoil(path(day), damage)


async def no_sleep(_: float) -> None:
    return


@settings(max_examples=6)
@given(
    damages=st.dictionaries(st.integers(0, 6), st.sampled_from(DAMAGES), max_size=4),
    failures=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=3),
    fills_quiet=st.booleans(),
    most_bars=st.sampled_from([1, 10**6]),
)
def test_lake_equals_the_tape(
    damages: dict[int, Damage], failures: list[tuple[int, int]], *, fills_quiet: bool, most_bars: int
) -> None:
    def fault(number: int, *_: object) -> Exception | None:
        if not any(start <= number < start + length for start, length in failures):
            return None
        return VenueTimeout("no answer") if number % 2 else RateLimited("slow down", retry_after_s=1)

    told = layout("binance")
    shelf = Shelf(told, HOST)
    damage_only({d: x for d, x in damages.items() if fills_quiet or x != "lacking"})  # elsewhere such rows are quiet
    sent = TRUTH.series("BTC/USDT", MINUTE)
    rules = replace(fakes.rules(venue="binance", page_limit=1_000), fills_quiet=fills_quiet)
    source = fakes.FakeSource({("BTC/USDT", "1m"): sent}, now_ms=NOW_MS, rules=rules, fault=fault)

    async def rows(missing: list[tuple[int, int]]) -> list[lakes.Row]:
        found = []
        for interval in missing:
            shards, left = cut(told, market(told), MINUTE, interval, now_ms=NOW_MS, most_bars=most_bars)
            for piece in [*shards, *left]:
                found += await fetch_archive_shard(
                    [shelf],
                    source,
                    store,
                    lakes.shard(*piece, venue="binance", timeframe="1m"),
                    market=market(told),
                    now_ms=NOW_MS,
                    attempts=2,
                    sleep=no_sleep,
                )
        return found

    with tempfile.TemporaryDirectory() as folder:
        lake = LakeSettings(uri=str(Path(folder) / "lake"))
        store = open_store(lake)
        for _ in range(8):
            table = coverage.read(lake)
            missing = coverage.missing(table, KEY, [WANTED])
            if not missing:
                break
            with Committer(lake, store, "t") as committer:
                committer.commit(asyncio.run(rows(missing)))
        assert missing == []
        held = read.candles(lake, *("binance", "BTC/USDT", "1m"))
        assert same(held, sent.between(*WANTED))
        assert len(held.between(*OUTAGE)) == 0
        assert read.scan(lake, venue="binance", timeframe="1m").collect().height == len(held)
