"""Hyperliquid's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.hyperliquid import HORIZON, Hyperliquid
from heliograph.sandbox.exchange.wire import Reply, Request
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
COUNT = HORIZON + 100
NOW = T0 + COUNT * HOUR_MS
QUIET = NOW - 100 * HOUR_MS  # BTC has no trade then


def bars(skip: tuple[int, ...] = (), count: int = COUNT + 20) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def venue() -> Hyperliquid:
    bases = {
        "BTC/USDT": {"1h": bars((QUIET,))},
        "ETH/USDT": {"1h": bars()},
        "LTC/USDT": {"1h": bars(count=800)},
    }
    return Hyperliquid.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def ask(venue: Hyperliquid, **question: Any) -> Reply:
    return venue.answer(Request("api.hyperliquid.xyz", "/info", {}, method="POST", body=orjson.dumps(question)))


def candles(venue: Hyperliquid, coin: str, start_ms: int, end_ms: int, interval: str = "1h") -> Any:
    req = {"coin": coin, "interval": interval, "startTime": start_ms, "endTime": end_ms}
    return orjson.loads(ask(venue, type="candleSnapshot", req=req).body)


def test_candle_is_an_object_of_strings_with_its_last_millisecond(venue: Hyperliquid) -> None:
    assert candles(venue, "BTC", NOW - HOUR_MS, NOW - HOUR_MS) == [
        {
            "t": NOW - HOUR_MS,
            "T": NOW - 1,
            "s": "BTC",
            "i": "1h",
            "o": "5199.0",
            "c": "5199.5",
            "h": "5200.5",
            "l": "5198.25",
            "v": "19.797",
            "n": 21,
        }
    ]


def test_both_bounds_are_inclusive(venue: Hyperliquid) -> None:
    rows = candles(venue, "@142", NOW - 5 * HOUR_MS, NOW - 3 * HOUR_MS)
    assert [row["t"] - NOW for row in rows] == [-5 * HOUR_MS, -4 * HOUR_MS, -3 * HOUR_MS]
    assert {row["s"] for row in rows} == {"@142"}


def test_only_the_newest_5000_and_the_open_one_are_left(venue: Hyperliquid) -> None:
    rows = candles(venue, "ETH", 0, 2**53)
    assert (len(rows), rows[0]["t"], rows[-1]["t"]) == (HORIZON + 1, NOW - HORIZON * HOUR_MS, NOW)
    assert candles(venue, "ETH", T0, NOW - (HORIZON + 1) * HOUR_MS) == []


def test_quiet_bars_are_flat_ones_of_no_volume(venue: Hyperliquid) -> None:
    (row,) = candles(venue, "BTC", QUIET, QUIET)
    (before,) = candles(venue, "BTC", QUIET - HOUR_MS, QUIET - HOUR_MS)
    assert {row[name] for name in "ohlc"} == {before["c"]}
    assert (row["v"], row["n"]) == ("0.0", 0)


def test_weeks_open_on_thursday(venue: Hyperliquid) -> None:
    rows = candles(venue, "ETH", 0, 2**53, "1w")
    assert len(rows) > 20
    assert {row["t"] % (7 * DAY_MS) for row in rows} == {0}


def test_unknown_coin_is_a_500_with_null(venue: Hyperliquid) -> None:
    req = {"coin": "@9999", "interval": "1h", "startTime": 0, "endTime": NOW}
    reply = ask(venue, type="candleSnapshot", req=req)
    assert (reply.status, reply.body) == (500, b"null")


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"type": "candles"},
        {"type": "candleSnapshot"},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "7m", "startTime": 0, "endTime": 1}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1h", "startTime": -1, "endTime": 1}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1h", "startTime": "0", "endTime": 1}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1h"}},
    ],
)
def test_what_it_cannot_read_is_a_422_in_plain_text(venue: Hyperliquid, question: dict[str, Any]) -> None:
    reply = ask(venue, **question)
    assert (reply.status, reply.headers["Content-Type"]) == (422, "text/plain; charset=utf-8")
    assert b"Failed to deserialize" in reply.body


def test_body_that_is_not_json_is_a_422_too(venue: Hyperliquid) -> None:
    request = Request("api.hyperliquid.xyz", "/info", {}, method="POST", body=b"{")
    assert venue.answer(request).status == 422
    assert venue.charge(request).weight == 10.0


def test_spot_pairs_have_numbers_and_their_contexts_stand_at_them(venue: Hyperliquid) -> None:
    meta, contexts = orjson.loads(ask(venue, type="spotMetaAndAssetCtxs").body)
    bitcoin = next(pair for pair in meta["universe"] if pair["name"] == "@142")
    base, quote = (meta["tokens"][i] for i in bitcoin["tokens"])
    assert (base["name"], base["fullName"], quote["name"]) == ("UBTC", "Unit BTC", "USDC")
    assert contexts[142]["coin"] == "@142"
    assert float(contexts[142]["midPx"]) > 5_000
    assert contexts[141] == contexts[141] | {"coin": "@141", "midPx": None}


def test_delisted_perpetual_stays_in_the_list_without_a_middle_price(venue: Hyperliquid) -> None:
    meta, contexts = orjson.loads(ask(venue, type="metaAndAssetCtxs").body)
    listed = {
        market["name"]: (market.get("isDelisted"), ctx) for market, ctx in zip(meta["universe"], contexts, strict=True)
    }
    assert listed["BTC"][0] is None
    assert (listed["LTC"][0], listed["LTC"][1]["midPx"]) == (True, None)


def test_everything_is_asked_by_post_to_one_path(venue: Hyperliquid) -> None:
    body = orjson.dumps({"type": "exchangeStatus"})
    assert venue.answer(Request("api.hyperliquid.xyz", "/info", {}, body=body)).status == 404
    assert venue.answer(Request("api.hyperliquid.xyz", "/time", {}, method="POST", body=body)).status == 404
    assert orjson.loads(ask(venue, type="exchangeStatus").body) == {"time": NOW, "specialStatuses": None}


def test_candles_weigh_four_of_1200_a_minute(venue: Hyperliquid) -> None:
    body = orjson.dumps({"type": "candleSnapshot"})
    charge = venue.charge(Request("api.hyperliquid.xyz", "/info", {}, method="POST", body=body))
    assert (charge.weight, charge.limit, charge.window_s) == (4.0, 1_200.0, 60.0)


def test_subscription_is_confirmed_then_told_the_open_bar(venue: Hyperliquid) -> None:
    subscription = {"type": "candle", "coin": "BTC", "interval": "1h"}
    frame = {"method": "subscribe", "subscription": subscription}
    talk = venue.hear(orjson.dumps(frame).decode())
    confirmed, candle = (orjson.loads(reply) for reply in talk.replies)
    assert confirmed == {"channel": "subscriptionResponse", "data": frame}
    assert (candle["channel"], candle["data"]["t"], candle["data"]["s"]) == ("candle", NOW, "BTC")
    assert [topic.symbol for topic in talk.begun] == ["BTC/USDC:USDC"]
    ended = venue.hear(orjson.dumps(frame | {"method": "unsubscribe"}).decode()).ended
    assert [topic.name for topic in ended] == [topic.name for topic in talk.begun]


def test_unknown_coin_is_refused_by_the_stream_too(venue: Hyperliquid) -> None:
    subscription = {"type": "candle", "coin": "GONE", "interval": "1h"}
    talk = venue.hear(orjson.dumps({"method": "subscribe", "subscription": subscription}).decode())
    assert orjson.loads(talk.replies[0])["channel"] == "error"
    assert not talk.begun


def test_ping_is_answered(venue: Hyperliquid) -> None:
    assert venue.hear('{"method":"ping"}').replies == ('{"channel":"pong"}',)
