"""Bitfinex, spot and perpetuals: https://docs.bitfinex.com/reference."""

from __future__ import annotations

import re
from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_SPOT = VenueRules(
    venue="bitfinex",
    # 1w and 1M are left out: their bars are not proved to open on our grid
    timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "6h", "12h", "1d"),
    page_limit=10_000,
    horizon_candles=None,
    weight_per_page=2.7,
    # 30 calls a minute, as its own software keeps them (bfx-reports-framework PR 316); ccxt's 90 end in a block of 60 s
    # (ccxt issue 28921). Other endpoints have limits of their own, all at least as wide.
    weight_limit=81.0,
    window_s=60.0,
    seeks_first=True,
    pool="bitfinex",
)
_LAYOUT = Layout((0, 1, 3, 4, 2, 5))  # the close stands before the high


def call(ask: Ask) -> Call:
    """From a start, ccxt asks for ascending rows; both ends are inclusive."""
    return Call(ask.start_ms, ask.limit, {"until": ask.end_ms - 1})


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": replace(_SPOT, kind="swap")},
    layouts={"spot": _LAYOUT, "swap": _LAYOUT},
    call=call,
    clock="public_get_conf_pub_list_competitions",  # it has no clock; this answer is short, and has a date
    # `["error",10020,"symbol: invalid"]`, and `{"error":"ERR_RATE_LIMIT"}` from the gate in front of it
    codes={
        "11010": "rate",
        "ERR_RATE_LIMIT": "rate",
        '10020,"symbol: invalid': "gone",
        "10114": "retry",
        "20060": "retry",
        "temporarily_unavailable": "retry",
    },
    code_pattern=re.compile(r'"error"\s*[,:]\s*"?(\w+(?:,"[^"]*)?)'),
    wait_s=60.0,
)
