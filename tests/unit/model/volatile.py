"""Markets with a volatility that is known, for the tests of the volatility models."""

from __future__ import annotations

import numpy as np

from heliograph.model.har import HAR_FEATURES
from heliograph.model.spec import Spec

LEVELS = (0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99)
NAMES = ("ewma_volatility", "log_return_1", *HAR_FEATURES)
HORIZONS = (1, 4, 12)
SIGMA = NAMES.index("ewma_volatility")


def make_spec(names: tuple[str, ...] = NAMES, window_bars: int = 32) -> Spec:
    """Three horizons, nine levels."""
    return Spec(names, "ewma_volatility", HORIZONS, LEVELS, window_bars)


def rows(num: int, seed: int = 0) -> np.ndarray:
    """Rows of independent features, float32[num, F], hour after hour."""
    rng = np.random.default_rng(seed)
    x = 0.5 * rng.normal(size=(num, len(NAMES)))
    x[:, SIGMA] = 0.01 * np.exp(0.4 * rng.normal(size=num))
    x[:, NAMES.index("bar_range")] = np.exp(0.5 * rng.normal(size=num))
    hour = np.arange(num)
    for cycle, bars in (("hour", 24), ("weekday", 168)):
        x[:, NAMES.index(f"{cycle}_sin")] = np.sin(2 * np.pi * hour / bars)
        x[:, NAMES.index(f"{cycle}_cos")] = np.cos(2 * np.pi * hour / bars)
    return x.astype(np.float32)


def planted(x_NF: np.ndarray, spec: Spec) -> np.ndarray:
    """A scale whose log is linear in rows of `rows`, float64[N, H]: each horizon reverts more, and has its hours."""
    names = list(spec.feature_names)
    x = {name: x_NF[:, names.index(name)].astype(float) for name in names}
    shift = [
        0.1 * h + 0.3 * x["har_week_168"] - 0.2 * x["ewma_ratio_94"] + 0.1 * x["hour_sin"] - 0.05 * x["weekday_cos"]
        for h in range(len(spec.horizons_bars))
    ]
    sigma = x["ewma_volatility"][:, None] * spec.root_horizons
    return sigma * np.exp(np.stack(shift, axis=1) - 0.15 * np.log(x["ewma_volatility"] / 0.01)[:, None])


def garch(
    num: int, *, omega: float, alpha: float, beta: float, degrees: float, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Returns of a GARCH(1,1) with Student-t shocks of variance one, and the variance of each; float64[num]."""
    rng = np.random.default_rng(seed)
    shock = rng.standard_t(degrees, size=num) / np.sqrt(degrees / (degrees - 2))
    variance = np.empty(num)
    variance[0] = omega / (1 - alpha - beta) if alpha + beta < 1 else 1e-4
    returns = np.empty(num)
    for i in range(num):
        returns[i] = np.sqrt(variance[i]) * shock[i]
        if i + 1 < num:
            variance[i + 1] = omega + alpha * returns[i] ** 2 + beta * variance[i]
    return returns, variance


def labels(returns: np.ndarray, horizons: tuple[int, ...] = HORIZONS) -> np.ndarray:
    """Log-returns from each bar on, float64[num, H]; NaN where the horizon is not there."""
    path = np.concatenate([[0.0], np.cumsum(returns)])
    made = np.full((returns.size, len(horizons)), np.nan)
    for k, h in enumerate(horizons):
        made[: returns.size - h, k] = path[h + 1 :] - path[1:-h]
    return made


def windows_of(x_NF: np.ndarray, ends: np.ndarray, window_bars: int) -> np.ndarray:
    """The windows that end at these rows, float32[B, T, F]."""
    return np.stack([x_NF[end + 1 - window_bars : end + 1] for end in ends])
