"""Where the price is: returns in units of volatility, the shape of the bar, the place in its recent range."""

from __future__ import annotations

import math

from heliograph.features.spec import Feature, talib_indicator

_HIGHEST = talib_indicator("MAX", "high", timeperiod=168)[0]
_LOWEST = talib_indicator("MIN", "low", timeperiod=168)[0]
_SETTLED = 700  # bars until 0.97**n is below 1e-9
_RISKMETRICS = "J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th ed. 1996, ch. 5"
_SHAPE = "S. Nison, Japanese Candlestick Charting Techniques, 2nd ed. 2001"
_CHANNEL = "R. Donchian, High Finance in Copper, Financial Analysts Journal 16(6), 1960"

FEATURES = (
    *(
        Feature(
            name=f"log_return_{bars}",
            family="price",
            unit="standard deviations: log-return over so many bars / (ewma_volatility · √(bars of time passed))",
            source=_RISKMETRICS,
            lookback_bars=25,
            settle_bars=_SETTLED,
            of=f"log_return_{bars}",
            low=-10.0,
            high=10.0,
        )
        for bars in (1, 4, 12, 24)
    ),
    Feature(
        name="close_position",
        family="price",
        unit="share of the bar's range below the close",
        source="G. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2(3), 1984",
        lookback_bars=1,
        settle_bars=_SETTLED,
        of="close",
        minus="low",
        over="high",
        less="low",
        otherwise=0.5,
        low=0.0,
        high=1.0,
    ),
    Feature(
        name="body_ratio",
        family="price",
        unit="body / range, with its sign",
        source=_SHAPE,
        lookback_bars=1,
        settle_bars=_SETTLED,
        of="close",
        minus="open",
        over="high",
        less="low",
        low=-1.0,
        high=1.0,
    ),
    Feature(
        name="bollinger_20",
        family="price",
        unit="half widths of the band: (log close − mean) / (2 standard deviations), 20 bars",
        source="J. Bollinger, Bollinger on Bollinger Bands, 2001; %b = (1 + value) / 2, on log prices",
        lookback_bars=20,
        of="bollinger_20",
        low=-3.0,
        high=3.0,
    ),
    Feature(
        name="distance_high_168",
        family="price",
        unit="standard deviations of 168 bars below the highest high of 168 bars",
        source=_CHANNEL,
        lookback_bars=168,
        settle_bars=_SETTLED + 168,
        of="close",
        minus=_HIGHEST,
        over="sigma_quote",
        factor=1.0 / math.sqrt(168.0),
        low=-10.0,
        high=0.0,
    ),
    Feature(
        name="distance_low_168",
        family="price",
        unit="standard deviations of 168 bars above the lowest low of 168 bars",
        source=_CHANNEL,
        lookback_bars=168,
        settle_bars=_SETTLED + 168,
        of="close",
        minus=_LOWEST,
        over="sigma_quote",
        factor=1.0 / math.sqrt(168.0),
        low=0.0,
        high=10.0,
    ),
)
