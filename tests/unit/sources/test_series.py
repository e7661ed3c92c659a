"""What comes out of an answer of trades, funding rates or open interest, and what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import SchemaMismatch
from heliograph.core.series import Points, Trades
from heliograph.core.timeframe import HOUR_MS
from heliograph.sources import catalog
from heliograph.sources.dialect import Data, SeriesRules, until_inclusive
from heliograph.sources.series import _call, _least_weight, _points, _Raised, _trades, first_rows
from heliograph.testing.fakes import market

TRADE: dict[str, Any] = {"timestamp": 5, "price": 2.5, "amount": 0.1, "side": "buy", "id": "a"}
RATE: dict[str, Any] = {"timestamp": 5, "fundingRate": -0.0000125}
INTEREST: dict[str, Any] = {"timestamp": 5, "baseVolume": None, "openInterestAmount": None, "openInterestValue": None}


def asked(page_limit: int, *, seeks_first: bool) -> SeriesRules:
    return SeriesRules(page_limit, 64 * HOUR_MS, until_inclusive, seeks_first=seeks_first)


@given(
    stamps=st.lists(st.integers(0, 60), max_size=40),
    limit=st.integers(2, 12),
    interval=st.tuples(st.integers(0, 50), st.integers(1, 30)),
    seeks_first=st.booleans(),
)
def test_answer_is_whole_up_to_where_it_answers(
    stamps: list[int], limit: int, interval: tuple[int, int], seeks_first: bool
) -> None:
    start_ms, end_ms = interval[0], sum(interval)
    told = [TRADE | {"timestamp": t, "id": str(i)} for i, t in enumerate(sorted(stamps)) if start_ms <= t < end_ms]
    page = told[:limit] if seeks_first else told[-limit:]
    rules = asked(limit, seeks_first=seeks_first)
    is_full = len(page) == limit
    if seeks_first and is_full and page[-1]["timestamp"] == start_ms:
        with pytest.raises(SchemaMismatch, match="can't be told apart"):
            first_rows(_trades(page), rules, start_ms, end_ms, is_full=is_full)
        return
    rows, reached_ms = first_rows(_trades(page), rules, start_ms, end_ms, is_full=is_full)
    assert start_ms <= reached_ms <= end_ms
    assert reached_ms > start_ms or not seeks_first
    assert rows.ids.tolist() == [t["id"] for t in told if t["timestamp"] < reached_ms]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"timestamp": None}, "lacks its time"),
        ({"price": None}, "the row at 5 has a price that is not above zero"),
        ({"price": 0.0}, "a price that is not above zero"),
        ({"price": float("nan")}, "a price that is not above zero"),
        ({"amount": -1.0}, "a quantity below zero"),
        ({"amount": None}, "a quantity below zero"),
        ({"side": None}, "no side"),
    ],
)
def test_trade_that_is_none_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SchemaMismatch, match=says):
        _trades([TRADE, TRADE | {"id": "b"} | wrong])


@pytest.mark.parametrize(
    ("data", "row"),
    [
        ("funding", RATE | {"fundingRate": None}),
        ("funding", RATE | {"fundingRate": float("inf")}),
        ("funding", RATE | {"timestamp": None}),
        ("funding", RATE | {"fundingRate": "soon"}),
        ("open_interest", INTEREST),
        ("open_interest", INTEREST | {"baseVolume": -1.0}),
    ],
)
def test_point_that_is_none_is_refused(data: Data, row: dict[str, Any]) -> None:
    with pytest.raises(SchemaMismatch):
        _points([row], data)


def test_coins_come_before_contracts_and_those_before_value() -> None:
    said = INTEREST | {"baseVolume": 3.0, "openInterestAmount": 30.0, "openInterestValue": 9e6}
    rows = [said, said | {"baseVolume": None, "timestamp": 6}]
    rows.append(rows[1] | {"openInterestAmount": None, "timestamp": 7})
    assert _points(rows, "open_interest").value.tolist() == [3.0, 30.0, 9e6]


def test_rate_is_known_when_it_is_charged_and_interest_an_hour_after_its_stamp() -> None:
    assert _points([RATE], "funding").known_ts_ms.tolist() == [5]
    assert _points([INTEREST | {"baseVolume": 1.0}], "open_interest").known_ts_ms.tolist() == [5 + HOUR_MS]


def test_empty_answers_are_no_rows() -> None:
    assert len(_trades([])) == len(_points([], "funding")) == len(_points([], "open_interest")) == 0


def test_start_of_the_venues_own_leaves_nothing_for_ccxt_to_cut() -> None:
    """Kraken's stamps are doubles of seconds: what ccxt filters by time could make a full page look short."""
    kraken = catalog.dialect("kraken").series["trades"]
    name, _, since, limit, params = _call("trades", kraken, market("BTC/USD"), 1_700_000_000_000, 1_700_000_100_000)
    assert (name, since, limit) == ("fetch_trades", None, 1_000)
    assert params == {"since": "1699999999999999000"}
    assert kraken.params(0, 1) == {"since": "0"}


def test_call_costs_at_least_what_its_endpoint_takes() -> None:
    class Purse:
        def __init__(self) -> None:
            self.seen: list[tuple[str, float]] = []

        async def __call__(self, weight: float) -> None:
            self.seen.append(("take", weight))

        def pause(self, seconds: float) -> None:
            self.seen.append(("pause", seconds))

        def used(self, weight: float) -> None:
            self.seen.append(("used", weight))

    purse = Purse()
    budget = _Raised(purse)

    async def call(least: float) -> None:
        _least_weight.set(least)
        await asyncio.sleep(0)
        await budget(5.0)

    async def story() -> None:
        await asyncio.gather(call(24.0), call(0.0), call(5.0))
        budget.pause(3.0)
        budget.used(7.0)

    asyncio.run(story())
    assert purse.seen == [("take", 24.0), ("take", 5.0), ("take", 5.0), ("pause", 3.0), ("used", 7.0)]


@pytest.mark.parametrize("data", ["trades", "funding"])
def test_rows_are_told_ascending_whatever_their_order(data: Data) -> None:
    told = [(TRADE if data == "trades" else RATE) | {"timestamp": t, "id": str(t)} for t in (9, 3, 6)]
    rows = _trades(told) if data == "trades" else _points(told, data)
    times = rows.ts_ms if isinstance(rows, Trades) else rows.event_ts_ms
    assert isinstance(rows, Trades | Points)
    assert np.all(np.diff(times) > 0)
