"""Momentum and trend by TA-Lib, freed of scale; highs and lows are those with tamed wicks."""

from __future__ import annotations

from heliograph.features.spec import Feature, talib_indicator

_RANGE = ("high", "low", "close")
ATR_14 = talib_indicator("ATR", *_RANGE, timeperiod=14)[0]
_MACD = talib_indicator("MACD", "close", fastperiod=12, slowperiod=26, signalperiod=9)
_PLUS = talib_indicator("PLUS_DI", *_RANGE, timeperiod=14)[0]
_MINUS = talib_indicator("MINUS_DI", *_RANGE, timeperiod=14)[0]
_STOCHASTIC = talib_indicator(
    "STOCH", *_RANGE, fastk_period=14, slowk_period=3, slowk_matype=0, slowd_period=3, slowd_matype=0
)[0]
_TOP_14 = talib_indicator("MAX", "high", timeperiod=14)[0]
_BOTTOM_14 = talib_indicator("MIN", "low", timeperiod=14)[0]
_TOP_20 = talib_indicator("MAX", "high", timeperiod=20)[0]
_BOTTOM_20 = talib_indicator("MIN", "low", timeperiod=20)[0]
_WILDER = "J. W. Wilder, New Concepts in Technical Trading Systems, 1978; TA-Lib"
_APPEL = "G. Appel, The Moving Average Convergence-Divergence Trading Method, 1985; TA-Lib"
_FLAT = 1e-9  # of the close: a range or change below it is rounding, not a market

FEATURES = (
    Feature(
        name="rsi_14",
        family="trend",
        unit="(RSI − 50) / 50; TA-Lib's CMO has Wilder's smoothing and is that number, and 0 where nothing moves",
        source=_WILDER,
        lookback_bars=15,
        settle_bars=350,
        of=talib_indicator("CMO", "close", timeperiod=14)[0],
        factor=0.01,
        low=-1.0,
        high=1.0,
    ),
    Feature(
        name="macd_12_26",
        family="trend",
        unit="average true ranges",
        source=_APPEL,
        lookback_bars=34,
        settle_bars=900,
        of=_MACD[0],
        over=ATR_14,
        measure="close",
        least=_FLAT,
        low=-10.0,
        high=10.0,
    ),
    Feature(
        name="macd_histogram_9",
        family="trend",
        unit="average true ranges",
        source=_APPEL,
        lookback_bars=34,
        settle_bars=900,
        of=_MACD[2],
        over=ATR_14,
        measure="close",
        least=_FLAT,
        low=-5.0,
        high=5.0,
    ),
    Feature(
        name="adx_14",
        family="trend",
        unit="share: ADX / 100",
        source=_WILDER,
        lookback_bars=28,
        settle_bars=900,
        of=talib_indicator("ADX", *_RANGE, timeperiod=14)[0],
        factor=0.01,
        low=0.0,
        high=1.0,
    ),
    Feature(
        name="directional_14",
        family="trend",
        unit="share: (+DI − −DI) / 100",
        source=_WILDER,
        lookback_bars=15,
        settle_bars=900,
        of=_PLUS,
        minus=_MINUS,
        factor=0.01,
        low=-1.0,
        high=1.0,
    ),
    Feature(
        name="stochastic_14",
        family="trend",
        unit="(slow %K − 50) / 50",
        source="G. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2(3), 1984; TA-Lib",
        lookback_bars=18,
        settle_bars=900,
        of=_STOCHASTIC,
        minus=50.0,
        factor=0.02,
        top=_TOP_14,
        bottom=_BOTTOM_14,
        measure="close",
        least=_FLAT,
        low=-1.0,
        high=1.0,
    ),
    Feature(
        name="aroon_14",
        family="trend",
        unit="share: Aroon oscillator / 100",
        source="T. Chande, A Time Price Oscillator, Technical Analysis of Stocks & Commodities 13(9), 1995; TA-Lib",
        lookback_bars=15,
        settle_bars=900,
        of=talib_indicator("AROONOSC", "high", "low", timeperiod=14)[0],
        factor=0.01,
        low=-1.0,
        high=1.0,
    ),
    Feature(
        name="cci_20",
        family="trend",
        unit="CCI / 100",
        source="D. Lambert, Commodity Channel Index, Commodities 9(10), 1980; TA-Lib",
        lookback_bars=20,
        settle_bars=900,
        of=talib_indicator("CCI", *_RANGE, timeperiod=20)[0],
        factor=0.01,
        top=_TOP_20,
        bottom=_BOTTOM_20,
        measure="close",
        least=_FLAT,
        low=-5.0,
        high=5.0,
    ),
)
