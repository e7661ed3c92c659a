"""Bitstamp's wire shape, without a network."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.bitstamp import Bitstamp
from heliograph.sandbox.exchange.wire import Reply, Request, Topic
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 1_200 * HOUR_MS
QUIET = T0 + 900 * HOUR_MS  # BTC has no trade then
OUTAGE = T0 + 910 * HOUR_MS  # nobody has
BOOK = "/api/v2/ohlc/btcusdt/"


def bars(skip: tuple[int, ...] = ()) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(1_210)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW, NOW + 5 * HOUR_MS)


@pytest.fixture
def venue(clock: VirtualClock) -> Bitstamp:
    tape = Tape({"BTC/USDT": {"1h": bars((QUIET, OUTAGE))}, "LTC/USDT": {"1h": bars((OUTAGE,))}}, origin="")
    return Bitstamp.of(tape, clock)


def ask(venue: Bitstamp, path: str, **query: object) -> Reply:
    return venue.answer(Request("www.bitstamp.net", path, {name: str(value) for name, value in query.items()}))


def opens(venue: Bitstamp, **query: object) -> list[int]:
    data = orjson.loads(ask(venue, BOOK, step=3_600, **query).body)["data"]
    assert data["pair"] == "BTC/USDT"
    return [int(row["timestamp"]) * 1_000 for row in data["ohlc"]]


def test_candle_is_an_object_of_strings(venue: Bitstamp) -> None:
    body = orjson.loads(ask(venue, BOOK, step=3_600, limit=1, start=T0 // 1_000).body)
    assert body["data"]["ohlc"] == [
        {
            "timestamp": str(T0 // 1_000),
            "open": "100.00",
            "high": "101.50",
            "low": "99.25",
            "close": "100.50",
            "volume": "1.50000000",
        }
    ]


def test_start_alone_counts_forward_and_end_alone_back_both_inclusive(venue: Bitstamp) -> None:
    assert opens(venue, limit=2, start=T0 // 1_000) == [T0, T0 + HOUR_MS]
    assert opens(venue, limit=2, end=(T0 + 5 * HOUR_MS) // 1_000) == [T0 + 4 * HOUR_MS, T0 + 5 * HOUR_MS]
    assert opens(venue, limit=2) == [NOW - HOUR_MS, NOW]


def test_of_both_bounds_only_the_end_counts(venue: Bitstamp) -> None:
    """ "If both start and end timestamps are posted, end timestamp will be used"."""
    start_s, end_s = (T0 + 10 * HOUR_MS) // 1_000, (T0 + 11 * HOUR_MS) // 1_000
    assert opens(venue, limit=4, start=start_s, end=end_s)[0] == T0 + 8 * HOUR_MS
    assert opens(venue, limit=1_000, start=T0 // 1_000, end=NOW // 1_000)[0] == NOW - 1_000 * HOUR_MS


def test_open_bar_can_be_left_out(venue: Bitstamp) -> None:
    assert opens(venue, limit=2, exclude_current_candle="true") == [NOW - HOUR_MS]


def test_quiet_bars_are_filled_but_not_outages(venue: Bitstamp) -> None:
    body = orjson.loads(ask(venue, BOOK, step=3_600, limit=1_000, end=NOW // 1_000).body)
    by_open = {int(row["timestamp"]) * 1_000: row for row in body["data"]["ohlc"]}
    assert OUTAGE not in by_open
    flat = by_open[QUIET]
    assert {flat[name] for name in ("open", "high", "low", "close")} == {by_open[QUIET - HOUR_MS]["close"]}
    assert flat["volume"] == "0.00000000"


@pytest.mark.parametrize(
    ("path", "query", "status", "said"),
    [
        ("/api/v2/ohlc/goneusdt/", {"step": 3_600, "limit": 1}, 404, b"Not Found"),
        (BOOK, {"step": 604_800, "limit": 1}, 400, b"Invalid step param"),
        (BOOK, {"step": 3_600}, 400, b"Invalid limit param"),
        (BOOK, {"step": 3_600, "limit": 1_001}, 400, b"Invalid limit param"),
        (BOOK, {"step": 3_600, "limit": 1, "start": "x"}, 400, b"Invalid start param"),
        ("/api/v2/nothing/", {}, 404, b"Not Found"),
    ],
)
def test_wrong_questions_are_refused(
    venue: Bitstamp, path: str, query: dict[str, Any], status: int, said: bytes
) -> None:
    reply = ask(venue, path, **query)
    assert reply.status == status
    assert said in reply.body


def test_header_tells_the_venues_time_to_the_second(venue: Bitstamp, clock: VirtualClock) -> None:
    clock.move_to(NOW + 1_999)
    date = parsedate_to_datetime(ask(venue, "/api/v2/eur_usd/").headers["Date"])
    assert int(date.timestamp()) * 1_000 == NOW + 1_000


def test_every_trade_has_a_frame_of_its_own_and_a_subscription_starts_with_none(
    venue: Bitstamp, clock: VirtualClock
) -> None:
    talk = venue.hear('{"event":"bts:subscribe","data":{"channel":"live_trades_btcusdt"}}')
    assert [orjson.loads(reply)["event"] for reply in talk.replies] == ["bts:subscription_succeeded"]
    (topic,) = talk.begun
    assert isinstance(topic, Topic)
    clock.move_to(NOW + HOUR_MS)
    told = [
        orjson.loads(venue.tell(topic, bar, is_buy))
        for bar, is_buy in venue.book.news(topic.symbol, topic.timeframe, NOW)
    ]
    trades = venue.book.trades("BTC/USDT", NOW + 1, NOW + HOUR_MS + 1)
    assert [frame["data"]["microtimestamp"] for frame in told] == [str(t.ts_ms * 1_000) for t in trades]
    assert [frame["data"]["amount_str"] for frame in told] == [f"{t.qty:.8f}" for t in trades]
    assert [frame["data"]["type"] for frame in told] == [0 if t.is_buy else 1 for t in trades]
    assert {(frame["event"], frame["channel"]) for frame in told} == {("trade", "live_trades_btcusdt")}
    assert len({frame["data"]["id"] for frame in told}) == len(trades) == 4


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ('{"event":"bts:heartbeat"}', "bts:heartbeat"),
        ('{"event":"bts:unsubscribe","data":{"channel":"live_trades_btcusdt"}}', "bts:unsubscription_succeeded"),
        ('{"event":"bts:subscribe","data":{"channel":"live_trades_gone"}}', "bts:error"),
    ],
)
def test_other_frames_are_answered_too(venue: Bitstamp, frame: str, event: str) -> None:
    assert orjson.loads(venue.hear(frame).replies[0])["event"] == event
