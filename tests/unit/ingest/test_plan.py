"""The plan: only what is wanted, possible, closed and not there."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.config.settings import Selection
from heliograph.core import timeframe
from heliograph.core.errors import ConfigError
from heliograph.core.market import Market
from heliograph.core.schema import COVERAGE, PLAN
from heliograph.ingest.plan import BYTES_PER_CANDLE, Catalogue, History, Plan, forward, least_pages, outline, plan
from heliograph.ingest.select import require_matches
from heliograph.testing import fakes

HOUR_MS = 3_600_000
NOTHING = COVERAGE.empty_table()
ALL = Selection()


def _plan(
    *markets: Market,
    now_h: float = 100,
    coverage: pa.Table = NOTHING,
    selection: Selection = ALL,
    history: dict[tuple[str, str], History] | None = None,
    pages_per_shard: int = 3,
    **rules: object,
) -> Plan:
    catalogue = Catalogue(
        fakes.rules(**rules), markets or (fakes.market("A/B"),), round(now_h * HOUR_MS), history or {}
    )  # type: ignore[arg-type]
    return plan([catalogue], coverage, [selection], pages_per_shard=pages_per_shard)


def _hours(table: pa.Table) -> list[tuple[float, float]]:
    return [
        (a / HOUR_MS, b / HOUR_MS)
        for a, b in zip(*(table.column(n).to_pylist() for n in ("start_ms", "end_ms")), strict=True)
    ]


def _reasons(made: Plan) -> list[tuple[str, float, float]]:
    return [(s, *i) for s, i in zip(made.reasons.column("status").to_pylist(), _hours(made.reasons), strict=True)]


def _covered(*rows: tuple[int, int, str]) -> pa.Table:
    full = [("fake", "1h", "A/B", a * HOUR_MS, b * HOUR_MS, status, 0, 0, "") for a, b, status in rows]
    return pa.Table.from_pylist([dict(zip(COVERAGE.names, r, strict=True)) for r in full], schema=COVERAGE)


def test_shards_are_whole_pages_and_cover_all_once() -> None:
    made = _plan()
    assert made.shards.schema == PLAN
    assert _hours(made.shards) == [(0, 30), (30, 60), (60, 90), (90, 100)]
    assert made.shards.column("pages").to_pylist() == [3, 3, 3, 1]


def test_only_closed_and_settled_bars_are_planned() -> None:
    assert _hours(_plan(now_h=5.5).shards) == [(0, 5)]
    assert _hours(_plan(now_h=5, close_delay_ms=1).shards) == [(0, 4)]


def test_selection_is_cut_to_the_grid() -> None:
    inside = Selection(start_ms=HOUR_MS + 1, end_ms=4 * HOUR_MS + 1)
    assert _hours(_plan(selection=inside).shards) == [(2, 5)]


def test_what_is_covered_is_not_planned_and_what_failed_is() -> None:
    made = _plan(coverage=_covered((0, 40, "have"), (40, 50, "fetch_failed"), (50, 95, "no_trades")))
    assert _hours(made.shards) == [(40, 50), (95, 100)]


def test_listing_time_cuts_the_beginning() -> None:
    made = _plan(fakes.market("A/B", listed_ts_ms=20 * HOUR_MS + 7))
    assert _hours(made.shards)[0] == (20, 50)
    assert _reasons(made) == [("not_listed", 0, 20)]


def test_first_candle_cuts_the_beginning() -> None:
    made = _plan(history={("A/B", "1h"): History(95 * HOUR_MS)})
    assert (_hours(made.shards), _reasons(made)) == ([(95, 100)], [("not_listed", 0, 95)])


def test_market_without_any_candle_is_not_listed_yet() -> None:
    made = _plan(history={("A/B", "1h"): History(None)})
    assert (_hours(made.shards), _reasons(made)) == ([], [("not_listed", 0, 100)])


def test_horizon_cuts_what_the_venue_no_longer_gives() -> None:
    made = _plan(horizon_candles=12)
    assert (_hours(made.shards), _reasons(made)) == ([(88, 100)], [("beyond_history", 0, 88)])


def test_delisted_market_ends_at_its_last_candle() -> None:
    dead = fakes.market("A/B", is_active=False)
    made = _plan(dead, history={("A/B", "1h"): History(10 * HOUR_MS, end_ms=15 * HOUR_MS)})
    assert _hours(made.shards) == [(10, 15)]
    assert _reasons(made) == [("not_listed", 0, 10), ("delisted", 15, 100)]


def test_delisted_stays_delisted_without_asking() -> None:
    made = _plan(fakes.market("A/B", is_active=False), coverage=_covered((0, 50, "have"), (50, 90, "delisted")))
    assert (_hours(made.shards), _reasons(made)) == ([], [("delisted", 90, 100)])


def test_delisted_before_candles_that_we_have_ends_nothing() -> None:
    dead = fakes.market("A/B", is_active=False)
    made = _plan(dead, coverage=_covered((0, 20, "delisted"), (20, 50, "have")))
    assert _hours(made.shards) == [(50, 80), (80, 100)]


def test_unreachable_history_is_a_failure_and_not_a_guess() -> None:
    made = _plan(history={("A/B", "1h"): History(None, failure="VenueTimeout: x")})
    assert (_hours(made.shards), _reasons(made)) == ([], [("fetch_failed", 0, 100)])


def test_second_plan_after_all_is_covered_is_empty() -> None:
    made = _plan(coverage=_covered((0, 100, "have")))
    assert made.shards.num_rows == made.reasons.num_rows == 0


def test_two_selections_do_not_plan_the_same_twice() -> None:
    catalogue = Catalogue(fakes.rules(), (fakes.market("A/B"),), 100 * HOUR_MS)
    both = [Selection(end_ms=50 * HOUR_MS), Selection(start_ms=40 * HOUR_MS)]
    assert _hours(plan([catalogue], NOTHING, both, pages_per_shard=9).shards) == [(0, 50), (50, 100)]


def test_months_are_cut_at_months() -> None:
    month = timeframe.parse("1M")
    made = _plan(now_h=24 * 365 * 3, selection=Selection(timeframes=("1M",)), pages_per_shard=1)
    starts = made.shards.column("start_ms").to_pylist()
    assert all(month.floor(s) == s for s in starts)
    assert made.shards.column("pages").to_pylist() == [1, 1, 1, 1]
    assert _plan(now_h=24 * 365 * 3, selection=Selection(timeframes=("1M",)), horizon_candles=3).shards.num_rows == 1


def test_wrong_names_are_told() -> None:
    with pytest.raises(ConfigError, match="A/B"):
        require_matches([(fakes.rules(), [fakes.market("A/B")])], [Selection(symbols=("A/C",))])


@given(
    name=st.sampled_from(["1m", "1h", "1w", "1M"]),
    first=st.integers(0, 400),
    bars=st.integers(1, 3_000),
    page_limit=st.integers(1, 200),
    pages_per_shard=st.integers(1, 20),
)
def test_shards_cover_an_interval_in_whole_pages(name, first, bars, page_limit, pages_per_shard) -> None:
    frame = timeframe.parse(name)
    bars = bars // 20 + 1 if frame.is_calendar else bars
    start_ms = forward(frame, frame.ceil(0), first)
    end_ms = forward(frame, start_ms, bars)
    catalogue = Catalogue(
        fakes.rules(timeframes=(name,), page_limit=page_limit), (fakes.market("A/B"),), frame.next(end_ms)
    )
    selection = Selection(timeframes=(name,), start_ms=start_ms, end_ms=end_ms)
    rows = plan([catalogue], NOTHING, [selection], pages_per_shard=pages_per_shard).shards.to_pylist()
    assert [row["start_ms"] for row in rows] == [start_ms, *(row["end_ms"] for row in rows[:-1])]
    assert rows[-1]["end_ms"] == end_ms
    counts = [frame.count(row["start_ms"], row["end_ms"]) for row in rows]
    assert all(count == page_limit * pages_per_shard for count in counts[:-1])
    assert [row["pages"] for row in rows] == [-(-count // page_limit) for count in counts]
    assert sum(row["pages"] for row in rows) == least_pages(frame, start_ms, end_ms, page_limit=page_limit)


def test_outline_tells_what_a_plan_means_for_each_venue_and_kind() -> None:
    spot, swap = fakes.rules(venue="x"), replace(fakes.rules(venue="x"), kind="swap", weight_limit=1.0)
    found = [
        Catalogue(spot, (fakes.market("A/B", venue="x"), fakes.market("C/B", venue="x")), 100 * HOUR_MS),
        Catalogue(swap, (replace(fakes.market("A/B:B", venue="x"), kind="swap"),), 100 * HOUR_MS),
    ]
    made = plan(found, NOTHING, [Selection(timeframes=("1h", "1d"))], pages_per_shard=3)
    slow, fast = outline(made, {("x", "spot"): spot, ("x", "swap"): swap}, scales={"x": 0.5})
    assert (slow.kind, slow.symbols, slow.series, slow.shards, slow.requests) == ("swap", 1, 2, 5, 11)
    assert (slow.candles, slow.seconds) == (104, 11 / 0.5)
    assert (fast.kind, fast.symbols, fast.requests, fast.candles) == ("spot", 2, 22, 208)
    assert fast.size_bytes == round(208 * BYTES_PER_CANDLE)


def test_outline_of_nothing_is_empty() -> None:
    assert outline(_plan(coverage=_covered((0, 100, "have"))), {}, scales={}) == []
