"""Several forecasters as one: means that keep order, and each member is asked once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.grown import make_trees
from tests.unit.model.makes import make_har, shake

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.model.calibrate import Calibration, pinball
from heliograph.model.ensemble import EnsembleForecaster, pooled, weights
from heliograph.model.forecaster import load, save
from heliograph.model.neural import NetworkForecaster
from heliograph.model.spec import Forecast

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


def said_by(rng: np.random.Generator, num: int = 30) -> Forecast:
    setup = rng.random((num, 2, 3)) + 0.01
    return Forecast(
        quantile_BHQ=np.sort(rng.standard_t(3, size=(num, 2, 7)), axis=-1),
        setup_BHC=setup / setup.sum(axis=-1, keepdims=True),
        confidence_BH=rng.random((num, 2)),
    )


def up_of(said: Forecast) -> np.ndarray:
    return np.where(said.quantile_BHQ[..., 3] >= 0, said.confidence_BH, 1.0 - said.confidence_BH)


@given(seed=st.integers(0, 2**31), num=st.integers(1, 4))
def test_a_mean_of_distributions_is_a_distribution(seed, num):
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.ones(num), size=2)
    said = [said_by(rng) for _ in range(num)]
    mean = pooled(said, weight)
    assert (np.diff(mean.quantile_BHQ, axis=-1) >= 0).all()
    np.testing.assert_allclose(mean.setup_BHC.sum(axis=-1), 1.0, atol=1e-12)
    assert ((mean.confidence_BH >= 0) & (mean.confidence_BH <= 1)).all()
    up = np.stack([up_of(f) for f in said])
    assert (up_of(mean) <= up.max(axis=0) + 1e-6).all()
    assert (up_of(mean) >= up.min(axis=0) - 1e-6).all()


@given(seed=st.integers(0, 2**31))
def test_the_mean_is_no_worse_than_the_members_on_average(seed):
    """Pinball is convex in the quantile (Vincent's mean)."""
    rng = np.random.default_rng(seed)
    said, weight = [said_by(rng), said_by(rng)], np.array([[0.3, 0.7], [0.5, 0.5]])
    y = rng.standard_t(3, size=(30, 2))
    of_members = np.stack([pinball(y, f.quantile_BHQ, LEVELS) for f in said], axis=-1)
    of_mean = pinball(y, pooled(said, weight).quantile_BHQ, LEVELS)
    assert (of_mean <= (of_members * weight).sum(axis=-1) + 1e-12).all()


def test_a_member_alone_is_itself():
    said = said_by(np.random.default_rng(0))
    alone = pooled([said], np.ones((2, 1)))
    for name in ("quantile_BHQ", "setup_BHC", "confidence_BH"):
        np.testing.assert_allclose(getattr(alone, name), getattr(said, name), rtol=1e-9)


def test_members_that_disagree_on_the_sign_are_heard_as_probabilities():
    """A median above zero that is right with .6 and one below that is right with .6 say one half together."""
    up = Forecast(np.array([[[-1.0, 0.5, 2.0]]]), np.full((1, 1, 3), 1 / 3), np.array([[0.6]]))
    down = replace(up, quantile_BHQ=np.array([[[-2.0, -0.4, 1.0]]]))
    assert pooled([up, down], np.full((1, 2), 0.5)).confidence_BH[0, 0] == pytest.approx(0.5)


def test_better_members_weigh_more_and_none_is_shut_out():
    weight = weights(np.array([[1.0, 1.0], [1.01, 1.0], [2.0, 1.0]]))
    assert weight[0, 0] > weight[0, 1] > weight[0, 2] >= 0.5 / 3
    np.testing.assert_allclose(weight[1], 1 / 3)
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)


def test_each_member_is_asked_once(spec, windows, monkeypatch):
    har, trees = make_har(spec, windows), make_trees(spec, windows)
    asked = []
    for member in (har, trees):
        monkeypatch.setattr(member, "forecast", lambda x, f=member.forecast, m=member: asked.append(m) or f(x))
    EnsembleForecaster([har, trees], np.full((2, 2), 0.5)).forecast(windows)
    assert asked == [har, trees]


@pytest.fixture
def ensemble(spec, windows, network):
    calibration = Calibration.identity(2, 7)
    members = [make_har(spec, windows), make_trees(spec, windows), NetworkForecaster(shake(network), calibration)]
    return EnsembleForecaster(members, weights(np.array([[1.0, 1.0], [0.99, 1.01], [0.98, 1.0]])))


def test_saved_and_loaded_ensemble_forecasts_the_same_bits(ensemble, windows, tmp_path):
    again = load(save(tmp_path / "m", ensemble, provenance={}), expected_features=ensemble.feature_names)
    for name in ("quantile_BHQ", "setup_BHC", "confidence_BH"):
        np.testing.assert_array_equal(getattr(again.forecast(windows), name), getattr(ensemble.forecast(windows), name))
    assert again.fingerprint == ensemble.fingerprint
    assert [m.kind for m in again.members] == ["har", "trees", "network"]


def test_fingerprint_names_members_and_weights(ensemble):
    other = EnsembleForecaster(ensemble.members, np.full((2, 3), 1 / 3))
    fewer = EnsembleForecaster(ensemble.members[:2], np.full((2, 2), 0.5))
    assert len({ensemble.fingerprint, other.fingerprint, fewer.fingerprint}) == 3


def test_members_of_another_spec_and_none_at_all_are_refused(spec, windows):
    har = make_har(spec, windows)
    other = make_har(replace(spec, window_bars=8), windows)
    with pytest.raises(ConfigError, match="one spec"):
        EnsembleForecaster([har, other], np.full((2, 2), 0.5))
    with pytest.raises(ConfigError, match="needs a member"):
        EnsembleForecaster([], np.empty((2, 0)))


def test_windows_of_another_shape_are_refused(ensemble, windows):
    with pytest.raises(SchemaMismatch, match="windows have shape"):
        ensemble.forecast(windows[:, 1:])
