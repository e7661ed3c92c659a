"""Which files serve an interval, what they lack, and where two sources tell another story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.unit.sources.archives import END_MS, NOW_MS, OUTAGE, START_MS, Shelf, books, layout, market, same, tape

from heliograph.core.errors import Permanent, Retryable, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, MINUTE_MS, parse
from heliograph.ingest import archive as ingest
from heliograph.ingest.page import Patience
from heliograph.lake.coverage import Interval
from heliograph.sandbox.archive.host import Archive, Damage
from heliograph.sources.archive.layout import ArchiveFile, Layout

BINANCE, KUCOIN, GATE = layout("binance"), layout("kucoin"), layout("gate")
TRUTH = tape()
MINUTE, FIVE, HOUR = parse("1m"), parse("5m"), parse("1h")


def ms(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


def names(files: Sequence[ArchiveFile]) -> list[str]:
    return [f.url.rpartition("/")[2].removeprefix("BTCUSDT-1m-").removesuffix(".zip") for f in files]


def test_months_then_days_then_rest() -> None:
    now_ms = ms(2024, 3, 12) + 5 * HOUR_MS
    files, left = ingest.split(BINANCE, market(BINANCE), MINUTE, (ms(2024, 1), now_ms), now_ms)
    days = [f"2024-03-{day:02d}" for day in range(1, 11)]
    assert names(files) == ["2024-01", "2024-02", *days]
    assert left == [(ms(2024, 3, 11), now_ms)]


def test_month_that_is_not_published_yet_comes_by_its_days() -> None:
    now_ms = ms(2024, 3, 5)
    files, left = ingest.split(BINANCE, market(BINANCE), MINUTE, (ms(2024, 2), now_ms), now_ms)
    assert names(files)[:2] == ["2024-02-01", "2024-02-02"]
    assert len(files) == 29 + 3
    assert left == [(ms(2024, 3, 4), now_ms)]


def test_long_file_that_is_mostly_thrown_away_gives_way_to_short_ones() -> None:
    files, left = ingest.split(BINANCE, market(BINANCE), MINUTE, (ms(2024, 1, 25), ms(2024, 2, 20)), ms(2025, 1))
    assert names(files) == [*(f"2024-01-{day}" for day in range(25, 32)), "2024-02"]
    assert left == []


def test_file_that_brings_fewer_bars_than_a_page_is_left_to_rest() -> None:
    whole = (ms(2024, 1), ms(2024, 3, 10))
    files, left = ingest.split(BINANCE, market(BINANCE), FIVE, whole, ms(2025, 1))
    assert (len(files), left) == (2, [(ms(2024, 3), ms(2024, 3, 10))])
    assert ingest.split(BINANCE, market(BINANCE), parse("4h"), whole, ms(2025, 1)) == ([], [whole])
    assert ingest.split(BINANCE, market(BINANCE), parse("1w"), whole, ms(2025, 1)) == ([], [whole])


def test_only_days_where_there_are_no_months() -> None:
    files, left = ingest.split(KUCOIN, market(KUCOIN), MINUTE, (ms(2022, 11, 29), ms(2022, 12, 4)), ms(2025, 1))
    assert [f.start_ms for f in files] == [ms(2022, 12, day) for day in (1, 2, 3)]
    assert left == [(ms(2022, 11, 29), ms(2022, 12))]


@pytest.mark.parametrize("most_bars", [1, 100_000, 10**9])
@pytest.mark.parametrize("told", [BINANCE, KUCOIN, GATE], ids=lambda x: x.venue)
def test_shards_share_no_file_and_cover_all(told: Layout, most_bars: int) -> None:
    now_ms = ms(2024, 6, 12)
    whole = (ms(2023, 11, 7), now_ms)
    files, _ = ingest.split(told, market(told), MINUTE, whole, now_ms)
    shards, left = ingest.cut(told, market(told), MINUTE, whole, now_ms=now_ms, most_bars=most_bars)
    assert sorted([*shards, *left])[0][0] == whole[0]
    assert all(a[1] == b[0] for a, b in zip(sorted([*shards, *left]), sorted([*shards, *left])[1:], strict=False))
    for file in files:
        assert sum(lo < file.end_ms and file.start_ms < hi for lo, hi in shards) == 1
    assert len(shards) == {1: 8, 100_000: 4, 10**9: 1}[most_bars]


def test_seam_names_every_bar_that_differs() -> None:
    ours = Candles.of([[i * MINUTE_MS, 1, 2, 0.5, 1, 7] for i in range(10)])
    assert ingest.seam(ours, ours) == []
    assert ingest.seam(ours, Candles.empty()) == ours.open_ts_ms.tolist()
    assert ingest.seam(ours.take(slice(3, 8)), ours.take(slice(5, 10))) == [
        3 * MINUTE_MS,
        4 * MINUTE_MS,
        8 * MINUTE_MS,
        9 * MINUTE_MS,
    ]
    for name in ("open", "high", "low", "close", "volume"):
        column = getattr(ours, name).copy()
        column[4] = np.nextafter(column[4], 9)
        assert ingest.seam(ours, replace(ours, **{name: column})) == [4 * MINUTE_MS]


def haul(
    shelves: list[Shelf], interval: Interval, *, fills_quiet: bool = True, now_ms: int = NOW_MS, attempts: int = 2
) -> ingest.Haul:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    patience = Patience(attempts, np.random.default_rng(1), sleep)
    one = shelves[0].layout
    return asyncio.run(
        ingest.haul(shelves, market(one), MINUTE, interval, now_ms=now_ms, fills_quiet=fills_quiet, patience=patience)
    )


HOST = Archive(books(TRUTH))


@pytest.fixture
def spoil() -> Iterator[Callable[[str, Damage], None]]:
    """Spoils files of the one host, which renders each file once for all tests."""
    spoilt: list[str] = []

    def do(path: str, damage: Damage) -> None:
        spoilt.append(path)
        HOST.spoil(path, damage)

    yield do
    for path in spoilt:
        HOST.mend(path)


Spoil = Callable[[str, Damage], None]


def shelf(told: Layout = BINANCE) -> Shelf:
    return Shelf(told, HOST)


def path(day: int) -> str:
    return f"https://data.binance.vision/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12-{day:02d}.zip"


WEEK = (ms(2024, 12, 2), ms(2024, 12, 9))  # the outage is on the 8th


def test_what_the_files_lack_is_left() -> None:
    done = haul([shelf()], WEEK)
    assert done.left == (OUTAGE,)
    assert done.served == ((WEEK[0], OUTAGE[0]), (OUTAGE[1], WEEK[1]))
    got = Candles.concat([page.candles for page in done.pages])
    assert same(got, TRUTH.candles("BTC/USDT", MINUTE, *WEEK))
    assert (done.downloads, done.findings) == (7, ())


def test_gap_of_a_venue_that_leaves_quiet_bars_out_is_quiet() -> None:
    done = haul([shelf()], WEEK, fills_quiet=False)
    assert (done.left, done.served) == ((), (WEEK,))


def test_day_without_any_row_is_asked_for_again_anywhere(spoil: Spoil) -> None:
    one = shelf()
    spoil(path(4), "missing")
    done = haul([one], WEEK, fills_quiet=False)
    assert done.left == ((ms(2024, 12, 4), ms(2024, 12, 5)),)


def test_days_fill_what_a_month_lacks(spoil: Spoil) -> None:
    """Binance's monthly files lacked whole days that the daily ones had (its issues 253 and 359)."""
    one = shelf()
    spoil("https://data.binance.vision/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12.zip", "lacking")
    done = haul([one], (ms(2024, 12), ms(2025, 1)))
    cut_ms = ms(2024, 12, 21) + (31 * 1_440 - 60) * 2 // 3 * MINUTE_MS + 60 * MINUTE_MS - 20 * 1_440 * MINUTE_MS
    assert done.left == (OUTAGE, (cut_ms, ms(2024, 12, 22)))  # fewer bars than a page: not worth a file
    got = Candles.concat([p.candles for p in done.pages])
    assert same(
        got.between(ms(2024, 12, 22), ms(2025, 1)), TRUTH.candles("BTC/USDT", MINUTE, ms(2024, 12, 22), ms(2025, 1))
    )
    assert len(one.loaded) == 1 + 10
    assert one.loaded[1].endswith("2024-12-22.zip")


def test_file_that_is_refused_or_not_to_be_had_is_left_and_told(spoil: Spoil) -> None:
    one = shelf()
    spoil(path(3), "wrong_checksum")
    errors = {path(5): Retryable("no answer"), path(6): Permanent("denied")}
    one.failing = lambda url: next((e for p, e in errors.items() if url.endswith(p)), None)
    done = haul([one], WEEK)
    assert done.left == (
        (ms(2024, 12, 3), ms(2024, 12, 4)),
        (ms(2024, 12, 5), ms(2024, 12, 7)),
        OUTAGE,
    )
    assert [f.split(" ")[0].rpartition("/")[2] for f in done.findings] == [
        path(d).rpartition("/")[2] for d in (3, 5, 6)
    ]
    assert "CHECKSUM" in done.findings[0]
    assert done.downloads == 7 + 1


def test_failure_that_passes_costs_another_try() -> None:
    one, errors = shelf(), [Retryable("no answer")]
    one.failing = lambda url: errors.pop() if url.endswith(path(5)) and errors else None
    assert haul([one], WEEK).left == (OUTAGE,)


def test_second_archive_is_asked_for_what_the_first_lacks() -> None:
    told = layout("bybit", "swap")
    trades = layout("bybit", "swap", is_trades=True)
    first, second = shelf(told), shelf(trades)
    done = haul([first, second], (ms(2024, 12, 30), ms(2025, 1, 3)), fills_quiet=False)
    assert [url[-30:-7] for url in first.loaded] == ["1_2024-12-01_2024-12-31"]  # there are no shorter ones
    assert [url[-17:-7] for url in second.loaded] == ["2025-01-01", "2025-01-02"]
    assert done.left == ((ms(2025, 1) - 3 * HOUR_MS, ms(2025, 1)),)  # its clock ends the year early


def test_nothing_wanted_asks_nothing() -> None:
    one = shelf()
    assert haul([one], (WEEK[0], WEEK[0])) == ingest.Haul((), (), ())
    assert one.loaded == []


def test_parts_tell_their_files_and_reissues_are_found(spoil: Spoil) -> None:
    one = shelf()
    spoil(path(4), "stale")
    done = haul([one], WEEK)
    pages = [
        {"endpoint": p.endpoint, "sha256": p.sha256, "fetched_ts_ms": p.fetched_ts_ms, "query": ""} for p in done.pages
    ]
    rest = {"endpoint": "https://api.binance.com/api/v3/klines", "sha256": "0" * 64, "fetched_ts_ms": 1, "query": "x"}
    start_ms, end_ms = WEEK[0] + 5 * HOUR_MS, WEEK[1] - HOUR_MS
    provenance = {"start_ms": start_ms, "end_ms": end_ms, "timeframe": "1m", "pages": [*pages, rest]}
    files = ingest.known(provenance, [BINANCE], market(BINANCE))
    assert {f.url for f in files} == set(one.loaded)
    assert (files[0].start_ms, files[-1].end_ms) == (start_ms, end_ms)
    assert asyncio.run(ingest.reissued(one, files)) == []
    one.host.mend(path(4))
    [again] = asyncio.run(ingest.reissued(one, files))
    assert (again.start_ms, again.end_ms) == (ms(2024, 12, 4), ms(2024, 12, 5))


def test_files_that_may_still_come_are_awaited() -> None:
    whole = (ms(2024, 1), ms(2024, 12))
    assert ingest.awaited(GATE, HOUR, whole, now_ms=ms(2024, 12)) == [(ms(2024, 10), ms(2024, 12))]
    assert ingest.awaited(KUCOIN, MINUTE, whole, now_ms=ms(2024, 12)) == [(ms(2024, 12) - ingest.LATE_MS, ms(2024, 12))]
    assert ingest.awaited(GATE, parse("1w"), whole, now_ms=ms(2024, 12)) == []
    assert ingest.awaited(GATE, HOUR, whole, now_ms=ms(2026, 1)) == []


def test_refusal_is_raised_when_reissues_cannot_be_asked_for() -> None:
    class Silent(Shelf):
        async def is_reissued(self, known: object) -> bool:
            raise SchemaMismatch("no check sum")

    one = Silent(BINANCE, HOST)
    with pytest.raises(SchemaMismatch):
        asyncio.run(ingest.reissued(one, [ingest.Known("u", "0", 0, 0, 1)]))
    assert START_MS < WEEK[0] < END_MS
