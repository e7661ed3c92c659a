"""How coinbase, bitstamp and kraken are asked, and what their refusals mean."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from heliograph.core.errors import HeliographError, Permanent, RateLimited, Retryable, SymbolGone
from heliograph.core.timeframe import MINUTE_MS, TIMEFRAMES, parse
from heliograph.sources import catalog
from heliograph.sources.dialect import Ask
from heliograph.sources.errors import translate

M = parse("1m")


def ask(venue: str, start_ms: int, end_ms: int) -> Ask:
    return Ask("spot", M, start_ms, end_ms, catalog.rules(venue).page_limit, now_ms=end_ms)


@pytest.mark.parametrize(("venue", "bars"), [("coinbase", 349), ("bitstamp", 1_000)])
def test_window_holds_no_more_bars_than_a_page_and_ends_before_the_next_one(venue: str, bars: int) -> None:
    call = catalog.dialect(venue).call(ask(venue, 0, 10**12))
    assert call.since_ms == 0
    assert call.params == {"until": bars * MINUTE_MS - 1}
    near = catalog.dialect(venue).call(ask(venue, 0, 5 * MINUTE_MS))
    assert near.params == {"until": 5 * MINUTE_MS - 1}


def test_week_of_bitstamp_is_left_out() -> None:
    """ccxt asks for steps of 259,200 s, which are three days."""
    assert ccxt.bitstamp().timeframes["1w"] == "259200"
    assert "1w" not in catalog.rules("bitstamp").timeframes


def test_week_of_kraken_is_seven_days_in_ccxt() -> None:
    assert ccxt.kraken().timeframes["1w"] * MINUTE_MS == TIMEFRAMES["1w"].ms
    assert "1w" in catalog.rules("kraken").timeframes


@pytest.mark.parametrize("venue", ["coinbase", "bitstamp", "kraken"])
def test_every_timeframe_is_native_in_ccxt(venue: str) -> None:
    assert set(catalog.rules(venue).timeframes) <= set(getattr(ccxt, venue)().timeframes)


@pytest.mark.parametrize(
    ("venue", "error", "status", "body", "expected"),
    [
        ("coinbase", ccxt.ExchangeError, 404, '{"error":"NOT_FOUND","message":"Product X not supported"}', SymbolGone),
        ("coinbase", ccxt.ExchangeError, 429, '{"error":"RESOURCE_EXHAUSTED"}', RateLimited),
        (
            "coinbase",
            ccxt.RateLimitExceeded,
            429,
            '{"errors":[{"id":"rate_limit_exceeded","message":"Too many requests"}]}',
            RateLimited,
        ),
        ("coinbase", ccxt.ExchangeError, 503, '{"error":"UNAVAILABLE"}', Retryable),
        ("coinbase", ccxt.BadRequest, 400, '{"error":"INVALID_ARGUMENT","message":"less than 350"}', Permanent),
        ("bitstamp", ccxt.ExchangeNotAvailable, 404, "<html>Not Found</html>", SymbolGone),
        (
            "bitstamp",
            ccxt.ExchangeError,
            400,
            '{"status":"error","reason":"Request rate limit exceeded.","response_code":"400.002"}',
            RateLimited,
        ),
        ("bitstamp", ccxt.RateLimitExceeded, 429, "", RateLimited),
        ("bitstamp", ccxt.OnMaintenance, 503, '{"error":"Bitstamp.net is under scheduled maintenance."}', Retryable),
        ("bitstamp", ccxt.ExchangeError, 400, '{"code":"Invalid step param","errors":[]}', Permanent),
        ("kraken", ccxt.ExchangeError, 200, '{"error":["EQuery:Unknown asset pair"]}', SymbolGone),
        ("kraken", ccxt.DDoSProtection, 200, '{"error":["EGeneral:Temporary lockout"]}', RateLimited),
        ("kraken", ccxt.ExchangeError, 429, "too many", RateLimited),
    ],
)
def test_refusal_is_understood_by_its_code_status_and_class(
    venue: str, error: Any, status: int, body: str, expected: type[HeliographError]
) -> None:
    found = translate(venue, error("x"), status=status, body=body)
    assert type(found) is expected
