"""Coinbase's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.coinbase import LATE_MS, Coinbase
from heliograph.sandbox.exchange.wire import Reply, Request, TradeTopic
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 1_000 * HOUR_MS + LATE_MS
QUIET = T0 + 900 * HOUR_MS  # BTC has no trade then
PRODUCTS = "/api/v3/brokerage/market/products"


def bars(skip: tuple[int, ...] = ()) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(1_010)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW, NOW + 5 * HOUR_MS)


@pytest.fixture
def venue(clock: VirtualClock) -> Coinbase:
    tape = Tape({"BTC/USDT": {"1h": bars((QUIET,))}, "LTC/USDT": {"1h": bars()}}, origin="")
    return Coinbase.of(tape, clock)


def ask(venue: Coinbase, path: str, **query: object) -> Reply:
    return venue.answer(Request("api.coinbase.com", path, {name: str(value) for name, value in query.items()}))


def candles(venue: Coinbase, start_ms: int, end_ms: int, product: str = "BTC-USDT") -> list[dict[str, str]]:
    span = {"start": start_ms // 1_000, "end": end_ms // 1_000, "granularity": "ONE_HOUR"}
    found: list[dict[str, str]] = orjson.loads(ask(venue, f"{PRODUCTS}/{product}/candles", **span).body)["candles"]
    return found


def test_candle_is_an_object_of_strings_without_zeros_behind_them(venue: Coinbase) -> None:
    assert candles(venue, T0, T0) == [
        {"start": str(T0 // 1_000), "low": "99.25", "high": "101.5", "open": "100", "close": "100.5", "volume": "1.5"}
    ]


def test_both_bounds_are_inclusive_and_rows_descend(venue: Coinbase) -> None:
    rows = candles(venue, T0, T0 + 2 * HOUR_MS)
    assert [int(row["start"]) * 1_000 - T0 for row in rows] == [2 * HOUR_MS, HOUR_MS, 0]


def test_quiet_bar_is_left_out(venue: Coinbase) -> None:
    assert len(candles(venue, QUIET - HOUR_MS, QUIET + HOUR_MS)) == 2


@pytest.mark.parametrize(("hours", "status"), [(349, 200), (350, 400)])
def test_fewer_than_350_candles_may_be_asked_for(venue: Coinbase, hours: int, status: int) -> None:
    span = {"start": T0 // 1_000, "end": (T0 + hours * HOUR_MS) // 1_000, "granularity": "ONE_HOUR"}
    reply = ask(venue, f"{PRODUCTS}/BTC-USDT/candles", **span)
    assert reply.status == status
    assert (b"should be less than 350" in reply.body) == (status == 400)


def test_newest_candles_come_five_minutes_late_and_the_open_one_with_them(clock: VirtualClock, venue: Coinbase) -> None:
    def newest() -> int:
        return int(candles(venue, NOW - 5 * HOUR_MS, NOW + 5 * HOUR_MS)[0]["start"]) * 1_000

    assert newest() == NOW - LATE_MS
    clock.move_to(NOW - LATE_MS + HOUR_MS)
    assert newest() == NOW - LATE_MS - HOUR_MS
    clock.move_to(NOW + HOUR_MS)
    assert newest() == NOW - LATE_MS + HOUR_MS


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (f"{PRODUCTS}/GONE-USDT/candles", {}, 404, "NOT_FOUND"),
        (f"{PRODUCTS}/BTC-USDT/candles", {"granularity": "ONE_WEEK", "start": 0, "end": 1}, 400, "INVALID_ARGUMENT"),
        (f"{PRODUCTS}/BTC-USDT/candles", {"granularity": "ONE_HOUR", "start": "x"}, 400, "INVALID_ARGUMENT"),
        ("/api/v3/brokerage/nothing", {}, 404, "NOT_FOUND"),
    ],
)
def test_wrong_questions_get_the_venues_own_errors(
    venue: Coinbase, path: str, query: dict[str, Any], status: int, code: str
) -> None:
    reply = ask(venue, path, **query)
    assert (reply.status, orjson.loads(reply.body)["error"]) == (status, code)


def test_one_book_has_two_names(venue: Coinbase) -> None:
    products = {p["product_id"]: p for p in orjson.loads(ask(venue, PRODUCTS).body)["products"]}
    assert set(products) == {"BTC-USDT", "LTC-USDT", "BTC-USD", "BTC-USDC"}
    assert products["BTC-USDC"]["alias"] == "BTC-USD"
    assert products["BTC-USD"]["alias_to"] == ["BTC-USDC"]
    assert candles(venue, T0, T0, "BTC-USDC") == candles(venue, T0, T0, "BTC-USD")
    assert orjson.loads(ask(venue, PRODUCTS, product_type="FUTURE").body)["products"] == []


def test_subscription_starts_with_the_newest_trades_newest_first(clock: VirtualClock, venue: Coinbase) -> None:
    asked = {"type": "subscribe", "product_ids": ["BTC-USDC"], "channel": "market_trades"}
    talk = venue.hear(orjson.dumps(asked).decode())
    done, snapshot = (orjson.loads(reply) for reply in talk.replies)
    assert done["events"] == [{"subscriptions": {"market_trades": ["BTC-USDC"]}}]
    (event,) = snapshot["events"]
    assert (snapshot["channel"], event["type"], len(event["trades"])) == ("market_trades", "snapshot", 24)
    assert [t["time"] for t in event["trades"]] == sorted((t["time"] for t in event["trades"]), reverse=True)
    assert {t["product_id"] for t in event["trades"]} == {"BTC-USD"}
    (topic,) = talk.begun
    assert isinstance(topic, TradeTopic)
    clock.move_to(NOW + HOUR_MS)
    trades = venue.book.trades("BTC/USDC", NOW + 1, NOW + HOUR_MS + 1)
    (update,) = orjson.loads(topic.tell(trades))["events"]
    assert (update["type"], len(update["trades"])) == ("update", 4)
    assert update["trades"][0]["trade_id"] == str(trades[-1].id)
    assert update["trades"][0]["side"] == ("SELL" if trades[-1].is_buy else "BUY"), "the maker's side"


def test_own_candle_stream_has_five_minute_bars_only(venue: Coinbase) -> None:
    asked = {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "candles"}
    (topic,) = venue.hear(orjson.dumps(asked).decode()).begun
    assert not isinstance(topic, TradeTopic)
    assert topic.timeframe == parse("5m")
    bar = next(venue.book.series("BTC/USD", parse("1h")).bars(0, 1))
    told = orjson.loads(venue.tell(topic, bar, True))
    assert told["events"][0]["candles"][0]["product_id"] == "BTC-USD"


def test_unknown_product_is_refused_on_the_socket(venue: Coinbase) -> None:
    talk = venue.hear('{"type":"subscribe","product_ids":["GONE-USD"],"channel":"market_trades"}')
    assert orjson.loads(talk.replies[0])["type"] == "error"
    assert talk.begun == ()
