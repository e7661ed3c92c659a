"""A forecaster on disk is the forecaster."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.unit.model.makes import shake

from heliograph.core.errors import ConfigError, CorruptPart, SchemaMismatch
from heliograph.model.calibrate import Calibration
from heliograph.model.forecaster import KINDS, NetworkForecaster, kind_named, load, load_network, save, save_network


@pytest.fixture
def trained(network):
    calibration = Calibration(np.array([0.8, 0.0]), np.full((2, 3), 1.1), np.array([0.5, 1.0]), np.array([2.0, 0.1]))
    return NetworkForecaster(shake(network), calibration)


def test_saved_and_loaded_network_forecasts_the_same_bits(trained, windows, tmp_path):
    save(tmp_path / "model", trained, provenance={"settings": "abc"})
    again = load(tmp_path / "model", expected_features=trained.feature_names)
    before, after = trained.forecast(windows), again.forecast(windows)
    for name in ("quantile_BHQ", "setup_BHC", "confidence_BH"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert again.fingerprint == trained.fingerprint
    assert again.spec == trained.spec


def test_saved_and_loaded_baseline_forecasts_the_same_bits(baseline, windows, tmp_path):
    again = load(save(tmp_path / "model", baseline, provenance={}))
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, baseline.forecast(windows).quantile_BHQ)
    assert again.fingerprint == baseline.fingerprint


def test_another_feature_list_is_refused_with_the_difference(trained, tmp_path):
    save(tmp_path / "model", trained, provenance={})
    with pytest.raises(SchemaMismatch, match="'hour', 'minute'"):
        load(tmp_path / "model", expected_features=(*trained.feature_names[:-1], "minute"))
    with pytest.raises(SchemaMismatch, match="order"):
        load(tmp_path / "model", expected_features=trained.feature_names[::-1])


def test_damaged_weights_are_refused(trained, tmp_path):
    weights = save(tmp_path / "model", trained, provenance={}) / "weights.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(bytes(body))
    with pytest.raises(CorruptPart, match="train again"):
        load(tmp_path / "model")


def test_absent_and_foreign_checkpoints_say_what_to_do(trained, tmp_path):
    with pytest.raises(ConfigError, match="train one"):
        load(tmp_path / "nowhere")
    header = save(tmp_path / "model", trained, provenance={}) / "forecaster.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": 99}))
    with pytest.raises(ConfigError, match="format 99"):
        load(tmp_path / "model")


def test_checkpoint_holds_no_pickle_and_tells_its_provenance(trained, tmp_path):
    folder = save(tmp_path / "model", trained, provenance={"lake": "7"})
    assert sorted(p.name for p in folder.iterdir()) == ["forecaster.json", "weights.safetensors"]
    said = json.loads((folder / "forecaster.json").read_text())
    assert said["provenance"] == {"lake": "7"}
    assert said["fingerprint"] == trained.fingerprint
    assert said["spec"]["sigma_name"] == "ewma_volatility"


def test_saving_again_replaces_the_folder_whole(trained, baseline, tmp_path):
    save(tmp_path / "model", trained, provenance={})
    save(tmp_path / "model", baseline, provenance={})
    assert load(tmp_path / "model").fingerprint == baseline.fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_fingerprint_names_weights_and_calibration(trained, network):
    other = NetworkForecaster(network, Calibration.identity(2, 7))
    assert other.fingerprint != trained.fingerprint
    assert len(trained.fingerprint) == 12


def test_uncalibrated_network_is_no_forecaster(network, tmp_path):
    save_network(tmp_path / "net", network)
    again = load_network(tmp_path / "net")
    assert all((a == b).all() for a, b in zip(again.state_dict().values(), network.state_dict().values(), strict=True))
    with pytest.raises(ConfigError, match="not calibrated"):
        load(tmp_path / "net")


def test_every_kind_is_a_class_that_can_be_restored():
    for kind in KINDS:
        found = kind_named(kind)
        assert callable(found.restore)
        assert getattr(found, "kind", kind) == kind


def test_an_unknown_kind_says_what_to_do(baseline, tmp_path):
    header = save(tmp_path / "model", baseline, provenance={}) / "forecaster.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "kind": "oracle"}))
    with pytest.raises(ConfigError, match="kind oracle, unknown here"):
        load(tmp_path / "model")
