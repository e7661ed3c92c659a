"""What the big venues of Asia say when they won't, in bodies that they were seen to send, and what that means."""

from __future__ import annotations

import ccxt
import pytest

from heliograph.core.errors import HeliographError, Permanent, RateLimited, Retryable, SymbolGone, VenueTimeout
from heliograph.sources.errors import translate


def bybit(code: int, text: str) -> str:
    return f'{{"retCode":{code},"retMsg":"{text}","result":{{}},"retExtInfo":{{}},"time":1672025956592}}'


def gate(label: str, text: str = "…") -> str:
    return f'{{"label":"{label}","message":"{text}"}}'


def kucoin(code: str, text: str) -> str:
    return f'{{"msg":"{text}","code":"{code}"}}'


@pytest.mark.parametrize(
    ("venue", "error", "status", "body", "expected"),
    [
        ("bybit", ccxt.BadSymbol, 200, bybit(10001, "Not supported symbols"), SymbolGone),
        ("bybit", ccxt.BadRequest, 200, bybit(10001, "params error: Symbol Invalid"), SymbolGone),
        ("bybit", ccxt.BadRequest, 200, bybit(10001, "params error: symbol invalid"), SymbolGone),
        ("bybit", ccxt.BadRequest, 200, bybit(10001, "Invalid period!"), Permanent),
        ("bybit", ccxt.RateLimitExceeded, 200, bybit(10006, "Too many visits!"), RateLimited),
        ("bybit", ccxt.RateLimitExceeded, 403, "403, access too frequent", RateLimited),
        ("bybit", ccxt.RateLimitExceeded, 403, "<html>block access from your country</html>", Permanent),
        ("bybit", ccxt.ExchangeError, 200, bybit(10016, "Internal System Error."), Retryable),
        ("bybit", ccxt.ExchangeError, 200, bybit(10000, "Server Timeout"), VenueTimeout),
        ("gate", ccxt.BadSymbol, 400, gate("INVALID_CURRENCY_PAIR", "Invalid currency pair A_B"), SymbolGone),
        ("gate", ccxt.BadSymbol, 400, gate("INVALID_CURRENCY", "currency TON is delisted"), SymbolGone),
        ("gate", ccxt.BadSymbol, 400, '{"label":"CONTRACT_NOT_FOUND"}', SymbolGone),
        ("gate", ccxt.BadRequest, 400, gate("INVALID_PARAM_VALUE", "Candlestick too long ago."), Permanent),
        ("gate", ccxt.RateLimitExceeded, 429, gate("TOO_MANY_REQUESTS", "Request rate limit exceeded"), RateLimited),
        ("gate", ccxt.ExchangeNotAvailable, 500, gate("SERVER_ERROR"), Retryable),
        ("gate", ccxt.ExchangeNotAvailable, 502, "<html>502 Bad Gateway</html>", Retryable),
        ("kucoin", ccxt.BadSymbol, 400, kucoin("400100", "Unsupported trading pair."), SymbolGone),
        ("kucoin", ccxt.ExchangeError, 200, kucoin("900001", "The symbol does not exist"), SymbolGone),
        ("kucoin", ccxt.ExchangeError, 200, kucoin("404000", "…"), SymbolGone),
        ("kucoin", ccxt.BadRequest, 400, kucoin("400100", "Incorrect candlestick type"), Permanent),
        ("kucoin", ccxt.RateLimitExceeded, 429, kucoin("429000", "Too many requests"), RateLimited),
        ("kucoin", ccxt.ExchangeError, 429, "error code: 1015", RateLimited),
        ("kucoin", ccxt.ExchangeNotAvailable, 500, kucoin("500000", "Internal Server Error"), Retryable),
        ("kucoin", ccxt.InvalidNonce, 400, kucoin("400002", "Invalid KC-API-TIMESTAMP"), Retryable),
        ("binanceusdm", ccxt.DDoSProtection, 429, '{"code":-1003,"msg":"Too many requests"}', RateLimited),
        ("binanceusdm", ccxt.BadSymbol, 400, '{"code":-1121,"msg":"Invalid symbol."}', SymbolGone),
        ("binanceusdm", ccxt.BadRequest, 400, '{"code":-1120,"msg":"Invalid interval."}', Permanent),
        ("binanceusdm", ccxt.OperationFailed, 503, '{"code":-1008,"msg":"Server is overloaded"}', Retryable),
    ],
)
def test_each_refusal_says_what_to_do(
    venue: str, error: type[Exception], status: int, body: str, expected: type[HeliographError]
) -> None:
    found = translate(venue, error(f"{venue} {body}"), status=status, body=body)
    assert type(found) is expected
