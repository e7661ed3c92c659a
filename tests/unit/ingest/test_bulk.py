"""Archives take whole stretches of a plan; nothing is planned twice, and nothing is lost between the two."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.market import Market, VenueRules
from heliograph.core.schema import COVERAGE, PLAN
from heliograph.core.timeframe import DAY_MS, MINUTE_MS, parse
from heliograph.ingest.bulk import carve, chosen
from heliograph.ingest.plan import Plan
from heliograph.lake.coverage import merge
from heliograph.sources import catalog
from heliograph.sources.archive.venues import layouts

NOW_MS = 1_750_000_000_000  # June 2025
BITCOIN = Market("binance", "BTC/USDT", "spot", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5))
BINANCE = catalog.rules("binance")


def planned(start_ms: int, end_ms: int, beyond_ms: int, *, rules: VenueRules, timeframe: str) -> Plan:
    key = (rules.venue, timeframe, "BTC/USDT")
    shards = [(*key, start_ms, end_ms, 1)] if start_ms < end_ms else []
    reasons = [(*key, start_ms - beyond_ms, start_ms, "beyond_history", 0, 0, "why")] if beyond_ms else []
    return Plan(
        pa.Table.from_pylist([dict(zip(PLAN.names, r, strict=True)) for r in shards], schema=PLAN),
        pa.Table.from_pylist([dict(zip(COVERAGE.names, r, strict=True)) for r in reasons], schema=COVERAGE),
    )


def spans(*tables: pa.Table) -> list[tuple[int, int]]:
    return [(r["start_ms"], r["end_ms"]) for t in tables for r in t.to_pylist()]


@given(
    start=st.integers(0, 900),
    days=st.integers(0, 500),
    beyond=st.integers(0, 300),
    venue=st.sampled_from(["binance", "gate"]),
)
def test_the_two_halves_are_the_plan_and_share_nothing(start: int, days: int, beyond: int, venue: str) -> None:
    start_ms = NOW_MS // DAY_MS * DAY_MS - (start + days) * DAY_MS
    rules, market = catalog.rules(venue), replace(BITCOIN, venue=venue)
    plan = planned(start_ms, start_ms + days * DAY_MS, beyond * DAY_MS, rules=rules, timeframe="1m")
    told = carve(plan, rules, {"BTC/USDT": market}, layouts(venue, "spot"), now_ms=NOW_MS, pages_per_shard=20)
    pieces = spans(told.bulk, told.rest.shards, told.rest.reasons)
    assert merge(pieces) == merge(spans(plan.shards, plan.reasons))
    assert sum(b - a for a, b in pieces) == sum(b - a for a, b in spans(plan.shards, plan.reasons)), "nothing twice"
    assert all(r["pages"] >= 2 for r in told.bulk.to_pylist())


def test_old_minutes_come_from_files_and_the_newest_over_rest() -> None:
    start_ms = NOW_MS // DAY_MS * DAY_MS - 200 * DAY_MS
    plan = planned(start_ms, NOW_MS // MINUTE_MS * MINUTE_MS, 0, rules=BINANCE, timeframe="1m")
    told = carve(plan, BINANCE, {"BTC/USDT": BITCOIN}, layouts("binance", "spot"), now_ms=NOW_MS, pages_per_shard=20)
    assert sum(b - a for a, b in spans(told.bulk)) > 190 * DAY_MS
    assert max(b for _, b in spans(told.rest.shards)) == NOW_MS // MINUTE_MS * MINUTE_MS


@pytest.mark.parametrize(("name", "is_worth_it"), [("1m", True), ("5m", True), ("1h", False), ("1d", False)])
def test_file_that_replaces_few_pages_is_not_worth_it(name: str, is_worth_it: bool) -> None:
    assert (chosen(layouts("binance", "spot"), BITCOIN, parse(name), BINANCE) is not None) == is_worth_it


def test_trades_are_made_into_candles_only_for_markets_that_the_venue_has_forgotten() -> None:
    rules, market = catalog.rules("bybit"), replace(BITCOIN, venue="bybit")
    assert chosen(layouts("bybit", "spot"), market, parse("1m"), rules) is None
    assert chosen(layouts("bybit", "spot"), replace(market, is_active=False), parse("1m"), rules) is not None


def test_files_reach_beyond_a_venues_own_history() -> None:
    rules, market = catalog.rules("gate"), replace(BITCOIN, venue="gate")
    end_ms = NOW_MS // DAY_MS * DAY_MS - 6 * DAY_MS
    plan = planned(end_ms, end_ms, 400 * DAY_MS, rules=rules, timeframe="1m")
    told = carve(plan, rules, {"BTC/USDT": market}, layouts("gate", "spot"), now_ms=NOW_MS, pages_per_shard=20)
    assert sum(b - a for a, b in spans(told.bulk)) > 350 * DAY_MS
