"""What a page is cut to, and what a market is made of."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS, TIMEFRAMES, parse
from heliograph.sources import catalog
from heliograph.sources.dialect import Ask, Call, shortest_ms
from heliograph.sources.rest import closed, market_of
from heliograph.sources.venues import binance, okx

H, MONTH = parse("1h"), parse("1M")
NOW_MS = 500_000 * HOUR_MS
OKX = catalog.rules("okx")


def test_unsorted_page_with_a_bar_twice_comes_out_in_order_without_the_open_bar() -> None:
    rows = [[n * HOUR_MS, 1, 1, 1, 1, n] for n in (3, 1, 2, 2, 0)]
    assert closed(Candles.of(rows), H, 3 * HOUR_MS + 1).open_ts_ms.tolist() == [0, HOUR_MS, 2 * HOUR_MS]


def test_bar_is_closed_at_its_close_and_not_a_millisecond_before() -> None:
    one = Candles.of([[0, 1, 1, 1, 1, 1]])
    assert len(closed(one, H, HOUR_MS)) == 1
    assert len(closed(one, H, HOUR_MS - 1)) == 0


def test_month_is_closed_by_the_calendar() -> None:
    february = Candles.of([[31 * DAY_MS, 1, 1, 1, 1, 1]])
    assert len(closed(february, MONTH, 59 * DAY_MS)) == 1
    assert len(closed(february, MONTH, 59 * DAY_MS - 1)) == 0


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=str)
def test_no_window_of_shortest_bars_holds_more_than_its_number(timeframe) -> None:
    for start_ms in range(0, 400 * DAY_MS, 13 * DAY_MS + 7):
        assert timeframe.count(start_ms, start_ms + 30 * shortest_ms(timeframe)) <= 30


def test_okx_is_never_asked_for_a_window_wider_than_a_page() -> None:
    """It answers with the newest rows before the end: a wider window would lose the first ones."""
    start_ms = NOW_MS - 10_000 * HOUR_MS
    asked = okx.call(Ask("spot", H, start_ms, NOW_MS, limit=300, now_ms=NOW_MS))
    assert asked == Call(start_ms, 300, {"until": start_ms + 300 * HOUR_MS, "type": "HistoryCandles"})
    recent = okx.call(Ask("spot", H, NOW_MS - 5 * HOUR_MS, NOW_MS, limit=300, now_ms=NOW_MS))
    assert recent.params == {"until": NOW_MS, "type": "Candles"}


def test_binances_end_is_inclusive() -> None:
    assert binance.call(Ask("spot", H, 0, NOW_MS, limit=1_000, now_ms=NOW_MS)).params == {"until": NOW_MS - 1}


def raw_market(**changed: object) -> dict[str, object]:
    raw = {
        "symbol": "A/B",
        "base": "A",
        "quote": "B",
        "active": False,
        "created": 5,
        "precision": {"price": 1e-08, "amount": 0.1},
        "limits": {"cost": {"min": None}},
    }
    return raw | changed


def test_market_keeps_exact_ticks() -> None:
    market = market_of(OKX, raw_market(), ccxt.TICK_SIZE)
    assert market is not None
    assert (market.price_tick, market.qty_step) == (Decimal("0.00000001"), Decimal("0.1"))
    assert (market.min_notional_quote, market.is_active, market.listed_ts_ms) == (0, False, 5)


def test_market_without_a_tick_is_not_open_yet() -> None:
    assert market_of(OKX, raw_market(precision={"price": None, "amount": None}), ccxt.TICK_SIZE) is None


def test_decimals_are_a_tick_and_significant_digits_are_the_least_one() -> None:
    told = raw_market(precision={"price": 5, "amount": 8})
    by_decimals = market_of(OKX, told, ccxt.DECIMAL_PLACES)
    by_digits = market_of(OKX, told, ccxt.SIGNIFICANT_DIGITS)
    assert by_decimals is not None
    assert by_digits is not None
    assert (by_decimals.price_tick, by_decimals.qty_step) == (Decimal("0.00001"), Decimal("1E-8"))
    assert by_digits.price_tick == Decimal("1E-8")
