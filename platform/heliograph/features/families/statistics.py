"""What a statistician would ask of the last returns: their form, their memory, and where the newest one stands.

Returns are `BAR_RETURN`, a standard deviation is that of the window unless told otherwise.
"""

from __future__ import annotations

from typing import Final

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.market import BAR_RETURN, CLOSE, HIGH, LOG_CLOSE, LOW, SIGMA, TRUE_RANGE, VOLUME
from heliograph.features.ops.distribution import bins, entropy, kurtosis, ordinal, sample_entropy, skewness, word
from heliograph.features.ops.memory import (
    detrended_fluctuation,
    hurst_of_range,
    hurst_of_variance,
    madogram_dimension,
    range_dimension,
    run,
    runs_z,
    variance_ratio,
    variance_ratio_z,
)
from heliograph.features.ops.order import bars_since_highest, bars_since_lowest, quantiles, rank
from heliograph.features.ops.pair import autocorrelation, beta, correlation
from heliograph.features.ops.pointwise import at_least, log, magnitude, ratio, root, sign
from heliograph.features.ops.window import fit, mean, score, total

_SIZE = magnitude(BAR_RETURN)
_SQUARE = BAR_RETURN * BAR_RETURN
_STANDARD = BAR_RETURN / SIGMA
_FALL = (_SIZE - BAR_RETURN) * 0.5
_ROOT_VOLUME = root(VOLUME)
_RELATIVE_RANGE = TRUE_RANGE / CLOSE
_STILL = 1e-12
"""A range of log-prices below it is rounding."""

_SPIEGEL = "M. R. Spiegel, Theory and Problems of Statistics, 1961"
_CONRAD = "J. Conrad, G. Kaul, Time-Variation in Expected Returns, Journal of Business 61(4), 1988"
_CONT = "R. Cont, Empirical Properties of Asset Returns, Quantitative Finance 1, 2001"
_KARPOFF = "J. M. Karpoff, The Relation Between Price Changes and Trading Volume, JFQA 22(1), 1987"
_LO = (
    "A. W. Lo, A. C. MacKinlay, Stock Market Prices Do Not Follow Random Walks, Review of Financial Studies 1(1), 1988"
)
_HURST = "H. E. Hurst, Long-Term Storage Capacity of Reservoirs, Transactions of the ASCE 116, 1951"
_TAQQU = "M. S. Taqqu, V. Teverovsky, W. Willinger, Estimators for Long-Range Dependence, Fractals 3(4), 1995"
_PENG = "C.-K. Peng et al., Mosaic Organization of DNA Nucleotides, Physical Review E 49(2), 1994"
_GNEITING = (
    "T. Gneiting, H. Ševčíková, D. B. Percival, Estimators of Fractal Dimension, Statistical Science 27(2), 2012"
)
_EHLERS = "J. Ehlers, FRAMA: Fractal Adaptive Moving Average, Technical Analysis of Stocks & Commodities 23(10), 2005"
_BANDT = "C. Bandt, B. Pompe, Permutation Entropy, Physical Review Letters 88, 174102, 2002"
_SHANNON = "C. E. Shannon, A Mathematical Theory of Communication, Bell System Technical Journal 27, 1948"
_RICHMAN = "J. S. Richman, J. R. Moorman, Approximate and Sample Entropy, American Journal of Physiology 278(6), 2000"
_JARQUE = "C. M. Jarque, A. K. Bera, Efficient Tests for Normality, Economics Letters 6(3), 1980"
_BOWLEY = "A. L. Bowley, Elements of Statistics, 4th ed. 1920"
_CROW = "E. L. Crow, M. M. Siddiqui, Robust Estimation of Location, JASA 62, 1967"
_HINKLEY = "D. V. Hinkley, On Power Transformations to Symmetry, Biometrika 62(1), 1975"
_JORION = "P. Jorion, Value at Risk, 1997"
_DRAPER = "N. R. Draper, H. Smith, Applied Regression Analysis, 1966, ch. 1"
_WALD = "A. Wald, J. Wolfowitz, On a Test Whether Two Samples Are from the Same Population, AMS 11(2), 1940"
_BARNDORFF = "O. E. Barndorff-Nielsen, S. Kinnebrock, N. Shephard, Measuring Downside Risk: Realised Semivariance, 2010"
_BLACK = "F. Black, Studies of Stock Price Volatility Changes, Proceedings of the ASA, 1976"
_BAWA = "V. S. Bawa, E. B. Lindenberg, Capital Market Equilibrium in a Mean-Lower Partial Moment Framework, JFE 5, 1977"
_DICKEY = "D. A. Dickey, W. A. Fuller, Estimators for Autoregressive Time Series with a Unit Root, JASA 74, 1979"
_FELLER = "W. Feller, An Introduction to Probability Theory and Its Applications, vol. 1, 1950, ch. 3"


def _of(name: str, unit: str, published: str, of: Series, high: float, low: float | None = None) -> Feature:
    least = -high if low is None else low
    return Feature(name=name, family="statistics", unit=unit, source=published, of=of, low=least, high=high)


def _share(name: str, unit: str, published: str, of: Series) -> Feature:
    return _of(name, unit, published, of, 1.0, 0.0)


def _scores() -> tuple[Feature, ...]:
    return (
        *(
            _of(f"price_z_{n}", f"standard deviations of {n} log-closes above their mean", _SPIEGEL, of, 8.0)
            for n, of in ((n, score(LOG_CLOSE, n)) for n in (48, 168, 336))
        ),
        *(
            _of(f"return_z_{n}", f"standard deviations of {n} returns above their mean", _SPIEGEL, of, 8.0)
            for n, of in ((n, score(BAR_RETURN, n)) for n in (48, 168))
        ),
        _of("root_volume_z_48", "standard deviations of 48 roots of volume", _SPIEGEL, score(_ROOT_VOLUME, 48), 8.0),
        _of(
            "range_z_168", "standard deviations of 168 true ranges / close", _SPIEGEL, score(_RELATIVE_RANGE, 168), 8.0
        ),
    )


def _memory() -> tuple[Feature, ...]:
    lagged = (
        ("return", "returns", BAR_RETURN, (1, 2, 3, 6, 24), _CONRAD),
        ("size", "absolute returns", _SIZE, (1, 6, 24), _CONT),
        ("root_volume", "roots of volume", _ROOT_VOLUME, (1, 24), _KARPOFF),
    )
    return (
        *(
            _of(
                f"{name}_autocorrelation_{lag}_168",
                f"correlation of 168 {unit} with those {lag} bars before",
                published,
                autocorrelation(series, lag, 168),
                1.0,
            )
            for name, unit, series, lags, published in lagged
            for lag in lags
        ),
        *(
            _of(
                f"variance_ratio_{q}_168",
                f"variance of {q}-bar returns / {q} variances of 1-bar returns, less 1; 168 bars",
                _LO,
                variance_ratio(BAR_RETURN, q, 168) - 1.0,
                q - 1.0,
                -1.0,
            )
            for q in (2, 4, 8, 16)
        ),
        *(
            _of(
                f"variance_ratio_z_{q}_168",
                f"robust standard errors of the variance ratio of {q} bars above 1, 168 bars",
                _LO,
                variance_ratio_z(BAR_RETURN, q, 168),
                12.0,
            )
            for q in (2, 8)
        ),
        _share("hurst_range_168", "exponent: log(R/S) / log(84)", _HURST, hurst_of_range(BAR_RETURN, 168)),
        _share("hurst_variance_168", "exponent of 1 to 16 bars", _TAQQU, hurst_of_variance(LOG_CLOSE, 168)),
        _of("fluctuation_168", "exponent of 8 to 32 bars", _PENG, detrended_fluctuation(LOG_CLOSE, 168), 2.0, 0.0),
        _of("roughness_72", "fractal dimension, madogram", _GNEITING, madogram_dimension(LOG_CLOSE, 72), 2.0, 1.0),
        _of("range_dimension_32", "fractal dimension, ranges", _EHLERS, range_dimension(HIGH, LOW, 32), 2.0, 1.0),
        _of("return_run_16", "bars in a row with the newest return's sign", _FELLER, run(BAR_RETURN, 16), 16.0),
        _of("runs_z_72", "standard deviations of the number of runs of signs", _WALD, runs_z(BAR_RETURN, 72), 9.0),
    )


def _form() -> tuple[Feature, ...]:
    skew, tails = skewness(BAR_RETURN, 168), kurtosis(BAR_RETURN, 168)
    jarque_bera = log(1.0 + (skew * skew + tails * tails * 0.25) * (168 / 6))
    q05, q25, q50, q75, q95 = quantiles(BAR_RETURN, 168, (0.05, 0.25, 0.5, 0.75, 0.95))
    bowley = ratio(q75 + q25 - q50 * 2.0, q75 - q25, least=_STILL)
    hinkley = ratio(q95 + q05 - q50 * 2.0, q95 - q05, least=_STILL)
    weight = log(at_least(ratio(q95 - q05, q75 - q25, least=_STILL, otherwise=1.0), 1.0))
    signs, squares = mean(sign(BAR_RETURN), 72), sign(BAR_RETURN) * _SQUARE
    return (
        _of("return_skewness_72", "of 72 returns", _SPIEGEL, skewness(BAR_RETURN, 72), 8.5),
        _of("return_skewness_168", "of 168 returns", _SPIEGEL, skew, 13.0),
        _of("return_kurtosis_72", "of 72 returns, less 3", _SPIEGEL, kurtosis(BAR_RETURN, 72), 70.0, -2.0),
        _of("return_kurtosis_168", "of 168 returns, less 3", _SPIEGEL, tails, 165.0, -2.0),
        _of("jarque_bera_168", "log(1 + statistic) of 168 returns", _JARQUE, jarque_bera, 14.0, 0.0),
        _of("quartile_skew_168", "(Q75 + Q25 − 2 Q50) / (Q75 − Q25) of 168 returns", _BOWLEY, bowley, 1.0),
        _of("tail_skew_168", "(Q95 + Q5 − 2 Q50) / (Q95 − Q5) of 168 returns", _HINKLEY, hinkley, 1.0),
        _of("tail_weight_168", "log((Q95 − Q5) / (Q75 − Q25)) of 168 returns", _CROW, weight, 5.0, 0.0),
        _of("value_at_risk_168", "5 % quantile of 168 returns / ewma_volatility", _JORION, q05 / SIGMA, 1.0, -8.0),
        _of("sign_balance_72", "rising less falling bars / 72", _FELLER, signs, 1.0),
        *(
            _of(
                f"semivariance_balance_{n}",
                f"(squared rises − squared falls) / squared returns, {n} bars",
                _BARNDORFF,
                ratio(total(squares, n), total(_SQUARE, n)),
                1.0,
            )
            for n in (24, 168)
        ),
        _share("permutation_entropy_72", "share of log 6, 72 triples", _BANDT, entropy(ordinal(LOG_CLOSE), 72, 6)),
        _share("sign_entropy_72", "share of log 8, 72 signs in threes", _SHANNON, entropy(word(BAR_RETURN, 3), 72, 8)),
        _share(
            "return_entropy_168",
            "share of log 8: 168 returns / ewma_volatility in 8 bins from −2 to 2",
            _SHANNON,
            entropy(bins(_STANDARD, 2.0, 8), 168, 8),
        ),
        _of(
            "sample_entropy_120",
            "nats; 120 returns / ewma_volatility, stretches of 2, radius 0.2",
            _RICHMAN,
            sample_entropy(_STANDARD, 120, radius=0.2),
            9.0,
            0.0,
        ),
    )


def _places() -> tuple[Feature, ...]:
    ranked = (
        ("close", "close", CLOSE, (24, 72, 168)),
        ("return", "return", BAR_RETURN, (168,)),
        ("size", "absolute return", _SIZE, (168,)),
        ("sigma", "ewma_volatility", SIGMA, (168, 336)),
        ("range", "true range / close", _RELATIVE_RANGE, (168,)),
        ("traded", "volume", VOLUME, (168,)),
    )
    q10, q50, q90 = quantiles(LOG_CLOSE, 168, (0.1, 0.5, 0.9))
    place = ratio(LOG_CLOSE - q50, q90 - q10, least=_STILL)
    ages = bars_since_lowest(CLOSE, 72) - bars_since_highest(CLOSE, 72)
    return (
        *(
            _share(
                f"{name}_rank_{n}", f"share of the {n - 1} before below the newest {unit}", _SPIEGEL, rank(series, n)
            )
            for name, unit, series, windows in ranked
            for n in windows
        ),
        _of("close_place_168", "(log close − median) / (Q90 − Q10) of 168 log-closes", _CROW, place, 5.0),
        _of("extreme_age_72", "(bars since the lowest close − since the highest) / 71", _FELLER, ages / 71.0, 1.0),
    )


def _lines() -> tuple[Feature, ...]:
    made = []
    for n in (24, 72, 168):
        slope, end, explained, error = fit(LOG_CLOSE, n)
        residual = ratio(LOG_CLOSE - end, error, least=_STILL)
        made += [
            _share(f"line_r2_{n}", f"R² of the line through {n} log-closes", _DRAPER, explained),
            _of(f"line_slope_{n}", f"slope · √{n} / ewma_volatility", _DRAPER, slope * n**0.5 / SIGMA, 8.0),
            _of(f"line_residual_{n}", f"standard errors above the line through {n} log-closes", _DRAPER, residual, 8.0),
        ]
    return tuple(made)


def _pairs() -> tuple[Feature, ...]:
    before, change = LOG_CLOSE.lag(1), LOG_CLOSE - LOG_CLOSE.lag(1)
    common = correlation(change, before, 168)
    unit_root = common * 166**0.5 / at_least(root(1.0 - common * common), 1e-3)
    volume_change = _ROOT_VOLUME - _ROOT_VOLUME.lag(1)
    fall = beta(BAR_RETURN, _FALL.lag(1), 168)
    leverage = correlation(_SIZE, BAR_RETURN.lag(1), 168)
    return (
        _of(
            "reversion_speed_168",
            "change a bar / distance from the mean, 168 bars",
            _DICKEY,
            -beta(change, before, 168),
            1.0,
        ),
        _of("unit_root_168", "Dickey and Fuller's t, with a constant, 168 bars", _DICKEY, unit_root, 15.0),
        _of("leverage_168", "correlation of |return| with the return before, 168 bars", _BLACK, leverage, 1.0),
        _of("fall_beta_168", "slope of the return over the fall before, 168 bars", _BAWA, fall, 5.0),
        _of(
            "size_volume_correlation_168",
            "correlation of |return| with the root of volume, 168 bars",
            _KARPOFF,
            correlation(_SIZE, _ROOT_VOLUME, 168),
            1.0,
        ),
        _of(
            "return_volume_correlation_168",
            "correlation of the return with the change of the root of volume, 168 bars",
            _KARPOFF,
            correlation(BAR_RETURN, volume_change, 168),
            1.0,
        ),
    )


FEATURES: Final = (*_scores(), *_memory(), *_form(), *_places(), *_lines(), *_pairs())
