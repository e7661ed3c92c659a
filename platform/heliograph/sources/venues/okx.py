"""OKX: https://www.okx.com/docs-v5/en/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from heliograph.core.market import Kind, VenueRules
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sources.dialect import Ask, Call, Dialect, Layout, SeriesRules, shortest_ms, until_inclusive

# `candles` serves the newest 1,440 bars at half the weight, `history-candles` all others; the rest is room for a clock
# that was read a while ago
_RECENT_BARS = 720
_SPOT = VenueRules(
    venue="okx",
    timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M"),
    page_limit=300,
    horizon_candles=None,
    weight_per_page=1.0,
    weight_limit=20.0,
    window_s=2.0,
    seeks_first=False,
    pool="okx",
)
_LAYOUTS: dict[Kind, Layout] = {
    "spot": Layout((0, 1, 2, 3, 4, 5)),
    "swap": Layout((0, 1, 2, 3, 4, 6)),  # the sixth column counts contracts there, the seventh coins
}


def call(ask: Ask) -> Call:
    """It answers with the newest rows before an exclusive end: a wider window would lose the first bars."""
    is_recent = ask.start_ms >= ask.now_ms - _RECENT_BARS * shortest_ms(ask.timeframe)
    params = {"until": ask.window_end_ms, "type": "Candles" if is_recent else "HistoryCandles"}
    return Call(ask.start_ms, ask.limit, params)


def before_end(_: int, end_ms: int) -> Mapping[str, object]:
    """Funding rates come up to an exclusive end, newest first; ccxt has no name for it."""
    return {"after": str(end_ms)}


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": replace(_SPOT, kind="swap")},
    layouts=_LAYOUTS,
    call=call,
    series={
        "funding": SeriesRules(100, 99 * 8 * HOUR_MS, before_end, horizon_ms=90 * DAY_MS),  # of the last three months
        # the newest 1,440 entries by its documents; others saw it end after five days (not verified)
        "open_interest": SeriesRules(100, 99 * HOUR_MS, until_inclusive, horizon_ms=1_440 * HOUR_MS),
    },
    options={"spot": {"fetchMarkets": {"types": ["spot"]}}, "swap": {"fetchMarkets": {"types": ["swap"]}}},
    # ccxt subscribes bars from 6h up by their UTC+8 names, while its REST call asks for the UTC ones
    stream_timeframes={"6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc", "1M": "1Mutc"},
    codes={
        "50001": "retry",
        "50004": "timeout",
        "50011": "rate",
        "50013": "retry",
        "50026": "retry",
        "50061": "rate",  # ccxt has no class for it
        "50102": "retry",
        "51001": "gone",
    },
    wait_s=2.0,
)
