"""The grid that a venue's own candles stand on: weeks that open on Thursday, days of UTC+8."""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.timeframe import HOUR_MS, Timeframe, parse

_HONG_KONG_MS = -8 * HOUR_MS  # a day of UTC+8 opens at 16:00 UTC of the day before

GRIDS: dict[tuple[str, str], Timeframe] = {
    **{(venue, "1w"): replace(parse("1w"), offset_ms=0) for venue in ("gate", "hyperliquid", "kraken", "kucoin")},
    ("htx", "1d"): replace(parse("1d"), offset_ms=_HONG_KONG_MS),
    ("htx", "1w"): replace(parse("1w"), offset_ms=parse("1w").offset_ms + _HONG_KONG_MS),
    ("htx", "1M"): replace(parse("1M"), offset_ms=_HONG_KONG_MS),
}
"""By venue and timeframe, where it differs from UTC days, Monday weeks and UTC months.

Sources: rainbow issue 6920 (hyperliquid), kucoin-api-docs issues 350 and 373, gate's ``7d`` that replaces ``1w``,
huobiapi/API_Docs_en issue 8 (htx). An epoch week opens on a Thursday.
"""


def grid(venue: str, name: str) -> Timeframe:
    """The timeframe as ``venue`` draws it.

    Raises:
        ConfigError: there is no such timeframe.

    >>> grid("gate", "1w").offset_ms, grid("binance", "1w").offset_ms // 86_400_000
    (0, 4)
    """
    return GRIDS.get((venue, name)) or parse(name)
