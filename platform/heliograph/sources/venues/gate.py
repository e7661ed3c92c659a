"""Gate spot and USDT swaps: https://www.gate.com/docs/developers/apiv4/en/.

A swap's volume counts contracts, as the venue sends it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_HORIZON = 9_998  # "Maximum 10000 points ago are allowed", and the open bar and the next one count
_SPOT = VenueRules(
    venue="gate",
    timeframes=("1m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "1d", "1w"),
    page_limit=1_000,
    horizon_candles=_HORIZON,
    weight_per_page=1.0,
    weight_limit=200.0,  # calls in 10 s for each public endpoint and address, since January 2024
    window_s=10.0,
    seeks_first=False,
    pool="gate",
    fills_quiet=True,
)
# swaps had no horizon once, and have the same since 2026 (freqtrade issue 12814)
_SWAP = replace(_SPOT, kind="swap", page_limit=1_999, pool="gate:swap")


def call(ask: Ask) -> Call:
    """Both ends are inclusive, and a window of more bars than a page, or from before the horizon, is refused.

    ccxt would end the window at this machine's time; so both ends go in raw.
    """
    timeframe = ask.timeframe
    oldest_ms = timeframe.floor(ask.now_ms) - (_HORIZON + 1) * timeframe.ms
    start_ms = timeframe.ceil(max(ask.start_ms, oldest_ms))
    end_ms = max(min(ask.window_end_ms - 1, ask.now_ms), start_ms)
    return Call(start_ms, ask.limit, {"from": start_ms // 1_000, "to": timeframe.floor(end_ms) // 1_000})


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": _SWAP},
    layouts={
        "spot": Layout((0, 5, 3, 4, 2, 6), unit_ms=1_000),
        "swap": Layout(("t", "o", "h", "l", "c", "v"), unit_ms=1_000),
    },
    call=call,
    options={
        "spot": {"fetchMarkets": {"types": ["spot"]}},
        "swap": {
            "fetchMarkets": {"types": ["swap"]},
            "swap": {"fetchMarkets": {"settlementCurrencies": ["usdt"]}},
        },
    },
    codes={
        "INVALID_CURRENCY": "gone",  # of a pair, too
        "CONTRACT_NOT_FOUND": "gone",
        "TOO_MANY_REQUESTS": "rate",
        "TOO_FAST": "rate",
        "INTERNAL": "retry",
        "SERVER_ERROR": "retry",
        "TOO_BUSY": "retry",
    },
    code_pattern=re.compile(r'"label"\s*:\s*"([A-Z_]+)"'),
)
