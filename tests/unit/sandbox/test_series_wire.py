"""Funding rates and open interest as each venue's wire carries them: order, bounds, caps, refusals."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.exchange.wire import Reply, Request, Venue
from heliograph.sandbox.tape import Tape

T0 = 1_672_531_200_000  # 2023-01-01
HOURS = 170 * 24
NOW = T0 + HOURS * HOUR_MS
EIGHT = 8 * HOUR_MS

USDM_FUNDING, USDM_INTEREST = "/fapi/v1/fundingRate", "/futures/data/openInterestHist"
BYBIT_FUNDING, BYBIT_INTEREST = "/v5/market/funding/history", "/v5/market/open-interest"
OKX_FUNDING, OKX_INTEREST = "/api/v5/public/funding-rate-history", "/api/v5/rubik/stat/contracts/open-interest-history"


@pytest.fixture(scope="module")
def world() -> dict[str, Venue]:
    bars = Candles.of(
        [[T0 + i * HOUR_MS, 100 + i % 7, 110, 90, 100 + i % 11, (1_500 + i) / 1000] for i in range(HOURS + 5)]
    )
    bases = {name: {"1h": bars} for name in ("BTC/USDT", "ETH/USDT")}
    return venues.build(Tape(bases, origin=""), VirtualClock(NOW, NOW + HOUR_MS))


def get(venue: Venue, path: str, **query: object) -> Reply:
    return venue.answer(Request("", path, {k: str(v) for k, v in query.items()}))


def told(reply: Reply) -> Any:
    assert reply.status == 200
    return orjson.loads(reply.body)


def info(venue: Venue, **question: Any) -> Reply:
    body = orjson.dumps({"type": "fundingHistory"} | question)
    return venue.answer(Request("", "/info", {}, method="POST", body=body))


def ages(rows: list[Any], name: str | int) -> list[int]:
    """Hours before now."""
    return [(NOW - int(row[name])) // HOUR_MS for row in rows]


def test_hyperliquid_tells_the_first_500_hours_from_the_start(world: dict[str, Venue]) -> None:
    rows = told(info(world["hyperliquid"], coin="BTC", startTime=NOW - 600 * HOUR_MS, endTime=NOW))
    assert ages(rows, "time") == list(range(600, 100, -1))
    assert set(rows[0]) == {"coin", "fundingRate", "premium", "time"}
    rows = told(info(world["hyperliquid"], coin="ETH", startTime=NOW - 2 * HOUR_MS, endTime=NOW - HOUR_MS))
    assert ages(rows, "time") == [2, 1]


def test_hyperliquid_refuses_what_it_does_not_know(world: dict[str, Venue]) -> None:
    assert info(world["hyperliquid"], coin="NONE", startTime=0) == Reply(500, b"null")
    assert info(world["hyperliquid"], coin="BTC").status == 422
    assert told(info(world["hyperliquid"], coin="@142", startTime=0)) == []  # a pair is never charged


def test_binance_tells_the_first_rates_of_an_interval_and_the_newest_without_one(world: dict[str, Venue]) -> None:
    usdm = world["binanceusdm"]
    rows = told(get(usdm, USDM_FUNDING, symbol="BTCUSDT", startTime=NOW - 10 * EIGHT, endTime=NOW, limit=3))
    assert ages(rows, "fundingTime") == [80, 72, 64]
    assert set(rows[0]) == {"symbol", "fundingTime", "fundingRate", "markPrice"}
    assert ages(told(get(usdm, USDM_FUNDING, symbol="BTCUSDT", limit=2)), "fundingTime") == [8, 0]
    assert len(told(get(usdm, USDM_FUNDING, symbol="BTCUSDT"))) == 100
    both = get(usdm, USDM_FUNDING, symbol="BTCUSDT", startTime=NOW - EIGHT, endTime=NOW)
    assert ages(told(both), "fundingTime") == [8, 0]


def test_binance_keeps_open_interest_for_thirty_days(world: dict[str, Venue]) -> None:
    usdm, oldest = world["binanceusdm"], NOW - 30 * DAY_MS
    rows = told(get(usdm, USDM_INTEREST, symbol="BTCUSDT", period="1h", startTime=oldest, limit=500))
    assert ages(rows, "timestamp") == list(range(499, -1, -1))
    assert rows[-1]["sumOpenInterest"] == "167.37000000"  # ten times thrice the last hour's volume
    refused = get(usdm, USDM_INTEREST, symbol="BTCUSDT", period="1h", startTime=oldest - 1)
    assert (refused.status, orjson.loads(refused.body)) == (
        400,
        {"code": -1130, "msg": "parameter 'startTime' is invalid."},
    )
    assert get(usdm, USDM_INTEREST, symbol="BTCUSDT", period="7h").status == 400


def test_binance_counts_these_calls_apart(world: dict[str, Venue]) -> None:
    pools = {
        path: world["binanceusdm"].charge(Request("", path, {}))
        for path in (USDM_FUNDING, USDM_INTEREST, "/fapi/v1/time")
    }
    assert len({charge.pool for charge in pools.values()}) == 3
    assert [charge.limit / charge.window_s for charge in pools.values()] == [500 / 300, 1_000 / 300, 2_400 / 60]


def test_bybit_tells_the_newest_200_up_to_the_end(world: dict[str, Venue]) -> None:
    bybit = world["bybit"]
    linear = {"category": "linear", "symbol": "BTCUSDT"}
    rows = told(get(bybit, BYBIT_FUNDING, **linear, startTime=T0, endTime=NOW))["result"]["list"]
    assert ages(rows, "fundingRateTimestamp") == list(range(0, 1_600, 8))
    rows = told(
        get(bybit, BYBIT_INTEREST, **linear, intervalTime="1h", startTime=NOW - 5 * HOUR_MS, endTime=NOW, limit=5)
    )
    assert ages(rows["result"]["list"], "timestamp") == [0, 1, 2, 3, 4]
    assert set(rows["result"]["list"][0]) == {"openInterest", "singleOpenInterest", "timestamp"}
    rows = told(get(bybit, BYBIT_INTEREST, **linear, intervalTime="1h", startTime=T0))
    assert ages(rows["result"]["list"], "timestamp") == list(range(50))  # a start alone means nothing


def test_bybit_refuses_with_a_code_in_a_good_answer(world: dict[str, Venue]) -> None:
    bybit = world["bybit"]
    linear = {"category": "linear", "symbol": "BTCUSDT"}
    for wrong in (
        get(bybit, BYBIT_FUNDING, **linear, startTime=T0),
        get(bybit, BYBIT_FUNDING, category="linear", symbol="NONE"),
        get(bybit, BYBIT_FUNDING, category="spot", symbol="BTCUSDT"),
        get(bybit, BYBIT_INTEREST, **linear, intervalTime="7h"),
        get(bybit, BYBIT_INTEREST, **linear, intervalTime="1h", limit="x"),
    ):
        assert told(wrong)["retCode"] == 10001


def test_okx_bounds_are_both_exclusive(world: dict[str, Venue]) -> None:
    okx, swap = world["okx"], {"instId": "BTC-USDT-SWAP"}
    rows = told(get(okx, OKX_FUNDING, **swap, before=NOW - 3 * EIGHT, after=NOW))["data"]
    assert ages(rows, "fundingTime") == [8, 16]
    rows = told(get(okx, OKX_INTEREST, **swap, period="1H", begin=NOW - 3 * HOUR_MS, end=NOW))["data"]
    assert ages(rows, 0) == [1, 2]
    contracts, coins = (float(number) for number in rows[0][1:3])
    assert contracts == pytest.approx(10 * coins)


def test_okx_tells_the_newest_100_of_three_months_and_of_1440_hours(world: dict[str, Venue]) -> None:
    okx, swap = world["okx"], {"instId": "BTC-USDT-SWAP"}
    assert ages(told(get(okx, OKX_FUNDING, **swap))["data"], "fundingTime") == list(range(0, 800, 8))
    last = told(get(okx, OKX_FUNDING, **swap, after=NOW - 85 * DAY_MS))["data"]
    assert ages(last, "fundingTime")[-1] == 90 * 24
    last = told(get(okx, OKX_INTEREST, **swap, period="1H", end=NOW - 1_438 * HOUR_MS))["data"]
    assert ages(last, 0) == [1_439, 1_440]


def test_okx_refuses_pairs_and_strange_periods(world: dict[str, Venue]) -> None:
    okx, swap = world["okx"], {"instId": "BTC-USDT-SWAP"}
    assert told(get(okx, OKX_FUNDING, instId="BTC-USDT"))["code"] == "51001"
    assert told(get(okx, OKX_INTEREST, instId="NO-SUCH-SWAP", period="1H"))["code"] == "51001"
    assert told(get(okx, OKX_INTEREST, **swap, period="7H"))["code"] == "51000"
    assert told(get(okx, OKX_FUNDING, **swap, before="x"))["code"] == "51000"


@pytest.mark.parametrize(
    ("venue", "path", "query"),
    [
        ("binanceusdm", USDM_FUNDING, {"symbol": "BTCUSDT", "limit": 10}),
        ("binanceusdm", USDM_INTEREST, {"symbol": "BTCUSDT", "period": "1h", "limit": 10}),
        ("bybit", BYBIT_FUNDING, {"category": "linear", "symbol": "BTCUSDT", "limit": 10}),
        ("okx", OKX_FUNDING, {"instId": "BTC-USDT-SWAP", "limit": 10}),
        ("okx", OKX_INTEREST, {"instId": "BTC-USDT-SWAP", "period": "1H", "limit": 10}),
    ],
)
def test_venue_in_trouble_sends_half(world: dict[str, Venue], venue: str, path: str, query: dict[str, object]) -> None:
    def rows(*, is_cut: bool) -> int:
        body = told(world[venue].answer(Request("", path, {k: str(v) for k, v in query.items()}, is_cut=is_cut)))
        return len(body if isinstance(body, list) else body.get("data") or body["result"]["list"])

    assert (rows(is_cut=False), rows(is_cut=True)) == (10, 5)
