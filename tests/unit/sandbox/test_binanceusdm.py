"""Binance's perpetuals on the wire, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.exchange.binanceusdm import BinanceUsdm
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 1_700 * HOUR_MS
KLINES = "/fapi/v1/klines"


@pytest.fixture(scope="module")
def venue() -> BinanceUsdm:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(1_710)]
    bases = {"BTC/USDT": {"1h": Candles.of(rows)}, "LTC/USDT": {"1h": Candles.of(rows[:800])}}
    return BinanceUsdm.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def get(venue: BinanceUsdm, path: str, **query: object) -> Any:
    request = Request("fapi.binance.com", path, {name: str(value) for name, value in query.items()})
    return orjson.loads(venue.answer(request).body)


def test_both_bounds_are_inclusive_and_numbers_have_the_markets_decimals(venue: BinanceUsdm) -> None:
    found = get(venue, KLINES, symbol="BTCUSDT", interval="1h", startTime=T0, endTime=T0 + HOUR_MS)
    assert [row[0] for row in found] == [T0, T0 + HOUR_MS]
    assert found[0][1:7] == ["100.00", "101.50", "99.25", "100.50", "4.500", T0 + HOUR_MS - 1]


def test_page_holds_the_oldest_500_from_a_start_and_1500_at_most(venue: BinanceUsdm) -> None:
    assert [row[0] for row in get(venue, KLINES, symbol="BTCUSDT", interval="1h", limit=2)] == [NOW - HOUR_MS, NOW]
    for limit, count in (({}, 500), ({"limit": 499}, 499), ({"limit": 9_999}, 1_500)):
        found = get(venue, KLINES, symbol="BTCUSDT", interval="1h", startTime=0, **limit)
        assert (len(found), found[0][0]) == (count, T0)


@pytest.mark.parametrize(("limit", "weight"), [("99", 1), ("100", 2), ("499", 2), ("500", 5), ("1001", 10), ("", 5)])
def test_weight_grows_with_the_limit(venue: BinanceUsdm, limit: str, weight: float) -> None:
    charge = venue.charge(Request("fapi.binance.com", KLINES, {"limit": limit} if limit else {}))
    assert (charge.weight, charge.limit, charge.window_s) == (weight, 2_400.0, 60.0)


def test_perpetuals_and_spot_are_venues_of_their_own(venue: BinanceUsdm) -> None:
    built = tuple(venues.build(venue.book.tape, VirtualClock(NOW, NOW)).values())
    owners = {
        host: venues.owner_of(host, built) for host in ("fapi.binance.com", "fstream.binance.com", "api.binance.com")
    }
    assert [v.name if v else None for v in owners.values()] == ["binanceusdm", "binanceusdm", "binance"]


def test_halted_market_is_settling(venue: BinanceUsdm) -> None:
    info = {m["symbol"]: m["status"] for m in get(venue, "/fapi/v1/exchangeInfo")["symbols"]}
    assert info == {"BTCUSDT": "TRADING", "LTCUSDT": "SETTLING"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "NOPE", "interval": "1h"}, -1121),
        ({"symbol": "BTCUSDT", "interval": "7h"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1h", "limit": "x"}, -1102),
    ],
)
def test_wrong_request_gets_a_code(venue: BinanceUsdm, query: dict[str, str], code: int) -> None:
    assert get(venue, KLINES, **query)["code"] == code


def test_kline_events_say_whether_the_bar_has_closed(venue: BinanceUsdm) -> None:
    subscribe = orjson.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1h", "nope@kline_1h"], "id": 1}).decode()
    talk = venue.hear(subscribe)
    assert [t.symbol for t in talk.begun] == ["BTC/USDT:USDT"]
    assert orjson.loads(talk.replies[0]) == {"result": None, "id": 1}
    kline = orjson.loads(talk.replies[1])["k"]
    assert (kline["s"], kline["i"], kline["t"], kline["x"]) == ("BTCUSDT", "1h", NOW, False)
    assert venue.hear(subscribe.replace("SUBSCRIBE", "UNSUBSCRIBE")).ended == talk.begun
    assert "unknown method" in venue.hear('{"method":"DANCE"}').replies[0]
