"""Binance USDⓈ-M perpetuals: https://developers.binance.com/docs/derivatives/usds-margined-futures."""

from __future__ import annotations

from heliograph.core.market import VenueRules
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sources.dialect import Dialect, SeriesRules, until_inclusive
from heliograph.sources.venues.binance import CODES, LAYOUT, call

DIALECT = Dialect(
    rules={
        "swap": VenueRules(
            venue="binanceusdm",
            kind="swap",
            # 3d is left out: its bars are not proved to open on our grid
            timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"),
            page_limit=499,  # weighs 2; 500 to 1,000 candles weigh 5, and 1,500 weigh 10
            horizon_candles=None,
            weight_per_page=2.0,
            weight_limit=2_400.0,  # a minute; ccxt counts the venue's own units here, but only on 1,200 of them
            window_s=60.0,
            seeks_first=True,
            pool="binanceusdm",
        )
    },
    layouts={"swap": LAYOUT},
    call=call,
    series={
        # both count calls apart from all others, 500 and 1,000 in five minutes; ccxt takes them for one unit each
        "funding": SeriesRules(1_000, 1_000 * 8 * HOUR_MS, until_inclusive, seeks_first=True, weight=24.0),
        # a month; a start beyond it is refused, so a day is left for the time between planning and asking
        "open_interest": SeriesRules(500, 499 * HOUR_MS, until_inclusive, horizon_ms=29 * DAY_MS, weight=12.0),
    },
    codes=CODES,
    statuses={403: "rate"},  # its web firewall answers so to an address that asks too much
    used_weight_header="x-mbx-used-weight-1m",
)
