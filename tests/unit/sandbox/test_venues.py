"""Each venue's wire shape, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.exchange.wire import Request, Venue
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 1_010 * HOUR_MS
QUIET = T0 + 900 * HOUR_MS  # BTC has no trade then
OUTAGE = T0 + 910 * HOUR_MS  # nobody has
HOSTS = {"binance": "api.binance.com", "okx": "www.okx.com", "kraken": "api.kraken.com"}


def bars(skip: tuple[int, ...], count: int = 1_050) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW, NOW + 40 * HOUR_MS)


@pytest.fixture
def world(clock: VirtualClock) -> dict[str, Venue]:
    bases = {
        "BTC/USDT": {"1h": bars((QUIET, OUTAGE))},
        "ETH/USDT": {"1h": bars((OUTAGE,))},
        "LTC/USDT": {"1h": bars((), 800)},
    }
    return venues.build(Tape(bases, origin=""), clock)


def call(venue: Venue, path: str, **query: object) -> Any:
    reply = venue.answer(Request(HOSTS[venue.name], path, {name: str(value) for name, value in query.items()}))
    return orjson.loads(reply.body)


def test_binance_bounds_are_both_inclusive(world: dict[str, Venue]) -> None:
    rows = call(
        world["binance"], "/api/v3/klines", symbol="BTCUSDT", interval="1h", startTime=T0, endTime=T0 + 2 * HOUR_MS
    )
    assert [row[0] for row in rows] == [T0, T0 + HOUR_MS, T0 + 2 * HOUR_MS]
    assert rows[0][1:7] == [
        "100.00000000",
        "101.50000000",
        "99.25000000",
        "100.50000000",
        "1.50000000",
        T0 + HOUR_MS - 1,
    ]


def test_binance_starts_at_the_first_candle_ever(world: dict[str, Venue]) -> None:
    rows = call(world["binance"], "/api/v3/klines", symbol="BTCUSDT", interval="1h", startTime=0, limit=5_000)
    assert (len(rows), rows[0][0]) == (1_000, T0)
    assert not {QUIET, OUTAGE} & {row[0] for row in rows}


def test_binance_gives_the_newest_without_a_start(world: dict[str, Venue]) -> None:
    rows = call(world["binance"], "/api/v3/klines", symbol="BTCUSDT", interval="1h", limit=2)
    assert [row[0] for row in rows] == [NOW - HOUR_MS, NOW]


def test_okx_bounds_are_both_exclusive_and_rows_descend(world: dict[str, Venue]) -> None:
    path = "/api/v5/market/history-candles"
    data = call(world["okx"], path, instId="BTC-USDT", bar="1H", before=T0, after=T0 + 3 * HOUR_MS)["data"]
    assert [int(row[0]) for row in data] == [T0 + 2 * HOUR_MS, T0 + HOUR_MS]
    assert data[0][8] == "1"


def test_okx_gives_at_most_300_and_the_newest_of_them(world: dict[str, Venue]) -> None:
    data = call(world["okx"], "/api/v5/market/history-candles", instId="BTC-USDT", bar="1H", limit=1_000)["data"]
    assert len(data) == 300
    assert (int(data[0][0]), data[0][8], data[1][8]) == (NOW, "0", "1")


def test_okx_recent_candles_end_after_1440(clock: VirtualClock) -> None:
    tape = Tape({"BTC/USDT": {"1h": bars((), 2_000)}}, origin="")
    okx = venues.build(tape, VirtualClock(T0 + 2_000 * HOUR_MS, tape.end_ms))["okx"]
    span = {"instId": "BTC-USDT", "bar": "1H", "before": T0 - 1, "after": T0 + 200 * HOUR_MS}
    assert call(okx, "/api/v5/market/candles", **span)["data"] == []
    assert len(call(okx, "/api/v5/market/history-candles", **span)["data"]) == 100


def test_okx_days_open_at_16_utc_unless_utc_is_asked_for(world: dict[str, Venue]) -> None:
    for bar, hour in (("1D", 16), ("1Dutc", 0)):
        data = call(world["okx"], "/api/v5/market/history-candles", instId="BTC-USDT", bar=bar)["data"]
        assert {int(row[0]) // HOUR_MS % 24 for row in data} == {hour}


def test_kraken_shows_720_closed_and_the_open_one_whatever_since_says(world: dict[str, Venue]) -> None:
    result = call(world["kraken"], "/0/public/OHLC", pair="XBTUSDT", interval=60, since=0)["result"]
    rows = result["XBTUSDT"]
    assert len(rows) == 721
    assert rows[-1][0] * 1000 == NOW
    assert result["last"] * 1000 == NOW - HOUR_MS


def test_kraken_since_is_exclusive(world: dict[str, Venue]) -> None:
    since_s = (NOW - 3 * HOUR_MS) // 1000
    rows = call(world["kraken"], "/0/public/OHLC", pair="XBTUSDT", interval=60, since=since_s)["result"]["XBTUSDT"]
    assert [row[0] - since_s for row in rows] == [3_600, 7_200, 10_800]


def test_kraken_fills_quiet_bars_but_not_outages(world: dict[str, Venue]) -> None:
    rows = call(world["kraken"], "/0/public/OHLC", pair="XBTUSDT", interval=60)["result"]["XBTUSDT"]
    by_open = {row[0] * 1000: row for row in rows}
    assert OUTAGE not in by_open
    close = by_open[QUIET - HOUR_MS][4]
    assert by_open[QUIET][1:] == [close, close, close, close, "0.0", "0.00000000", 0]


def test_kraken_stream_never_tells_of_a_quiet_bar(world: dict[str, Venue], clock: VirtualClock) -> None:
    kraken = world["kraken"]
    told = [
        bar.open_ts_ms for bar, is_closed in kraken.book.news("BTC/USDT", parse("1h"), QUIET - HOUR_MS) if is_closed
    ]
    assert told[:2] == [QUIET - HOUR_MS, QUIET + HOUR_MS]


def test_news_between_two_times_tells_each_closed_bar_once(world: dict[str, Venue], clock: VirtualClock) -> None:
    clock.move_to(NOW + 3 * HOUR_MS)
    news = world["binance"].book.news("BTC/USDT", parse("1h"), NOW)
    assert [(bar.open_ts_ms - NOW, closed) for bar, closed in news] == [
        (0, True),
        (HOUR_MS, True),
        (2 * HOUR_MS, True),
        (3 * HOUR_MS, False),
    ]
    days = world["binance"].book.news("BTC/USDT", parse("1d"), NOW)
    assert [closed for _, closed in days] == [False]


def test_no_venue_shows_a_bar_before_its_close(world: dict[str, Venue], clock: VirtualClock) -> None:
    for venue in world.values():
        for name in ("1h", "4h", "1d"):
            timeframe = parse(name)
            window = venue.book.window(venue.book.symbols[0], timeframe, 0, 2**53)
            assert timeframe.close_ms(int(window.series.candles.open_ts_ms[window.stop - 1])) <= clock.now_ms()


def test_halted_market_is_listed_with_its_history(world: dict[str, Venue]) -> None:
    info = {market["symbol"]: market for market in call(world["binance"], "/api/v3/exchangeInfo")["symbols"]}
    assert (info["BTCUSDT"]["status"], info["LTCUSDT"]["status"]) == ("TRADING", "BREAK")
    states = {
        m["instId"]: m["state"] for m in call(world["okx"], "/api/v5/public/instruments", instType="SPOT")["data"]
    }
    assert (states["BTC-USDT"], states["LTC-USDT"]) == ("live", "suspend")
    pairs = call(world["kraken"], "/0/public/AssetPairs")["result"]
    assert (pairs["XBTUSDT"]["status"], pairs["LTCUSDT"]["status"]) == ("online", "cancel_only")
    rows = call(world["binance"], "/api/v3/klines", symbol="LTCUSDT", interval="1h")
    assert rows[-1][0] == T0 + 799 * HOUR_MS


def test_kraken_uses_its_old_names(world: dict[str, Venue]) -> None:
    assets = call(world["kraken"], "/0/public/Assets")["result"]
    assert assets["XXBT"]["altname"] == "XBT"
    assert call(world["kraken"], "/0/public/OHLC", pair="XBT/USDT", interval=60)["result"].keys() == {"XBTUSDT", "last"}


@pytest.mark.parametrize(
    ("name", "path", "query", "said"),
    [
        ("binance", "/api/v3/klines", {"symbol": "NOPE", "interval": "1h"}, "-1121"),
        ("binance", "/api/v3/klines", {"symbol": "BTCUSDT", "interval": "7h"}, "-1120"),
        ("binance", "/api/v3/klines", {"interval": "1h"}, "-1102"),
        ("binance", "/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "x"}, "-1100"),
        ("okx", "/api/v5/market/candles", {"instId": "NO-PE"}, "51001"),
        ("okx", "/api/v5/market/candles", {"instId": "BTC-USDT", "bar": "7H"}, "51000"),
        ("okx", "/api/v5/market/candles", {"instId": "BTC-USDT", "after": "x"}, "51000"),
        ("kraken", "/0/public/OHLC", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("kraken", "/0/public/OHLC", {"pair": "XBTUSDT", "interval": "7"}, "EGeneral:Invalid arguments"),
        ("kraken", "/0/public/OHLC", {"pair": "XBTUSDT", "since": "x"}, "EGeneral:Invalid arguments"),
        ("kraken", "/0/public/Nope", {}, "EGeneral:Unknown method"),
    ],
)
def test_wrong_requests_get_the_venues_own_words(world, name: str, path: str, query: dict[str, str], said: str) -> None:
    assert said in str(call(world[name], path, **query))


def test_unknown_streams_are_answered_as_each_venue_does(world: dict[str, Venue]) -> None:
    silent = world["binance"].hear('{"method":"SUBSCRIBE","params":["nope@kline_1h"],"id":3}')
    assert (silent.replies, silent.begun) == (('{"result":null,"id":3}',), ())
    refused = world["okx"].hear('{"op":"subscribe","args":[{"channel":"candle1H","instId":"NO-PE"}]}')
    assert (orjson.loads(refused.replies[0])["code"], refused.begun) == ("60018", ())
    pair = world["kraken"].hear('{"method":"subscribe","params":{"channel":"ohlc","symbol":["NO/PE"],"interval":60}}')
    assert ("not supported" in pair.replies[0], pair.begun) == (True, ())


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        (
            "binance",
            {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1h"]},
            {"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1h"]},
        ),
        *(
            (name, {key: "subscribe"} | rest, {key: "unsubscribe"} | rest)
            for name, key, rest in (
                ("okx", "op", {"args": [{"channel": "candle1H", "instId": "BTC-USDT"}]}),
                ("kraken", "method", {"params": {"channel": "ohlc", "symbol": ["BTC/USDT"], "interval": 60}}),
            )
        ),
    ],
)
def test_subscriptions_begin_and_end(world: dict[str, Venue], name: str, begin: Any, end: Any) -> None:
    begun = world[name].hear(orjson.dumps(begin).decode()).begun
    assert [(topic.symbol, topic.timeframe.name) for topic in begun] == [("BTC/USDT", "1h")]
    assert world[name].hear(orjson.dumps(end).decode()).ended == begun


def test_pings_are_answered(world: dict[str, Venue]) -> None:
    assert world["okx"].hear("ping").replies == ("pong",)
    assert orjson.loads(world["kraken"].hear('{"method":"ping","req_id":9}').replies[0]) == {
        "method": "pong",
        "req_id": 9,
    }


def test_offers_name_the_first_and_last_candle(world: dict[str, Venue]) -> None:
    offers = {(o.venue, o.symbol, o.timeframe): (o.first_ms, o.last_ms) for o in venues.offers(tuple(world.values()))}
    assert offers["binance", "BTC/USDT", "1h"] == (T0, NOW - HOUR_MS)
    assert offers["kraken", "ETH/USDT", "1h"][0] == NOW - 721 * HOUR_MS  # 720 bars, and the outage
    assert offers["okx", "BTC/USDT", "1d"] == (T0, T0 + 41 * DAY_MS)
    assert ("okx", "BTC/USDT", "1m") not in offers


def test_hosts_belong_to_their_venue(world: dict[str, Venue]) -> None:
    owner = venues.owner_of("stream.binance.com", tuple(world.values()))
    assert owner is world["binance"]
    assert venues.owner_of("notbinance.com", tuple(world.values())) is None
