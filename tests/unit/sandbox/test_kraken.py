"""Kraken's trades and weeks on the wire, without a network; its candles are in test_venues."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, WEEK_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.kraken import Kraken
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape, Trade

T0 = 1_700_006_400_000
NOW = T0 + 1_000 * HOUR_MS


def bars() -> Candles:
    return Candles.of([[T0 + i * HOUR_MS, 100 + i, 101 + i, 99 + i, 100.5 + i, 1.25 + i / 8] for i in range(1_010)])


@pytest.fixture(scope="module")
def venue() -> Kraken:
    tape = Tape({"BTC/USDT": {"1h": bars()}, "ETH/USDT": {"1h": bars()}}, origin="")
    return Kraken.of(tape, VirtualClock(NOW, NOW + 5 * HOUR_MS))


def ask(venue: Kraken, path: str, **query: object) -> Any:
    request = Request("api.kraken.com", f"/0/public/{path}", {name: str(value) for name, value in query.items()})
    return orjson.loads(venue.answer(request).body)


def trades(venue: Kraken, **query: object) -> tuple[list[list[Any]], int]:
    result = ask(venue, "Trades", pair="XBTUSDT", **query)["result"]
    return result["XBTUSDT"], int(result["last"])


@pytest.fixture(scope="module")
def truth(venue: Kraken) -> list[Trade]:
    return venue.book.trades("BTC/USDT", 0, NOW + 1)


def test_trade_is_a_row_with_its_time_in_seconds(venue: Kraken, truth: list[Trade]) -> None:
    (row,), last_ns = trades(venue, since=(T0 - 1) * 1_000_000, count=1)
    side = "b" if truth[0].is_buy else "s"
    assert row == ["100.0", f"{truth[0].qty:.8f}", T0 / 1_000, side, "m", "", truth[0].id]
    assert last_ns == T0 * 1_000_000


def test_last_leads_through_all_trades_oldest_first_each_once(venue: Kraken, truth: list[Trade]) -> None:
    found: list[list[Any]] = []
    since, pages = 0, 0
    while True:
        page, last_ns = trades(venue, since=since)
        if not page:
            break
        found, since, pages = found + page, last_ns, pages + 1
    assert [row[6] for row in found] == [t.id for t in truth]
    assert pages == -(-len(truth) // 1_000)
    assert trades(venue, since=since) == ([], since)


def test_since_is_exclusive_and_may_be_in_seconds(venue: Kraken, truth: list[Trade]) -> None:
    assert trades(venue, since=truth[3].ts_ms * 1_000_000, count=1)[0][0][6] == truth[4].id
    assert trades(venue, since=T0 // 1_000, count=1)[0][0][6] == truth[1].id


def test_newest_thousand_come_without_since(venue: Kraken, truth: list[Trade]) -> None:
    assert [row[6] for row in trades(venue)[0]] == [t.id for t in truth[-1_000:]]
    assert len(trades(venue, count=5_000)[0]) == 1_000


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"pair": "GONE"}, "EQuery:Unknown asset pair"),
        ({"pair": "XBTUSDT", "since": "x"}, "EGeneral:Invalid arguments"),
        ({"pair": "XBTUSDT", "count": -1}, "EGeneral:Invalid arguments:count"),
    ],
)
def test_wrong_questions_are_refused(venue: Kraken, query: dict[str, Any], error: str) -> None:
    assert ask(venue, "Trades", **query) == {"error": [error]}


def test_trades_are_charged_apart_from_candles_and_by_pair(venue: Kraken) -> None:
    pools = {
        venue.charge(Request("api.kraken.com", f"/0/public/{path}", {"pair": pair})).pool
        for path in ("Trades", "OHLC")
        for pair in ("XBTUSDT", "ETHUSDT")
    }
    assert len(pools) == 4


def test_weeks_open_on_thursday(venue: Kraken) -> None:
    rows = ask(venue, "OHLC", pair="XBTUSDT", interval=10_080)["result"]["XBTUSDT"]
    assert len(rows) > 4
    assert {row[0] * 1_000 % WEEK_MS for row in rows} == {0}
    assert {datetime.fromtimestamp(row[0], tz=UTC).weekday() for row in rows} == {3}
