"""Coinbase Advanced Trade spot: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api."""

from __future__ import annotations

import re

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout


def call(ask: Ask) -> Call:
    """Both ends are inclusive, and a window of 350 candles or more is refused whole."""
    return Call(ask.start_ms, ask.limit, {"until": ask.window_end_ms - 1})


DIALECT = Dialect(
    rules={
        "spot": VenueRules(
            venue="coinbase",
            timeframes=("1m", "5m", "15m", "30m", "1h", "2h", "6h", "1d"),
            page_limit=349,  # "number of candles requested should be less than 350"; ccxt alone stops at 300
            horizon_candles=None,
            weight_per_page=3.0,
            weight_limit=30.0,  # ten public calls; ccxt's pace of 34 ms a unit makes 9.8 of them
            window_s=1.0,
            seeks_first=False,
            pool="coinbase",
            close_delay_ms=300_000,  # its history runs 1 to 5 minutes late (ccxt issue 8400); not told for longer bars
        )
    },
    layouts={"spot": Layout(("start", "open", "high", "low", "close", "volume"), unit_ms=1_000)},
    call=call,
    # the older endpoint, ccxt's default, costs 10.6
    options={"spot": {"fetchTime": "v3PublicGetBrokerageTime"}},
    codes={
        "NOT_FOUND": "gone",
        "RESOURCE_EXHAUSTED": "rate",
        "rate_limit_exceeded": "rate",
        "UNAVAILABLE": "retry",
        "INTERNAL": "retry",
        "UNKNOWN": "retry",
        "DEADLINE_EXCEEDED": "timeout",
    },
    code_pattern=re.compile(r'"(?:error|id)"\s*:\s*"([A-Za-z_]+)"'),
    wait_s=2.0,
)
