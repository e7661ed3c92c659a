"""How much the price moves: close to close, by the range, and short against long.

A print at almost nothing (a low of 0.0001 where the bar opened at 10) would poison a range estimator for weeks: wicks
are cut at eight sigma before any of them sees the bar.
"""

from __future__ import annotations

from heliograph.features.kernels import SIGMA_FLOOR
from heliograph.features.spec import Feature, talib_indicator
from heliograph.features.trend import ATR_14

SIGMA = "ewma_volatility"
_SETTLED = 700  # bars until 0.97**n is below 1e-9
_ATR_LONG = talib_indicator("SMA", "true_range", timeperiod=100)[0]
_CORSI = "F. Corsi, A Simple Approximate Long-Memory Model of Realized Volatility, J. Financial Econometrics 7(2), 2009"

FEATURES = (
    Feature(
        name=SIGMA,
        family="volatility",
        unit="log-return per base bar, standard deviation; decay 0.97 a bar, a return over k missing bars counts / √k",
        source="J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th ed. 1996, ch. 5",
        lookback_bars=25,
        settle_bars=_SETTLED,
        of="sigma",
        low=SIGMA_FLOOR,
        high=1.0,
    ),
    *(
        Feature(
            name=f"volatility_ratio_{short}_{long}",
            family="volatility",
            unit=f"log of realised volatility of {short} bars / {long} bars",
            source=_CORSI,
            lookback_bars=long + 1,
            of=f"volatility_ratio_{short}_{long}",
            low=-4.0,
            high=4.0,
        )
        for short, long in ((6, 24), (24, 168))
    ),
    *(
        Feature(
            name=f"{name}_24",
            family="volatility",
            unit="log of range volatility of 24 bars / ewma_volatility",
            source=source,
            lookback_bars=48,
            settle_bars=_SETTLED + 48,
            of=f"{name}_24",
            low=-4.0,
            high=4.0,
        )
        for name, source in (
            ("parkinson", "M. Parkinson, The Extreme Value Method, J. Business 53(1), 1980"),
            (
                "garman_klass",
                "M. Garman, M. Klass, On the Estimation of Security Price Volatilities, J. Business 53(1), 1980",
            ),
            ("rogers_satchell", "L. Rogers, S. Satchell, Estimating Variance from High, Low and Closing Prices, 1991"),
        )
    ),
    Feature(
        name="atr_ratio_14_100",
        family="volatility",
        unit="average true range of 14 bars / mean true range of 100 bars − 1",
        source="J. W. Wilder, New Concepts in Technical Trading Systems, 1978; TA-Lib",
        lookback_bars=100,
        settle_bars=900,
        of=ATR_14,
        minus=_ATR_LONG,
        over=_ATR_LONG,
        measure="close",
        least=1e-9,
        low=-1.0,
        high=4.0,
    ),
)
