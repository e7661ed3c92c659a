"""MEXC: https://www.mexc.com/api-docs/spot-v3/introduction and https://www.mexc.com/api-docs/futures/update-log.

The volume of a swap's candle is in contracts, over REST as over the stream.
"""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_SPOT = VenueRules(
    venue="mexc",
    # from 1d up they are left out: whether its days open at midnight of UTC or of UTC+8 is not proved
    timeframes=("1m", "5m", "15m", "30m", "1h", "4h"),
    page_limit=500,  # its documents say 1,000
    horizon_candles=None,
    weight_per_page=1.0,
    weight_limit=200.0,  # ccxt's pace; its documents grant more
    window_s=10.0,
    seeks_first=False,
    pool="mexc",
)
_SWAP = replace(
    _SPOT,
    kind="swap",
    timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "8h"),
    page_limit=2_000,
    weight_per_page=2.0,
    weight_limit=40.0,  # twenty calls
    window_s=2.0,
    pool="mexc:swap",
)


def call(ask: Ask) -> Call:
    """A start without an end is ignored, and whether the end is exclusive is not sure: so it falls between two bars.

    ccxt would send its own ``until`` along, so the end goes by the venue's name.
    """
    end_ms = ask.timeframe.ceil(max(min(ask.window_end_ms, ask.now_ms), ask.start_ms + 1))
    if ask.kind == "spot":
        return Call(ask.start_ms, ask.limit, {"endTime": end_ms - 1})
    start_s = -(-ask.start_ms // 1_000)
    return Call(start_s * 1_000, None, {"end": max(end_ms // 1_000 - 1, start_s)})


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": _SWAP},
    layouts={"spot": Layout((0, 1, 2, 3, 4, 5))},  # swaps answer by columns
    call=call,
    options={"spot": {"defaultType": "spot"}, "swap": {"defaultType": "swap"}},
    codes={
        "429": "rate",
        "510": "rate",
        "-1121": "gone",
        "1001": "gone",
        "10007": "gone",
        "500": "retry",  # "under maintenance"; ccxt takes it for a plain error
        "501": "retry",
        "503": "retry",
        "504": "timeout",
        "604": "retry",
        "801": "retry",
        "9999": "retry",
        "700003": "retry",
    },
    statuses={403: "rate"},  # its web firewall answers so to an address that asks too much
)
