"""One shard from archives first: whatever they lack or tell otherwise comes over REST, and every row says why."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.sources.archives import NOW_MS, OUTAGE, Shelf, books, layout, market, same, tape

from heliograph.core.errors import SymbolGone, VenueTimeout
from heliograph.core.market import Candles, VenueRules
from heliograph.core.ports import Page
from heliograph.core.schema import MANIFEST
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, parse
from heliograph.ingest.archive_shard import fetch_archive_shard
from heliograph.lake.local_store import LocalStore
from heliograph.lake.part import decode, read_provenance
from heliograph.sandbox.archive.host import Archive, Damage
from heliograph.sources.archive.layout import ArchiveFile, Layout
from heliograph.testing import fakes, lakes

BINANCE, GATE = layout("binance"), layout("gate")
TRUTH = tape()
MINUTE = parse("1m")
HOST = Archive(books(TRUTH))
SENT = TRUTH.series("BTC/USDT", MINUTE)
RULES = replace(fakes.rules(venue="binance", page_limit=1_000), fills_quiet=True)
ODD = replace(fakes.rules(venue="gate", page_limit=1_000, seeks_first=False), horizon_candles=2_000)
Spoil = Callable[[str, Damage], None]


def ms(day: int, month: int = 12) -> int:
    return int(datetime(2024 + (month == 1), month, day, tzinfo=UTC).timestamp()) * 1000


def path(day: int) -> str:
    return f"https://data.binance.vision/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12-{day:02d}.zip"


WEEK = (ms(2), ms(9))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def spoil() -> Iterator[Spoil]:
    spoilt: list[str] = []

    def do(path: str, damage: Damage) -> None:
        spoilt.append(path)
        HOST.spoil(path, damage)

    yield do
    for path in spoilt:
        HOST.mend(path)


def rest(
    candles: Candles = SENT, *, rules: VenueRules = RULES, now_ms: int = NOW_MS, **options: Any
) -> fakes.FakeSource:
    return fakes.FakeSource({("BTC/USDT", "1m"): candles}, now_ms=now_ms, rules=rules, **options)


def fetch(
    store: LocalStore,
    source: fakes.FakeSource,
    interval: tuple[int, int] = WEEK,
    *,
    shelves: list[Shelf] | None = None,
    told: Layout = BINANCE,
    now_ms: int = NOW_MS,
    is_active: bool = True,
) -> list[lakes.Row]:
    async def sleep(_: float) -> None:
        return

    row = lakes.shard(*interval, venue=told.venue, timeframe="1m")
    done = fetch_archive_shard(
        [Shelf(told, HOST)] if shelves is None else shelves,
        source,
        store,
        row,
        market=market(told, is_active=is_active),
        now_ms=now_ms,
        attempts=2,
        sleep=sleep,
    )
    rows = asyncio.run(done)
    assert pa.Table.from_pylist(rows, schema=MANIFEST).num_rows == len(rows)
    assert all(a["end_ms"] <= b["start_ms"] for a, b in itertools.pairwise(rows))
    return rows


def held(store: LocalStore, rows: list[lakes.Row]) -> Candles:
    return Candles.concat([decode(store.get(f"candles/{r['path']}"), r["path"]) for r in rows if r["path"]])


def pages(store: LocalStore, row: lakes.Row) -> list[dict[str, Any]]:
    return list(read_provenance(store.get(f"candles/{row['path']}"))["pages"])


def brief(rows: list[lakes.Row]) -> list[tuple[str, int, int]]:
    return [(r["status"], r["start_ms"], r["end_ms"]) for r in rows]


def test_week_comes_out_of_seven_files_and_two_requests(store: LocalStore) -> None:
    source = rest()
    rows = fetch(store, source)
    assert brief(rows) == [("have", *WEEK)]
    assert same(held(store, rows), SENT.between(*WEEK))
    assert [r[1:] for r in source.requests] == [(WEEK[1] - 1_000 * MINUTE_MS, WEEK[1]), OUTAGE]
    assert (rows[0]["requests"], rows[0]["detail"]) == (7 + 2, "")
    told = pages(store, rows[0])
    assert [(p["endpoint"].endswith(path(2 + i)), p["checksum"]) for i, p in enumerate(told)] == [
        (True, "verified")
    ] * 7


def test_rest_wins_where_the_seam_differs(store: LocalStore, spoil: Spoil) -> None:
    other = replace(SENT, volume=SENT.volume + (SENT.open_ts_ms == WEEK[1] - 5 * MINUTE_MS))
    rows = fetch(store, rest(other))
    assert brief(rows) == [("have", *WEEK)]
    assert same(held(store, rows), other.between(*WEEK))
    assert (
        f"REST differs from the archive in 1 of 1000 bars before {WEEK[1]}, first at {WEEK[1] - 5 * MINUTE_MS}"
        in rows[0]["detail"]
    )
    assert {p["endpoint"] for p in pages(store, rows[0])} == {"https://binance.example/candles"}


def test_bar_that_only_one_side_has_is_a_difference(store: LocalStore) -> None:
    lacking = SENT.take(SENT.open_ts_ms != WEEK[1] - 5 * MINUTE_MS)
    rows = fetch(store, rest(lacking))
    assert "REST was taken" in rows[0]["detail"]
    assert same(held(store, rows), lacking.between(*WEEK))


@pytest.mark.parametrize("damage", ["missing", "truncated", "wrong_checksum"])
def test_file_that_is_missing_or_refused_comes_over_rest(store: LocalStore, spoil: Spoil, damage: Damage) -> None:
    spoil(path(4), damage)
    source = rest()
    rows = fetch(store, source)
    assert brief(rows) == [("have", *WEEK)]
    assert same(held(store, rows), SENT.between(*WEEK))
    assert [r[1] for r in source.requests[1:]] == [ms(4), ms(4) + 1_000 * MINUTE_MS, OUTAGE[0]]
    assert ("was not used" in rows[0]["detail"]) == (damage != "missing")
    assert {p.get("checksum", "") for p in pages(store, rows[0])} == {"verified", ""}


def test_rows_that_a_file_lacks_come_over_rest(store: LocalStore, spoil: Spoil) -> None:
    spoil(path(4), "lacking")
    rows = fetch(store, rest())
    assert same(held(store, rows), SENT.between(*WEEK))
    assert brief(rows) == [("have", *WEEK)]


def test_nothing_is_stored_unproved_while_rest_can_be_asked_later(store: LocalStore) -> None:
    rows = fetch(store, rest(fault=lambda *_: VenueTimeout("no answer")))
    assert brief(rows) == [("fetch_failed", *WEEK)]
    assert "VenueTimeout" in rows[0]["detail"]
    assert store.list("candles") == []


def test_market_that_is_gone_from_rest_lives_on_in_the_archive(store: LocalStore) -> None:
    rows = fetch(store, rest(fault=lambda *_: SymbolGone("no such symbol")), is_active=False)
    assert brief(rows) == [("have", WEEK[0], OUTAGE[0]), ("delisted", *OUTAGE), ("have", OUTAGE[1], WEEK[1])]
    assert same(held(store, rows), SENT.between(*WEEK))
    assert "could not be compared: SymbolGone" in rows[0]["detail"]


def test_silent_rest_leaves_the_archive_as_it_is(store: LocalStore) -> None:
    rows = fetch(store, rest(Candles.empty()))
    assert same(held(store, rows), SENT.between(*WEEK))
    assert "REST has no candle there" in rows[0]["detail"]


def test_failure_in_a_hole_is_a_row_of_its_own(store: LocalStore, spoil: Spoil) -> None:
    spoil(path(4), "missing")
    failing = rest(fault=lambda n, *_: VenueTimeout("no answer") if n in (2, 3) else None)
    rows = fetch(store, failing)
    reached_ms = ms(4) + 1_000 * MINUTE_MS
    assert brief(rows) == [
        ("have", WEEK[0], reached_ms),
        ("fetch_failed", reached_ms, ms(5)),
        ("have", ms(5), WEEK[1]),
    ]
    assert same(held(store, rows).between(ms(5), WEEK[1]), SENT.between(ms(5), WEEK[1]))


def test_what_is_too_recent_for_files_is_a_part_of_its_own(store: LocalStore) -> None:
    now_ms = ms(9) + 5 * HOUR_MS
    young = [Shelf(BINANCE, Archive(books(TRUTH, now_ms)))]
    rows = fetch(store, rest(now_ms=now_ms), (ms(5), now_ms), shelves=young, now_ms=now_ms)
    assert brief(rows) == [("have", ms(5), ms(8)), ("have", ms(8), now_ms)]
    assert same(held(store, rows), SENT.between(ms(5), now_ms))


def test_holes_near_each_other_share_a_request(store: LocalStore) -> None:
    is_gone = (SENT.open_ts_ms // MINUTE_MS) % 400 == 7

    class Holed(Shelf):
        async def fetch(self, file: ArchiveFile) -> Page | None:
            page = await super().fetch(file)
            return page and replace(page, candles=SENT.take(~is_gone).between(file.start_ms, file.end_ms))

    source, day = rest(), (ms(3), ms(4))
    holes = SENT.take(is_gone).between(*day).open_ts_ms.tolist()
    rows = fetch(store, source, day, shelves=[Holed(BINANCE, HOST)])
    assert brief(rows) == [("have", *day)]
    assert same(held(store, rows), SENT.between(*day))
    assert len(holes) == 4
    assert [r[1:] for r in source.requests[1:]] == [(holes[0], holes[2] + MINUTE_MS), (holes[3], holes[3] + MINUTE_MS)]
    told = pages(store, rows[0])
    assert sum(p["candles"] for p in told) == 1_440  # of REST's pages, the holes count only


def test_archive_reaches_further_back_than_rest(store: LocalStore, spoil: Spoil) -> None:
    """Gate gives its newest 10,000 candles over REST, and its files go back to 2018."""
    recent = SENT.between(NOW_MS - 2_000 * MINUTE_MS, NOW_MS)
    old = (ms(2), ms(6))
    spoil("https://download.gatedata.org/spot/candlesticks_1m/202412/BTC_USDT-20241204.csv.gz", "missing")
    late_ms = NOW_MS + 60 * DAY_MS
    rows = fetch(store, rest(recent, rules=ODD), old, told=GATE, now_ms=late_ms)
    assert brief(rows) == [("have", ms(2), ms(4)), ("beyond_history", ms(4), ms(5)), ("have", ms(5), ms(6))]
    assert "newest 2000 candles" in rows[1]["detail"]
    assert {p["checksum"] for p in pages(store, rows[0])} == {"none published"}
    hoped = fetch(store, rest(recent, rules=ODD), old, told=GATE, now_ms=ms(20))
    assert brief(hoped) == [("have", ms(2), ms(4)), ("have", ms(5), ms(6))]  # the file may still come


def test_shard_that_nobody_has_yet_stays_open(store: LocalStore) -> None:
    now_ms = ms(20)
    rows = fetch(
        store,
        rest(Candles.empty(), rules=ODD),
        (ms(2), ms(3)),
        shelves=[Shelf(GATE, Archive({"binance": books(TRUTH)["binance"]}))],
        told=GATE,
        now_ms=now_ms,
    )
    assert brief(rows) == [("no_trades", ms(2), ms(2))]


def test_difference_counts_only_as_far_back_as_rest_reaches(store: LocalStore) -> None:
    now_ms, whole, horizon = ms(9) + 12 * HOUR_MS, (ms(5), ms(8)), 3_000
    oldest_ms = now_ms - horizon * MINUTE_MS
    shown = SENT.between(oldest_ms, now_ms)
    other = replace(shown, volume=shown.volume + (shown.open_ts_ms == ms(8) - 5 * MINUTE_MS))
    young, rules = [Shelf(GATE, Archive(books(TRUTH, now_ms)))], replace(ODD, horizon_candles=horizon)
    rows = fetch(store, rest(other, rules=rules, now_ms=now_ms), whole, shelves=young, told=GATE, now_ms=now_ms)
    assert brief(rows) == [("have", whole[0], oldest_ms), ("have", oldest_ms, whole[1])]
    assert same(
        held(store, rows), Candles.concat([SENT.between(whole[0], oldest_ms), other.between(oldest_ms, whole[1])])
    )
    assert "1 of 840 bars" in rows[0]["detail"]


def test_without_archives_it_is_an_ordinary_shard(store: LocalStore) -> None:
    source = rest()
    rows = fetch(store, source, shelves=[])
    assert same(held(store, rows), SENT.between(*WEEK))
    assert rows[0]["requests"] == len(source.requests) == 11
