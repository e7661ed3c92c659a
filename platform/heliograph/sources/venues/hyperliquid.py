"""Hyperliquid, spot and perpetuals: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api."""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.core.timeframe import HOUR_MS
from heliograph.sources.dialect import Ask, Call, Dialect, Layout, SeriesRules, until_inclusive

_SPOT = VenueRules(
    venue="hyperliquid",
    # 3d and 1M are left out: their bars are not proved to open on our grid
    timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "1w"),
    page_limit=5_000,
    horizon_candles=5_000,
    # ccxt's cost, found by trial (ccxt PR 26445); the documents say 20 and one for every 60 candles
    weight_per_page=4.0,
    weight_limit=1_200.0,
    window_s=60.0,
    seeks_first=True,
    pool="hyperliquid",
    fills_quiet=True,  # with flat bars, which may come late (passivbot PR 1410)
)
_LAYOUT = Layout(("t", "o", "h", "l", "c", "v"))


def call(ask: Ask) -> Call:
    """Both ends are inclusive, and all that it still has fits in a page; without an end, ccxt sends this machine's time."""
    return Call(ask.start_ms, None, {"until": min(ask.end_ms - 1, ask.timeframe.floor(ask.now_ms))})


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": replace(_SPOT, kind="swap")},
    layouts={"spot": _LAYOUT, "swap": _LAYOUT},
    call=call,
    # hourly, every eight hours before June 2023; the documents give the call 20 and one for every 20 rows, ccxt 10
    series={"funding": SeriesRules(500, 500 * HOUR_MS, until_inclusive, seeks_first=True)},
    # perpetuals that others deploy there ("hip3") cost one more listing request each, and are left out
    options={"spot": {"fetchMarkets": {"types": ["spot"]}}, "swap": {"fetchMarkets": {"types": ["swap"]}}},
    # it answers a coin that it does not know with 500 and "null"; its own trouble is a 502 of its gateway
    statuses={500: "gone"},
)
