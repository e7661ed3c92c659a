"""The confidence of a fit is measured on its validation slice, and what is strange on its train slice."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from tests.unit.train.makes import fold, spec, world

from heliograph.core.errors import ConfigError
from heliograph.model.calibrate import sigmoid
from heliograph.model.confidence import is_up
from heliograph.model.spec import Forecast
from heliograph.train import assure
from heliograph.train.fold import predict, scored_rows
from heliograph.train.protocol import Task, until

SCORES = np.array([NormalDist().inv_cdf(p) for p in spec().levels])


class Boaster:
    """Knows the drift of the next bars, and states its odds three times over."""

    def __init__(self):
        told = spec()
        self.feature_names, self.window_bars = told.feature_names, told.window_bars
        self.horizons_bars, self.levels, self.fingerprint = told.horizons_bars, told.levels, "boaster"

    def forecast(self, x_BTF):
        drift_BH = 0.005 * x_BTF[:, -1, 1:2].astype(float) * np.array(self.horizons_bars)
        width_H = 0.01 * np.sqrt(self.horizons_bars)
        odds_BH = 1.6 * np.abs(drift_BH) / width_H
        quantile_BHQ = drift_BH[..., None] + width_H[:, None] * SCORES
        return Forecast(quantile_BHQ, np.full((len(x_BTF), 2, 3), 1 / 3), sigmoid(3.0 * odds_BH))


@pytest.fixture(scope="module")
def data():
    return world("drift", num=12_000)


@pytest.fixture(scope="module")
def task(data, tmp_path_factory):
    slices = fold(12_000)
    return Task(tuple(until(d, slices.test[0]) for d in data), slices, spec(), 1, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def fitted():
    return dict.fromkeys(("S0/USDT", "S1/USDT"), Boaster())


@pytest.fixture(scope="module")
def measured(task, fitted):
    return assure.confidence(task, fitted)


def test_a_boaster_is_taken_at_less_than_its_word_and_then_comes_true(data, task, fitted, measured):
    sure, right, stated = [], [], []
    for d in data:
        rows = scored_rows(d, task.fold, task.spec.window_bars)
        said = predict(fitted[d.symbol], d, rows)
        sure.append(measured.apply(said, d.x_NF[rows])[:, 0])
        right.append((is_up(said) == (d.log_return_NH[rows] > 0))[:, 0])
        stated.append(said.confidence_BH[:, 0])
    sure, right, stated = (np.concatenate(a) for a in (sure, right, stated))
    assert abs(sure.mean() - right.mean()) < 0.03 < stated.mean() - right.mean()
    top = np.argsort(sure)[-sure.size // 10 :]
    assert right[top].mean() > right.mean() + 0.05
    assert sure[top].mean() == pytest.approx(right[top].mean(), abs=0.06)


def test_what_follows_the_validation_slice_is_not_seen(task, fitted, measured):
    """Labels known after the test slice begins, and rows of it, change nothing."""
    noisy = [
        replace(d, log_return_NH=np.where(d.end_ts_ms_NH > task.fold.test[0], 9.0, d.log_return_NH)) for d in task.data
    ]
    again = assure.confidence(replace(task, data=tuple(noisy)), fitted)
    np.testing.assert_array_equal(again.weight_HE, measured.weight_HE)
    np.testing.assert_array_equal(again.strangeness.centre_F, measured.strangeness.centre_F)


def test_a_symbol_without_a_forecaster_is_left_out(task, fitted):
    one = {"S0/USDT": fitted["S0/USDT"]}
    alone = assure.confidence(replace(task, data=task.data[:1]), one)
    np.testing.assert_array_equal(assure.confidence(task, one).weight_HE, alone.weight_HE)


def test_no_origin_is_a_sentence(task, fitted):
    with pytest.raises(ConfigError, match="no origin to measure confidence on: take a longer history"):
        assure.confidence(replace(task, data=()), fitted)
