"""How fast the price has moved, in units of its volatility, and where that has taken it in its recent range."""

from __future__ import annotations

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.market import BAR_NUMBER, CLOSE, HIGH, LOG_CLOSE, LOW, OPEN, SIGMA, SIGMA_FLOOR
from heliograph.features.ops.pointwise import at_least, log, ratio, root, sign
from heliograph.features.ops.range import (
    Stochastic,
    awesome,
    cci,
    schaff,
    stochastic,
    stochastic_rsi,
    typical,
    ultimate,
    williams_r,
)
from heliograph.features.ops.scale import FLAT, in_ranges, in_sigmas, unless_flat
from heliograph.features.ops.smooth import cmo, coppock, dpo, ema, fisher, kst, rsi, tsi
from heliograph.features.ops.window import deviation, highest, lowest, mean, total

_RANGES = "average true ranges of 14 bars"
_RISKMETRICS = "J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th ed. 1996, ch. 5"
_MOMENTUM = (
    "T. J. Moskowitz, Y. H. Ooi, L. H. Pedersen, Time Series Momentum, Journal of Financial Economics 104(2), 2012"
)
_WILDER = "J. W. Wilder, New Concepts in Technical Trading Systems, 1978; TA-Lib"
_LANE = "G. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2(3), 1984; TA-Lib"
_LAMBERT = "D. Lambert, Commodity Channel Index, Commodities 9(10), 1980; TA-Lib"
_ELDER = "A. Elder, Trading for a Living, 1993"
_BILL_WILLIAMS = "B. Williams, New Trading Dimensions, 1998"

_BODY, _RANGE = CLOSE - OPEN, HIGH - LOW
_AWESOME = awesome(HIGH, LOW)


def _log_return(bars: int) -> Series:
    passed = BAR_NUMBER - BAR_NUMBER.lag(bars)
    return log(CLOSE / CLOSE.lag(bars)) / (SIGMA * root(passed))


def _stochastic(bars: int) -> Stochastic:
    return stochastic(HIGH, LOW, CLOSE, bars)


def _width(bars: int) -> Series:
    return highest(HIGH, bars) - lowest(LOW, bars)


def _swinging(series: Series) -> Series:
    """Four bars, the middle ones counted twice."""
    return series + (series.lag(1) + series.lag(2)) * 2.0 + series.lag(3)


def _feature(name: str, unit: str, source: str, of: Series, *, low: float = -1.0, high: float = 1.0) -> Feature:
    return Feature(name=name, family="momentum", unit=unit, source=source, of=of, low=low, high=high)


_MOVES = (
    *(
        _feature(
            f"log_return_{bars}",
            "standard deviations: log-return over so many bars / (ewma_volatility · √(bars of time passed))",
            _RISKMETRICS if bars <= 24 else _MOMENTUM,
            _log_return(bars),
            low=-10.0,
            high=10.0,
        )
        for bars in (1, 4, 12, 24, 72, 168)
    ),
    _feature(
        "acceleration_12",
        "standard deviations of 24 bars: log-return over 12 bars less that over the 12 before",
        _MOMENTUM,
        in_sigmas(log(CLOSE / CLOSE.lag(12)) - log(CLOSE.lag(12) / CLOSE.lag(24)), 24),
        low=-10.0,
        high=10.0,
    ),
    *(
        _feature(
            f"rising_{bars}",
            f"rising less falling closes, as a share of {bars} bars",
            "T. Ohama, Psychological Line, in: Nippon Technical Analysts Association, Analysis of Stock Price in Japan, 1989",
            mean(sign(CLOSE - CLOSE.lag(1)), bars),
        )
        for bars in (14, 50)
    ),
    _feature(
        "coppock_14_11",
        "standard deviations of 25 bars",
        "E. S. C. Coppock, Practical Relative Strength Charting, 1962",
        in_sigmas(coppock(CLOSE) * 0.01, 25),
        low=-10.0,
        high=10.0,
    ),
    _feature(
        "kst_10_30",
        "standard deviations of 20 bars, a mean of its four changes",
        "M. J. Pring, Summed Rate of Change (KST), Technical Analysis of Stocks & Commodities 10(9), 1992",
        in_sigmas(kst(CLOSE) * 0.001, 20),
        low=-10.0,
        high=10.0,
    ),
    _feature("awesome_5_34", _RANGES, _BILL_WILLIAMS, in_ranges(_AWESOME), low=-10.0, high=10.0),
    _feature("accelerator_5_34", _RANGES, _BILL_WILLIAMS, in_ranges(_AWESOME - mean(_AWESOME, 5)), low=-5.0, high=5.0),
    _feature(
        "detrended_20",
        f"{_RANGES} from the mean of 20 bars to the close of 11 bars ago",
        "S. B. Achelis, Technical Analysis from A to Z, 2nd ed. 2000",
        in_ranges(dpo(CLOSE, 20)),
        low=-10.0,
        high=10.0,
    ),
    _feature(
        "bull_power_13",
        f"{_RANGES} from the mean of 13 bars to the high",
        _ELDER,
        in_ranges(HIGH - ema(CLOSE, 13)),
        low=-10.0,
        high=10.0,
    ),
    _feature(
        "bear_power_13",
        f"{_RANGES} from the mean of 13 bars to the low",
        _ELDER,
        in_ranges(LOW - ema(CLOSE, 13)),
        low=-10.0,
        high=10.0,
    ),
)

_STRENGTHS = (
    *(
        _feature(
            f"rsi_{bars}",
            "(RSI − 50) / 50; TA-Lib's CMO has Wilder's smoothing and is that number, and 0 where nothing moves",
            _WILDER,
            cmo(CLOSE, bars) * 0.01,
        )
        for bars in (2, 7, 14, 50)
    ),
    _feature(
        "rsi_change_14_5",
        "share: change of the RSI of 14 bars in 5 bars / 50, at most 2",
        _WILDER,
        (cmo(CLOSE, 14) - cmo(CLOSE, 14).lag(5)) * 0.01,
        low=-2.0,
        high=2.0,
    ),
    _feature(
        "stochastic_rsi_14",
        "(place of the RSI in its range of 14 bars, 3 bars' mean, − 50) / 50",
        "T. Chande, S. Kroll, The New Technical Trader, 1994; TA-Lib",
        unless_flat(
            stochastic_rsi(CLOSE, 14, fast=14).slow * 0.02 + -1.0,
            (highest(rsi(CLOSE), 14) - lowest(rsi(CLOSE), 14)) * CLOSE,
        ),
    ),
    _feature(
        "tsi_25_13",
        "twice smoothed moves over their sizes",
        "W. Blau, True Strength Index, Technical Analysis of Stocks & Commodities 9(11), 1991",
        tsi(CLOSE),
    ),
    _feature(
        "vigor_10",
        "bodies over ranges of 10 bars, each over four bars smoothed",
        "J. F. Ehlers, Relative Vigor Index, Technical Analysis of Stocks & Commodities 20(1), 2002",
        ratio(total(_swinging(_BODY), 10), total(_swinging(_RANGE), 10), least=FLAT, measure=CLOSE),
    ),
)

_PLACES = (
    *(
        _feature(
            f"stochastic_{bars}",
            "(slow %K − 50) / 50",
            _LANE,
            unless_flat(_stochastic(bars).slow * 0.02 + -1.0, _width(bars)),
        )
        for bars in (14, 50)
    ),
    _feature(
        "stochastic_turn_14", "(slow %K − %D) / 100", _LANE, (_stochastic(14).slow - _stochastic(14).signal) * 0.01
    ),
    _feature(
        "williams_r_14",
        "(%R + 50) / 50",
        "L. Williams, How I Made One Million Dollars, 1973; TA-Lib",
        unless_flat(williams_r(HIGH, LOW, CLOSE, 14) * 0.02 + 1.0, _width(14)),
    ),
    *(
        _feature(
            f"cci_{bars}",
            "CCI / 100",
            _LAMBERT,
            unless_flat(cci(HIGH, LOW, CLOSE, bars) * 0.01, _width(bars)),
            low=-5.0,
            high=5.0,
        )
        for bars in (20, 50)
    ),
    _feature(
        "ultimate_7_28",
        "(ultimate oscillator − 50) / 50",
        "L. Williams, The Ultimate Oscillator, Technical Analysis of Stocks & Commodities 3(4), 1985; TA-Lib",
        unless_flat(ultimate(HIGH, LOW, CLOSE) * 0.02 + -1.0, _width(28)),
    ),
    _feature(
        "fisher_10",
        "Fisher transform of the typical price's place in its range of 10 bars",
        "J. F. Ehlers, Using the Fisher Transform, Technical Analysis of Stocks & Commodities 20(11), 2002",
        fisher(typical(HIGH, LOW, CLOSE), 10),
        low=-8.0,
        high=8.0,
    ),
    _feature(
        "schaff_23_50",
        "(trend cycle − 50) / 50; 0 where the market is flat",
        "D. Schaff, The Schaff Trend Cycle, 1999",
        unless_flat(schaff(CLOSE) * 0.02 + -1.0, _width(50)),
    ),
    *(
        _feature(
            f"bollinger_{bars}",
            f"half widths of the band: (log close − mean) / (2 standard deviations), {bars} bars",
            "J. Bollinger, Bollinger on Bollinger Bands, 2001; %b = (1 + value) / 2, on log prices",
            (LOG_CLOSE - mean(LOG_CLOSE, bars)) / at_least(deviation(LOG_CLOSE, bars) * 2.0, SIGMA_FLOOR),
            low=-3.0,
            high=3.0,
        )
        for bars in (20, 50, 100)
    ),
)

FEATURES = (*_MOVES, *_STRENGTHS, *_PLACES)
