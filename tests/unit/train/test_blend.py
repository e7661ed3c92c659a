"""An ensemble is weighted by its validation slice, and so is the tracker of its widths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.train.makes import fold, spec, world

from heliograph.config.learning import TreeSettings
from heliograph.core.errors import ConfigError
from heliograph.model.baselines import PooledForecaster
from heliograph.model.calibrate import pinball
from heliograph.model.forecaster import load, load_tracker, save
from heliograph.model.spec import Forecast
from heliograph.train import blend as blending
from heliograph.train import boost
from heliograph.train.blend import EVERY_BARS, Validation, regimes, track, weighed
from heliograph.train.fits import for_all
from heliograph.train.fold import predict
from heliograph.train.protocol import Task, until
from heliograph.windows.sample import origins


@pytest.fixture(scope="module")
def data():
    return world("volatility")


@pytest.fixture(scope="module")
def task(data, tmp_path_factory):
    slices = fold()
    return Task(tuple(until(d, slices.test[0]) for d in data), slices, spec(), 1, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def members(task):
    trees = for_all(task, boost.boost(task, TreeSettings(rounds=20, every_bars=1, l2=5.0, feature_fraction=1.0)))
    rows = [task.train_rows(d) for d in task.data]
    told = {
        "sigma_N": np.concatenate([d.x_NF[r, 0].astype(np.float64) for d, r in zip(task.data, rows, strict=True)]),
        "log_return_NH": np.concatenate([d.log_return_NH[r] for d, r in zip(task.data, rows, strict=True)]),
        "setup_NH": np.concatenate([d.setup_NH[r] for d, r in zip(task.data, rows, strict=True)]),
    }
    return [dict.fromkeys(trees, PooledForecaster.fit(task.spec, "unconditional", **told)), trees]


def blend(task, members):
    return blending.blend(task, members, weighed(task, members))


def test_the_better_member_weighs_more(task, members):
    weight_HM = blend(task, members)["S0/USDT"].weight_HM
    assert (weight_HM[:, 1] > weight_HM[:, 0]).all()
    np.testing.assert_allclose(weight_HM.sum(axis=1), 1.0)


def test_global_members_make_one_ensemble_and_own_ones_make_own(task, members):
    fitted = blend(task, members)
    assert fitted["S0/USDT"] is fitted["S1/USDT"]
    own = dict(members[0])
    own["S1/USDT"] = members[1]["S1/USDT"]
    fitted = blend(task, [own, members[1]])
    assert fitted["S0/USDT"] is not fitted["S1/USDT"]
    np.testing.assert_array_equal(fitted["S0/USDT"].weight_HM, fitted["S1/USDT"].weight_HM)


def test_a_symbol_that_a_member_lacks_has_no_ensemble(task, members):
    less = {"S1/USDT": members[0]["S1/USDT"]}
    assert list(blend(task, [less, members[1]])) == ["S1/USDT"]


def test_no_member_and_no_validation_are_clear_errors(task, members):
    with pytest.raises(ConfigError, match="needs a member"):
        blend(task, [])
    empty = replace(task, fold=replace(task.fold, validation=(task.fold.test[0] - 1, task.fold.test[0])))
    with pytest.raises(ConfigError, match="longer history"):
        blend(empty, members)


def test_validation_is_every_fourth_bar_with_labels_known_before_the_test(task, members):
    said = Validation.of(task, members[0])
    hours = said.known_ts_ms // 3_600_000
    assert (hours % EVERY_BARS == 0).all()
    first, last = task.fold.validation
    assert ((said.known_ts_ms >= first) & (said.known_ts_ms < last)).all()
    assert (said.end_ts_ms_NH <= task.fold.test[0]).all()


class TooNarrow:
    """A forecaster at half its width."""

    def __init__(self, inner):
        self.inner, self.window_bars = inner, inner.window_bars

    def forecast(self, x):
        said = self.inner.forecast(x)
        return Forecast(0.5 * said.quantile_BHQ, said.setup_BHC, said.confidence_BH)


def test_the_tracker_begins_where_validation_leaves_it(task, data, members):
    narrow = {s: TooNarrow(f) for s, f in members[1].items()}
    tracker = track(task, narrow)
    assert (tracker.log_width_GHK[0] > 0.02).all()
    assert tracker.regimes.symbols == ("S0/USDT", "S1/USDT")
    rows = origins(data[0], fold().test, 8, labelled_by_ms=int(data[0].known_ts_ms[-1]))
    raw = predict(narrow["S0/USDT"], data[0], rows).quantile_BHQ
    y = data[0].log_return_NH[rows]
    said, _ = tracker.run(data[0].known_ts_ms[rows], data[0].end_ts_ms_NH[rows], raw, y)
    assert (pinball(y, said, spec().levels).mean(axis=0) < pinball(y, raw, spec().levels).mean(axis=0)).all()


def test_edges_of_regimes_are_terciles_of_the_year_before_the_test(task):
    index = task.spec.sigma_index
    found = regimes(task, ["S1/USDT"])
    assert found.symbols == ("S1/USDT",)
    sigma = task.data[1].x_NF[:, index]
    np.testing.assert_allclose(found.edge_SR[0], np.nanquantile(sigma.astype(float), (1 / 3, 2 / 3)))
    assert regimes(task, []).symbols == ()


def test_the_tracker_travels_with_the_model(task, members, tmp_path):
    fitted = blend(task, members)
    tracker = track(task, fitted)
    folder = save(tmp_path / "m", fitted["S0/USDT"], provenance={}, tracker=tracker)
    again = load_tracker(folder)
    np.testing.assert_array_equal(again.log_width_GHK, tracker.log_width_GHK)
    np.testing.assert_array_equal(again.learned_ms_GH, tracker.learned_ms_GH)
    np.testing.assert_array_equal(again.regimes.edge_SR, tracker.regimes.edge_SR)
    assert (again.levels, again.horizons_bars, again.rate) == (tracker.levels, tracker.horizons_bars, tracker.rate)
    assert load(folder).fingerprint == fitted["S0/USDT"].fingerprint
    assert load_tracker(save(tmp_path / "plain", members[0]["S0/USDT"], provenance={})) is None
