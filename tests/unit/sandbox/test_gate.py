"""Gate's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.gate import HORIZON, Gate
from heliograph.sandbox.exchange.wire import Reply, Request
from heliograph.sandbox.tape import Tape

T0 = 1_699_984_800_000
HOURS = 10_500
NOW = T0 + HOURS * HOUR_MS
QUIET = NOW - 100 * HOUR_MS  # BTC has no trade then
SPOT, SWAP = "/api/v4/spot/candlesticks", "/api/v4/futures/usdt/candlesticks"


def bars(skip: tuple[int, ...] = (), count: int = HOURS + 10) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def venue() -> Gate:
    bases = {"BTC/USDT": {"1h": bars((QUIET,))}, "ETH/USDT": {"1h": bars()}, "LTC/USDT": {"1h": bars(count=800)}}
    return Gate.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def ask(venue: Gate, path: str, **query: object) -> Reply:
    names = {"start": "from", "end": "to"}
    return venue.answer(Request("api.gateio.ws", path, {names.get(k, k): str(v) for k, v in query.items()}))


def get(venue: Gate, path: str, **query: object) -> Any:
    return orjson.loads(ask(venue, path, **query).body)


def spot(venue: Gate, start_ms: int, end_ms: int, interval: str = "1h") -> Any:
    return get(venue, SPOT, currency_pair="BTC_USDT", interval=interval, start=start_ms // 1_000, end=end_ms // 1_000)


def test_turnover_stands_before_the_close_and_both_bounds_are_inclusive(venue: Gate) -> None:
    start_ms = NOW - 3 * HOUR_MS
    found = spot(venue, start_ms, NOW)
    assert [int(row[0]) * 1_000 - start_ms for row in found] == [0, HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]
    assert found[0][2:] == ["10597.50", "10598.50", "10596.25", "10597.00", "11.997", "true"]
    assert float(found[0][1]) / float(found[0][6]) == pytest.approx(10_597.3125)
    assert found[-1][7] == "false"


def test_nothing_from_more_than_10000_points_ago_can_be_asked_for(venue: Gate) -> None:
    reply = ask(venue, SPOT, currency_pair="BTC_USDT", interval="1h", start=(NOW - 10_001 * HOUR_MS) // 1_000)
    assert (reply.status, orjson.loads(reply.body)["label"]) == (400, "INVALID_PARAM_VALUE")
    assert b"Candlestick too long ago. Maximum 10000 points ago are allowed" in reply.body
    oldest = spot(venue, NOW - 9_999 * HOUR_MS, NOW - 9_990 * HOUR_MS)
    assert int(oldest[0][0]) * 1_000 == NOW - HORIZON * HOUR_MS


@pytest.mark.parametrize(("path", "name", "page"), [(SPOT, "currency_pair", 1_000), (SWAP, "contract", 2_000)])
def test_window_of_more_bars_than_a_page_is_refused(venue: Gate, path: str, name: str, page: int) -> None:
    start_s = (NOW - 3_000 * HOUR_MS) // 1_000
    whole = {name: "BTC_USDT", "interval": "1h", "start": start_s, "end": start_s + (page - 1) * 3_600}
    assert len(get(venue, path, **whole)) == page
    assert "Too many points" in get(venue, path, **whole | {"end": start_s + page * 3_600})["message"]


def test_without_a_window_the_newest_come(venue: Gate) -> None:
    found = get(venue, SPOT, currency_pair="BTC_USDT", interval="1h", limit=3)
    assert [int(row[0]) * 1_000 - NOW for row in found] == [-2 * HOUR_MS, -HOUR_MS, 0]
    assert len(get(venue, SPOT, currency_pair="BTC_USDT", interval="1h")) == 100
    assert "limit" in get(venue, SPOT, currency_pair="BTC_USDT", interval="1h", limit=3, end=NOW // 1_000)["message"]


def test_weeks_open_on_thursday(venue: Gate) -> None:
    found = spot(venue, NOW - 40 * DAY_MS, NOW, "7d")
    assert {int(row[0]) // 86_400 % 7 for row in found} == {0}


def test_quiet_bar_is_flat(venue: Gate) -> None:
    row = spot(venue, QUIET, QUIET)[0]
    assert (row[6], len(set(row[2:6]))) == ("0.000", 1)


def test_swap_candles_are_objects_with_their_size_as_text(venue: Gate) -> None:
    start_s = (NOW - 5 * HOUR_MS) // 1_000
    found = get(venue, SWAP, contract="BTC_USDT", interval="1h", start=start_s, end=start_s)
    assert {k: found[0][k] for k in "tohlcv"} == {
        "t": start_s, "o": "10595.00", "h": "10596.50", "l": "10594.25", "c": "10595.50", "v": "35.985",
    }  # fmt: skip


def test_halted_market_is_listed_as_such(venue: Gate) -> None:
    pairs = {m["id"]: m["trade_status"] for m in get(venue, "/api/v4/spot/currency_pairs")}
    assert pairs == {"BTC_USDT": "tradable", "ETH_USDT": "tradable", "LTC_USDT": "untradable"}
    contracts = {m["name"]: m["status"] for m in get(venue, "/api/v4/futures/usdt/contracts")}
    assert contracts == {"BTC_USDT": "trading", "ETH_USDT": "trading", "LTC_USDT": "suspend"}


@pytest.mark.parametrize(
    ("path", "query", "label"),
    [
        (SPOT, {"currency_pair": "NO_PE"}, "INVALID_CURRENCY_PAIR"),
        (SWAP, {"contract": "NO_PE"}, "CONTRACT_NOT_FOUND"),
        (SPOT, {"currency_pair": "BTC_USDT", "interval": "7h"}, "INVALID_PARAM_VALUE"),
        (SPOT, {"currency_pair": "BTC_USDT", "start": "x"}, "INVALID_PARAM_VALUE"),
    ],
)
def test_wrong_request_is_a_400_with_a_label(venue: Gate, path: str, query: dict[str, str], label: str) -> None:
    reply = ask(venue, path, **query)
    assert (reply.status, orjson.loads(reply.body)["label"]) == (400, label)


def test_each_endpoint_has_a_budget_of_its_own(venue: Gate) -> None:
    charges = [venue.charge(Request("api.gateio.ws", path, {})) for path in (SPOT, SWAP)]
    assert {(c.limit, c.window_s) for c in charges} == {(200.0, 10.0)}
    assert charges[0].pool != charges[1].pool


def hear(venue: Gate, channel: str, event: str, *payload: str) -> Any:
    frame = {"time": 1, "id": 5, "channel": channel, "event": event, "payload": payload}
    talk = venue.hear(orjson.dumps(frame).decode())
    return [orjson.loads(reply) for reply in talk.replies], talk


def test_volume_of_a_pair_stands_in_a_and_its_turnover_in_v(venue: Gate) -> None:
    replies, talk = hear(venue, "spot.candlesticks", "subscribe", "1h", "BTC_USDT")
    assert [t.symbol for t in talk.begun] == ["BTC/USDT"]
    assert replies[0]["result"] == {"status": "success"}
    told = replies[1]["result"]
    assert (told["n"], told["t"], told["w"]) == ("1h_BTC_USDT", str(NOW // 1_000), False)
    assert float(told["v"]) == pytest.approx(float(told["a"]) * float(told["c"]))


def test_swaps_are_told_in_lists(venue: Gate) -> None:
    replies, talk = hear(venue, "futures.candlesticks", "subscribe", "7d", "ETH_USDT")
    assert [(t.symbol, t.timeframe.name) for t in talk.begun] == [("ETH/USDT:USDT", "1w")]
    assert [candle["n"] for candle in replies[1]["result"]] == ["7d_ETH_USDT"]
    assert replies[1]["result"][0]["v"] == replies[1]["result"][0]["a"]


def test_unknown_pair_is_error_2_and_pings_are_answered(venue: Gate) -> None:
    replies, talk = hear(venue, "spot.candlesticks", "subscribe", "1h", "NO_PE")
    assert (replies[0]["error"], talk.begun) == ({"code": 2, "message": "unknown currency pair: NO_PE"}, ())
    assert hear(venue, "futures.ping", "")[0][0]["channel"] == "futures.pong"
    assert [t.symbol for t in hear(venue, "spot.candlesticks", "unsubscribe", "1h", "BTC_USDT")[1].ended] == [
        "BTC/USDT"
    ]
