"""What the higher timeframes say, each in the units of its own volatility.

All are pure windows of 21 closed higher bars: a live start of a few weeks then gives what the whole history gives,
which Wilder's endless averages of daily bars would not.
"""

from __future__ import annotations

from heliograph.core.timeframe import Timeframe
from heliograph.features.spec import Feature

LOOKBACK_BARS = 21


def features(timeframe: Timeframe) -> tuple[Feature, ...]:
    """The four features of one higher timeframe.

    >>> from heliograph.core import timeframe
    >>> features(timeframe.parse("4h"))[1].name
    'rsi_14_4h'
    """
    return tuple(
        Feature(
            name=f"{name}_{timeframe}",
            family="context",
            unit=unit,
            source=source,
            lookback_bars=LOOKBACK_BARS,
            timeframe=timeframe.name,
            of=f"{timeframe}:{name}",
            low=-bound,
            high=bound,
        )
        for name, unit, source, bound in (
            ("log_return", "standard deviations of the last 20 higher bars", "own definition", 5.0),
            ("rsi_14", "(RSI − 50) / 50 with plain means", "T. Chande, S. Kroll, The New Technical Trader, 1994", 1.0),
            ("volatility_ratio_5_20", "log of realised volatility of 5 / 20 higher bars", "own definition", 4.0),
            ("distance_mean_20", "log-distance to the 20-bar mean / (standard deviation · √20)", "own definition", 5.0),
        )
    )
