"""A market beside the others of its venue: `heliograph.features.panel` fills the inputs."""

from __future__ import annotations

from typing import Final

from heliograph.features.declare import Feature
from heliograph.features.graph import Series, source
from heliograph.features.market import BAR_RETURN, LOG_CLOSE, SIGMA
from heliograph.features.ops.pair import beta, correlation
from heliograph.features.ops.pointwise import at_least, log, magnitude, ratio, sign
from heliograph.features.ops.window import deviation, mean, total

MARKET_RETURN = source("market_return")
MARKET_RETURN_WEIGHTED = source("market_return_weighted")
MARKET_MOMENTUM_24 = source("market_momentum_24")
DISPERSION = source("dispersion")
BREADTH_RISING = source("breadth_rising")
BREADTH_ABOVE_MEAN = source("breadth_above_mean")
LEADER_RETURN = source("leader_return")
TURNOVER_SHARE = source("turnover_share")

_ROOT_24 = 24**0.5
_FLAT = 1e-9
"""Of a standard deviation of returns: below it nothing moves."""

_LEAST_SHARE = 1e-9

_BETA_72 = beta(BAR_RETURN, MARKET_RETURN, 72)
_BETA_336 = beta(BAR_RETURN, MARKET_RETURN, 336)
_CORRELATION_72 = correlation(BAR_RETURN, MARKET_RETURN, 72)
_RESIDUAL = BAR_RETURN - _BETA_72.lag(1) * MARKET_RETURN
"""What the market does not explain, by the beta of the bar before."""


def _one_sided_beta(side: float, bars: int) -> Series:
    """Beta over the bars whose market return has one sign; 1 where there are none that differ.

    Source: A. Ang, J. Chen, Y. Xing, Downside Risk, Review of Financial Studies 19, 2006; cut at 0.
    """
    is_in = at_least(sign(MARKET_RETURN) * side, 0.0)
    market = MARKET_RETURN * is_in
    num = at_least(total(is_in, bars), 1.0)
    sum_m, sum_r = total(market, bars), total(BAR_RETURN * is_in, bars)
    sum_mm = total(market * MARKET_RETURN, bars)
    together = total(market * BAR_RETURN, bars) - sum_m * sum_r / num
    return ratio(together, sum_mm - sum_m * sum_m / num, least=1e-9, measure=sum_mm + _FLAT**2, otherwise=1.0)


def _rank(name: str, what: str) -> Feature:
    return Feature(
        name=f"cross_rank_{name}",
        family="cross",
        unit=f"rank by {what} among the venue's symbols, −1 lowest … 1 highest",
        source="N. Jegadeesh, S. Titman, Returns to Buying Winners and Selling Losers, Journal of Finance 48, 1993",
        of=source(f"rank_{name}") * 2.0 - 1.0,
        low=-1.0,
        high=1.0,
    )


def _own(name: str, unit: str, of: Series, low: float, high: float, published: str = "own definition") -> Feature:
    return Feature(name=f"cross_{name}", family="cross", unit=unit, source=published, of=of, low=low, high=high)


_SHARPE = "W. F. Sharpe, Capital Asset Prices, Journal of Finance 19, 1964"
_ANG = "A. Ang, J. Chen, Y. Xing, Downside Risk, Review of Financial Studies 19, 2006"
_LO = "A. W. Lo, A. C. MacKinlay, When Are Contrarian Profits Due to Stock Market Overreaction?, RFS 3, 1990"
_BLITZ = "D. Blitz, J. Huij, M. Martens, Residual Momentum, Journal of Empirical Finance 18, 2011"

FEATURES: Final = (
    _own("beta_72", "return per return of the equally weighted market, 72 bars", _BETA_72, -5.0, 5.0, _SHARPE),
    _own("beta_336", "return per return of the equally weighted market, 336 bars", _BETA_336, -5.0, 5.0, _SHARPE),
    _own("beta_change", "beta of 72 bars − beta of 336", _BETA_72 - _BETA_336, -5.0, 5.0),
    _own("beta_down_168", "beta over falling bars of the market", _one_sided_beta(-1.0, 168), -5.0, 5.0, _ANG),
    _own(
        "beta_asymmetry_168",
        "beta over falling − over rising bars of the market",
        _one_sided_beta(-1.0, 168) - _one_sided_beta(1.0, 168),
        -5.0,
        5.0,
        _ANG,
    ),
    _own("correlation_72", "correlation with the market's returns", _CORRELATION_72, -1.0, 1.0),
    _own(
        "correlation_336",
        "correlation with the market's returns",
        correlation(BAR_RETURN, MARKET_RETURN, 336),
        -1.0,
        1.0,
    ),
    _own(
        "idiosyncratic_share_72",
        "share of the variance that the market does not explain",
        1.0 - _CORRELATION_72 * _CORRELATION_72,
        0.0,
        1.0,
        _SHARPE,
    ),
    _own(
        "idiosyncratic_return",
        "(return − beta of the bar before · market return) / standard deviation",
        _RESIDUAL / SIGMA,
        -8.0,
        8.0,
        _SHARPE,
    ),
    _own(
        "residual_momentum_24",
        "sum of 24 idiosyncratic returns / (their standard deviation · √24)",
        ratio(total(_RESIDUAL, 24), deviation(_RESIDUAL, 72) * _ROOT_24, least=_FLAT),
        -8.0,
        8.0,
        _BLITZ,
    ),
    _own(
        "lagged_market_72",
        "correlation with the market's return one bar before",
        correlation(BAR_RETURN, MARKET_RETURN.lag(1), 72),
        -1.0,
        1.0,
        _LO,
    ),
    _own(
        "lagged_leader_72",
        "correlation with the return of the symbol of most turnover one bar before",
        correlation(BAR_RETURN, LEADER_RETURN.lag(1), 72),
        -1.0,
        1.0,
        _LO,
    ),
    _own(
        "leads_market_72",
        "correlation of the market's return with the own one bar before",
        correlation(MARKET_RETURN, BAR_RETURN.lag(1), 72),
        -1.0,
        1.0,
        _LO,
    ),
    _own("leader_return", "return of the symbol of most turnover / own deviation", LEADER_RETURN / SIGMA, -8.0, 8.0),
    _own("market_return", "market return / own standard deviation", MARKET_RETURN / SIGMA, -8.0, 8.0),
    _own(
        "market_momentum_24",
        "sum of 24 market returns / (their standard deviation · √24)",
        ratio(total(MARKET_RETURN, 24), deviation(MARKET_RETURN, 72) * _ROOT_24, least=_FLAT),
        -8.0,
        8.0,
    ),
    _own(
        "market_volatility_24_168",
        "log of the market's standard deviation of 24 / of 168 bars",
        log(at_least(ratio(deviation(MARKET_RETURN, 24), deviation(MARKET_RETURN, 168), otherwise=1.0), 1e-2)),
        -4.0,
        4.0,
    ),
    _own(
        "relative_strength_24",
        "(log-return of 24 bars − the symbols' mean) / (standard deviation · √24)",
        (LOG_CLOSE - LOG_CLOSE.lag(24) - MARKET_MOMENTUM_24) / (SIGMA * _ROOT_24),
        -8.0,
        8.0,
    ),
    _own(
        "large_minus_small_24",
        "sum of 24 returns weighted by turnover − equally weighted / (market's standard deviation · √24)",
        ratio(total(MARKET_RETURN_WEIGHTED - MARKET_RETURN, 24), deviation(MARKET_RETURN, 72) * _ROOT_24, least=_FLAT),
        -8.0,
        8.0,
        "E. F. Fama, K. R. French, Common Risk Factors, Journal of Financial Economics 33, 1993 (size, by turnover)",
    ),
    _own(
        "dispersion",
        "standard deviation of the symbols' returns / own standard deviation",
        DISPERSION / SIGMA,
        0.0,
        8.0,
        "W. G. Christie, R. D. Huang, Following the Pied Piper, Financial Analysts Journal 51, 1995",
    ),
    _own(
        "dispersion_168",
        "log of the dispersion / its mean of 168 bars",
        log(at_least(ratio(DISPERSION, mean(DISPERSION, 168), otherwise=1.0), 1e-2)),
        -5.0,
        5.0,
    ),
    _own(
        "herding",
        "|market return| / dispersion",
        ratio(magnitude(MARKET_RETURN), DISPERSION, least=_FLAT),
        0.0,
        8.0,
        "E. C. Chang, J. W. Cheng, A. Khorana, Journal of Banking & Finance 24, 2000",
    ),
    _own("breadth_rising", "share of symbols that rose, −1 none … 1 all", BREADTH_RISING * 2.0 - 1.0, -1.0, 1.0),
    _own("breadth_rising_24", "mean of 24 bars, −1…1", mean(BREADTH_RISING, 24) * 2.0 - 1.0, -1.0, 1.0),
    _own(
        "breadth_above_mean",
        "share of symbols above their own mean of 50 bars, −1 none … 1 all",
        BREADTH_ABOVE_MEAN * 2.0 - 1.0,
        -1.0,
        1.0,
    ),
    _rank("momentum_24", "log-return of 24 bars"),
    _rank("momentum_168", "log-return of 168 bars"),
    _rank("volatility", "standard deviation of returns"),
    _rank("volume", "mean volume of 24 / of 168 bars"),
    _rank("turnover", "mean turnover of the 24 bars before"),
    _own("turnover_share", "of the symbols' turnover of the 24 bars before", TURNOVER_SHARE, 0.0, 1.0),
    _own(
        "turnover_share_change_168",
        "log of the share of turnover / its mean of 168 bars",
        log(at_least(TURNOVER_SHARE, _LEAST_SHARE) / at_least(mean(TURNOVER_SHARE, 168), _LEAST_SHARE)),
        -8.0,
        8.0,
    ),
)
