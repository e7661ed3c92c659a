"""Small networks for the tests of the model."""

from __future__ import annotations

import numpy as np
import torch

from heliograph.config.learning import ModelSettings
from heliograph.model.har import HarForecaster
from heliograph.model.network import Network, Standards
from heliograph.model.spec import SIGMA_FLOOR, Spec
from heliograph.windows.scaler import Scaler


def make_har(spec: Spec, windows: np.ndarray) -> HarForecaster:
    """A volatility model measured on skewed Student-t returns after every bar of the windows."""
    rng = np.random.default_rng(3)
    rows = windows.reshape(-1, windows.shape[-1])
    assumed = rows[:, [spec.sigma_index]].astype(np.float64) * spec.root_horizons
    returns = (rng.standard_t(4, size=assumed.shape) - 0.1) * assumed**0.9
    setups = rng.integers(0, 3, size=assumed.shape)
    return HarForecaster.fit(spec, last_NF=rows, log_return_NH=returns, setup_NH=setups)


def make_network(spec: Spec, har: HarForecaster, windows: np.ndarray, **settings: object) -> Network:
    """An untrained network on the volatility model; width 8."""
    torch.manual_seed(0)
    network = Network(spec, ModelSettings(**{"window_bars": 16, "patch_bars": 4, "width": 8, **settings}))
    rows = windows.reshape(-1, windows.shape[-1])
    floors = {spec.sigma_name: SIGMA_FLOOR}
    scaler = Scaler.fit(rows, np.arange(len(rows)), names=spec.feature_names, log_floors=floors)
    network.adopt(Standards(har.har, scaler.centre_F, scaler.spread_F, har.cone.quantile_HQ, har.cone.setup_HC))
    return network


def shake(network: Network, seed: int = 0, size: float = 0.5) -> Network:
    """Random weights, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return network
