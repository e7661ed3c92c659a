"""Trades and points come whole, each once, however small the pages and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings, Selection
from heliograph.core.errors import Permanent, Retryable, SchemaMismatch, SymbolGone
from heliograph.core.market import Market
from heliograph.core.schema import COVERAGE
from heliograph.core.series import Points, SeriesPage, Trades
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.ingest.page import Patience
from heliograph.ingest.series import (
    Told,
    _walk,
    fetch_series_shard,
    find_first,
    outline_of,
    plan,
    reasons,
    timeframe_of,
    unknown_begins,
)
from heliograph.lake.coverage import merge, subtract
from heliograph.lake.store import open_store
from heliograph.sources import catalog
from heliograph.sources.dialect import Data, SeriesRules, until_inclusive
from heliograph.sources.series import first_rows, settled_ms
from heliograph.testing.fakes import rules

MARKET = Market("fake", "A/B:B", "swap", "A", "B", Decimal(1), Decimal(1), Decimal(1))
NOW_MS = 100 * DAY_MS


def trades_at(stamps: list[int]) -> Trades:
    ts = np.asarray(sorted(stamps), dtype=np.int64)
    ones = np.ones(ts.size)
    return Trades(ts, ones, ones, ones > 0, np.asarray([str(i) for i in range(ts.size)], dtype=object))


def points_at(stamps: list[int]) -> Points:
    ts = np.asarray(sorted(set(stamps)), dtype=np.int64)
    return Points(ts, ts, ts / 7.0)


class FakeSeries:
    """Rows of one market; the pages of a real source, and failures on order."""

    rules = rules()

    def __init__(
        self,
        rows: Trades | Points,
        series: SeriesRules,
        failures: list[Exception] | None = None,
    ) -> None:
        self.rows = rows
        self._series = series
        self._failures = failures or []
        self.asked: list[tuple[int, int]] = []

    @property
    def requests(self) -> int:
        return len(self.asked)

    def rules_of(self, data: Data) -> SeriesRules:
        return self._series

    async def fetch_page(self, data: Data, market: Market, start_ms: int, end_ms: int, now_ms: int) -> tuple[Any, int]:
        self.asked.append((start_ms, end_ms))
        if self._failures:
            raise self._failures.pop()
        limit = self._series.page_limit
        found = self.rows.between(start_ms, 2**60 if isinstance(self.rows, Trades) else end_ms)
        page = found.take(slice(0, limit) if self._series.seeks_first else slice(max(len(found) - limit, 0), None))
        kept, reached_ms = first_rows(page, self._series, start_ms, end_ms, is_full=len(page) == limit)
        return SeriesPage(kept, "https://x/rows", "", "0" * 64, now_ms), reached_ms


def newest(page_limit: int, *, horizon_ms: int | None = None) -> SeriesRules:
    return SeriesRules(page_limit, 64 * HOUR_MS, until_inclusive, horizon_ms=horizon_ms)


def oldest(page_limit: int) -> SeriesRules:
    return SeriesRules(page_limit, 64 * HOUR_MS, until_inclusive, seeks_first=True)


async def sleepless(_: float) -> None:
    return


def coverage_of(days: list[tuple[int, int]]) -> pa.Table:
    """Funding of so many days from a day on is there."""
    key = ("fake", timeframe_of("funding"), MARKET.symbol)
    rows = [(*key, s * DAY_MS, (s + n) * DAY_MS, "have", 1, 1, "") for s, n in days]
    return pa.Table.from_pylist([dict(zip(COVERAGE.names, r, strict=True)) for r in rows], schema=COVERAGE)


FUNDING = Selection(data=("funding",))
NONE: dict[Data, pa.Table] = {"funding": COVERAGE.empty_table()}
PATIENCE = Patience(3, np.random.default_rng(0), sleepless)


def walked(source: FakeSeries, data: Data, interval: tuple[int, int]) -> Told:
    return asyncio.run(_walk(source, data, MARKET, interval, now_ms=NOW_MS, patience=PATIENCE))


def fetched(source: FakeSeries, folder: Path, data: Data = "funding", end_ms: int = DAY_MS) -> list[dict[str, Any]]:
    row = {"venue": "fake", "timeframe": timeframe_of(data), "symbol": MARKET.symbol, "pages": 1}
    row |= {"start_ms": 0, "end_ms": end_ms}
    store = open_store(LakeSettings(uri=str(folder)))
    return asyncio.run(
        fetch_series_shard(source, store, row, data=data, market=MARKET, now_ms=NOW_MS, patience=PATIENCE)
    )


@given(stamps=st.lists(st.integers(0, 500), max_size=60), limit=st.integers(8, 20), start=st.integers(0, 200))
@settings(deadline=None)
def test_every_trade_of_the_interval_comes_once(stamps: list[int], limit: int, start: int) -> None:
    stamps = [s for s in stamps if stamps.count(s) < limit - 1]
    source = FakeSeries(trades_at(stamps), oldest(limit))
    told = walked(source, "trades", (start, 400))
    ids = [i for page in told.pages if isinstance(page.rows, Trades) for i in page.rows.ids]
    assert told.failure is None
    assert ids == trades_at(stamps).between(start, 400).ids.tolist()


@pytest.mark.parametrize("series", [oldest, newest])
@given(hours=st.sets(st.integers(0, 300), max_size=80), limit=st.integers(2, 20), start=st.integers(0, 100))
@settings(deadline=None)
def test_every_point_of_the_interval_comes_once(
    series: Callable[[int], SeriesRules], hours: set[int], limit: int, start: int
) -> None:
    source = FakeSeries(points_at([h * HOUR_MS for h in hours]), series(limit))
    told = walked(source, "funding", (start * HOUR_MS, 200 * HOUR_MS))
    found = [int(t) for page in told.pages if isinstance(page.rows, Points) for t in page.rows.event_ts_ms]
    assert told.failure is None
    assert found == [h * HOUR_MS for h in sorted(hours) if start <= h < 200]


@given(hours=st.sets(st.integers(0, 5_000), max_size=80), limit=st.integers(3, 20))
@settings(deadline=None)
def test_venue_that_seeks_is_asked_for_no_page_that_can_be_empty(hours: set[int], limit: int) -> None:
    source = FakeSeries(points_at([h * HOUR_MS for h in hours]), oldest(limit))
    walked(source, "funding", (0, NOW_MS))
    held = sum(1 for h in hours if h * HOUR_MS < settled_ms("funding", NOW_MS))
    assert source.requests <= 1 + held // (limit - 1)


def test_page_that_overflows_is_asked_for_with_half_of_what_was_asked() -> None:
    source = FakeSeries(points_at(list(range(0, 10 * HOUR_MS, HOUR_MS))), newest(9))
    walked(source, "funding", (0, 10 * HOUR_MS))
    assert source.asked == [(0, 10 * HOUR_MS), (0, 5 * HOUR_MS), (5 * HOUR_MS, 10 * HOUR_MS)]


def test_nothing_later_than_now_is_asked_for() -> None:
    source = FakeSeries(points_at([NOW_MS - HOUR_MS, NOW_MS + HOUR_MS]), newest(9))
    told = walked(source, "funding", (NOW_MS - DAY_MS, NOW_MS + DAY_MS))
    assert (told.reached_ms, source.asked) == (NOW_MS, [(NOW_MS - DAY_MS, NOW_MS)])
    assert walked(source, "funding", (NOW_MS, NOW_MS + DAY_MS)).reached_ms == NOW_MS


@pytest.mark.parametrize("data", ["trades", "funding", "open_interest"])
def test_plan_ends_where_rows_may_still_change(data: Data) -> None:
    none: dict[Data, pa.Table] = {data: COVERAGE.empty_table()}
    wanted = [Selection(data=(data,), start_ms=NOW_MS - 3 * DAY_MS)]
    planned = plan({data: newest(9)}, [MARKET], none, wanted, now_ms=NOW_MS)[data]
    delay_ms = 600_000 + HOUR_MS * (data == "open_interest")
    assert max(planned.column("end_ms").to_pylist()) == settled_ms(data, NOW_MS) == NOW_MS - delay_ms


def test_more_trades_of_one_moment_than_a_page_holds_end_the_walk_with_a_reason() -> None:
    told = walked(FakeSeries(trades_at([50] * 30), oldest(8)), "trades", (0, 400))
    assert isinstance(told.failure, SchemaMismatch)
    assert told.reached_ms <= 50


@pytest.mark.parametrize(
    ("failures", "statuses"),
    [
        ([Retryable("a"), Retryable("b")], ["have"]),
        ([Retryable("a"), Retryable("b"), Retryable("c")], ["fetch_failed"]),
        ([Permanent("no")], ["fetch_failed"]),
        ([SymbolGone("gone")], ["fetch_failed"]),
    ],
)
def test_failure_is_a_row_and_never_an_exception(
    tmp_path: Path, failures: list[Exception], statuses: list[str]
) -> None:
    source = FakeSeries(points_at([8 * HOUR_MS, 16 * HOUR_MS]), newest(100), failures)
    rows = fetched(source, tmp_path)
    assert [r["status"] for r in rows] == statuses
    assert sum(r["requests"] for r in rows) == source.requests


def test_what_the_venue_keeps_no_more_is_beyond_history(tmp_path: Path) -> None:
    kept = list(range(5 * DAY_MS, 9 * DAY_MS, HOUR_MS))
    rows = fetched(FakeSeries(points_at(kept), newest(100, horizon_ms=60 * DAY_MS)), tmp_path, end_ms=9 * DAY_MS)
    assert [(r["status"], r["start_ms"], r["end_ms"], r["candles"]) for r in rows] == [
        ("beyond_history", 0, 5 * DAY_MS, 0),
        ("have", 5 * DAY_MS, 9 * DAY_MS, len(kept)),
    ]


def test_venue_without_a_horizon_has_what_it_did_not_send(tmp_path: Path) -> None:
    rows = fetched(FakeSeries(points_at([5 * DAY_MS]), newest(100)), tmp_path, end_ms=9 * DAY_MS)
    assert [(r["status"], r["start_ms"], r["end_ms"]) for r in rows] == [("have", 0, 9 * DAY_MS)]


def test_first_row_is_found_in_one_request_and_failures_are_raised() -> None:
    def find(source: FakeSeries) -> int | None:
        return asyncio.run(find_first(source, "funding", MARKET, now_ms=NOW_MS, patience=PATIENCE))

    source = FakeSeries(points_at([3 * DAY_MS, 4 * DAY_MS]), oldest(2))
    assert (find(source), source.requests) == (3 * DAY_MS, 1)
    assert find(FakeSeries(Points.empty(), oldest(2))) is None
    assert find(FakeSeries(points_at([DAY_MS]), newest(2))) == 0
    with pytest.raises(Permanent, match="no"):
        find(FakeSeries(Points.empty(), oldest(2), [Permanent("no")]))


def test_plan_begins_at_the_latest_of_listing_first_row_and_horizon() -> None:
    def start_ms(market: Market, series: SeriesRules, first_ms: int) -> int:
        begins: dict[tuple[Data, str], int] = {("funding", MARKET.symbol): first_ms}
        planned = plan({"funding": series}, [market], NONE, [FUNDING], now_ms=NOW_MS, begins=begins)["funding"]
        return int(min(planned.column("start_ms").to_pylist()))

    assert start_ms(MARKET, newest(9), 7 * DAY_MS) == 7 * DAY_MS
    assert start_ms(replace(MARKET, listed_ts_ms=8 * DAY_MS), newest(9), 7 * DAY_MS) == 8 * DAY_MS
    assert start_ms(MARKET, newest(9, horizon_ms=DAY_MS), 7 * DAY_MS) == NOW_MS - DAY_MS


@given(
    start=st.integers(0, 60),
    listed=st.none() | st.integers(0, 90),
    first=st.integers(0, 120),
    horizon=st.none() | st.integers(1, 120),
    covered=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=3),
)
@settings(deadline=None)
def test_plan_and_reasons_share_out_all_that_is_wanted(
    start: int, listed: int | None, first: int, horizon: int | None, covered: list[tuple[int, int]]
) -> None:
    market = replace(MARKET, listed_ts_ms=None if listed is None else listed * DAY_MS)
    series = newest(9, horizon_ms=None if horizon is None else horizon * DAY_MS)
    begins: dict[tuple[Data, str], int] = {("funding", MARKET.symbol): first * DAY_MS}
    wanted = [FUNDING.model_copy(update={"start_ms": start * DAY_MS})]
    held: dict[Data, pa.Table] = {"funding": coverage_of(covered)}
    answers = [
        make({"funding": series}, [market], held, wanted, now_ms=NOW_MS, begins=begins) for make in (plan, reasons)
    ]
    rows = [row for answer in answers for row in answer["funding"].to_pylist()]
    spans = sorted((r["start_ms"], r["end_ms"]) for r in rows)
    assert all(end <= after for (_, end), (after, _) in pairwise(spans))
    lacking = subtract(
        (start * DAY_MS, settled_ms("funding", NOW_MS)), merge([(s * DAY_MS, (s + n) * DAY_MS) for s, n in covered])
    )
    assert merge(spans) == merge(lacking)
    known_ms = {"not_listed": max(listed or 0, first) * DAY_MS, "beyond_history": NOW_MS - (horizon or 0) * DAY_MS}
    assert all(r["end_ms"] <= known_ms[r["status"]] for r in answers[1]["funding"].to_pylist())


def test_first_row_is_sought_only_where_nothing_tells_it() -> None:
    def sought(market: Market, series: SeriesRules, covered: list[tuple[int, int]]) -> list[tuple[Data, str]]:
        held: dict[Data, pa.Table] = {"funding": coverage_of(covered)}
        return unknown_begins({"funding": series}, [market], held, [FUNDING, FUNDING], now_ms=NOW_MS)

    assert sought(MARKET, oldest(9), []) == [("funding", MARKET.symbol)]
    assert sought(MARKET, oldest(9), [(5, 3)]) == [("funding", MARKET.symbol)]
    assert sought(MARKET, oldest(9), [(0, 3)]) == []
    assert sought(MARKET, newest(9), []) == []
    assert sought(replace(MARKET, listed_ts_ms=5), oldest(9), []) == []


@given(
    spans=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60)), max_size=4),
    covered=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=4),
)
@settings(deadline=None)
def test_plan_is_what_is_wanted_and_not_covered(spans: list[tuple[int, int]], covered: list[tuple[int, int]]) -> None:
    selections = [Selection(data=("funding",), start_ms=s * DAY_MS, end_ms=(s + n) * DAY_MS) for s, n in spans]
    table = coverage_of(covered)
    series: dict[Data, SeriesRules] = {"funding": SeriesRules(100, 33 * DAY_MS, until_inclusive)}
    planned = plan(series, [MARKET], {"funding": table}, selections, now_ms=NOW_MS)["funding"].to_pylist()
    held = {d for s, n in covered for d in range(s, s + n)}
    wanted = {d for s, n in spans for d in range(s, s + n)} - held
    days = [d for r in planned for d in range(r["start_ms"] // DAY_MS, -(-r["end_ms"] // DAY_MS))]
    assert sorted(days) == sorted(d for d in wanted if d < 100)
    assert all(r["pages"] >= 1 and r["end_ms"] <= NOW_MS for r in planned)


def test_outline_counts_what_a_call_really_takes() -> None:
    """Binance lets 500 calls for funding rates through in five minutes, whatever else its budget allows."""
    usdm = catalog.dialect("binanceusdm")
    wanted = [FUNDING.model_copy(update={"end_ms": 500 * usdm.series["funding"].span_ms})]
    market = replace(MARKET, venue="binanceusdm")
    rules: dict[Data, SeriesRules] = {"funding": usdm.series["funding"]}
    shards = plan(rules, [market], NONE, wanted, now_ms=10**15)["funding"]
    assert outline_of("funding", usdm.rules["swap"], shards, scale=1.0).seconds == pytest.approx(300)
