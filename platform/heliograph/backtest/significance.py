"""Is a Sharpe ratio more than luck: probabilistic and deflated Sharpe ratios.

Sharpe ratios here are per observation, never annualised.

Sources: Bailey & López de Prado, "The Sharpe Ratio Efficient Frontier" (2012); "The Deflated Sharpe Ratio" (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from heliograph.core.errors import ConfigError
from heliograph.core.market import FloatArray

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Moments:
    """What the tests need to know of a return series.

    Attributes:
        n: observations.
        sharpe: mean over standard deviation (ddof 1), per observation; NaN where the returns do not vary.
        skew, kurtosis: of the observations; the normal distribution has 0 and 3.
    """

    n: int
    sharpe: float
    skew: float
    kurtosis: float


def moments(returns: FloatArray) -> Moments:
    """Moments of float64[n] returns; NaN ones where fewer than three observations or no variation."""
    spread = float(returns.std()) if returns.size > 2 else 0.0
    if spread == 0.0:
        return Moments(int(returns.size), math.nan, math.nan, math.nan)
    z = (returns - returns.mean()) / spread
    sharpe = float(returns.mean() / returns.std(ddof=1))
    return Moments(int(returns.size), sharpe, float((z**3).mean()), float((z**4).mean()))


def probabilistic_sharpe(m: Moments, *, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above ``benchmark`` (per observation); NaN for NaN moments.

    >>> round(probabilistic_sharpe(Moments(n=24, sharpe=0.458, skew=-2.448, kurtosis=10.164)), 5)
    0.91336
    """
    if math.isnan(m.sharpe):
        return math.nan
    variance = 1.0 - m.skew * m.sharpe + (m.kurtosis - 1.0) / 4.0 * m.sharpe**2
    return _NORMAL.cdf((m.sharpe - benchmark) * math.sqrt(m.n - 1) / math.sqrt(variance))


def expected_maximum(trials: int) -> float:
    """Expected largest of ``trials`` independent standard normal draws.

    Raises:
        ConfigError: fewer than one trial.

    >>> round(expected_maximum(10), 4)
    1.5746
    """
    if trials < 1:
        raise ConfigError(f"the number of trials must be at least 1, not {trials}")
    if trials == 1:
        return 0.0
    return (1.0 - _EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / trials) + _EULER * _NORMAL.inv_cdf(
        1.0 - 1.0 / (trials * math.e)
    )


def deflated_sharpe(m: Moments, *, trials: int, trials_variance: float | None = None) -> float:
    """Probability that the true Sharpe ratio is above what the best of ``trials`` worthless trials would show.

    Args:
        trials: every trial ever run, not only the kept ones.
        trials_variance: variance of the trials' Sharpe ratios, per observation; None takes that of the estimate of a
            Sharpe ratio of zero, ``1 / (n - 1)``, the least that trials of this length can vary when they are independent.

    >>> daily = Moments(n=1250, sharpe=2.5 / 250**0.5, skew=-3.0, kurtosis=10.0)
    >>> round(deflated_sharpe(daily, trials=100, trials_variance=0.5 / 250), 6)
    0.900397
    """
    if math.isnan(m.sharpe):
        return math.nan
    variance = 1.0 / (m.n - 1) if trials_variance is None else trials_variance
    return probabilistic_sharpe(m, benchmark=math.sqrt(variance) * expected_maximum(trials))
