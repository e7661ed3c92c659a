"""Bitfinex's wire shape, without a network."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.bitfinex import Bitfinex
from heliograph.sandbox.exchange.wire import Reply, Request, Talk
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
COUNT = 10_050
NOW = T0 + COUNT * HOUR_MS
QUIET = NOW - 100 * HOUR_MS  # BTC has no trade then
HOST = "api-pub.bitfinex.com"


def bars(skip: tuple[int, ...] = (), count: int = COUNT + 20) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def venue() -> Bitfinex:
    bases = {
        "BTC/USDT": {"1h": bars((QUIET,))},
        "DOGE/USDT": {"1h": bars()},
        "LTC/USDT": {"1h": bars(count=800)},
    }
    return Bitfinex.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def get(venue: Bitfinex, path: str, **query: object) -> Reply:
    return venue.answer(Request(HOST, path, {name: str(value) for name, value in query.items()}))


def candles(venue: Bitfinex, key: str, **query: object) -> Any:
    return orjson.loads(get(venue, f"/v2/candles/trade:1h:{key}/hist", **query).body)


def hear(venue: Bitfinex, **frame: object) -> Talk:
    return venue.hear(orjson.dumps(frame).decode())


def test_close_stands_before_the_high_and_numbers_have_no_zeros_behind(venue: Bitfinex) -> None:
    reply = get(venue, "/v2/candles/trade:1h:tBTCUST/hist", start=T0, end=T0, sort=1)
    assert reply.body == b"[[1700006400000,100,100.5,101.5,99.25,1.5]]"


def test_both_bounds_are_inclusive(venue: Bitfinex) -> None:
    rows = candles(venue, "tDOGE:UST", start=T0, end=T0 + 2 * HOUR_MS, sort=1)
    assert [row[0] - T0 for row in rows] == [0, HOUR_MS, 2 * HOUR_MS]


def test_newest_come_first_unless_sorted(venue: Bitfinex) -> None:
    rows = candles(venue, "tBTCUST", start=T0, limit=3)
    assert [row[0] - NOW for row in rows] == [0, -HOUR_MS, -2 * HOUR_MS]
    rows = candles(venue, "tBTCUST", start=T0, limit=3, sort=1)
    assert [row[0] - T0 for row in rows] == [0, HOUR_MS, 2 * HOUR_MS]


def test_page_holds_100_by_default_and_10000_at_most(venue: Bitfinex) -> None:
    assert len(candles(venue, "tBTCUST")) == 100
    assert len(candles(venue, "tBTCUST", limit=10_000, start=0, sort=1)) == 10_000
    assert candles(venue, "tBTCUST", limit=10_001) == ["error", 10020, "limit: invalid"]


def test_quiet_bars_are_absent(venue: Bitfinex) -> None:
    rows = candles(venue, "tBTCUST", start=QUIET - HOUR_MS, end=QUIET + HOUR_MS, sort=1)
    assert [row[0] for row in rows] == [QUIET - HOUR_MS, QUIET + HOUR_MS]


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("trade:1h:tGONE:UST", {}, "symbol: invalid"),
        ("trade:7m:tBTCUST", {}, "timeframe: invalid"),
        ("funding:1h:tBTCUST", {}, "timeframe: invalid"),
        ("trade:1h:tBTCUST", {"start": "today"}, "start: invalid"),
    ],
)
def test_wrong_parameter_is_a_500_with_a_list(venue: Bitfinex, path: str, query: dict[str, str], message: str) -> None:
    reply = get(venue, f"/v2/candles/{path}/hist", **query)
    assert (reply.status, orjson.loads(reply.body)) == (500, ["error", 10020, message])


def test_configuration_answers_label_by_label(venue: Bitfinex) -> None:
    labels = "pub:info:pair,pub:info:pair:futures,pub:list:pair:securities,pub:list:pair:margin"
    spot, swaps, securities, margin = orjson.loads(get(venue, f"/v2/conf/{labels}").body)
    assert [name for name, _ in spot] == margin == ["BTCUST", "DOGE:UST"]
    assert [name for name, _ in swaps] == ["BTCF0:USTF0", "DOGEF0:USTF0"]
    assert spot[0][1][3:5] == ["0.001", "2000.0"]
    assert securities == []


def test_delisted_market_keeps_its_candles_but_no_name(venue: Bitfinex) -> None:
    (spot,) = orjson.loads(get(venue, "/v2/conf/pub:info:pair").body)
    assert "LTCUST" not in [name for name, _ in spot]
    assert candles(venue, "tLTCUST", start=T0, limit=1, sort=1)[0][0] == T0


def test_time_stands_in_the_date_header_only(venue: Bitfinex) -> None:
    reply = get(venue, "/v2/conf/pub:list:competitions")
    assert orjson.loads(reply.body) == [[]]
    assert parsedate_to_datetime(reply.headers["Date"]).timestamp() * 1000 == NOW


def test_each_endpoint_has_its_own_limit(venue: Bitfinex) -> None:
    charges = [
        venue.charge(Request(HOST, path, {}))
        for path in ("/v2/candles/trade:1h:tBTCUST/hist", "/v2/conf/x", "/v2/platform/status")
    ]
    assert [(c.pool, round(c.limit / c.weight), c.window_s) for c in charges] == [
        ("candles", 30, 60.0),
        ("conf", 90, 60.0),
        ("platform", 30, 60.0),
    ]


def test_subscription_has_a_number_and_starts_with_the_newest_bars_first(venue: Bitfinex) -> None:
    talk = hear(venue, event="subscribe", channel="candles", key="trade:1h:tBTCF0:USTF0")
    confirmed, snapshot = (orjson.loads(reply) for reply in talk.replies)
    number = confirmed["chanId"]
    assert confirmed == {"event": "subscribed", "channel": "candles", "chanId": number, "key": "trade:1h:tBTCF0:USTF0"}
    assert (snapshot[0], len(snapshot[1]), snapshot[1][0][0]) == (number, 100, NOW)
    assert [topic.symbol for topic in talk.begun] == ["BTC/USDT:USDT"]
    done = hear(venue, event="unsubscribe", chanId=str(number))
    assert orjson.loads(done.replies[0])["event"] == "unsubscribed"
    assert done.ended == talk.begun


@pytest.mark.parametrize(
    "frame",
    [
        {"event": "subscribe", "channel": "candles", "key": "trade:1h:tGONE"},
        {"event": "subscribe", "channel": "ticker", "symbol": "tBTCUST"},
        {"event": "unsubscribe", "chanId": 1},
        {"event": "sing"},
    ],
)
def test_wrong_frame_is_told_so(venue: Bitfinex, frame: dict[str, object]) -> None:
    talk = hear(venue, **frame)
    assert orjson.loads(talk.replies[0])["event"] == "error"
    assert not talk.begun + talk.ended


def test_greeting_and_ping(venue: Bitfinex) -> None:
    assert orjson.loads(venue.greet()[0])["platform"] == {"status": 1}
    assert orjson.loads(hear(venue, event="ping", cid=7).replies[0]) == {"event": "pong", "ts": NOW, "cid": 7}
