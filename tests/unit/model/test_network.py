"""The network starts as its baseline, never crosses, and sees its own window alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.model.makes import make_network, shake

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.model.calibrate import Calibration
from heliograph.model.forecaster import NetworkForecaster
from heliograph.model.heads import corrected
from heliograph.model.spec import Spec


def plain(network):
    return NetworkForecaster(network, Calibration.identity(2, 7))


@pytest.mark.parametrize("kind", ["hybrid", "lstm", "transformer"])
def test_untrained_network_says_what_its_baseline_says(kind, spec, baseline, windows):
    forecast = plain(make_network(spec, baseline, windows, kind=kind)).forecast(windows)
    expected = baseline.forecast(windows)
    np.testing.assert_allclose(forecast.quantile_BHQ, expected.quantile_BHQ, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(forecast.setup_BHC, expected.setup_BHC, rtol=1e-6)
    np.testing.assert_array_equal(forecast.confidence_BH, 0.5)


@pytest.mark.parametrize(("kind", "absent"), [("lstm", "blocks.0"), ("transformer", "lstm")])
def test_one_setting_leaves_a_part_out(kind, absent, spec, baseline, windows):
    whole = set(make_network(spec, baseline, windows).state_dict())
    ablated = set(make_network(spec, baseline, windows, kind=kind).state_dict())
    assert ablated < whole
    assert all(absent in name for name in whole - ablated)


def test_forecast_depends_on_the_whole_window(network, windows):
    forecaster = plain(shake(network))
    before = forecaster.forecast(windows).quantile_BHQ
    early = windows.copy()
    early[:, 0] += 1.0
    assert np.abs(forecaster.forecast(early).quantile_BHQ - before).max() > 1e-6


def test_rest_of_the_batch_changes_nothing(network, windows):
    forecaster = plain(shake(network))
    whole = forecaster.forecast(windows)
    others = windows.copy()
    others[1:] = others[1:] * 3.0 + 1.0
    np.testing.assert_array_equal(forecaster.forecast(others).quantile_BHQ[0], whole.quantile_BHQ[0])
    alone = forecaster.forecast(windows[:1])
    np.testing.assert_allclose(alone.quantile_BHQ[0], whole.quantile_BHQ[0], rtol=1e-5, atol=1e-9)


def test_dropout_is_off_in_a_forecast_even_after_training_mode(spec, baseline, windows):
    forecaster = plain(shake(make_network(spec, baseline, windows, dropout=0.5)))
    first = forecaster.forecast(windows).quantile_BHQ
    forecaster.network.train()
    np.testing.assert_array_equal(forecaster.forecast(windows).quantile_BHQ, first)


def test_later_tokens_never_reach_earlier_ones(network, windows):
    """Attention and variable selection are causal: the state at a patch ignores every later bar."""
    shake(network).eval()
    seen = []
    for block in network.encoder.blocks:
        block.register_forward_hook(lambda _module, _inputs, token: seen.append(token.detach()))
    changed = windows.copy()
    changed[:, 8:] += 2.0
    with torch.inference_mode():
        network(torch.from_numpy(windows))
        network(torch.from_numpy(changed))
    before, after = seen
    torch.testing.assert_close(before[:, :2], after[:, :2], rtol=0, atol=0)
    assert (before[:, 2:] - after[:, 2:]).abs().max() > 1e-3


def test_windows_of_another_shape_are_refused(network, windows):
    with pytest.raises(SchemaMismatch, match="16, 4"):
        plain(network).forecast(windows[:, 1:])
    with pytest.raises(SchemaMismatch, match="16, 4"):
        plain(network).forecast(windows[..., :3])


def test_broadcast_of_a_wrong_shape_is_caught_in_the_heads():
    """A [B, 1, 1] scale against [B, H, Q] once made a [B, B, H, Q] loss that trained, thirty times slower."""
    base = torch.zeros(2, 5, dtype=torch.float64)
    with pytest.raises(AssertionError, match="widths"):
        corrected(base, torch.zeros(8, 2, 4), torch.zeros(8, 1))
    with pytest.raises(AssertionError, match="base"):
        corrected(base, torch.zeros(8, 1, 4), torch.zeros(8, 1))


def test_scaled_features_stay_within_five(network, windows):
    wild = windows.copy()
    wild[0, 0, 0], wild[0, 1, 1] = 1e9, 0.0
    scaled = network.scaled(torch.from_numpy(wild))
    assert scaled.abs().max() == 5.0
    assert torch.isfinite(scaled).all()


def test_missing_volatility_feature_is_a_config_error():
    with pytest.raises(ConfigError, match=r"features\.names"):
        Spec(("momentum",), "ewma_volatility", (1,), (0.25, 0.5, 0.75), 8)
