"""How much the price moves: close to close, by the range, in jumps, and short against long.

Sizes are ratios: of one estimator of volatility to another, or to `ewma_volatility`, the one feature that has the size
of a price move.
"""

from __future__ import annotations

import math

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.market import BAR_RETURN, CLOSE, HIGH, LOG_CLOSE, LOW, SIGMA, SIGMA_FLOOR, TRUE_RANGE
from heliograph.features.ops.pointwise import at_least, log, magnitude, ratio, root, where
from heliograph.features.ops.range import atr
from heliograph.features.ops.smooth import ema, ewma, wilder
from heliograph.features.ops.spread import (
    drawdown,
    garch,
    jump_share,
    log_ratio,
    median_variance,
    powers,
    range_terms,
    realised,
    realised_moments,
    yang_zhang,
)
from heliograph.features.ops.window import deviation, highest, mean, total

_FLAT = 1e-9  # of the close: a range below it is rounding, not a market
_OWN = "own definition"
_CORSI = "F. Corsi, A Simple Approximate Long-Memory Model of Realized Volatility, J. Financial Econometrics 7(2), 2009"
_JUMPS = "O. Barndorff-Nielsen, N. Shephard, Power and Bipower Variation, J. Financial Econometrics 2(1), 2004"
_MEDIAN = "T. Andersen, D. Dobrev, E. Schaumburg, Jump-Robust Volatility Estimation, J. Econometrics 169(1), 2012"
_SEMI = "O. Barndorff-Nielsen, S. Kinnebrock, N. Shephard, Measuring Downside Risk: Realised Semivariance, 2010"
_MOMENTS = "D. Amaya, P. Christoffersen, K. Jacobs, A. Vasquez, Realized Skewness, J. Financial Economics 118(1), 2015"
_PARKINSON = "M. Parkinson, The Extreme Value Method, J. Business 53(1), 1980"
_GARMAN_KLASS = "M. Garman, M. Klass, On the Estimation of Security Price Volatilities, J. Business 53(1), 1980"
_ROGERS_SATCHELL = "L. Rogers, S. Satchell, Estimating Variance from High, Low and Closing Prices, 1991"
_YANG_ZHANG = "D. Yang, Q. Zhang, Drift-Independent Volatility Estimation, J. Business 73(3), 2000"
_GARCH = "T. Bollerslev, J. Econometrics 31(3), 1986; α, β: R. Engle, GARCH 101, J. Economic Perspectives 15(4), 2001"
_RISKMETRICS = "J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th ed. 1996, ch. 5"
_WILDER = "J. W. Wilder, New Concepts in Technical Trading Systems, 1978"
_CHANDE = "T. Chande, S. Kroll, The New Technical Trader, 1994"
_BANDS = "J. Bollinger, Bollinger on Bollinger Bands, 2001"
_KELTNER = "C. Keltner, How to Make Money in Commodities, 1960; averages as L. Bradford Raschke uses them"
_SQUEEZE = "J. Carter, Mastering the Trade, 2005: the squeeze"
_CHAIKIN = "M. Chaikin: Chaikin volatility, in S. Achelis, Technical Analysis from A to Z, 1995"
_CRABEL = "T. Crabel, Day Trading with Short Term Price Patterns and Opening Range Breakout, 1990"
_ULCER = "P. Martin, B. McCann, The Investor's Guide to Fidelity Funds, 1989, on log prices"
_DRAWDOWN = "M. Magdon-Ismail, A. Atiya, Maximum Drawdown, Risk 17(10), 2004"
_DORSEY = (
    "D. Dorsey, The Relative Volatility Index, Technical Analysis of Stocks & Commodities 11(6), 1993, on log prices"
)

_SQUARE, _DOWN = powers()[:2]
_SIZE = magnitude(BAR_RETURN)
_SIGMA_SQUARE = SIGMA * SIGMA
_SIGMA_20 = at_least(root(realised(20)), SIGMA_FLOOR)
_TERMS = range_terms()
_ATR_14, _ATR_SHARE = atr(HIGH, LOW, CLOSE, 14), atr(HIGH, LOW, CLOSE, 14) / CLOSE
_LONG_RANGE = mean(TRUE_RANGE, 100)
_RANGE_10 = ema(HIGH - LOW, 10)
_SPREAD_10 = deviation(LOG_CLOSE, 10)
_RISING, _FALLING = (wilder(where(side, _SPREAD_10, _SPREAD_10 * 0.0), 14) for side in (BAR_RETURN, -BAR_RETURN))
_BELOW_TOP = LOG_CLOSE - highest(LOG_CLOSE, 14)


def _against_sigma(variance: Series) -> Series:
    return log_ratio(variance, _SIGMA_SQUARE)


def _realised_ratio(short: int, long: int) -> Series:
    return log_ratio(realised(short), realised(long))


def _down_share(bars: int) -> Series:
    return ratio(total(_DOWN, bars), total(_SQUARE, bars), otherwise=0.5)


def _in_sigmas(series: Series, bars: int) -> Series:
    return series / (SIGMA * math.sqrt(bars))


def _feature(name: str, unit: str, source: str, of: Series, low: float, high: float) -> Feature:
    return Feature(name=name, family="volatility", unit=unit, source=source, of=of, low=low, high=high)


_CLOSES = (
    _feature(
        "ewma_volatility",
        "log-return per base bar, standard deviation; decay 0.97 a bar, a return over k missing bars counts / √k",
        _RISKMETRICS,
        SIGMA,
        SIGMA_FLOOR,
        1.0,
    ),
    *(
        _feature(
            f"volatility_ratio_{short}_{long}",
            f"log of realised volatility of {short} bars / {long} bars",
            _CORSI,
            _realised_ratio(short, long),
            -4.0,
            4.0,
        )
        for short, long in ((5, 20), (6, 24), (24, 168), (168, 720))
    ),
    *(
        _feature(
            f"har_{name}_{bars}",
            f"log of realised volatility of {bars} bars / ewma_volatility",
            _CORSI,
            _against_sigma(realised(bars)),
            -4.0,
            4.0,
        )
        for name, bars in (("day", 24), ("week", 168), ("month", 720))
    ),
    _feature(
        "ewma_ratio_94",
        "log of exponentially weighted volatility with the decay 0.94 / ewma_volatility",
        _RISKMETRICS,
        _against_sigma(ewma(_SQUARE, 0.94)),
        -4.0,
        4.0,
    ),
    _feature(
        "garch_168",
        "log of GARCH(1,1) / realised volatility of 168 bars",
        _GARCH,
        log_ratio(garch(realised(168)), realised(168)),
        -4.0,
        4.0,
    ),
    _feature(
        "garch_ewma_168",
        "log of GARCH(1,1), reverting to that of 168 bars / ewma_volatility",
        _GARCH,
        _against_sigma(garch(realised(168))),
        -4.0,
        4.0,
    ),
    _feature(
        "volatility_change_24",
        "log of ewma_volatility / itself 24 bars ago",
        _RISKMETRICS,
        log(SIGMA / SIGMA.lag(24)),
        -5.0,
        5.0,
    ),
    *(
        _feature(
            f"volatility_of_volatility_{bars}",
            f"standard deviation of the log of ewma_volatility, {bars} bars",
            _OWN,
            deviation(log(SIGMA), bars),
            0.0,
            5.0,
        )
        for bars in (24, 168)
    ),
    _feature(
        "log_return_z_20",
        "standard deviations of the last 20 bars: the last log-return",
        _OWN,
        BAR_RETURN / _SIGMA_20,
        -5.0,
        5.0,
    ),
    _feature(
        "cutler_rsi_14",
        "(RSI − 50) / 50 with plain means",
        _CHANDE,
        ratio(total(BAR_RETURN, 14), total(_SIZE, 14)),
        -1.0,
        1.0,
    ),
    _feature(
        "distance_mean_20",
        "log-distance to the 20-bar mean / (standard deviation · √20)",
        _OWN,
        (LOG_CLOSE - mean(LOG_CLOSE, 20)) / (_SIGMA_20 * math.sqrt(20.0)),
        -5.0,
        5.0,
    ),
)

_JUMPY = (
    *(
        feature
        for bars in (24, 168)
        for feature in (
            _feature(
                f"jump_share_{bars}",
                f"1 − bipower / realised variance of {bars} bars; below 0 by chance",
                _JUMPS,
                jump_share(bars),
                -1.0,
                1.0,
            ),
            _feature(
                f"median_volatility_{bars}",
                f"log of jump-robust / realised volatility of {bars} bars",
                _MEDIAN,
                log_ratio(median_variance(bars), realised(bars)),
                -4.0,
                1.0,
            ),
        )
    ),
    _feature(
        "semivariance_6_24",
        "share of falling bars in the realised variance of 6 bars − that of 24 bars",
        _SEMI,
        _down_share(6) - _down_share(24),
        -1.0,
        1.0,
    ),
    _feature(
        "realised_skewness_24",
        "third moment of 24 returns about 0, in their standard deviations",
        _MOMENTS,
        realised_moments(24)[0],
        -math.sqrt(24.0),
        math.sqrt(24.0),
    ),
    _feature(
        "realised_kurtosis_24",
        "log of the fourth moment of 24 returns about 0, in their standard deviations",
        _MOMENTS,
        log(realised_moments(24)[1]),
        0.0,
        math.log(24.0),
    ),
)

_RANGES = (
    *(
        _feature(
            f"{name}_24",
            "log of range volatility of 24 bars / ewma_volatility",
            source,
            _against_sigma(variance),
            -4.0,
            4.0,
        )
        for name, source, variance in (
            ("parkinson", _PARKINSON, mean(_TERMS[0], 24)),
            ("garman_klass", _GARMAN_KLASS, mean(_TERMS[1], 24)),
            ("rogers_satchell", _ROGERS_SATCHELL, mean(_TERMS[2], 24)),
            ("yang_zhang", _YANG_ZHANG, yang_zhang(24)),
        )
    ),
    _feature(
        "parkinson_ratio_24_168",
        "log of range volatility of 24 bars / 168 bars",
        _PARKINSON,
        log_ratio(mean(_TERMS[0], 24), mean(_TERMS[0], 168)),
        -4.0,
        4.0,
    ),
    _feature(
        "range_return_ratio_24",
        "log of range volatility / realised volatility, 24 bars",
        _PARKINSON,
        log_ratio(mean(_TERMS[0], 24), realised(24)),
        -4.0,
        4.0,
    ),
    _feature(
        "atr_ratio_14_100",
        "average true range of 14 bars / mean true range of 100 bars − 1",
        f"{_WILDER}; TA-Lib",
        ratio(_ATR_14 - _LONG_RANGE, _LONG_RANGE, least=_FLAT, measure=CLOSE),
        -1.0,
        4.0,
    ),
    _feature(
        "atr_sigma_14",
        "log of average true range of 14 bars / (close · ewma_volatility)",
        _WILDER,
        _against_sigma(_ATR_SHARE * _ATR_SHARE),
        -4.0,
        4.0,
    ),
    _feature(
        "range_expansion_14",
        "true range / mean true range of 14 bars; 1 where flat",
        _CRABEL,
        ratio(TRUE_RANGE, mean(TRUE_RANGE, 14), least=_FLAT, measure=CLOSE, otherwise=1.0),
        0.0,
        14.0,
    ),
    _feature(
        "chaikin_volatility_10",
        "exponential mean of 10 ranges / itself 10 bars ago − 1",
        _CHAIKIN,
        ratio(_RANGE_10 - _RANGE_10.lag(10), _RANGE_10.lag(10), least=_FLAT, measure=CLOSE),
        -1.0,
        4.0,
    ),
    _feature(
        "relative_volatility_14",
        "(RVI − 50) / 50: standard deviation of 10 closes at rising less falling bars, 14 bars",
        _DORSEY,
        ratio(_RISING - _FALLING, _RISING + _FALLING, least=_FLAT),
        -1.0,
        1.0,
    ),
    _feature(
        "bollinger_width_20",
        "standard deviation of 20 log closes / (ewma_volatility · √20)",
        _BANDS,
        _in_sigmas(deviation(LOG_CLOSE, 20), 20),
        0.0,
        5.0,
    ),
    _feature(
        "squeeze_20",
        "width of Bollinger's / Keltner's band of 20 bars − 1",
        _SQUEEZE,
        ratio(deviation(CLOSE, 20) * 2.0, atr(HIGH, LOW, CLOSE, 20) * 1.5, least=_FLAT, measure=CLOSE, otherwise=1.0)
        - 1.0,
        -1.0,
        4.0,
    ),
    _feature(
        "keltner_20",
        "half widths of the band: (close − exponential mean of 20) / (2 average true ranges of 10 bars)",
        _KELTNER,
        ratio(CLOSE - ema(CLOSE, 20), atr(HIGH, LOW, CLOSE, 10) * 2.0, least=_FLAT, measure=CLOSE),
        -5.0,
        5.0,
    ),
    _feature(
        "ulcer_14",
        "root mean square of the fall below the highest of 14 closes / (ewma_volatility · √14)",
        _ULCER,
        _in_sigmas(root(mean(_BELOW_TOP * _BELOW_TOP, 14)), 14),
        0.0,
        5.0,
    ),
    *(
        _feature(
            f"max_{name}_{bars}",
            f"largest {kind} between two of {bars} closes / (ewma_volatility · √{bars})",
            _DRAWDOWN,
            _in_sigmas(drawdown(series, bars), bars),
            0.0,
            10.0,
        )
        for name, kind, series in (("drawdown", "fall", LOG_CLOSE), ("rally", "rise", -LOG_CLOSE))
        for bars in (24, 168)
    ),
)

FEATURES: tuple[Feature, ...] = (*_CLOSES, *_JUMPY, *_RANGES)
