"""What a forecast says about one horizon: a discrete distribution of simple returns, its mean, spread and confidence."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from heliograph.config.settings import RiskSettings
from heliograph.core.errors import ConfigError
from heliograph.core.events import ForecastMade
from heliograph.core.timeframe import parse

Abstention = Literal["", "low_confidence", "edge_below_cost"]

YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class Signal:
    """One horizon of a forecast.

    Attributes:
        returns: simple returns (not logarithms) at the forecast's levels, ascending.
        weights: probability of each; they sum to one.
        expected_return, spread: mean and standard deviation of that distribution, over the horizon.
        confidence: calibrated probability, in [0, 1], that the sign of the median is right.
        round_trip_cost: what opening and closing costs, a share of the traded value.
        horizons_per_year: how many horizons fit into 365 days.
        abstains: why no position may be opened or grown on it; empty when one may.
    """

    returns: tuple[float, ...]
    weights: tuple[float, ...]
    expected_return: float
    spread: float
    confidence: float
    round_trip_cost: float
    horizons_per_year: float
    abstains: Abstention


def read(forecast: ForecastMade, limits: RiskSettings, cost_bps: float) -> Signal:
    """The forecast at ``limits.horizon_bars``.

    Args:
        forecast: finite numbers only (see `risk.refuse_forecast`).
        cost_bps: fee and slippage of one side.

    Raises:
        ConfigError: the forecast lacks that horizon.
    """
    if limits.horizon_bars not in forecast.horizons_bars:
        raise ConfigError(
            f"risk.horizon_bars {limits.horizon_bars} is not forecast; use one of {forecast.horizons_bars}"
        )
    h = forecast.horizons_bars.index(limits.horizon_bars)
    weights = masses(forecast.levels)
    returns = tuple([math.expm1(r) for r in forecast.quantile_HQ[h]])
    mean = math.fsum([w * r for w, r in zip(weights, returns, strict=True)])
    variance = math.fsum([w * (r - mean) ** 2 for w, r in zip(weights, returns, strict=True)])
    confidence, cost = forecast.confidence_H[h], 2.0 * cost_bps * 1e-4
    abstains: Abstention = ""
    if confidence < limits.min_confidence:
        abstains = "low_confidence"
    elif abs(mean) <= cost:
        abstains = "edge_below_cost"
    return Signal(
        returns=returns,
        weights=weights,
        expected_return=mean,
        spread=math.sqrt(variance),
        confidence=confidence,
        round_trip_cost=cost,
        horizons_per_year=YEAR_MS / (limits.horizon_bars * parse(forecast.timeframe).ms),
        abstains=abstains,
    )


@lru_cache(maxsize=64)
def masses(levels: tuple[float, ...]) -> tuple[float, ...]:
    """The probability that each quantile stands for: half-way to its neighbours, the ends taking the tails.

    >>> masses((0.25, 0.5, 0.75))
    (0.375, 0.25, 0.375)
    """
    cuts = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(levels)), 1.0]
    return tuple(b - a for a, b in itertools.pairwise(cuts))
