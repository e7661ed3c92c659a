"""Bybit spot and linear swaps: https://bybit-exchange.github.io/docs/v5/market/kline."""

from __future__ import annotations

import re
from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.core.timeframe import HOUR_MS
from heliograph.sources.dialect import Ask, Call, Dialect, Layout, SeriesRules, until_inclusive

_SPOT = VenueRules(
    venue="bybit",
    timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M"),
    page_limit=1_000,
    horizon_candles=None,
    weight_per_page=5.0,
    weight_limit=3_000.0,  # 600 calls of any kind in 5 s and address (docs/v5/rate-limit), at five of ccxt's units each
    window_s=5.0,
    seeks_first=False,
    pool="bybit",
    fills_quiet=True,  # not verified
)
_LAYOUT = Layout((0, 1, 2, 3, 4, 5))


def call(ask: Ask) -> Call:
    """It answers with the newest rows up to an inclusive end: a wider window would lose the first bars.

    ccxt would move the start to a multiple of the bar's length, for a week from Monday to Thursday; so it goes in raw.
    """
    return Call(ask.start_ms, ask.limit, {"start": ask.start_ms, "until": ask.window_end_ms - 1})


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": replace(_SPOT, kind="swap")},
    layouts={"spot": _LAYOUT, "swap": _LAYOUT},
    call=call,
    # both answer with the newest rows up to an inclusive end; ccxt PR 30016 saw open interest of May 2022
    series={
        "funding": SeriesRules(200, 199 * 8 * HOUR_MS, until_inclusive),
        "open_interest": SeriesRules(200, 199 * HOUR_MS, until_inclusive),
    },
    options={"spot": {"fetchMarkets": {"types": ["spot"]}}, "swap": {"fetchMarkets": {"types": ["linear"]}}},
    symbols_per_watch=10,  # of spot; a frame with more is refused
    codes={
        "10000": "timeout",
        "10002": "retry",
        "10006": "rate",
        "10016": "retry",  # ccxt has no class for it
        "10018": "rate",
        "10429": "rate",
        "access too frequent": "rate",
        "Not supported symbols": "gone",  # 10001 is any wrong parameter; only the words tell that it is the symbol
        "params error: Symbol Invalid": "gone",
        "params error: symbol invalid": "gone",
    },
    code_pattern=re.compile(
        r'(access too frequent|Not supported symbols|params error: [Ss]ymbol [Ii]nvalid|(?<="retCode":)-?\d+)'
    ),
    statuses={403: "permanent"},  # without the words above it refuses a country, which ccxt takes for a rate limit
    wait_s=60.0,  # a ban lasts ten minutes, and nothing says when it ends
)
