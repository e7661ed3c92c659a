"""What is known of Crypto.com Exchange beyond ccxt."""

from __future__ import annotations

import itertools

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import HeliographError, Permanent, RateLimited, Retryable, SymbolGone, VenueTimeout
from heliograph.core.timeframe import Timeframe, parse
from heliograph.sources.dialect import Ask, Call
from heliograph.sources.errors import translate
from heliograph.sources.venues.cryptocom import DIALECT

SPOT = DIALECT.rules["spot"]
VENUE_PAGE = 300
READINGS = list(itertools.product((False, True), repeat=4))


def code(number: int) -> str:
    return f'{{"id":-1,"method":"public/get-candlestick","code":{number},"message":"…"}}'


@pytest.mark.parametrize(
    ("error", "status", "body", "expected"),
    [
        (ccxt.RateLimitExceeded, 429, code(42901), RateLimited),
        (ccxt.DDoSProtection, 429, code(10006), RateLimited),
        (ccxt.BadSymbol, 400, code(30003), SymbolGone),
        (ccxt.ExchangeError, 500, code(50001), Retryable),
        (ccxt.ExchangeError, 200, code(10001), Retryable),
        (ccxt.OnMaintenance, 503, '{"code":9010001,"message":"SYSTEM_MAINTENANCE"}', Retryable),
        (ccxt.RequestTimeout, 408, code(40801), VenueTimeout),
        (ccxt.BadRequest, 400, code(40004), Permanent),
    ],
)
def test_each_error_says_what_to_do(
    error: type[Exception], status: int, body: str, expected: type[HeliographError]
) -> None:
    assert type(translate("cryptocom", error(body), status=status, body=body)) is expected


def answered(call: Call, bars: Timeframe, reading: tuple[bool, ...]) -> list[int]:
    """The opens that a venue would send, under one way to read its documents; every bar exists."""
    is_start_in, is_end_in, is_rounded, drops_oldest = reading
    start_ms, end_ms = int(str(call.params["start_ts"])), int(str(call.params["end_ts"]))
    if is_rounded:
        start_ms, end_ms = bars.floor(start_ms), bars.floor(end_ms)
    opens: list[int] = bars.opens(
        start_ms if is_start_in else start_ms + 1, end_ms + 1 if is_end_in else end_ms
    ).tolist()
    return opens[-VENUE_PAGE:] if drops_oldest else opens[:VENUE_PAGE]


@pytest.mark.parametrize("reading", READINGS)
@given(
    start=st.integers(1, 10_000), offset_ms=st.sampled_from([0, 1, 30_000, 59_999]), length_ms=st.integers(0, 3 * 10**7)
)
def test_no_bar_is_lost_however_the_bounds_are_meant(
    reading: tuple[bool, ...], start: int, offset_ms: int, length_ms: int
) -> None:
    bars = parse("1m")
    start_ms = start * bars.ms + offset_ms
    ask = Ask("spot", bars, start_ms, start_ms + length_ms, SPOT.page_limit, 2**53)
    found = answered(DIALECT.call(ask), bars, reading)
    assert set(bars.opens(start_ms, ask.window_end_ms).tolist()) <= set(found)


def test_count_is_always_sent() -> None:
    """Without it the venue sends 25 bars, and ccxt an end in microseconds."""
    call = DIALECT.call(Ask("swap", parse("1h"), 10**12, 2 * 10**12, SPOT.page_limit, 2 * 10**12))
    assert (call.since_ms, call.limit) == (10**12, VENUE_PAGE)
