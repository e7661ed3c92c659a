"""KuCoin's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.kucoin import Kucoin
from heliograph.sandbox.exchange.wire import Reply, Request
from heliograph.sandbox.tape import Tape

T0 = 1_699_984_800_000
NOW = T0 + 1_700 * HOUR_MS
QUIET = NOW - 100 * HOUR_MS  # BTC has no trade then
SPOT, SWAP = ("api.kucoin.com", "/api/v1/market/candles"), ("api-futures.kucoin.com", "/api/v1/kline/query")


def bars(skip: tuple[int, ...] = (), count: int = 1_710) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def venue() -> Kucoin:
    bases = {"BTC/USDT": {"1h": bars((QUIET,))}, "ETH/USDT": {"1h": bars()}, "LTC/USDT": {"1h": bars(count=800)}}
    return Kucoin.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def ask(venue: Kucoin, where: tuple[str, str], **query: object) -> Reply:
    names = {"start": "from", "end": "to"}
    return venue.answer(Request(*where, {names.get(k, k): str(v) for k, v in query.items()}))


def data(venue: Kucoin, where: tuple[str, str], **query: object) -> Any:
    return orjson.loads(ask(venue, where, **query).body)["data"]


def spot(venue: Kucoin, start_ms: int, end_ms: int, interval: str = "1hour") -> Any:
    query = {"startAt": start_ms // 1_000, "endAt": end_ms // 1_000}
    return data(venue, SPOT, symbol="BTC-USDT", type=interval, **query)


def test_pairs_descend_in_seconds_close_before_high_and_the_end_is_exclusive(venue: Kucoin) -> None:
    assert spot(venue, T0, T0 + 2 * HOUR_MS) == [
        [str(T0 // 1_000 + 3_600), "101.00", "101.50", "102.50", "100.25", "1.501", "152.07006250"],
        [str(T0 // 1_000), "100.00", "100.50", "101.50", "99.25", "1.500", "150.46875000"],
    ]


def test_pairs_page_holds_the_newest_1500(venue: Kucoin) -> None:
    found = spot(venue, T0, NOW + HOUR_MS)
    assert (len(found), int(found[0][0]) * 1_000) == (1_500, NOW)


def test_swaps_ascend_in_milliseconds_and_both_bounds_are_inclusive(venue: Kucoin) -> None:
    found = data(venue, SWAP, symbol="XBTUSDTM", granularity=60, start=T0, end=T0 + HOUR_MS)
    assert [row[:6] for row in found] == [
        [T0, 100.0, 101.5, 99.25, 100.5, 4.5],
        [T0 + HOUR_MS, 101.0, 102.5, 100.25, 101.5, 4.503],
    ]
    assert len(data(venue, SWAP, symbol="XBTUSDTM", granularity=60, start=T0)) == 500


def test_quiet_bars_are_absent(venue: Kucoin) -> None:
    found = spot(venue, QUIET - HOUR_MS, QUIET + 2 * HOUR_MS)
    assert [int(row[0]) * 1_000 - QUIET for row in found] == [HOUR_MS, -HOUR_MS]


def test_weeks_open_on_thursday_on_both_hosts(venue: Kucoin) -> None:
    weeks = [int(row[0]) for row in spot(venue, NOW - 40 * DAY_MS, NOW, "1week")]
    weeks += [row[0] // 1_000 for row in data(venue, SWAP, symbol="XBTUSDTM", granularity=10_080)]
    assert {second // 86_400 % 7 for second in weeks} == {0}


def test_each_host_has_its_lists(venue: Kucoin) -> None:
    pairs = {m["symbol"]: m["enableTrading"] for m in data(venue, ("api.kucoin.com", "/api/v2/symbols"))}
    assert pairs == {"BTC-USDT": True, "ETH-USDT": True, "LTC-USDT": False}
    contracts = data(venue, ("api-futures.kucoin.com", "/api/v1/contracts/active"))
    assert [m["symbol"] for m in contracts] == ["XBTUSDTM", "ETHUSDTM"], "those that are halted vanish"
    for host, endpoint in (("api", "spot"), ("api-futures", "futures")):
        server = data(venue, (f"{host}.kucoin.com", "/api/v1/bullet-public"))["instanceServers"][0]
        assert server["endpoint"] == f"wss://ws-api-{endpoint}.kucoin.com/"


@pytest.mark.parametrize(
    ("where", "query", "code"),
    [
        (SPOT, {"symbol": "NO-PE", "type": "1hour"}, "400100"),
        (SPOT, {"symbol": "BTC-USDT", "type": "7hour"}, "400100"),
        (SPOT, {"symbol": "BTC-USDT", "type": "1hour", "startAt": "x"}, "400100"),
        (SWAP, {"symbol": "NOPEUSDTM", "granularity": "60"}, "404000"),
        (SWAP, {"symbol": "XBTUSDTM", "granularity": "3"}, "400100"),
    ],
)
def test_wrong_request_gets_a_code(venue: Kucoin, where: tuple[str, str], query: dict[str, str], code: str) -> None:
    assert orjson.loads(ask(venue, where, **query).body)["code"] == code


def test_each_host_grants_2000_units_in_30_seconds(venue: Kucoin) -> None:
    charges = [venue.charge(Request(*where, {})) for where in (SPOT, SWAP)]
    assert {(c.weight, c.limit, c.window_s) for c in charges} == {(3.0, 2_000.0, 30.0)}
    assert charges[0].pool != charges[1].pool
    refused = venue.refuse("rate_limit", retry_after_s=1.5)
    assert (refused.status, refused.headers["gw-ratelimit-reset"]) == (429, "1500")


def hear(venue: Kucoin, **frame: object) -> Any:
    talk = venue.hear(orjson.dumps({"id": "3"} | frame).decode())
    return [orjson.loads(reply) for reply in talk.replies], talk


@pytest.mark.parametrize(
    ("topic", "symbol", "subject"),
    [
        ("/market/candles:BTC-USDT_1hour", "BTC/USDT", "trade.candles.update"),
        ("/contractMarket/limitCandle:XBTUSDTM_1hour", "BTC/USDT:USDT", "candle.stick"),
    ],
)
def test_candles_are_told_close_before_high(venue: Kucoin, topic: str, symbol: str, subject: str) -> None:
    replies, talk = hear(venue, type="subscribe", topic=topic)
    assert replies[0] == {"id": "3", "type": "ack"}
    assert [(t.symbol, t.timeframe.name) for t in talk.begun] == [(symbol, "1h")]
    assert (replies[1]["subject"], replies[1]["topic"]) == (subject, topic)
    candle = venue.book.forming(symbol, talk.begun[0].timeframe)
    assert candle is not None
    told = [float(x) for x in replies[1]["data"]["candles"]]
    assert told[:6] == [NOW / 1_000, candle.open, candle.close, candle.high, candle.low, candle.volume]
    assert len(told) == 7


def test_sockets_say_welcome_pong_and_what_they_do_not_know(venue: Kucoin) -> None:
    assert orjson.loads(venue.greet()[0])["type"] == "welcome"
    assert hear(venue, type="ping")[0] == [{"id": "3", "type": "pong"}]
    replies, talk = hear(venue, type="subscribe", topic="/market/candles:NO-PE_1hour")
    assert (replies[0]["type"], replies[0]["code"], talk.begun) == ("error", 404, ())
    ended = hear(venue, type="unsubscribe", topic="/market/candles:BTC-USDT_1hour,ETH-USDT_1day")[1].ended
    assert [t.symbol for t in ended] == ["BTC/USDT", "ETH/USDT"]
