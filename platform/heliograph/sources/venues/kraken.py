"""Kraken spot: https://docs.kraken.com/api-reference."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heliograph.core.market import VenueRules
from heliograph.core.timeframe import DAY_MS
from heliograph.sources.dialect import Dialect, Layout, SeriesRules


def since_ns(start_ms: int, _: int) -> Mapping[str, object]:
    """Trades come after an exclusive start, oldest first; ccxt's own is in whole seconds.

    A microsecond earlier, as ccxt's stamps go through doubles, which may round up into the next millisecond.
    """
    return {"since": str(max(start_ms * 1_000_000 - 1_000, 0))}


DIALECT = Dialect(
    rules={
        "spot": VenueRules(
            venue="kraken",
            timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"),
            page_limit=720,
            horizon_candles=720,
            weight_per_page=1.2,
            weight_limit=18.0,  # one call a second
            window_s=15.0,
            seeks_first=True,
            pool="kraken",
            fills_quiet=True,
        )
    },
    layouts={"spot": Layout((0, 1, 2, 3, 4, 6), unit_ms=1_000)},
    series={"trades": SeriesRules(page_limit=1_000, span_ms=7 * DAY_MS, params=since_ns, seeks_first=True)},
    options={"spot": {"ws": {"cost": 0.2}}},  # it subscribes symbol by symbol: five a second, not one
    codes={
        "EAPI:Rate limit": "rate",
        "EOrder:Rate limit": "rate",
        "EGeneral:Too many requests": "rate",
        "EGeneral:Temporary lockout": "rate",
        "EGeneral:Internal error": "retry",
        "EDatabase:": "retry",
        "EService:": "retry",
        "EAPI:Invalid nonce": "retry",
        "EQuery:Unknown asset": "gone",
        "EQuery:Invalid asset pair": "gone",
    },
    code_pattern=re.compile(r'"(E[A-Z][A-Za-z]+:[^"]*)"'),
    wait_s=15.0,
)
