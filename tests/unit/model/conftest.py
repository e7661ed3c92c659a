"""Small forecasters for the tests of the model."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.model.makes import make_har, make_network

from heliograph.model.baselines import PooledForecaster
from heliograph.model.har import HarForecaster
from heliograph.model.network import Network
from heliograph.model.spec import Spec

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
NAMES = ("momentum", "ewma_volatility", "momentum_4h", "range_4h", "range", "hour")


@pytest.fixture
def spec() -> Spec:
    """Two horizons, seven levels, sixteen hours of four features, two of them on four-hour bars too."""
    return Spec(NAMES, "ewma_volatility", (1, 4), LEVELS, 16)


@pytest.fixture
def windows(spec: Spec) -> np.ndarray:
    """Raw windows float32[64, 16, 6] with a positive volatility column."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(64, spec.window_bars, len(NAMES))).astype(np.float32)
    x[..., spec.sigma_index] = 0.01 * np.exp(0.3 * x[..., spec.sigma_index])
    return x


@pytest.fixture
def baseline(spec: Spec) -> PooledForecaster:
    """A volatility-scaled baseline measured on skewed Student-t returns."""
    rng = np.random.default_rng(3)
    sigma = 0.01 * np.exp(0.3 * rng.normal(size=4_000))
    returns = (rng.standard_t(4, size=(4_000, 2)) - 0.1) * sigma[:, None] * spec.root_horizons
    setups = rng.integers(0, 3, size=(4_000, 2))
    return PooledForecaster.fit(spec, "volatility_scaled", sigma_N=sigma, log_return_NH=returns, setup_NH=setups)


@pytest.fixture
def har(spec: Spec, windows: np.ndarray) -> HarForecaster:
    """The volatility model that the network corrects, measured on skewed Student-t returns."""
    return make_har(spec, windows)


@pytest.fixture
def network(spec: Spec, har: HarForecaster, windows: np.ndarray) -> Network:
    """An untrained hybrid."""
    return make_network(spec, har, windows)
