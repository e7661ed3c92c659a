"""What comes from outside the candles: the order book, the chain, sentiment, dated events.

`heliograph.features.known` fills the inputs, each value from its publication on; an input that has gone stale is NaN, and
its age tells for how long.
"""

from __future__ import annotations

from typing import Final

from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.features.declare import Feature
from heliograph.features.graph import Series, source
from heliograph.features.market import SIGMA
from heliograph.features.ops.pointwise import at_least, log, ratio
from heliograph.features.ops.window import deviation, mean

IMBALANCE = source("book_imbalance")
SPREAD = source("book_spread")
DEPTH = source("book_depth")
BOOK_AGE_MS = source("book_imbalance_age_ms")
INFLOW = source("exchange_inflow")
OUTFLOW = source("exchange_outflow")
CHAIN_AGE_MS = source("active_addresses_age_ms")
FEAR_GREED = source("fear_greed")
FEAR_GREED_AGE_MS = source("fear_greed_age_ms")
NEWS_SCORE = source("news_score")
NEWS_AGE_MS = source("news_score_age_ms")
EVENT = source("event")
EVENT_AGE_MS = source("event_age_ms")
EVENT_UNTIL_MS = source("event_until_ms")
"""Filled by `heliograph.features.known.until_next_ms`; NaN where nothing is announced."""

_STILL = 1e-9
_MONTH = 720


def _score(series: Series, bars: int) -> Series:
    """Standard deviations above the window's mean; 0 where nothing has moved."""
    return ratio(series - mean(series, bars), deviation(series, bars), least=_STILL)


def _size(name: str) -> Series:
    """Logarithm of an amount that is never below 0."""
    return log(at_least(source(name), 1e-12))


def _hours(age_ms: Series) -> Series:
    """log(1 + hours)."""
    return log(at_least(age_ms, 0.0) / HOUR_MS + 1.0)


_NET_FLOW = ratio(INFLOW - OUTFLOW, INFLOW + OUTFLOW)
_DEPTH, _ADDRESSES = _size("book_depth"), _size("active_addresses")
_TRANSACTIONS, _FEES = _size("chain_transactions"), _size("chain_fees")

_CONT = (
    "R. Cont, A. Kukanov, S. Stoikov, The Price Impact of Order Book Events, Journal of Financial Econometrics 12, 2014"
)
_LIU = "Y. Liu, A. Tsyvinski, Risks and Returns of Cryptocurrency, Review of Financial Studies 34, 2021"
_INDEX = "alternative.me, Crypto Fear & Greed Index"
_TETLOCK = "P. C. Tetlock, Giving Content to Investor Sentiment, Journal of Finance 62, 2007"


def _of(name: str, unit: str, of: Series, bound: float, published: str, low: float | None = None) -> Feature:
    least = -bound if low is None else low
    return Feature(name=name, family="outside", unit=unit, source=published, of=of, low=least, high=bound)


def _age(name: str, age_ms: Series) -> Feature:
    unit = "log(1 + hours since the moment that the newest value is about)"
    return _of(name, unit, _hours(age_ms), 10.0, "own definition", low=0.0)


FEATURES: Final = (
    _of("book_imbalance", "−1 only asks … 1 only bids", IMBALANCE, 1.0, _CONT),
    _of("book_imbalance_mean_24", "mean of 24 bars, −1…1", mean(IMBALANCE, 24), 1.0, _CONT),
    _of("book_imbalance_change", "against the bar before", IMBALANCE - IMBALANCE.lag(1), 2.0, _CONT),
    _of("book_spread_to_risk", "spread / standard deviation of a bar", SPREAD / SIGMA, 20.0, _CONT, low=0.0),
    _of("book_spread_z_168", "standard deviations of 168 bars", _score(SPREAD, 168), 12.0, _CONT),
    _of("book_depth_z_168", "standard deviations of 168 bars, of the log", _score(_DEPTH, 168), 12.0, _CONT),
    _of("book_depth_change_24", "log of now / mean of 24 bars", _DEPTH - mean(_DEPTH, 24), 8.0, _CONT),
    _age("book_age", BOOK_AGE_MS),
    _of("chain_net_inflow", "(in − out) / (in + out) of exchange wallets", _NET_FLOW, 1.0, _LIU),
    _of("chain_net_inflow_z_720", "standard deviations of 720 bars", _score(_NET_FLOW, _MONTH), 28.0, _LIU),
    _of(
        "active_addresses_z_720", "standard deviations of 720 bars, of the log", _score(_ADDRESSES, _MONTH), 28.0, _LIU
    ),
    _of("active_addresses_change_168", "log of now / 168 bars before", _ADDRESSES - _ADDRESSES.lag(168), 4.0, _LIU),
    _of(
        "chain_transactions_change_168",
        "log of now / 168 bars before",
        _TRANSACTIONS - _TRANSACTIONS.lag(168),
        4.0,
        _LIU,
    ),
    _of("chain_fees_z_720", "standard deviations of 720 bars, of the log", _score(_FEES, _MONTH), 28.0, _LIU),
    _age("chain_age", CHAIN_AGE_MS),
    _of("fear_greed", "−1 extreme fear … 1 extreme greed", FEAR_GREED / 50.0 - 1.0, 1.0, _INDEX),
    _of(
        "fear_greed_change_24", "of −1…1, against 24 bars before", (FEAR_GREED - FEAR_GREED.lag(24)) / 50.0, 2.0, _INDEX
    ),
    _of(
        "fear_greed_change_168",
        "of −1…1, against 168 bars before",
        (FEAR_GREED - FEAR_GREED.lag(168)) / 50.0,
        2.0,
        _INDEX,
    ),
    _of("fear_greed_z_720", "standard deviations of 720 bars", _score(FEAR_GREED, _MONTH), 28.0, _INDEX),
    _age("fear_greed_age", FEAR_GREED_AGE_MS),
    _of("news_score", "−1 bad … 1 good", NEWS_SCORE, 1.0, _TETLOCK),
    _of("news_score_mean_24", "mean of 24 bars, −1…1", mean(NEWS_SCORE, 24), 1.0, _TETLOCK),
    _age("news_age", NEWS_AGE_MS),
    _of(
        "event_recent",
        "weight of the last event / (1 + days since)",
        EVENT / (EVENT_AGE_MS / DAY_MS + 1.0),
        10.0,
        "own definition",
        low=0.0,
    ),
    _age("event_since", EVENT_AGE_MS),
    _of(
        "event_until",
        "log(1 + hours to the next announced event)",
        _hours(EVENT_UNTIL_MS),
        10.0,
        "own definition",
        low=0.0,
    ),
)
