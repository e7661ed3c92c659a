"""What is known of Hyperliquid beyond ccxt."""

from __future__ import annotations

import ccxt
import pytest

from heliograph.core.calendars import grid
from heliograph.core.errors import HeliographError, Permanent, RateLimited, Retryable, SymbolGone
from heliograph.core.timeframe import parse
from heliograph.sources.dialect import Ask
from heliograph.sources.errors import translate
from heliograph.sources.venues.hyperliquid import DIALECT

NOW = 1_750_000_020_000  # on a minute


@pytest.mark.parametrize(
    ("error", "status", "body", "expected"),
    [
        (ccxt.RateLimitExceeded, 429, "null", RateLimited),
        (ccxt.ExchangeNotAvailable, 500, "null", SymbolGone),
        (ccxt.ExchangeNotAvailable, 502, "<html>Bad Gateway</html>", Retryable),
        (ccxt.ExchangeError, 422, "Failed to deserialize the JSON body into the target type", Permanent),
    ],
)
def test_each_error_says_what_to_do(
    error: type[Exception], status: int, body: str, expected: type[HeliographError]
) -> None:
    assert type(translate("hyperliquid", error(body), status=status, body=body)) is expected


@pytest.mark.parametrize(("end_ms", "until_ms"), [(NOW - 10, NOW - 11), (NOW, NOW - 1), (2**53, NOW)])
def test_end_is_sent_and_never_lies_ahead_of_the_venue(end_ms: int, until_ms: int) -> None:
    call = DIALECT.call(Ask("spot", parse("1m"), 5, end_ms, 5_000, NOW))
    assert (call.since_ms, call.limit, call.params) == (5, None, {"until": until_ms})


def test_weeks_open_on_thursday() -> None:
    assert grid("hyperliquid", "1w").offset_ms == 0
