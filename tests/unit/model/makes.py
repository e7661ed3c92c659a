"""Small networks for the tests of the model."""

from __future__ import annotations

import numpy as np
import torch

from heliograph.config.settings import ModelSettings
from heliograph.model.baselines import PooledForecaster
from heliograph.model.network import Network, Standards
from heliograph.model.spec import SIGMA_FLOOR, Spec
from heliograph.windows.scaler import Scaler


def make_network(spec: Spec, baseline: PooledForecaster, windows: np.ndarray, **settings: object) -> Network:
    """An untrained network on the baseline; width 8."""
    torch.manual_seed(0)
    network = Network(spec, ModelSettings(window_bars=16, width=8, **settings))
    rows = windows.reshape(-1, windows.shape[-1])
    floors = {spec.sigma_name: SIGMA_FLOOR}
    scaler = Scaler.fit(rows, np.arange(len(rows)), names=spec.feature_names, log_floors=floors)
    network.adopt(Standards(scaler.centre_F, scaler.spread_F, baseline.quantile_HQ, baseline.setup_HC))
    return network


def shake(network: Network, seed: int = 0, size: float = 0.5) -> Network:
    """Random heads, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return network
