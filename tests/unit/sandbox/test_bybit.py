"""Bybit's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.bybit import Bybit
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 1_300 * HOUR_MS
QUIET = NOW - 100 * HOUR_MS  # BTC has no trade then
KLINE = "/v5/market/kline"


def bars(skip: tuple[int, ...] = (), count: int = 1_310) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def venue() -> Bybit:
    bases = {"BTC/USDT": {"1h": bars((QUIET,))}, "ETH/USDT": {"1h": bars()}, "LTC/USDT": {"1h": bars(count=800)}}
    return Bybit.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def get(venue: Bybit, path: str, **query: object) -> Any:
    request = Request("api.bybit.com", path, {name: str(value) for name, value in query.items()})
    return orjson.loads(venue.answer(request).body)


def rows(venue: Bybit, symbol: str = "BTCUSDT", category: str = "spot", **query: object) -> Any:
    return get(venue, KLINE, category=category, symbol=symbol, interval="60", **query)["result"]["list"]


def test_rows_descend_as_strings_and_both_bounds_are_inclusive(venue: Bybit) -> None:
    found = rows(venue, start=T0, end=T0 + HOUR_MS)
    assert found == [
        [str(T0 + HOUR_MS), "101.00", "102.50", "100.25", "101.50", "1.501", "152.07006250"],
        [str(T0), "100.00", "101.50", "99.25", "100.50", "1.500", "150.46875000"],
    ]


def test_bar_that_holds_the_start_is_inside(venue: Bybit) -> None:
    assert [row[0] for row in rows(venue, start=T0 + 1, end=T0 + 2)] == [str(T0)]


def test_page_holds_the_newest_200_by_default_and_1000_at_most(venue: Bybit) -> None:
    assert len(rows(venue, start=T0, end=NOW)) == 200
    found = rows(venue, start=T0, end=NOW, limit=5_000)
    assert (len(found), int(found[0][0])) == (1_000, NOW)


def test_quiet_bar_is_flat(venue: Bybit) -> None:
    found = rows(venue, start=QUIET, end=QUIET)
    assert found[0][5] == "0.000"
    assert len(set(found[0][1:5])) == 1


def test_swaps_have_names_and_volumes_of_their_own(venue: Bybit) -> None:
    names = [
        m["symbol"] for m in get(venue, "/v5/market/instruments-info", category="linear", limit=1_000)["result"]["list"]
    ]
    assert names == ["BTCUSDT", "ETHUSDT", "BTCPERP"]
    for name in ("BTCUSDT", "BTCPERP"):
        assert rows(venue, name, "linear", start=T0, end=T0)[0][5] == "4.500"


def test_only_markets_that_trade_are_listed_unless_the_closed_are_asked_for(venue: Bybit) -> None:
    info = "/v5/market/instruments-info"
    assert [m["symbol"] for m in get(venue, info, category="spot")["result"]["list"]] == ["BTCUSDT", "ETHUSDT"]
    closed = get(venue, info, category="linear", status="Closed")["result"]["list"]
    assert [(m["symbol"], m["status"]) for m in closed] == [("LTCUSDT", "Closed")]
    assert get(venue, info, category="linear", status="PreLaunch")["result"]["list"] == []
    assert rows(venue, "LTCUSDT", start=T0, end=T0)[0][0] == str(T0), "their history stays"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"category": "spot", "symbol": "NOPE", "interval": "60"}, "Not supported symbols"),
        ({"category": "linear", "symbol": "NOPE", "interval": "60"}, "params error: Symbol Invalid"),
        ({"category": "spot", "symbol": "BTCUSDT", "interval": "7"}, "Invalid period!"),
        ({"category": "spot", "symbol": "BTCUSDT", "interval": "60", "start": "x"}, "Request parameter error."),
    ],
)
def test_wrong_request_is_10001_in_a_200(venue: Bybit, query: dict[str, str], said: str) -> None:
    answer = get(venue, KLINE, **query)
    assert (answer["retCode"], answer["retMsg"]) == (10001, said)


def test_an_address_that_asks_too_much_is_banned_in_plain_words(venue: Bybit) -> None:
    reply = venue.refuse("ban", retry_after_s=1.0)
    assert (reply.status, reply.body) == (403, b"403, access too frequent")
    assert (venue.charge(Request("api.bybit.com", KLINE, {})).limit, venue.charge(Request("", "/", {})).window_s) == (
        600,
        5,
    )


def hear(venue: Bybit, **frame: object) -> Any:
    talk = venue.hear(orjson.dumps(frame).decode())
    return [orjson.loads(reply) for reply in talk.replies], talk


def test_only_the_sockets_path_tells_spot_from_linear(venue: Bybit) -> None:
    for path, symbol in (("/v5/public/spot", "BTC/USDT"), ("/v5/public/linear", "BTC/USDT:USDT")):
        replies, talk = hear(venue.at(path), op="subscribe", req_id="1", args=["kline.60.BTCUSDT"])
        assert [(t.symbol, t.timeframe.name) for t in talk.begun] == [(symbol, "1h")]
        assert (replies[0]["success"], replies[0]["req_id"]) == (True, "1")
        assert replies[1]["topic"] == "kline.60.BTCUSDT"
        assert replies[1]["data"][0] | {"confirm": False, "interval": "60", "start": NOW} == replies[1]["data"][0]


def test_spot_takes_ten_topics_at_once(venue: Bybit) -> None:
    args = [
        f"kline.{minutes}.{name}" for name in ("BTCUSDT", "ETHUSDT") for minutes in ("1", "3", "5", "15", "30", "60")
    ]
    replies, talk = hear(venue, op="subscribe", args=args)
    assert (replies[0]["ret_msg"], talk.begun) == ("args size >10", ())
    assert len(hear(venue.at("/v5/public/linear"), op="subscribe", args=args)[1].begun) == 12


def test_unknown_topic_refuses_the_whole_frame(venue: Bybit) -> None:
    replies, talk = hear(venue, op="subscribe", args=["kline.60.BTCUSDT", "kline.60.NOPE"])
    assert (replies[0]["success"], replies[0]["ret_msg"], talk.begun) == (False, "Invalid symbol :[kline.60.NOPE]", ())


def test_pings_are_answered_and_topics_end(venue: Bybit) -> None:
    assert hear(venue, op="ping", req_id="7")[0][0]["ret_msg"] == "pong"
    assert [t.symbol for t in hear(venue, op="unsubscribe", args=["kline.D.ETHUSDT"])[1].ended] == ["ETH/USDT"]
