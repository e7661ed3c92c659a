"""The network as a forecaster: what it refuses, that it stays in eval mode, and that it travels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from tests.unit.model.makes import make_network, shake

from heliograph.core.errors import ConfigError, DataError, InvariantBroken, SchemaMismatch
from heliograph.model.calibrate import Calibration
from heliograph.model.forecaster import save
from heliograph.model.network import Network
from heliograph.model.neural import NetworkForecaster, load_network, read_network, save_network


def plain(network):
    return NetworkForecaster(network, Calibration.identity(2, 7))


def test_dropout_is_off_in_a_forecast_even_after_training_mode(spec, har, windows):
    network = shake(make_network(spec, har, windows, dropout=0.5))
    network.train()
    forecaster = plain(network)
    first = forecaster.forecast(windows).quantile_BHQ
    forecaster.network.train()
    np.testing.assert_array_equal(forecaster.forecast(windows).quantile_BHQ, first)
    np.testing.assert_array_equal(plain(forecaster.network).forecast(windows).quantile_BHQ, first)


def test_windows_of_another_shape_are_refused(network, windows):
    with pytest.raises(SchemaMismatch, match="16, 6"):
        plain(network).forecast(windows[:, 1:])
    with pytest.raises(SchemaMismatch, match="16, 6"):
        plain(network).forecast(windows[..., :5])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_refused_by_name(network, windows, value):
    windows[3, 5, 4] = value
    with pytest.raises(DataError, match=rf"range is {value} at bar 5 of window 3"):
        plain(network).forecast(windows)


def test_large_values_are_no_reason_to_refuse(network, windows):
    windows[:, :, 4] = 1e38  # their sum overflows, and each is finite
    assert np.isfinite(plain(network).forecast(windows).quantile_BHQ).all()


def test_bar_by_bar_equals_the_batch(network, windows):
    forecaster = plain(shake(network, size=0.2))
    whole = forecaster.forecast(windows)
    for name in ("quantile_BHQ", "setup_BHC", "confidence_BH"):
        alone = np.concatenate([getattr(forecaster.forecast(windows[k : k + 1]), name) for k in range(len(windows))])
        np.testing.assert_allclose(alone, getattr(whole, name), rtol=1e-5, atol=1e-7)


def test_forecaster_travels_between_processes(network, windows):
    forecaster = plain(shake(network))
    before = forecaster.forecast(windows)
    again = pickle.loads(pickle.dumps(forecaster))
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, before.quantile_BHQ)
    assert again.fingerprint == forecaster.fingerprint


def test_restored_from_its_state_it_says_the_same(network, windows):
    forecaster = plain(shake(network))
    again = NetworkForecaster.restore(forecaster.spec, *forecaster.state())
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, forecaster.forecast(windows).quantile_BHQ)
    assert again.fingerprint == forecaster.fingerprint


def test_network_is_read_back_with_its_scale(network, windows, tmp_path):
    shake(network)
    for again in (load_network(save_network(tmp_path / "net", network)), read_network(tmp_path / "net")):
        assert all(
            (a == b).all() for a, b in zip(again.state_dict().values(), network.state_dict().values(), strict=True)
        )
        np.testing.assert_array_equal(again.har.scale(windows[:, -1]), network.har.scale(windows[:, -1]))


def test_network_of_a_finished_forecaster_can_be_read(network, har, tmp_path):
    save(tmp_path / "model", plain(network), provenance={})
    assert read_network(tmp_path / "model").spec == network.spec
    with pytest.raises(ConfigError, match="finished"):
        load_network(tmp_path / "model")
    save(tmp_path / "har", har, provenance={})
    with pytest.raises(ConfigError, match="of the kind har"):
        read_network(tmp_path / "har")


def test_network_without_a_scale_gives_no_returns(network, windows):
    bare = Network(network.spec, network.settings)
    with pytest.raises(InvariantBroken, match="adopt"):
        plain(bare).forecast(windows)
