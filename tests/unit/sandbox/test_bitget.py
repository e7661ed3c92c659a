"""Bitget's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.bitget import Bitget
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000  # 2023-11-15 00:00 UTC
HOURS = 3_000
NOW = T0 + HOURS * HOUR_MS
QUIET = T0 + 2_900 * HOUR_MS  # BTC has no trade then
OUTAGE = T0 + 2_910 * HOUR_MS  # nobody has
SPOT, SWAP = "/api/v2/spot/market", "/api/v2/mix/market"


def bars(skip: tuple[int, ...], count: int = HOURS + 10) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def bitget() -> Bitget:
    bases = {
        "BTC/USDT": {"1h": bars((QUIET, OUTAGE))},
        "ETH/USDT": {"1h": bars((OUTAGE,))},
        "LTC/USDT": {"1h": bars((), 800)},
    }
    tape = Tape(bases, origin="")
    return Bitget.of(tape, VirtualClock(NOW, tape.end_ms))


def call(bitget: Bitget, path: str, **query: object) -> Any:
    asked = {name: str(value) for name, value in query.items()}
    return orjson.loads(bitget.answer(Request("api.bitget.com", path, asked)).body)


def opens(bitget: Bitget, path: str, **query: object) -> list[int]:
    given = {"symbol": "BTCUSDT", "granularity": "1h"}
    if path.startswith(SWAP):
        given = {"symbol": "BTCUSDT", "granularity": "1H", "productType": "USDT-FUTURES"}
    return [int(row[0]) for row in call(bitget, path, **(given | query))["data"]]


@pytest.mark.parametrize("path", [f"{SWAP}/candles", f"{SWAP}/history-candles", f"{SPOT}/candles"])
def test_bounds_are_both_exclusive_and_rows_ascend(bitget: Bitget, path: str) -> None:
    start = NOW - 40 * HOUR_MS
    assert opens(bitget, path, startTime=start, endTime=start + 3 * HOUR_MS) == [start + HOUR_MS, start + 2 * HOUR_MS]


def test_history_gives_the_newest_200_before_the_end(bitget: Bitget) -> None:
    end = T0 + 1_000 * HOUR_MS
    found = opens(bitget, f"{SWAP}/history-candles", startTime=T0, endTime=end, limit=1_000)
    assert found == list(range(end - 200 * HOUR_MS, end, HOUR_MS))


def test_history_of_spot_takes_no_start_and_needs_an_end(bitget: Bitget) -> None:
    end = T0 + 1_000 * HOUR_MS
    assert len(opens(bitget, f"{SPOT}/history-candles", startTime=end - HOUR_MS, endTime=end)) == 100
    told = call(bitget, f"{SPOT}/history-candles", symbol="BTCUSDT", granularity="1h", startTime=T0)
    assert (told["code"], told["data"]) == ("40019", None)


def test_recent_candles_reach_back_60_days_of_hours(bitget: Bitget) -> None:
    found = opens(bitget, f"{SPOT}/candles", startTime=T0, endTime=T0 + 70 * DAY_MS, limit=1_000)
    assert found[0] == NOW - 60 * DAY_MS
    assert len(opens(bitget, f"{SPOT}/candles", limit=5_000)) == 1_000


def test_contracts_take_no_span_of_more_than_90_days(bitget: Bitget) -> None:
    span = {"symbol": "BTCUSDT", "granularity": "1H", "productType": "USDT-FUTURES", "startTime": T0}
    told = call(bitget, f"{SWAP}/history-candles", **span, endTime=T0 + 90 * DAY_MS + 1)
    assert told["code"] == "40705"


def test_quiet_bars_are_filled_and_outages_are_not(bitget: Bitget) -> None:
    around = {"startTime": QUIET - 2 * HOUR_MS, "endTime": OUTAGE + 2 * HOUR_MS}
    rows = {
        int(row[0]): row
        for row in call(bitget, f"{SPOT}/candles", symbol="BTCUSDT", granularity="1h", **around)["data"]
    }
    close = rows[QUIET - HOUR_MS][4]
    assert rows[QUIET][1:5] == [close] * 4
    assert [float(x) for x in rows[QUIET][5:]] == [0.0, 0.0, 0.0]
    assert OUTAGE not in rows


def test_one_id_is_two_markets(bitget: Bitget) -> None:
    at = {"startTime": NOW - 3 * HOUR_MS, "endTime": NOW - HOUR_MS}
    (spot,) = call(bitget, f"{SPOT}/candles", symbol="BTCUSDT", granularity="1h", **at)["data"]
    (swap,) = call(bitget, f"{SWAP}/candles", symbol="BTCUSDT", granularity="1H", productType="usdt-futures", **at)[
        "data"
    ]
    assert spot[:5] == swap[:5]
    assert (len(spot), len(swap)) == (8, 7)
    assert float(swap[5]) == 3 * float(spot[5])


@pytest.mark.parametrize(("granularity", "hour"), [("1day", 16), ("1Dutc", 0), ("6h", 4), ("6Hutc", 0)])
def test_long_bars_are_of_utc_8_unless_utc_is_asked_for(bitget: Bitget, granularity: str, hour: int) -> None:
    found = opens(bitget, f"{SPOT}/candles", granularity=granularity)
    length = 6 if granularity.startswith("6") else 24
    assert {t // HOUR_MS % length for t in found} == {hour % length}


def test_listing_says_what_is_halted_and_how_prices_step(bitget: Bitget) -> None:
    pairs = {m["symbol"]: m for m in call(bitget, "/api/v2/spot/public/symbols")["data"]}
    assert (pairs["BTCUSDT"]["status"], pairs["LTCUSDT"]["status"]) == ("online", "halt")
    assert (pairs["BTCUSDT"]["pricePrecision"], pairs["BTCUSDT"]["quantityPrecision"]) == ("2", "3")
    contracts = {m["symbol"]: m for m in call(bitget, f"{SWAP}/contracts", productType="USDT-FUTURES")["data"]}
    assert (contracts["BTCUSDT"]["symbolStatus"], contracts["LTCUSDT"]["symbolStatus"]) == ("normal", "off")
    assert (contracts["BTCUSDT"]["sizeMultiplier"], contracts["BTCUSDT"]["launchTime"]) == ("0.001", str(T0))
    assert call(bitget, f"{SWAP}/contracts", productType="COIN-FUTURES")["data"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"symbol": "NOPE", "granularity": "1h"}, "40034"),
        ({"symbol": "BTCUSDT", "granularity": "2h"}, "400171"),
        ({"symbol": "BTCUSDT", "granularity": "1h", "endTime": "x"}, "40017"),
    ],
)
def test_wrong_requests_get_the_venues_own_words(bitget: Bitget, query: dict[str, str], said: str) -> None:
    reply = bitget.answer(Request("api.bitget.com", f"{SPOT}/candles", query))
    told = orjson.loads(reply.body)
    assert (reply.status, told["code"], told["data"]) == (400, said, None)
    assert bitget.answer(Request("api.bitget.com", "/api/v2/nope", {})).status == 404


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [("rate_limit", 429, "429"), ("ban", 429, "429"), ("maintenance", 400, "40200"), ("server_error", 400, "40015")],
)
def test_refusals_are_the_venues_own(bitget: Bitget, kind: Any, status: int, said: str) -> None:
    reply = bitget.refuse(kind, retry_after_s=1.0)
    assert (reply.status, orjson.loads(reply.body)["code"]) == (status, said)


def test_every_endpoint_has_twenty_calls_a_second(bitget: Bitget) -> None:
    charges = [bitget.charge(Request("", f"{where}/history-candles", {})) for where in (SPOT, SWAP)]
    assert {(c.weight, c.limit, c.window_s) for c in charges} == {(1.0, 20.0, 1.0)}
    assert len({c.pool for c in charges}) == 2


def test_new_subscription_starts_with_the_newest_thousand_candles(bitget: Bitget) -> None:
    arg = {"instType": "USDT-FUTURES", "channel": "candle1H", "instId": "BTCUSDT"}
    talk = bitget.hear(orjson.dumps({"op": "subscribe", "args": [arg]}).decode())
    done, snapshot = (orjson.loads(text) for text in talk.replies)
    assert done == {"event": "subscribe", "arg": arg}
    assert (snapshot["action"], snapshot["arg"], len(snapshot["data"])) == ("snapshot", arg, 1_000)
    assert int(snapshot["data"][-1][0]) == NOW
    (topic,) = talk.begun
    update = orjson.loads(
        bitget.tell(topic, next(iter(bitget.book.series(topic.symbol, topic.timeframe).bars(0, 1))), True)
    )
    assert (update["action"], update["data"][0][0], update["ts"]) == ("update", str(T0), NOW)
    assert bitget.hear(orjson.dumps({"op": "unsubscribe", "args": [arg]}).decode()).ended == (topic,)


def test_unknown_channel_is_an_error_and_a_ping_is_answered(bitget: Bitget) -> None:
    arg = {"instType": "SPOT", "channel": "candle1H", "instId": "NOPE"}
    talk = bitget.hear(orjson.dumps({"op": "subscribe", "args": [arg]}).decode())
    assert (orjson.loads(talk.replies[0])["code"], talk.begun) == (30001, ())
    assert bitget.hear("ping").replies == ("pong",)


def test_minutes_are_not_to_be_had_where_only_hours_were_recorded(bitget: Bitget) -> None:
    assert opens(bitget, f"{SPOT}/candles", granularity="1min", startTime=NOW - 9 * MINUTE_MS) == []
