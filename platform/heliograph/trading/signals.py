"""What a forecast says about one horizon: a discrete distribution of simple returns, its mean, spread and confidence.

Between two levels the distribution is uniform, beyond the outermost ones it falls off exponentially, at the rate that the
last two levels show. Source of that rate: on hourly crypto returns it meets the standard deviation to within a
hundredth, where the levels alone miss five.
"""

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

_FAR = 0.2  # share of a tail that its outer node stands for
# Mean and variance of an exponential variable, cut into its nearest 80 % and its farthest 20 %.
_NEAR_MEAN, _FAR_MEAN = 1.0 + _FAR * math.log(_FAR) / (1.0 - _FAR), 1.0 - math.log(_FAR)
_NEAR_VARIANCE = (2.0 - _FAR * (math.log(_FAR) ** 2 - 2.0 * math.log(_FAR) + 2.0)) / (1.0 - _FAR) - _NEAR_MEAN**2

YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class Signal:
    """One horizon of a forecast.

    Attributes:
        returns: mean simple return (not logarithm) between neighbouring levels, and twice in each tail; ascending.
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
    weights, rates = masses(forecast.levels)
    nodes, variances = parts(forecast.quantile_HQ[h], rates)
    returns = tuple([math.expm1(r) for r in nodes])
    mean = math.fsum([w * r for w, r in zip(weights, returns, strict=True)])
    variance = math.fsum(
        [w * ((r - mean) ** 2 + v * (1.0 + r) ** 2) for w, r, v in zip(weights, returns, variances, strict=True)]
    )
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
def masses(levels: tuple[float, ...]) -> tuple[tuple[float, ...], float]:
    """The probability of each part of the distribution, and 1 / log of the ratio of the two outermost levels.

    The parts are the lower tail's farthest fifth, the rest of it, what lies between neighbouring levels, and the upper tail
    likewise. Levels are symmetric about one half.

    >>> weights, _ = masses((0.25, 0.5, 0.75))
    >>> [round(w, 9) for w in weights]
    [0.05, 0.2, 0.25, 0.25, 0.2, 0.05]
    """
    tail = (_FAR * levels[0], (1.0 - _FAR) * levels[0])
    inner = tuple(b - a for a, b in itertools.pairwise(levels))
    return (*tail, *inner, *reversed(tail)), 1.0 / math.log(levels[1] / levels[0]) if len(levels) > 1 else 0.0


def parts(quantile_Q: tuple[float, ...], rate: float) -> tuple[list[float], list[float]]:
    """Mean and variance of each part, log-return; ``rate`` turns the outermost gap into a tail's mean excess.

    >>> parts((-0.1, 0.0, 0.1), 1.0)[0][2:4]
    [-0.05, 0.05]
    """
    first, last = quantile_Q[0], quantile_Q[-1]
    pairs = list(itertools.pairwise(quantile_Q))
    low, high = (rate * (pairs[k][1] - pairs[k][0]) if pairs else 0.0 for k in (0, -1))
    nodes = [first - _FAR_MEAN * low, first - _NEAR_MEAN * low]
    nodes += [0.5 * (a + b) for a, b in pairs]
    nodes += [last + _NEAR_MEAN * high, last + _FAR_MEAN * high]
    variances = [low * low, _NEAR_VARIANCE * low * low]
    variances += [(b - a) * (b - a) / 12.0 for a, b in pairs]
    variances += [_NEAR_VARIANCE * high * high, high * high]
    return nodes, variances
