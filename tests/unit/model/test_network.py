"""The network starts as the pooled volatility model, never crosses, and sees its own window alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.model.makes import make_network, shake

from heliograph.core.errors import ConfigError
from heliograph.model.calibrate import Calibration
from heliograph.model.neural import NetworkForecaster
from heliograph.model.spec import Spec

KINDS = ("hybrid", "lstm", "transformer")


def said(network, windows):
    network.eval()
    with torch.inference_mode():
        return network(network.inputs(torch.from_numpy(windows)))


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_network_says_what_the_pooled_volatility_model_says(kind, spec, har, windows):
    forecaster = NetworkForecaster(make_network(spec, har, windows, kind=kind), Calibration.identity(2, 7))
    forecast, expected = forecaster.forecast(windows), har.forecast(windows)
    np.testing.assert_allclose(forecast.quantile_BHQ, expected.quantile_BHQ, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(forecast.setup_BHC, expected.setup_BHC, rtol=1e-6)
    np.testing.assert_array_equal(forecast.confidence_BH, 0.5)


@pytest.mark.parametrize(("kind", "absent"), [("lstm", "blocks.0"), ("transformer", "lstm")])
def test_one_setting_leaves_a_part_out(kind, absent, spec, har, windows):
    whole = set(make_network(spec, har, windows).state_dict())
    ablated = set(make_network(spec, har, windows, kind=kind).state_dict())
    assert ablated < whole
    assert all(absent in name for name in whole - ablated)


@pytest.mark.parametrize("kind", KINDS)
def test_forecast_depends_on_the_whole_window(kind, spec, har, windows):
    network = shake(make_network(spec, har, windows, kind=kind))
    before = said(network, windows).z_BHQ
    early = windows.copy()
    early[:, 0] += 1.0
    assert (said(network, early).z_BHQ - before).abs().max() > 1e-6


def test_rest_of_the_batch_changes_nothing(network, windows):
    shake(network)
    whole = said(network, windows).z_BHQ
    others = windows.copy()
    others[1:] = others[1:] * 3.0 + 1.0
    torch.testing.assert_close(said(network, others).z_BHQ[0], whole[0], rtol=0, atol=0)
    torch.testing.assert_close(said(network, windows[:1]).z_BHQ[0], whole[0], rtol=1e-5, atol=1e-6)


def test_network_reads_raw_windows_as_training_reads_its_columns(network, windows):
    """Training scales every row once and gathers; inference scales the rows of its windows: the same numbers."""
    rows = torch.from_numpy(windows[0])
    scaled = network.scaled(rows)
    inputs = network.inputs(rows[None])
    for layout, x_BRF in zip(network.encoder.tokens.layouts, inputs.sequences, strict=True):
        wanted = scaled[[15 + offset for offset in layout.offsets]][:, list(layout.frame.columns)]
        torch.testing.assert_close(x_BRF[0], wanted, rtol=0, atol=0)
    torch.testing.assert_close(inputs.last_BF[0], scaled[-1], rtol=0, atol=0)


def test_scaled_features_stay_within_five(network, windows):
    wild = windows.copy()
    wild[0, 0, 0], wild[0, 1, 1] = 1e9, 0.0
    scaled = network.scaled(torch.from_numpy(wild))
    assert scaled.abs().max() == 5.0
    assert torch.isfinite(scaled).all()


def test_companions_never_move_the_encoder(network, windows):
    """Setup and direction read the state behind a wall: their loss has no gradient in it."""
    shake(network).requires_grad_(True)
    output = network(network.inputs(torch.from_numpy(windows)))
    (output.setup_BHC.square().mean() + output.direction_BH.square().mean()).backward()
    assert all(p.grad is None for p in [*network.encoder.parameters(), *network.heads.parameters()])
    assert all(p.grad is not None for p in network.companions.parameters())


def test_engine_is_given_no_companion_to_train(network):
    assert not any(p.requires_grad for p in network.companions.parameters())
    assert all(p.requires_grad for p in [*network.encoder.parameters(), *network.heads.parameters()])


def test_missing_volatility_feature_is_a_config_error():
    with pytest.raises(ConfigError, match=r"features\.names"):
        Spec(("momentum",), "ewma_volatility", (1,), (0.25, 0.5, 0.75), 8)
