"""What is known of each venue's candle endpoint: timeframes, page size, depth, budget and delay."""

from __future__ import annotations

from difflib import get_close_matches

from heliograph.core.errors import ConfigError
from heliograph.core.market import VenueRules

# Weights are ccxt's cost units, because `ccxt.throttle` is told these; ccxt grants one unit every `rateLimit` ms.
# A bucket spends at most `weight_per_s * t + weight_burst` in any t seconds; the figures below keep that within the
# venue's own window: binance 6,000 weight a minute at 5 weight a unit, okx 20 calls in 2 s, kraken 1 unit a second.
#
# Left out because their bars are not proved to open on our grid: binance 3d and kraken 1w (derive them from 1d).
RULES: dict[str, VenueRules] = {
    r.venue: r
    for r in (
        VenueRules(
            venue="binance",
            timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"),
            page_limit=1_000,
            horizon_candles=None,
            weight_per_page=0.4,
            weight_per_s=19.0,
            weight_burst=60.0,
            seeks_first=True,
        ),
        VenueRules(
            venue="okx",
            timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M"),
            page_limit=300,
            horizon_candles=None,
            weight_per_page=1.0,
            weight_per_s=9.0,
            weight_burst=2.0,
            seeks_first=False,
        ),
        VenueRules(
            venue="kraken",
            timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "1d"),
            page_limit=720,
            horizon_candles=720,
            weight_per_page=1.2,
            weight_per_s=1.0,
            weight_burst=1.2,
            seeks_first=True,
        ),
    )
}
"""Every venue that candles can be had from.

Sources: ccxt 4.5.90 `describe()` for units and costs; the venues' REST manuals for limits. `close_delay_ms`
is zero: none of the three says that a bar may change after its close.
"""


def rules(venue: str) -> VenueRules:
    """The rules of ``venue``.

    Raises:
        ConfigError: there is no such venue; the message names those that are spelled alike.

    >>> rules("kraken").horizon_candles
    720
    """
    try:
        return RULES[venue]
    except KeyError:
        near = get_close_matches(venue, RULES) or sorted(RULES)
        raise ConfigError(f"unknown venue {venue!r}: use {' or '.join(near)}") from None
