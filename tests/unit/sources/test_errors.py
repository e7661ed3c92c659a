"""A venue's words, ccxt's class and the HTTP status together say what to do next."""

from __future__ import annotations

import json
from types import SimpleNamespace

import aiohttp
import ccxt
import pytest

from heliograph.core.errors import (
    ConfigError,
    HeliographError,
    Permanent,
    RateLimited,
    Retryable,
    SymbolGone,
    VenueTimeout,
)
from heliograph.sources.catalog import dialect
from heliograph.sources.errors import retry_after_s, translate


def kraken(text: str) -> str:
    return json.dumps({"error": [text]})


def code(number: str, text: str = "…") -> str:
    return json.dumps({"code": number, "msg": text})


@pytest.mark.parametrize(
    ("venue", "error", "status", "body", "expected"),
    [
        ("binance", ccxt.DDoSProtection, 429, '{"code":-1003,"msg":"Too much request weight used"}', RateLimited),
        ("binance", ccxt.DDoSProtection, 418, '{"code":-1003,"msg":"banned"}', RateLimited),
        ("binance", ccxt.ExchangeNotAvailable, 403, "<html>WAF</html>", RateLimited),
        ("binance", ccxt.BadSymbol, 400, '{"code":-1121,"msg":"Invalid symbol."}', SymbolGone),
        ("binance", ccxt.OperationFailed, 503, '{"code":-1000,"msg":"…"}', Retryable),
        ("binance", ccxt.BadRequest, 503, '{"code":-1016,"msg":"This service is no longer available."}', Retryable),
        ("binance", ccxt.InvalidNonce, 400, '{"code":-1021,"msg":"…"}', Retryable),
        ("binance", ccxt.BadRequest, 400, '{"code":-1100,"msg":"Illegal characters"}', Permanent),
        ("binance", ccxt.ExchangeNotAvailable, 451, "restricted location", Permanent),
        ("binance", ccxt.ExchangeNotAvailable, 400, "<html>bad request</html>", Permanent),
        ("okx", ccxt.RateLimitExceeded, 429, code("50011", "Too Many Requests"), RateLimited),
        ("okx", ccxt.ExchangeError, 200, code("50061"), RateLimited),
        ("okx", ccxt.BadSymbol, 200, code("51001"), SymbolGone),
        ("okx", ccxt.OnMaintenance, 503, code("50001"), Retryable),
        ("okx", ccxt.ExchangeNotAvailable, 500, code("50026"), Retryable),
        ("okx", ccxt.RequestTimeout, 200, code("50004"), VenueTimeout),
        ("okx", ccxt.BadRequest, 200, code("51000"), Permanent),
        ("kraken", ccxt.DDoSProtection, 200, kraken("EAPI:Rate limit exceeded"), RateLimited),
        ("kraken", ccxt.ExchangeError, 429, "slow down", RateLimited),
        ("kraken", ccxt.DDoSProtection, 200, kraken("EGeneral:Temporary lockout"), RateLimited),
        ("kraken", ccxt.ExchangeError, 200, kraken("EQuery:Unknown asset pair"), SymbolGone),
        ("kraken", ccxt.ExchangeNotAvailable, 200, kraken("EService:Unavailable"), Retryable),
        ("kraken", ccxt.ExchangeNotAvailable, 520, "", Retryable),
        ("kraken", ccxt.ExchangeError, 200, kraken("EGeneral:Unknown method"), Permanent),
        ("binance", ccxt.RequestTimeout, None, "", VenueTimeout),
        ("binance", ccxt.RequestTimeout, 504, "", VenueTimeout),
        ("binance", ccxt.ExchangeNotAvailable, None, "", Retryable),
        ("binance", ccxt.BadSymbol, None, "", SymbolGone),
        ("binance", ccxt.ArgumentsRequired, None, "", Permanent),
    ],
)
def test_each_error_says_what_to_do(venue, error, status, body, expected: type[HeliographError]) -> None:
    found = translate(venue, error(f"{venue} {body}"), status=status, body=body)
    assert type(found) is expected
    assert venue in str(found)


def test_answer_cut_in_the_middle_is_retryable() -> None:
    """ccxt reports a broken body as a plain `ExchangeError`, which looks permanent."""
    error = ccxt.ExchangeError("binance GET …")
    error.__cause__ = aiohttp.ClientPayloadError("not enough data")
    assert type(translate("binance", error)) is Retryable


def test_wait_comes_from_the_header_then_the_ban_then_the_venue() -> None:
    ban = '{"code":-1003,"msg":"Way too much request weight used; IP banned until 1700000090000."}'
    at = {"date": "Tue, 14 Nov 2023 22:13:20 GMT", "retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}
    assert retry_after_s(dialect("binance"), {"retry-after": "7"}, ban, 1_700_000_000_000) == 7.0
    assert retry_after_s(dialect("binance"), at, "", None) == 30.0
    assert retry_after_s(dialect("binance"), {}, ban, 1_700_000_000_000) == 90.0
    assert retry_after_s(dialect("binance"), {}, ban, 1_800_000_000_000) == 0.0
    assert retry_after_s(dialect("binance"), {}, ban, None) == 10.0
    assert retry_after_s(dialect("okx"), {}, "", None) == 2.0


def test_untrusted_certificate_names_the_setting() -> None:
    error = ccxt.ExchangeNotAvailable("okx")
    error.__cause__ = aiohttp.ClientSSLError(
        SimpleNamespace(host="www.okx.com", port=443, ssl=True),  # type: ignore[arg-type]
        OSError(1, "self-signed"),
    )
    found = translate("okx", error)
    assert isinstance(found, ConfigError)
    assert "fetch.venues.okx.ca_file" in str(found)
