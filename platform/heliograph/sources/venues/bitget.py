"""Bitget: https://www.bitget.com/api-doc/common/intro.

Its history endpoints give the newest 200 bars before an exclusive end, whatever the start (spot takes none at all), and
ccxt moves the window of an older ``since`` to fit a longer limit: a plain loop gets one bar in five. So both ends and
the limit are said here, and ccxt's own are overruled.
"""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.core.timeframe import DAY_MS
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_RECENT_MS = 29 * DAY_MS  # `candles` has a month of every timeframe, `history-candles` all of it
_OLD_MS, _NEW_MS = 0, 2**53  # ccxt chooses the endpoint by ``since`` and the machine's own clock
_FIRST_MS = 1

_SPOT = VenueRules(
    venue="bitget",
    # 1w and 1M are left out: ccxt knows of a cap of 100 there, so the first bars of a page of 200 would be lost
    timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "12h", "1d"),
    page_limit=200,
    horizon_candles=None,
    weight_per_page=1.0,
    weight_limit=20.0,  # calls a second, of each endpoint
    window_s=1.0,
    seeks_first=False,
    pool="bitget",
    fills_quiet=True,
)
_SWAP = replace(
    _SPOT,
    kind="swap",
    # a window may span 90 days: a page of 200 bars longer than 6h would not fit
    timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h"),
    pool="bitget:swap",
)
_LAYOUT = Layout((0, 1, 2, 3, 4, 5))
# ccxt subscribes bars from 6h up by their UTC+8 names, while its REST call asks for the UTC ones; 2h it lacks
_STREAMED = {"2h": "2H", "6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc"}


def call(ask: Ask) -> Call:
    """The end is exclusive; the start is said to be either, so a millisecond is taken off."""
    is_recent = ask.start_ms >= ask.now_ms - _RECENT_MS
    start_ms = max(ask.start_ms - 1, _FIRST_MS)
    end_ms = max(min(ask.window_end_ms, ask.now_ms), start_ms + 1)
    bounds = {"startTime": start_ms, "endTime": end_ms, "limit": ask.limit}
    return Call(_NEW_MS if is_recent else _OLD_MS, ask.limit, bounds)


def _options(kind: str) -> dict[str, object]:
    """Ten subscriptions a second and socket (not verified) cost two of ccxt's units each."""
    return {"fetchMarkets": {"types": [kind]}, "timeframes": _STREAMED, "ws": {"cost": 2.0}}


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": _SWAP},
    layouts={"spot": _LAYOUT, "swap": _LAYOUT},
    call=call,
    options={"spot": _options("spot"), "swap": _options("swap")},
    codes={
        "429": "rate",
        "40004": "retry",
        "40005": "retry",
        "40008": "retry",
        "40015": "retry",  # abnormal system, try again; ccxt has no class for it
        "40034": "gone",  # a symbol that it does not know; ccxt takes it for a plain error
        "40200": "retry",
        "40308": "retry",
        "40309": "gone",
        "40604": "retry",
    },
)
