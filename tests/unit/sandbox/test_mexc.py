"""MEXC's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2
from google.protobuf.json_format import MessageToDict

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.mexc import Mexc
from heliograph.sandbox.exchange.wire import Request, Topic
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
HOURS = 2_500
NOW = T0 + HOURS * HOUR_MS
QUIET = T0 + 2_400 * HOUR_MS  # BTC has no trade then
SPOT, SWAP = "/api/v3/klines", "/api/v1/contract/kline/BTC_USDT"


def bars(skip: tuple[int, ...], count: int = HOURS + 10) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def mexc() -> Mexc:
    bases = {"BTC/USDT": {"1h": bars((QUIET,))}, "ETH/USDT": {"1h": bars(())}, "LTC/USDT": {"1h": bars((), 800)}}
    tape = Tape(bases, origin="")
    return Mexc.of(tape, VirtualClock(NOW, tape.end_ms))


def call(mexc: Mexc, path: str, **query: object) -> Any:
    asked = {name: str(value) for name, value in query.items()}
    return orjson.loads(mexc.answer(Request("api.mexc.com", path, asked)).body)


def spot_opens(mexc: Mexc, **query: object) -> list[int]:
    return [row[0] for row in call(mexc, SPOT, **({"symbol": "BTCUSDT", "interval": "60m"} | query))]


def swap_opens(mexc: Mexc, **query: object) -> list[int]:
    return [t * 1_000 for t in call(mexc, SWAP, **({"interval": "Min60"} | query))["data"]["time"]]


def test_start_is_inclusive_and_end_exclusive(mexc: Mexc) -> None:
    end = T0 + 2 * HOUR_MS
    assert spot_opens(mexc, startTime=T0, endTime=end) == [T0, T0 + HOUR_MS]
    assert swap_opens(mexc, start=T0 // 1_000, end=end // 1_000) == [T0, T0 + HOUR_MS]


def test_start_without_an_end_is_ignored_by_spot(mexc: Mexc) -> None:
    """The story of ccxt's issue 17483: a walk through history that always got the newest candles."""
    assert spot_opens(mexc, startTime=T0, limit=3) == [NOW - 2 * HOUR_MS, NOW - HOUR_MS, NOW]


def test_pages_are_of_500_and_2000(mexc: Mexc) -> None:
    assert len(spot_opens(mexc, startTime=T0, endTime=NOW, limit=1_000)) == 500
    assert len(swap_opens(mexc, start=T0 // 1_000, end=NOW // 1_000)) == 2_000
    assert len(swap_opens(mexc)) == 2_000


def test_quiet_bars_are_left_out(mexc: Mexc) -> None:
    assert QUIET not in spot_opens(mexc)
    assert QUIET not in swap_opens(mexc)


def test_rows_of_spot_and_columns_of_swaps(mexc: Mexc) -> None:
    (row,) = call(mexc, SPOT, symbol="BTCUSDT", interval="60m", startTime=T0, endTime=T0 + 1)
    assert row == [T0, "100.00", "101.50", "99.25", "100.50", "1.500", T0 + HOUR_MS, "150.47"]
    data = call(mexc, SWAP, interval="Min60", start=T0 // 1_000, end=T0 // 1_000 + 1)["data"]
    assert {name: column for name, column in data.items() if not name.startswith("real")} == {
        "time": [T0 // 1_000],
        "open": [100.0],
        "close": [100.5],
        "high": [101.5],
        "low": [99.25],
        "vol": [4.5],
        "amount": [4.5 * 100.3125],
    }
    assert {data[f"real{name.capitalize()}"][0] for name in ("open", "close")} == {100.0, 100.5}


def test_listing_says_what_is_halted_and_how_prices_step(mexc: Mexc) -> None:
    pairs = {m["symbol"]: m for m in call(mexc, "/api/v3/exchangeInfo")["symbols"]}
    assert (pairs["BTCUSDT"]["status"], pairs["LTCUSDT"]["status"]) == ("1", "2")
    assert (pairs["BTCUSDT"]["quoteAssetPrecision"], pairs["BTCUSDT"]["baseAssetPrecision"]) == (2, 3)
    contracts = {m["symbol"]: m for m in call(mexc, "/api/v1/contract/detail")["data"]}
    assert (contracts["BTC_USDT"]["state"], contracts["LTC_USDT"]["state"]) == (0, 4)
    assert (contracts["BTC_USDT"]["priceUnit"], contracts["BTC_USDT"]["volUnit"]) == (0.01, 0.001)


def test_clocks(mexc: Mexc) -> None:
    assert call(mexc, "/api/v3/time") == {"serverTime": NOW}
    assert call(mexc, "/api/v1/contract/ping") == {"success": True, "code": 0, "data": NOW}


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (SPOT, {"symbol": "NOPE", "interval": "60m"}, 400, -1121),
        (SPOT, {"symbol": "BTC_USDT", "interval": "60m"}, 400, -1121),
        (SPOT, {"symbol": "BTCUSDT", "interval": "1h"}, 400, 730002),
        (SPOT, {"symbol": "BTCUSDT", "interval": "60m", "limit": "x"}, 400, 700008),
        ("/api/v1/contract/kline/NO_PE", {"interval": "Min60"}, 200, 1001),
        ("/api/v1/contract/kline/BTCUSDT", {"interval": "Min60"}, 200, 1001),
        (SWAP, {"interval": "Hour2"}, 200, 600),
        (SWAP, {"start": "x"}, 200, 600),
        ("/api/v3/nope", {}, 404, 404),
    ],
)
def test_wrong_requests_get_the_venues_own_words(
    mexc: Mexc, path: str, query: dict[str, str], status: int, code: int
) -> None:
    reply = mexc.answer(Request("api.mexc.com", path, query))
    assert (reply.status, orjson.loads(reply.body)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("rate_limit", 429, "Too Many Requests"),
        ("ban", 403, "Forbidden"),
        ("maintenance", 200, '"code":500'),
        ("server_error", 503, '"code":503'),
    ],
)
def test_refusals_are_the_venues_own(mexc: Mexc, kind: Any, status: int, said: str) -> None:
    reply = mexc.refuse(kind, retry_after_s=7.9)
    assert reply.status == status
    assert said in reply.body.decode()
    assert reply.headers.get("Retry-After") == ("7" if kind == "rate_limit" else None)


def test_every_endpoint_has_a_limit_of_its_own(mexc: Mexc) -> None:
    def charged(path: str) -> tuple[str, float, float, float]:
        c = mexc.charge(Request("api.mexc.com", path, {}))
        return c.pool, c.weight, c.limit, c.window_s

    assert charged(SPOT) == (SPOT, 1.0, 200.0, 10.0)
    assert charged("/api/v3/exchangeInfo")[1] == 10.0
    assert charged(SWAP) == charged(SWAP.replace("BTC", "ETH")) == ("/api/v1/contract/kline/", 1.0, 20.0, 2.0)
    assert charged("/api/v1/contract/detail")[2:] == (2.0, 10.0)


def decoded(frame: object) -> dict[str, Any]:
    """A packed frame, by the classes that the venue publishes."""
    assert isinstance(frame, bytes)
    message = PushDataV3ApiWrapper_pb2.PushDataV3ApiWrapper()
    message.ParseFromString(frame)
    told: dict[str, Any] = MessageToDict(message)
    return told


def test_spot_pushes_are_protocol_buffers(mexc: Mexc) -> None:
    name = "spot@public.kline.v3.api.pb@BTCUSDT@Min60"
    bar = next(iter(mexc.book.series("BTC/USDT", parse("1h")).bars(0, 1)))
    assert decoded(mexc.tell(Topic(name, "BTC/USDT", parse("1h")), bar, True)) == {
        "channel": name,
        "symbol": "BTCUSDT",
        "symbolId": "2fb942154ef44a4ab2ef98c8afb6a4a7",
        "createTime": str(NOW),
        "publicSpotKline": {
            "interval": "Min60",
            "windowStart": str(T0 // 1_000),
            "openingPrice": "100.00",
            "closingPrice": "100.50",
            "highestPrice": "101.50",
            "lowestPrice": "99.25",
            "volume": "1.500",
            "amount": "150.47",
            "windowEnd": str((T0 + HOUR_MS) // 1_000),
        },
    }


def test_spot_subscriptions_begin_with_the_open_bar_and_end(mexc: Mexc) -> None:
    name = "spot@public.kline.v3.api.pb@BTCUSDT@Min60"
    talk = mexc.hear(orjson.dumps({"method": "SUBSCRIPTION", "params": [name]}).decode())
    assert orjson.loads(talk.replies[0]) == {"id": 0, "code": 0, "msg": name}
    assert decoded(talk.replies[1])["publicSpotKline"]["windowStart"] == str(NOW // 1_000)
    ended = mexc.hear(orjson.dumps({"method": "UNSUBSCRIPTION", "params": [name]}).decode())
    assert ended.ended == talk.begun
    assert len(ended.replies) == 1


def test_swap_subscriptions_begin_with_the_open_bar_and_all_end_together(mexc: Mexc) -> None:
    asked = {"symbol": "BTC_USDT", "interval": "Min60"}
    talk = mexc.hear(orjson.dumps({"method": "sub.kline", "param": asked}).decode())
    done, push = (orjson.loads(text) for text in talk.replies)
    assert (done["channel"], done["data"]) == ("rs.sub.kline", "success")
    assert (push["channel"], push["data"]["t"], push["data"]["interval"]) == ("push.kline", NOW // 1_000, "Min60")
    ended = mexc.hear(orjson.dumps({"method": "unsub.kline", "param": {"symbol": "BTC_USDT"}}).decode()).ended
    assert set(talk.begun) < set(ended)


def test_unknown_channels_are_refused_and_pings_answered(mexc: Mexc) -> None:
    for name in ("spot@public.kline.v3.api.pb@NOPE@Min60", "spot@public.kline.v3.api.pb@BTCUSDT@Min7", "nope"):
        spot = mexc.hear(orjson.dumps({"method": "SUBSCRIPTION", "params": [name]}).decode())
        assert ("Not Subscribed" in orjson.loads(spot.replies[0])["msg"], spot.begun) == (True, ())
    swap = mexc.hear('{"method":"sub.kline","param":{"symbol":"NO_PE","interval":"Min60"}}')
    assert (orjson.loads(swap.replies[0])["channel"], swap.begun) == ("rs.error", ())
    assert orjson.loads(mexc.hear('{"method":"nope"}').replies[0])["channel"] == "rs.error"
    assert orjson.loads(mexc.hear('{"method":"PING"}').replies[0])["msg"] == "PONG"
    assert orjson.loads(mexc.hear('{"method":"ping"}').replies[0])["channel"] == "pong"
