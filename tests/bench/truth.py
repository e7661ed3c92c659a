"""What the canary's markets follow, and the quantiles that follow from it: nobody beats them but by chance or by a leak.

The variance of the next bar follows from the candles so far. Over several bars there is no closed form: returns are drawn
once from each of a grid of variances, mirrored, because they are symmetric about their drift, and read between the grid.

Shapes: N bars, H horizons, Q quantile levels, G variances of the grid, P paths.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from heliograph.core.market import Candles

FloatArray = npt.NDArray[np.float64]
Number = TypeVar("Number", float, FloatArray)

_PATHS = 10_000
_GRID = np.geomspace(0.2, 40.0, 20)  # of variances; the mean is one, and none is below a quarter


@dataclass(frozen=True, slots=True)
class Law:
    """A random walk of log-prices with GARCH(1,1) volatility and Student-t shocks, several of them a bar.

    Attributes:
        edge: autocorrelation of the returns of bars.
        arch, memory: of the variance, whose mean is one.
        freedom: of the shocks; ``steps`` of them make a bar.
        sigma: volatility per bar, log-return.
    """

    edge: float = 0.0
    arch: float = 0.06
    memory: float = 0.92
    freedom: float = 6.0
    sigma: float = 0.006
    steps: int = 12

    def shocks(self, rng: np.random.Generator, num: int) -> FloatArray:
        """Steps of so many bars, float64[num, steps]; those of a bar add up to a variance of one."""
        unit = math.sqrt((self.freedom - 2.0) / self.freedom / self.steps)
        return rng.standard_t(self.freedom, size=(num, self.steps)) * unit

    def after(self, variance: Number, shock: Number) -> Number:
        """Variance of the bar after one whose return, less what the edge told, was ``shock`` sigmas."""
        return 1.0 - self.arch - self.memory + self.arch * shock * shock + self.memory * variance

    def state(self, candles: Candles) -> tuple[FloatArray, FloatArray]:
        """What is known at each close: variance of the next bar over the mean one, and the bar's own log-return."""
        return_N = np.log(candles.close / candles.open)
        shock_N = (return_N - self.edge * np.concatenate([[0.0], return_N[:-1]])) / self.sigma
        variance_N, variance = np.empty_like(shock_N), 1.0
        for i, shock in enumerate(shock_N):
            variance_N[i] = variance = self.after(variance, float(shock))
        return variance_N, return_N

    def quantiles(
        self, variance_N: FloatArray, return_N: FloatArray, *, horizons: tuple[int, ...], levels: tuple[float, ...]
    ) -> FloatArray:
        """Of the log-return after each state, float64[N, H, Q]."""
        place_N = np.interp(np.log(variance_N), np.log(_GRID), np.arange(_GRID.size))
        low_N = np.minimum(place_N.astype(np.int64), _GRID.size - 2)
        share_N11 = (place_N - low_N)[:, None, None]
        unit_GHQ = _drawn(self, horizons, levels)
        unit_NHQ = (1.0 - share_N11) * unit_GHQ[low_N] + share_N11 * unit_GHQ[low_N + 1]
        drift_H = np.array([sum(self.edge**k for k in range(1, bars + 1)) for bars in horizons])
        made: FloatArray = (
            self.sigma * np.sqrt(variance_N)[:, None, None] * unit_NHQ + (return_N[:, None] * drift_H)[..., None]
        )
        return made


@functools.cache
def _drawn(law: Law, horizons: tuple[int, ...], levels: tuple[float, ...]) -> FloatArray:
    """Quantiles after a bar that did not move, over σ and the root of the next bar's variance; float64[G, H, Q]."""
    rng = np.random.default_rng(0)
    variance_GP = np.repeat(_GRID[:, None], _PATHS, axis=1)
    step_GP, sum_GP = np.zeros_like(variance_GP), np.zeros_like(variance_GP)
    made_GHQ = np.empty((_GRID.size, len(horizons), len(levels)))
    for bar in range(1, max(horizons) + 1):
        shock_GP = np.sqrt(variance_GP) * law.shocks(rng, _PATHS).sum(axis=1)
        step_GP = shock_GP + law.edge * step_GP
        sum_GP += step_GP
        variance_GP = law.after(variance_GP, shock_GP)
        if bar in horizons:
            both_GP = np.concatenate([sum_GP, -sum_GP], axis=1)
            made_GHQ[:, horizons.index(bar)] = np.quantile(both_GP, levels, axis=1).T
    made: FloatArray = made_GHQ / np.sqrt(_GRID)[:, None, None]
    return made
