"""What holding a perpetual swap costs and pays: funding, basis, open interest.

`heliograph.features.known` fills the inputs, each value from its publication on.
"""

from __future__ import annotations

from typing import Final

from heliograph.core.timeframe import HOUR_MS
from heliograph.features.declare import Feature
from heliograph.features.graph import Series, source
from heliograph.features.market import BAR_RETURN, LOG_CLOSE, SIGMA
from heliograph.features.ops.pair import correlation
from heliograph.features.ops.pointwise import at_least, log, ratio, sign
from heliograph.features.ops.window import deviation, mean, total

FUNDING_RATE = source("funding_rate")
FUNDING_AGE_MS = source("funding_rate_age_ms")
FUNDING_PERIOD_MS = source("funding_rate_period_ms")
FUNDING_PAID = source("funding_rate_told")
BASIS = source("basis")
OPEN_INTEREST = source("open_interest")
OPEN_INTEREST_AGE_MS = source("open_interest_age_ms")

_BPS = 1e4
_STILL = 1e-8
"""A standard deviation of rates or logs below it is rounding."""

_ROOT_24 = 24**0.5
_LOG_INTEREST = log(at_least(OPEN_INTEREST, 1e-12))
_INTEREST_CHANGE = _LOG_INTEREST - _LOG_INTEREST.lag(1)
_INTEREST_CHANGE_24 = _LOG_INTEREST - _LOG_INTEREST.lag(24)
_PRICE_CHANGE_24 = (LOG_CLOSE - LOG_CLOSE.lag(24)) / (SIGMA * _ROOT_24)


def _score(series: Series, bars: int) -> Series:
    """Standard deviations above the window's mean; 0 where nothing has moved."""
    return ratio(series - mean(series, bars), deviation(series, bars), least=_STILL)


def _to_next(period_ms: Series, age_ms: Series) -> Series:
    """Share of the period that is left, 0 once it is overdue."""
    return at_least(1.0 - ratio(age_ms, period_ms, otherwise=1.0), 0.0)


_INTEREST_SCORE = _score(_LOG_INTEREST, 168)
_INTEREST_MOVE = ratio(_INTEREST_CHANGE_24, deviation(_INTEREST_CHANGE, 168) * _ROOT_24, least=_STILL)

_HE = "S. He, A. Manela, O. Ross, V. von Wachter, Fundamentals of Perpetual Futures, arXiv 2212.06888"
_SCHMELING = "M. Schmeling, A. Schrimpf, K. Todorov, Crypto Carry, BIS Working Paper 1087, 2023"
_HONG = "H. Hong, M. Yogo, What Does Futures Market Interest Tell Us, Journal of Financial Economics 105, 2012"


def _of(name: str, unit: str, of: Series, bound: float, published: str, low: float | None = None) -> Feature:
    least = -bound if low is None else low
    return Feature(name=name, family="carry", unit=unit, source=published, of=of, low=least, high=bound)


FEATURES: Final = (
    _of("funding_rate", "basis points a settlement", FUNDING_RATE * _BPS, 100.0, _HE),
    *(
        _of(
            f"funding_mean_{n}",
            f"basis points a settlement, mean of {n} bars",
            mean(FUNDING_RATE, n) * _BPS,
            100.0,
            _HE,
        )
        for n in (24, 72, 168)
    ),
    _of("funding_z_168", "standard deviations of 168 bars", _score(FUNDING_RATE, 168), 12.0, _HE),
    _of(
        "funding_change_24",
        "basis points a settlement, against 24 bars before",
        (FUNDING_RATE - FUNDING_RATE.lag(24)) * _BPS,
        100.0,
        _HE,
    ),
    *(
        _of(f"funding_paid_{n}", f"basis points, charged in {n} bars", total(FUNDING_PAID, n) * _BPS, bound, _SCHMELING)
        for n, bound in ((24, 300.0), (168, 1000.0))
    ),
    _of(
        "funding_to_risk_168",
        "charged in 168 bars / (standard deviation · √168)",
        total(FUNDING_PAID, 168) / (SIGMA * 168**0.5),
        4.0,
        _SCHMELING,
    ),
    _of(
        "funding_positive_168",
        "share of 168 bars with longs paying, −1 none … 1 all",
        mean(sign(FUNDING_RATE), 168),
        1.0,
        _SCHMELING,
    ),
    _of(
        "funding_to_next",
        "share of the settlement period that is left",
        _to_next(FUNDING_PERIOD_MS, FUNDING_AGE_MS),
        1.0,
        "own definition; the period is the one between the last two settlements",
        low=0.0,
    ),
    _of("funding_age", "hours since the last settlement", FUNDING_AGE_MS / HOUR_MS, 72.0, "own definition", low=0.0),
    _of("basis", "basis points of the spot price", BASIS * _BPS, 500.0, _SCHMELING),
    _of("basis_mean_24", "basis points, mean of 24 bars", mean(BASIS, 24) * _BPS, 500.0, _SCHMELING),
    _of("basis_z_168", "standard deviations of 168 bars", _score(BASIS, 168), 12.0, _SCHMELING),
    _of("basis_change_24", "basis points, against 24 bars before", (BASIS - BASIS.lag(24)) * _BPS, 500.0, _SCHMELING),
    _of("basis_to_risk", "basis / standard deviation of a bar", BASIS / SIGMA, 10.0, _SCHMELING),
    _of("open_interest_change_24", "log of now / 24 bars before", _INTEREST_CHANGE_24, 2.0, _HONG),
    _of("open_interest_z_168", "standard deviations of 168 bars, of the log", _INTEREST_SCORE, 12.0, _HONG),
    _of(
        "open_interest_move_24",
        "change of 24 bars / (standard deviation of one bar's · √24)",
        _INTEREST_MOVE,
        12.0,
        _HONG,
    ),
    _of(
        "open_interest_against_price_24",
        "change of open interest · change of price, both in standard deviations of 24 bars",
        _INTEREST_MOVE * _PRICE_CHANGE_24,
        24.0,
        "J. J. Murphy, Technical Analysis of the Financial Markets, 1999, ch. 7",
    ),
    _of(
        "open_interest_correlation_72",
        "correlation of the changes with the returns",
        correlation(_INTEREST_CHANGE, BAR_RETURN, 72),
        1.0,
        _HONG,
    ),
    _of(
        "open_interest_age",
        "hours since the moment it tells of",
        OPEN_INTEREST_AGE_MS / HOUR_MS,
        72.0,
        "own definition",
        low=0.0,
    ),
)
