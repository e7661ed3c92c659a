"""How much is traded, on which side, and what it moves.

Volume has no unit of its own here: it counts in shares of other volume. A bar without any counts as 1 % of the mean.
"""

from __future__ import annotations

import math

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.market import BAR_RETURN, CLOSE, HIGH, LOW, SIGMA, VOLUME
from heliograph.features.ops.flow import (
    abdi_ranaldo,
    bulk,
    corwin_schultz,
    day_vwap_distance,
    easiness,
    entropy,
    facilitation,
    illiquidity,
    impact,
    index_returns,
    located,
    mean_of_sum_slope,
    relative,
    signed,
    sum_over_ema,
    volume_force,
    vwap_distance,
)
from heliograph.features.ops.pair import correlation, covariance
from heliograph.features.ops.pointwise import log, magnitude, ratio, root, sign
from heliograph.features.ops.range import true_range
from heliograph.features.ops.smooth import ema
from heliograph.features.ops.window import deviation, mean, total

_STEADY = 1e-5  # a standard deviation of log-volume below it is rounding
_OWN = "own definition"
_GRANVILLE = "J. Granville, New Key to Stock Market Profits, 1963: on-balance volume, as a share of all volume"
_MFI = "G. Quong, A. Soudack, Volume-Weighted RSI: Money Flow, Technical Analysis of Stocks & Commodities 7(3), 1989"
_CHAIKIN = "M. Chaikin: accumulation/distribution, in S. Achelis, Technical Analysis from A to Z, 1995"
_WILLIAMS = "L. Williams, The Secret of Selecting Stocks for Immediate and Substantial Gains, 1972"
_ELDER = "A. Elder, Trading for a Living, 1993: force index, as a share of volume times true range"
_ARMS = "R. Arms, Volume Cycles in the Stock Market, 1983"
_BILL_WILLIAMS = "B. Williams, Trading Chaos, 1995: market facilitation index"
_VWAP = "S. Berkowitz, D. Logue, E. Noser, The Total Cost of Transactions on the NYSE, J. Finance 43(1), 1988"
_AMIHUD = "Y. Amihud, Illiquidity and Stock Returns, J. Financial Markets 5(1), 2002"
_KYLE = "A. Kyle, Continuous Auctions and Insider Trading, Econometrica 53(6), 1985"
_KARPOFF = "J. Karpoff, The Relation between Price Changes and Trading Volume, JFQA 22(1), 1987"
_FOSBACK = "P. Dysart 1936; N. Fosback, Stock Market Logic, 1976"
_SHANNON = "C. Shannon, A Mathematical Theory of Communication, 1948"
_VPIN = "D. Easley, M. López de Prado, M. O'Hara, Flow Toxicity, Review of Financial Studies 25(5), 2012; bars of time"
_KLINGER = (
    "S. Klinger, Identifying Trends with Volume Analysis, Technical Analysis of Stocks & Commodities 15(12), 1997"
)
_APPEL = "G. Appel's price oscillator on volume, in S. Achelis, Technical Analysis from A to Z, 1995"
_VPT = "volume-price trend, in S. Achelis, Technical Analysis from A to Z, 1995; as a share of volume times return"
_ROLL = "R. Roll, A Simple Implicit Measure of the Effective Bid-Ask Spread, J. Finance 39(4), 1984"
_CORWIN = "S. Corwin, P. Schultz, A Simple Way to Estimate Bid-Ask Spreads, J. Finance 67(2), 2012"
_ABDI = "F. Abdi, A. Ranaldo, A Simple Estimation of Bid-Ask Spreads, Review of Financial Studies 30(12), 2017"
_LESMOND = (
    "D. Lesmond, J. Ogden, C. Trzcinka, A New Estimate of Transaction Costs, Review of Financial Studies 12(5), 1999"
)

_PLACED, _BODIED, _MONEY = located()
_SIGNED, _SIGNED_MONEY = signed()
_BULK = bulk()
_RELATIVE = relative(VOLUME, mean(VOLUME, 168))
_ON_FALLING, _ON_RISING = index_returns()
_SIZE = magnitude(BAR_RETURN)
_FORCE = volume_force()
_LONG_VOLUME = ema(VOLUME, 26)
_PVO = ratio(ema(VOLUME, 12) - _LONG_VOLUME, _LONG_VOLUME)
_CHANGE = CLOSE - CLOSE.lag(1)


def _share(over: Series, bars: int, under: Series = VOLUME) -> Series:
    return ratio(total(over, bars), total(under, bars))


def _sum_slope(series: Series, bars: int) -> Series:
    return ratio(mean_of_sum_slope(series, bars), mean_of_sum_slope(VOLUME, bars))


def _feature(name: str, unit: str, source: str, of: Series, low: float, high: float) -> Feature:
    return Feature(name=name, family="volume", unit=unit, source=source, of=of, low=low, high=high)


_AMOUNTS = (
    _feature(
        "volume_z_168",
        "standard deviations of log-volume over 168 bars; 0 where it does not vary",
        "own definition: log of volume over its 168-bar mean, standardised over 168 bars",
        ratio(_RELATIVE - mean(_RELATIVE, 168), deviation(_RELATIVE, 168), least=_STEADY),
        -8.0,
        8.0,
    ),
    _feature(
        "volume_ratio_24_168",
        "log of mean volume of 24 bars / 168 bars; 0 where nothing is traded",
        _OWN,
        relative(mean(VOLUME, 24), mean(VOLUME, 168)),
        -5.0,
        2.0,
    ),
    _feature(
        "relative_volume_24",
        "log of volume / mean volume of 24 bars, and 1 %",
        _OWN,
        relative(VOLUME, mean(VOLUME, 24)),
        -5.0,
        3.2,
    ),
    _feature("volume_oscillator_12_26", "exponential mean of 12 volumes / that of 26 − 1", _APPEL, _PVO, -1.0, 4.0),
    _feature(
        "volume_oscillator_histogram_9",
        "volume_oscillator_12_26 less its exponential mean of 9",
        _APPEL,
        _PVO - ema(_PVO, 9),
        -2.0,
        2.0,
    ),
    _feature(
        "volume_variation_24",
        "standard deviation of volume / its mean, 24 bars",
        _OWN,
        ratio(deviation(VOLUME, 24), mean(VOLUME, 24)),
        0.0,
        5.0,
    ),
    _feature(
        "volume_entropy_24",
        "entropy of how volume is spread over 24 bars, share of the evenest",
        _SHANNON,
        entropy(24),
        0.0,
        1.0,
    ),
    _feature("silent_share_24", "share of 24 bars without volume", _OWN, mean(1.0 - sign(VOLUME), 24), 0.0, 1.0),
    _feature(
        "zero_return_share_24",
        "share of 24 bars whose close did not change",
        _LESMOND,
        mean(1.0 - magnitude(sign(BAR_RETURN)), 24),
        0.0,
        1.0,
    ),
    _feature(
        "volume_slope_24",
        "weight of the newer half in the volume of 24 bars: slope of its running sum / mean − 1",
        _OWN,
        ratio(mean_of_sum_slope(VOLUME, 24), mean(VOLUME, 24), otherwise=1.0) - 1.0,
        -1.0,
        1.0,
    ),
)

_SIDES = (
    _feature(
        "flow_24", "volume of rising less falling bars / volume, 24 bars", _GRANVILLE, _share(_SIGNED, 24), -1.0, 1.0
    ),
    _feature(
        "flow_168", "volume of rising less falling bars / volume, 168 bars", _GRANVILLE, _share(_SIGNED, 168), -1.0, 1.0
    ),
    _feature(
        "money_flow_14",
        "(MFI − 50) / 50: turnover of rising less falling typical price / turnover, 14 bars",
        _MFI,
        _share(_SIGNED_MONEY, 14, _MONEY),
        -1.0,
        1.0,
    ),
    _feature(
        "chaikin_money_flow_20",
        "volume times the close's place in the range (−1 … 1) / volume, 20 bars",
        _CHAIKIN,
        _share(_PLACED, 20),
        -1.0,
        1.0,
    ),
    _feature(
        "chaikin_oscillator_3_10",
        "exponential means of 3 less 10 of accumulation/distribution, in mean volumes of 20 bars",
        _CHAIKIN,
        ratio(sum_over_ema(_PLACED, 10) - sum_over_ema(_PLACED, 3), mean(VOLUME, 20)),
        -10.0,
        10.0,
    ),
    _feature(
        "body_flow_24",
        "volume times body / range, as a share of volume, 24 bars",
        _WILLIAMS,
        _share(_BODIED, 24),
        -1.0,
        1.0,
    ),
    _feature(
        "obv_slope_24",
        "slope of on-balance volume / slope of all volume's sum, 24 bars",
        _GRANVILLE,
        _sum_slope(_SIGNED, 24),
        -1.0,
        1.0,
    ),
    _feature(
        "accumulation_slope_24",
        "slope of accumulation/distribution / slope of all volume's sum, 24 bars",
        _CHAIKIN,
        _sum_slope(_PLACED, 24),
        -1.0,
        1.0,
    ),
    _feature(
        "bulk_flow_24",
        "volume bought less sold by the normal distribution of returns / volume, 24 bars",
        _VPIN,
        _share(_BULK, 24),
        -1.0,
        1.0,
    ),
    _feature(
        "vpin_50",
        "absolute volume bought less sold by the normal distribution of returns / volume, 50 bars",
        _VPIN,
        _share(magnitude(_BULK), 50),
        0.0,
        1.0,
    ),
    _feature(
        "klinger_34_55",
        "exponential means of 34 less 55 of volume force, in exponential mean volumes of 55",
        _KLINGER,
        ratio(ema(_FORCE, 34) - ema(_FORCE, 55), ema(VOLUME, 55)),
        -2.0,
        2.0,
    ),
    _feature(
        "force_13",
        "exponential means of 13: price change times volume / true range times volume",
        _ELDER,
        ratio(ema(_CHANGE * VOLUME, 13), ema(true_range(HIGH, LOW, CLOSE) * VOLUME, 13)),
        -1.0,
        1.0,
    ),
    _feature(
        "price_volume_trend_24",
        "volume times return / volume times absolute return, 24 bars",
        _VPT,
        _share(VOLUME * BAR_RETURN, 24, VOLUME * _SIZE),
        -1.0,
        1.0,
    ),
    _feature(
        "nvi_return_24",
        "return on bars of falling volume in 24 bars / (ewma_volatility · √24)",
        _FOSBACK,
        total(_ON_FALLING, 24) / (SIGMA * math.sqrt(24.0)),
        -8.0,
        8.0,
    ),
    _feature(
        "pvi_return_24",
        "return on bars of rising volume in 24 bars / (ewma_volatility · √24)",
        _FOSBACK,
        total(_ON_RISING, 24) / (SIGMA * math.sqrt(24.0)),
        -8.0,
        8.0,
    ),
)

_PRICES = (
    *(
        _feature(
            f"vwap_distance_{bars}",
            f"log of close / volume-weighted mean price of {bars} bars / (ewma_volatility · √{bars})",
            _VWAP,
            vwap_distance(bars),
            -8.0,
            8.0,
        )
        for bars in (24, 168)
    ),
    _feature(
        "vwap_distance_day",
        "log of close / volume-weighted mean price since 0:00 UTC / (ewma_volatility · √bars)",
        _VWAP,
        day_vwap_distance(),
        -8.0,
        8.0,
    ),
    _feature(
        "ease_of_movement_14",
        "mean of 14 moves of the bar's middle times range / volume, each in its mean of 14",
        _ARMS,
        mean(easiness(14), 14),
        -20.0,
        20.0,
    ),
    _feature(
        "facilitation_24",
        "log of range / volume, each in its mean of 24 and 1 %",
        _BILL_WILLIAMS,
        facilitation(24),
        -7.8,
        7.8,
    ),
    _feature(
        "volume_return_correlation_24",
        "correlation of volume and return, 24 bars",
        _KARPOFF,
        correlation(VOLUME, BAR_RETURN, 24),
        -1.0,
        1.0,
    ),
    _feature(
        "volume_size_correlation_24",
        "correlation of volume and absolute return, 24 bars",
        _KARPOFF,
        correlation(VOLUME, _SIZE, 24),
        -1.0,
        1.0,
    ),
)

_COSTS = (
    _feature(
        "amihud_24",
        "log of mean absolute return / turnover of 24 bars, that in its mean of 168, in ewma_volatility, and 1 %",
        _AMIHUD,
        log(mean(illiquidity(168), 24) / SIGMA + 0.01),
        -4.7,
        8.0,
    ),
    _feature(
        "kyle_lambda_24",
        "ewma_volatilities that a bar of usual order flow moves the price by, 24 bars",
        _KYLE,
        impact(24),
        -5.0,
        5.0,
    ),
    _feature(
        "roll_spread_24",
        "2 √(−covariance of neighbouring returns) / ewma_volatility, 24 bars",
        _ROLL,
        root(-covariance(BAR_RETURN, BAR_RETURN.lag(1), 24)) * 2.0 / SIGMA,
        0.0,
        10.0,
    ),
    _feature(
        "corwin_schultz_24",
        "spread from highs and lows / ewma_volatility, mean of 24 bars",
        _CORWIN,
        corwin_schultz(24) / SIGMA,
        0.0,
        10.0,
    ),
    _feature(
        "abdi_ranaldo_24",
        "spread from closes, highs and lows / ewma_volatility, 24 bars",
        _ABDI,
        abdi_ranaldo(24) / SIGMA,
        0.0,
        10.0,
    ),
)

FEATURES: tuple[Feature, ...] = (*_AMOUNTS, *_SIDES, *_PRICES, *_COSTS)
