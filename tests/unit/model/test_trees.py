"""Trees on the volatility model: quantiles that never cross, and the plain model where no tree is."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.model.grown import make_trees
from tests.unit.model.makes import make_har

from heliograph.core.errors import SchemaMismatch
from heliograph.features.catalog import BASE
from heliograph.model.spec import Spec
from heliograph.model.trees import LONG_CLOCKS, PARTS, TREE_FEATURES, TreesForecaster, columns, corrected, gaps, predict

BASE_Q = np.array([-3.0, -1.2, -0.5, 0.01, 0.5, 1.0, 4.0])


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), size=st.floats(0.0, 50.0), num=st.sampled_from([3, 5, 7, 13]))
def test_corrected_quantiles_never_cross(seed, size, num):
    rng = np.random.default_rng(seed)
    base = np.sort(rng.standard_t(3, size=num))
    said = corrected(base, size * rng.normal(size=(20, PARTS)))
    assert (np.diff(said, axis=1) >= -1e-12).all()


def test_no_correction_is_the_base():
    np.testing.assert_allclose(corrected(BASE_Q, np.zeros((3, PARTS))), np.tile(BASE_Q, (3, 1)), atol=1e-15)


def test_gaps_add_up_to_the_distance_from_the_median():
    np.testing.assert_allclose(gaps(BASE_Q).sum(axis=0), BASE_Q - BASE_Q[3], atol=1e-15)
    assert (gaps(BASE_Q)[:2] <= 0).all()
    assert (gaps(BASE_Q)[2:] >= 0).all()


def test_a_side_moves_alone():
    part = np.zeros((1, PARTS))
    part[0, 4] = 0.5
    said = corrected(BASE_Q, part)[0]
    np.testing.assert_allclose(said[:5], BASE_Q[:5], atol=1e-12)
    assert (said[5:] > BASE_Q[5:]).all()


def test_forecaster_without_trees_is_the_pooled_volatility_model(spec, windows):
    har = make_har(spec, windows)
    none = (None,) * len(spec.horizons_bars)
    plain = TreesForecaster(har.har, har.cone, correction=none, direction=none, slope_H=np.ones(2))
    said, wanted = plain.forecast(windows), har.forecast(windows)
    np.testing.assert_allclose(said.quantile_BHQ, wanted.quantile_BHQ, rtol=1e-12)
    np.testing.assert_array_equal(said.setup_BHC, wanted.setup_BHC)
    np.testing.assert_array_equal(said.confidence_BH, 0.5)


def test_forecast_is_a_distribution_and_knows_its_sign(spec, windows):
    trees = make_trees(spec, windows)
    said = trees.forecast(windows)
    assert said.quantile_BHQ.shape == (64, 2, 7)
    assert (np.diff(said.quantile_BHQ, axis=-1) >= 0).all()
    assert not np.allclose(said.quantile_BHQ, make_har(spec, windows).forecast(windows).quantile_BHQ)
    up = trees.up(windows[:, -1])
    assert ((up > 0) & (up < 1)).all()
    is_up = said.quantile_BHQ[..., 3] >= 0
    np.testing.assert_array_equal(said.confidence_BH, np.where(is_up, up, 1.0 - up))


def test_only_the_newest_bar_counts(spec, windows):
    trees = make_trees(spec, windows)
    other = windows.copy()
    other[:, :-1] += 1.0
    np.testing.assert_array_equal(trees.forecast(other).quantile_BHQ, trees.forecast(windows).quantile_BHQ)


def test_one_window_is_the_batch(spec, windows):
    trees = make_trees(spec, windows)
    batch = trees.forecast(windows).quantile_BHQ
    np.testing.assert_allclose(trees.forecast(windows[5:6]).quantile_BHQ[0], batch[5], rtol=1e-12)


def test_restored_trees_forecast_the_same_bits(spec, windows):
    trees = make_trees(spec, windows)
    again = TreesForecaster.restore(spec, *trees.state())
    assert again.fingerprint == trees.fingerprint
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, trees.forecast(windows).quantile_BHQ)
    np.testing.assert_array_equal(again.forecast(windows).confidence_BH, trees.forecast(windows).confidence_BH)


def test_fingerprint_names_the_trees(spec, windows):
    assert make_trees(spec, windows).fingerprint != make_trees(spec, windows, seed=1).fingerprint


def test_windows_of_another_shape_are_refused(spec, windows):
    with pytest.raises(SchemaMismatch, match="windows have shape"):
        make_trees(spec, windows).forecast(windows[:, 1:])


def test_every_feature_of_the_trees_exists():
    assert set(TREE_FEATURES) <= {feature.name for feature in BASE}
    assert len(TREE_FEATURES) == len(set(TREE_FEATURES))


def test_trees_read_everything_but_long_clocks():
    some = Spec(("own", "month_gone", "rsi_2", "ewma_volatility"), "ewma_volatility", (1,), (0.5,), 8)
    assert columns(some) == (0, 2, 3)
    assert {feature.name for feature in BASE} >= LONG_CLOCKS
    assert not LONG_CLOCKS & set(TREE_FEATURES)


def test_scores_of_no_rounds_are_zero():
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    booster = lgb.train({"verbose": -1, "num_threads": 1}, lgb.Dataset(x, label=x[:, 0].copy()), 3)
    assert not predict(booster, x, 1, rounds=0).any()
    assert not predict(None, x, 1).any()
    assert predict(booster, x, 1, rounds=1).any()
