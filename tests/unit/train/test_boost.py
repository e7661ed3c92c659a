"""Boosting finds what is written in the features, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.train.makes import HOUR_MS, fold, spec, symbol, world

from heliograph.config.learning import TreeSettings
from heliograph.core.errors import ConfigError
from heliograph.model.calibrate import pinball
from heliograph.model.trees import PARTS, corrected
from heliograph.train.boost import Loss, anew, boost, rounds_at, thinned
from heliograph.train.protocol import Task, until
from heliograph.windows.sample import gather, origins

SMALL = TreeSettings(rounds=40, every_bars=1, l2=5.0, leaf_fraction=0.02, feature_fraction=1.0)


def task_of(data, tmp_path, seed=1):
    slices = fold()
    return Task(tuple(until(d, slices.test[0]) for d in data), slices, spec(), seed, tmp_path)


def scored(forecaster, data):
    """Mean pinball on the test slice of one symbol, float64[H]."""
    rows = origins(data, fold().test, 8, labelled_by_ms=int(data.known_ts_ms[-1]))
    said = forecaster.forecast(gather(data.x_NF, rows, 8))
    return pinball(data.log_return_NH[rows], said.quantile_BHQ, spec().levels).mean(axis=0), said, rows


def plain(trees):
    none = (None,) * len(spec().horizons_bars)
    return type(trees)(trees.har, trees.cone, correction=none, direction=none, slope_H=trees.slope_H)


@pytest.mark.parametrize("kind", ["volatility", "drift"])
def test_what_is_written_in_a_feature_is_found(kind, tmp_path):
    data = world(kind)
    trees = boost(task_of(data, tmp_path), SMALL)
    ours, theirs = (scored(f, data[0])[0] for f in (trees, plain(trees)))
    assert ours[0] < 0.985 * theirs[0]


def test_a_drift_is_known_to_the_direction(tmp_path):
    data = world("drift")
    trees = boost(task_of(data, tmp_path), SMALL)
    _, said, rows = scored(trees, data[0])
    is_right = (said.quantile_BHQ[..., 3] >= 0) == (data[0].log_return_NH[rows] > 0)
    sure = said.confidence_BH[:, 0] > np.quantile(said.confidence_BH[:, 0], 0.8)
    assert is_right[sure, 0].mean() > is_right[:, 0].mean() + 0.05
    assert said.confidence_BH[sure, 0].mean() > 0.65


def test_a_random_walk_costs_next_to_nothing(tmp_path):
    data = world("walk")
    trees = boost(task_of(data, tmp_path), TreeSettings(rounds=20, every_bars=1))
    ours, theirs = (scored(f, data[0])[0] for f in (trees, plain(trees)))
    assert (np.abs(ours / theirs - 1) < 0.005).all()


def test_the_same_seed_gives_the_same_trees_and_another_other_ones(tmp_path):
    data = world("volatility")
    settings = TreeSettings(rounds=5, every_bars=2, feature_fraction=0.5)
    one, two, three = (boost(task_of(data, tmp_path, seed), settings).fingerprint for seed in (1, 1, 2))
    assert one == two != three


def test_what_comes_after_the_validation_slice_changes_no_tree(tmp_path):
    data = world("volatility")
    last = fold().test[0]
    other = []
    for d in data:
        x, y, setup = d.x_NF.copy(), d.log_return_NH.copy(), d.setup_NH.copy()
        x[d.known_ts_ms >= last] += 1.0
        y[d.end_ts_ms_NH > last] *= -7.0
        setup[d.end_ts_ms_NH > last] = 0
        other.append(type(d)(d.venue, d.symbol, d.known_ts_ms, d.close, x, y, setup, d.end_ts_ms_NH))
    settings = TreeSettings(rounds=5, every_bars=2)
    fingerprints = {boost(task_of(d, tmp_path), settings).fingerprint for d in (data, other)}
    assert len(fingerprints) == 1


def grown(boosters) -> list[int]:
    return [b.current_iteration() if b else 0 for b in boosters]


def test_trees_grown_anew_are_as_many_and_know_the_validation_slice(tmp_path):
    settings = TreeSettings(rounds=10, every_bars=2)
    data = world("volatility")
    held = boost(task_of(data, tmp_path), settings)
    again = anew(task_of(data, tmp_path), settings, held)
    assert grown(again.correction) == grown(held.correction)
    np.testing.assert_array_equal(again.slope_H, held.slope_H)
    for d in data:
        d.log_return_NH[d.known_ts_ms >= fold().validation[0]] *= 3.0
    other = anew(task_of(data, tmp_path), settings, held)
    assert (np.abs(other.cone.quantile_HQ[:, [0, -1]]) > np.abs(again.cone.quantile_HQ[:, [0, -1]])).all()


def test_trees_grown_anew_know_nothing_of_the_test_slice(tmp_path):
    settings, made = TreeSettings(rounds=5, every_bars=2), []
    for factor in (1.0, -7.0):
        data = world("volatility")
        for d in data:
            d.log_return_NH[d.end_ts_ms_NH > fold().test[0]] *= factor
        task = task_of(data, tmp_path)
        made.append(anew(task, settings, boost(task, settings)).fingerprint)
    assert made[0] == made[1]


def test_where_no_tree_was_kept_none_is_grown_anew(tmp_path):
    task = task_of(world("walk"), tmp_path)
    again = anew(task, SMALL, plain(boost(task, SMALL)))
    assert not any(again.correction)
    assert all(again.direction)


def test_features_that_never_change_grow_no_tree(tmp_path):
    data = world("walk")
    for d in data:
        d.x_NF[3:, 1:] = 0.0
    trees = boost(task_of(data, tmp_path), SMALL)
    assert not any(trees.correction)
    assert not any(trees.direction)


def test_no_origin_is_a_clear_error(tmp_path):
    short = [symbol("S/USDT", np.zeros(5), np.zeros(5), sigma=0.01, noise_N=np.zeros(5))]
    with pytest.raises(ConfigError, match="longer history"):
        boost(task_of(short, tmp_path), SMALL)


@given(seed=st.integers(0, 2**31))
def test_the_gradient_is_the_slope_of_the_mean_pinball(seed):
    rng = np.random.default_rng(seed)
    loss = Loss.of(rng.standard_t(4, size=500), spec().levels)
    part, z = 0.3 * rng.normal(size=(4, PARTS)), 2.0 * rng.normal(size=4)
    told = loss.gradient(part, z)
    for k in range(PARTS):
        step = np.zeros(PARTS)
        step[k] = 1e-7
        high, low = (
            pinball(z[:, None], corrected(loss.base_Q, part + s * step)[:, None], spec().levels)[:, 0] for s in (1, -1)
        )
        np.testing.assert_allclose(told[:, k], (high - low) / 2e-7, atol=1e-5)


def test_curvature_is_that_of_the_expected_loss():
    """A normal base: the mean over levels of its density at the quantiles."""
    z = np.random.default_rng(0).normal(size=200_000)
    loss = Loss.of(z, spec().levels)
    density = np.exp(-0.5 * loss.base_Q**2) / np.sqrt(2 * np.pi)
    assert loss.curvature_P[0] == pytest.approx(density.mean(), rel=0.05)
    assert (loss.curvature_P > 0).all()


def test_longer_horizons_take_fewer_rounds_but_one_at_least():
    rounds = [rounds_at(TreeSettings(rounds=50), h) for h in (1, 4, 12, 24, 48, 100_000)]
    assert rounds == sorted(rounds, reverse=True)
    assert rounds[0] == 50
    assert rounds[-1] == 1


def test_thinning_keeps_an_even_grid_of_time():
    data = world("walk", symbols=1)[0]
    rows = thinned(data, np.arange(100), 5)
    assert (data.known_ts_ms[rows] // HOUR_MS % 5 == 0).all()
    assert rows.size == 20
    assert thinned(data, np.empty(0, dtype=np.int64), 5).size == 0
