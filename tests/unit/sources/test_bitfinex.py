"""What is known of Bitfinex beyond ccxt."""

from __future__ import annotations

import ccxt
import pytest

from heliograph.core.errors import HeliographError, Permanent, RateLimited, Retryable, SymbolGone
from heliograph.core.timeframe import parse
from heliograph.sources.dialect import Ask
from heliograph.sources.errors import translate
from heliograph.sources.rows import find
from heliograph.sources.venues.bitfinex import DIALECT


@pytest.mark.parametrize(
    ("error", "status", "body", "expected"),
    [
        (ccxt.ExchangeError, 429, '{"error":"ERR_RATE_LIMIT"}', RateLimited),
        (ccxt.ExchangeError, 200, '{"error":"ERR_RATE_LIMIT"}', RateLimited),
        (ccxt.RateLimitExceeded, 500, '["error",11010,"ratelimit: error"]', RateLimited),
        (ccxt.BadRequest, 500, '["error",10020,"symbol: invalid"]', SymbolGone),
        (ccxt.BadRequest, 500, '["error",20060,"maintenance"]', Retryable),
        (ccxt.ExchangeNotAvailable, 503, '{"code":503,"error":"temporarily_unavailable"}', Retryable),
        (ccxt.InvalidNonce, 500, '["error",10114,"nonce: small"]', Retryable),
        (ccxt.AuthenticationError, 401, '{"message":"unauthorized"}', Permanent),
    ],
)
def test_each_error_says_what_to_do(
    error: type[Exception], status: int, body: str, expected: type[HeliographError]
) -> None:
    assert type(translate("bitfinex", error(body), status=status, body=body)) is expected


def test_block_lasts_a_minute() -> None:
    found = translate("bitfinex", ccxt.RateLimitExceeded(""), status=429, body='{"error":"ERR_RATE_LIMIT"}')
    assert isinstance(found, RateLimited)
    assert found.retry_after_s == 60.0


def test_end_is_sent_as_an_inclusive_one() -> None:
    call = DIALECT.call(Ask("swap", parse("1m"), 5, 1_000, 10_000, 2_000))
    assert (call.since_ms, call.limit, call.params) == (5, 10_000, {"until": 999})


def test_layout_knows_that_the_close_stands_before_the_high() -> None:
    rows = find("[[1591503840000,0.02,0.03,0.04,0.01,1.97828998]]")
    assert rows is not None
    c = rows.candles(DIALECT.layouts["spot"])
    assert (c.open[0], c.high[0], c.low[0], c.close[0], c.volume[0]) == (0.02, 0.04, 0.01, 0.03, 1.97828998)


def test_budget_is_30_pages_a_minute_for_both_kinds_together() -> None:
    assert {(r.pool, round(r.weight_limit / r.weight_per_page, 6), r.window_s) for r in DIALECT.rules.values()} == {
        ("bitfinex", 30.0, 60.0)
    }
