"""Crypto.com Exchange's wire shape, without a network."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.cryptocom import Cryptocom
from heliograph.sandbox.exchange.wire import Reply, Request, Talk
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 1_010 * HOUR_MS
QUIET = T0 + 900 * HOUR_MS  # BTC has no trade then
HOST = "api.crypto.com"


def bars(skip: tuple[int, ...] = (), count: int = 1_050) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture(scope="module")
def venue() -> Cryptocom:
    bases = {
        "BTC/USDT": {"1h": bars((QUIET,))},
        "ETH/USDT": {"1h": bars()},
        "LTC/USDT": {"1h": bars(count=800)},
    }
    return Cryptocom.of(Tape(bases, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def get(venue: Cryptocom, method: str, **query: object) -> Reply:
    return venue.answer(Request(HOST, f"/exchange/v1/{method}", {name: str(value) for name, value in query.items()}))


def candles(venue: Cryptocom, **query: object) -> list[dict[str, Any]]:
    asked = {"instrument_name": "BTC_USDT", "timeframe": "1h"} | query
    found: list[dict[str, Any]] = orjson.loads(get(venue, "public/get-candlestick", **asked).body)["result"]["data"]
    return found


def hear(venue: Cryptocom, method: str, *channels: str) -> Talk:
    frame = {"method": method, "params": {"channels": channels}, "nonce": 1}
    return venue.hear(orjson.dumps(frame).decode())


def test_candle_is_an_object_of_strings(venue: Cryptocom) -> None:
    reply = get(venue, "public/get-candlestick", instrument_name="BTCUSD-PERP", timeframe="1h", count=1)
    assert orjson.loads(reply.body)["result"] | {"data": []} == {
        "interval": "1h",
        "data": [],
        "instrument_name": "BTCUSD-PERP",
    }
    row = candles(venue, start_ts=T0 - 1, end_ts=T0 + 1)[0]
    assert row == {"o": "100.00", "h": "101.50", "l": "99.25", "c": "100.50", "v": "1.500", "t": T0}


def test_both_bounds_are_exclusive(venue: Cryptocom) -> None:
    rows = candles(venue, start_ts=T0, end_ts=T0 + 3 * HOUR_MS)
    assert [row["t"] - T0 for row in rows] == [HOUR_MS, 2 * HOUR_MS]


def test_page_holds_the_newest_25_unless_asked_and_300_at_most(venue: Cryptocom) -> None:
    rows = candles(venue, start_ts=T0)
    assert (len(rows), rows[0]["t"], rows[-1]["t"]) == (25, NOW - 24 * HOUR_MS, NOW)
    assert len(candles(venue, start_ts=T0, count=1_000)) == 300


def test_start_is_a_day_ago_unless_given(venue: Cryptocom) -> None:
    assert [row["t"] - NOW for row in candles(venue, count=300)] == [-i * HOUR_MS for i in range(23, -1, -1)]


def test_end_in_microseconds_lies_in_the_future_and_gives_the_newest(venue: Cryptocom) -> None:
    """What ccxt sends without a limit: the page has nothing to do with its start."""
    rows = candles(venue, start_ts=T0, end_ts=NOW * 1_000)
    assert (len(rows), rows[-1]["t"]) == (25, NOW)


def test_quiet_bars_are_absent(venue: Cryptocom) -> None:
    rows = candles(venue, start_ts=QUIET - HOUR_MS - 1, end_ts=QUIET + HOUR_MS + 1)
    assert [row["t"] for row in rows] == [QUIET - HOUR_MS, QUIET + HOUR_MS]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"instrument_name": "GONE_USDT"}, 30003),
        ({"timeframe": "3m"}, 40003),
        ({"start_ts": "today"}, 40004),
    ],
)
def test_wrong_parameter_is_a_400_with_a_code(venue: Cryptocom, query: dict[str, str], code: int) -> None:
    reply = get(venue, "public/get-candlestick", **({"instrument_name": "BTC_USDT", "timeframe": "1h"} | query))
    assert (reply.status, orjson.loads(reply.body)["code"]) == (400, code)


def test_unknown_method_is_a_404(venue: Cryptocom) -> None:
    assert get(venue, "public/sing").status == 404


def test_instruments_of_all_kinds_stand_in_one_list(venue: Cryptocom) -> None:
    data = orjson.loads(get(venue, "public/get-instruments").body)["result"]["data"]
    kinds = {each["symbol"]: each["inst_type"] for each in data}
    assert (kinds["BTC_USDT"], kinds["BTCUSD-PERP"]) == ("CCY_PAIR", "PERPETUAL_SWAP")
    assert "FUTURE" in kinds.values()
    tradable = {each["symbol"]: each["tradable"] for each in data}
    assert (tradable["BTC_USDT"], tradable["LTC_USDT"], tradable["LTCUSD-PERP"]) == (True, False, False)


def test_time_stands_in_the_date_header_only(venue: Cryptocom) -> None:
    reply = get(venue, "public/get-risk-parameters")
    assert parsedate_to_datetime(reply.headers["Date"]).timestamp() * 1000 == NOW


def test_candles_are_granted_100_times_a_second_and_instruments_30(venue: Cryptocom) -> None:
    charges = [
        venue.charge(Request(HOST, f"/exchange/v1/{method}", {}))
        for method in ("public/get-candlestick", "public/get-instruments")
    ]
    assert [(c.pool, int(c.limit / c.weight), c.window_s) for c in charges] == [
        ("public/get-candlestick", 100, 1.0),
        ("public/get-instruments", 30, 1.0),
    ]


def test_subscription_is_confirmed_then_told_the_newest_300(venue: Cryptocom) -> None:
    talk = hear(venue, "subscribe", "candlestick.1h.ETHUSD-PERP")
    confirmed, snapshot = (orjson.loads(reply) for reply in talk.replies)
    assert (confirmed["code"], confirmed["method"]) == (0, "subscribe")
    result = snapshot["result"]
    assert (result["channel"], result["subscription"], result["interval"], result["depth"]) == (
        "candlestick",
        "candlestick.1h.ETHUSD-PERP",
        "1h",
        300,
    )
    assert (len(result["data"]), result["data"][-1]["t"]) == (300, NOW)
    assert [topic.symbol for topic in talk.begun] == ["ETH/USD:USD"]
    assert hear(venue, "unsubscribe", "candlestick.1h.ETHUSD-PERP").ended == talk.begun


@pytest.mark.parametrize("channel", ["candlestick.3m.BTC_USDT", "candlestick.1h.GONE", "trade.BTC_USDT", ""])
def test_unknown_channel_is_refused(venue: Cryptocom, channel: str) -> None:
    talk = hear(venue, "subscribe", channel)
    assert orjson.loads(talk.replies[0])["code"] == 40003
    assert not talk.begun


def test_heartbeat_comes_first_and_its_answer_is_not_answered(venue: Cryptocom) -> None:
    beat = orjson.loads(venue.greet()[0])
    assert beat["method"] == "public/heartbeat"
    answer = orjson.dumps({"id": beat["id"], "method": "public/respond-heartbeat"}).decode()
    assert venue.hear(answer) == Talk()
