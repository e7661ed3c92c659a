"""Law: whatever the weights and the calibration, quantiles ascend and probabilities are probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heliograph.config.learning import ModelSettings
from heliograph.model.calibrate import Calibration
from heliograph.model.har import Har
from heliograph.model.network import Network, Standards
from heliograph.model.neural import NetworkForecaster
from heliograph.model.spec import Spec

SPEC = Spec(("ewma_volatility", "b"), "ewma_volatility", (1, 4, 24), (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99), 8)


def random_forecaster(seed: int, size: float, widths: float) -> NetworkForecaster:
    rng = np.random.default_rng(seed)
    network = Network(SPEC, ModelSettings(window_bars=8, patch_bars=2, width=4, attention_heads=2))
    base = np.sort(rng.standard_t(3, size=(3, 7)), axis=1)
    har = Har(
        SPEC, ("ewma_volatility",), np.array([-9.0]), np.array([9.0]), rng.normal(size=(3, 1)), rng.normal(size=3)
    )
    network.adopt(Standards(har, np.zeros(2), np.ones(2), base, np.full((3, 3), 1 / 3)))
    for parameter in network.parameters():
        parameter.data += size * torch_normal(rng, parameter.shape)
    calibration = Calibration(
        trust_H=rng.random(3),
        width_HK=np.exp(widths * rng.normal(size=(3, 3))),
        setup_slope_H=3 * rng.random(3),
        direction_slope_H=3 * rng.random(3),
    )
    return NetworkForecaster(network, calibration)


def torch_normal(rng, shape):
    import torch

    return torch.from_numpy(rng.normal(size=tuple(shape)).astype(np.float32))


@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.0, 20.0), widths=st.floats(0.0, 2.0))
def test_quantiles_never_cross_and_probabilities_stay_probabilities(seed, size, widths):
    forecaster = random_forecaster(seed, size, widths)
    x = np.abs(np.random.default_rng(seed).normal(size=(5, 8, 2)).astype(np.float32)) * 100
    forecast = forecaster.forecast(x)
    assert np.isfinite(forecast.quantile_BHQ).all()
    assert (np.diff(forecast.quantile_BHQ, axis=-1) >= 0).all()
    np.testing.assert_allclose(forecast.setup_BHC.sum(axis=-1), 1.0, rtol=1e-12)
    for share in (forecast.setup_BHC, forecast.confidence_BH):
        assert ((share >= 0) & (share <= 1)).all()
