"""Trades and points come whole, each once, however small the pages and whatever fails."""

from __future__ import annotations

import asyncio
from decimal import Decimal
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
from heliograph.ingest.series import _walk, fetch_series_shard, plan, timeframe_of
from heliograph.lake.store import open_store
from heliograph.sources.dialect import Data, SeriesRules, until_inclusive
from heliograph.sources.series import _first_trades
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

    def __init__(self, rows: Trades | Points, page_limit: int, failures: list[Exception] | None = None) -> None:
        self.rows = rows
        self._limit = page_limit
        self._failures = failures or []
        self.requests = 0

    def rules_of(self, data: Data) -> SeriesRules:
        return SeriesRules(self._limit, 64 * HOUR_MS, until_inclusive)

    async def fetch_page(self, data: Data, market: Market, start_ms: int, end_ms: int, now_ms: int) -> tuple[Any, int]:
        self.requests += 1
        if self._failures:
            raise self._failures.pop()
        if isinstance(self.rows, Trades):
            upto = self.rows.between(start_ms, 2**60).take(slice(0, self._limit))
            found, reached_ms = _first_trades(upto, self._limit, start_ms, end_ms)
            return SeriesPage(found, "https://x/trades", "", "0" * 64, now_ms), reached_ms
        inside = self.rows.between(start_ms, end_ms)
        is_full = len(inside) >= self._limit
        kept = Points.empty() if is_full else inside
        return SeriesPage(kept, "https://x/points", "", "0" * 64, now_ms), start_ms if is_full else end_ms


async def sleepless(_: float) -> None:
    return


PATIENCE = Patience(3, np.random.default_rng(0), sleepless)


def walked(source: FakeSeries, data: Data, interval: tuple[int, int]) -> Any:
    return asyncio.run(_walk(source, data, MARKET, interval, now_ms=NOW_MS, patience=PATIENCE))


@given(stamps=st.lists(st.integers(0, 500), max_size=60), limit=st.integers(8, 20), start=st.integers(0, 200))
@settings(deadline=None)
def test_every_trade_of_the_interval_comes_once(stamps: list[int], limit: int, start: int) -> None:
    stamps = [s for s in stamps if stamps.count(s) < limit - 1]
    source = FakeSeries(trades_at(stamps), limit)
    told = walked(source, "trades", (start, 400))
    ids = [i for page in told.pages for i in page.rows.ids]
    assert told.failure is None
    assert ids == [i for t, i in zip(source.rows.ts_ms, source.rows.ids, strict=True) if start <= t < 400]


@given(hours=st.sets(st.integers(0, 300), max_size=80), limit=st.integers(2, 20), start=st.integers(0, 100))
@settings(deadline=None)
def test_every_point_of_the_interval_comes_once(hours: set[int], limit: int, start: int) -> None:
    source = FakeSeries(points_at([h * HOUR_MS for h in hours]), limit)
    told = walked(source, "funding", (start * HOUR_MS, 200 * HOUR_MS))
    found = [int(t) for page in told.pages for t in page.rows.event_ts_ms]
    assert told.failure is None
    assert found == [h * HOUR_MS for h in sorted(hours) if start <= h < 200]


def test_more_trades_of_one_moment_than_a_page_holds_end_the_walk_with_a_reason() -> None:
    told = walked(FakeSeries(trades_at([50] * 30), 8), "trades", (0, 400))
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
    source = FakeSeries(points_at([8 * HOUR_MS, 16 * HOUR_MS]), 100, failures)
    row = {"venue": "fake", "timeframe": timeframe_of("funding"), "symbol": MARKET.symbol, "pages": 1}
    row |= {"start_ms": 0, "end_ms": DAY_MS}
    store = open_store(LakeSettings(uri=str(tmp_path)))
    rows = asyncio.run(
        fetch_series_shard(source, store, row, data="funding", market=MARKET, now_ms=NOW_MS, patience=PATIENCE)
    )
    assert [r["status"] for r in rows] == statuses
    assert sum(r["requests"] for r in rows) == source.requests


@given(
    spans=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60)), max_size=4),
    covered=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=4),
)
@settings(deadline=None)
def test_plan_is_what_is_wanted_and_not_covered(spans: list[tuple[int, int]], covered: list[tuple[int, int]]) -> None:
    timeframe = timeframe_of("funding")
    selections = [Selection(data=("funding",), start_ms=s * DAY_MS, end_ms=(s + n) * DAY_MS) for s, n in spans]
    rows = [("fake", timeframe, MARKET.symbol, s * DAY_MS, (s + n) * DAY_MS, "have", 1, 1, "") for s, n in covered]
    table = pa.Table.from_pylist([dict(zip(COVERAGE.names, r, strict=True)) for r in rows], schema=COVERAGE)
    series: dict[Data, SeriesRules] = {"funding": SeriesRules(100, 33 * DAY_MS, until_inclusive)}
    planned = plan(series, [MARKET], {"funding": table}, selections, now_ms=NOW_MS)["funding"].to_pylist()
    held = {d for s, n in covered for d in range(s, s + n)}
    wanted = {d for s, n in spans for d in range(s, s + n)} - held
    days = [d for r in planned for d in range(r["start_ms"] // DAY_MS, -(-r["end_ms"] // DAY_MS))]
    assert sorted(days) == sorted(d for d in wanted if d < 100)
    assert all(r["pages"] >= 1 and r["end_ms"] <= NOW_MS for r in planned)
