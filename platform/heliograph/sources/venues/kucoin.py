"""KuCoin spot and swaps: https://www.kucoin.com/docs-new. A swap's volume counts contracts, as the venue sends it."""

from __future__ import annotations

import re
from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_SPOT = VenueRules(
    venue="kucoin",
    timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"),
    page_limit=1_500,
    horizon_candles=None,
    weight_per_page=3.0,
    weight_limit=2_000.0,  # of the public pool in 30 s, for each address (docs-new/rate-limit); ccxt counts on 4,000
    window_s=30.0,
    seeks_first=False,
    pool="kucoin",
)
_SWAP = replace(
    _SPOT,
    kind="swap",
    timeframes=("1m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "1w"),
    page_limit=500,
    weight_per_page=6.0,
    weight_limit=4_000.0,  # as on spot, but ccxt counts every unit twice here
    pool="kucoin:swap",  # a host of its own with a limit of its own; that the two are not counted as one is not verified
)


def call(ask: Ask) -> Call:
    """Answers end at an exclusive second on spot, at an inclusive millisecond on swaps; the newest rows would win."""
    if ask.kind == "swap":
        return Call(ask.start_ms, ask.limit, {"from": ask.start_ms, "to": ask.window_end_ms - 1})
    # the second after the last open in the window is right for an inclusive end, too
    last_s = ask.timeframe.floor(max(ask.window_end_ms - 1, ask.start_ms)) // 1_000
    return Call(ask.start_ms, ask.limit, {"startAt": -(-ask.start_ms // 1_000), "endAt": last_s + 1})


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": _SWAP},
    layouts={"spot": Layout((0, 1, 3, 4, 2, 5), unit_ms=1_000), "swap": Layout((0, 1, 2, 3, 4, 5))},
    call=call,
    options={
        "spot": {"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}},
        "swap": {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"},  # its clock is the swaps' host
    },
    codes={
        "1015": "rate",
        "200002": "rate",
        "230005": "retry",
        "400002": "retry",
        "404000": "gone",
        "429000": "rate",
        "500000": "retry",
        "900001": "gone",  # ccxt has no class for it
        "Unsupported trading pair": "gone",  # 400100 is any wrong parameter; only the words tell that it is the pair
    },
    code_pattern=re.compile(r'(Unsupported trading pair|(?<=error code: )\d+|(?<="code":")\d+)'),
    wait_s=30.0,
)
