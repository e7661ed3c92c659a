"""Confidence: stated odds come true, strange markets take them away, and nothing is made of noise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.errors import DataError
from heliograph.model import confidence
from heliograph.model.calibrate import sigmoid
from heliograph.model.confidence import Confidence, Strangeness
from heliograph.model.spec import Forecast

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NORMAL = np.array([NormalDist().inv_cdf(p) for p in LEVELS])
PLENTY = np.array([1e6])


def rows(num=5_000, wide=20, seed=0):
    """Gaussian rows with correlated features of various sizes."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(wide, wide)) + 2.0 * np.eye(wide)
    return ((rng.normal(size=(num, wide)) @ mix) * np.geomspace(1e-3, 1e3, wide)).astype(np.float32)


def said(stated, median=None):
    """One horizon: a Gaussian around a median that points up by default."""
    centre = np.full_like(stated, 0.1) if median is None else median
    return Forecast(
        (centre[:, None] + NORMAL)[:, None, :], np.full((stated.size, 1, 3), 1 / 3), np.asarray(stated)[:, None]
    )


def world(num, *, boast, seed=0):
    """Signs whose true log-odds are those stated over ``boast``."""
    rng = np.random.default_rng(seed)
    odds = np.abs(rng.normal(0, 0.5, num))
    is_right = rng.random(num) < sigmoid(odds)
    return said(sigmoid(boast * odds)), np.where(is_right, 1.0, -1.0)[:, None], sigmoid(odds)


def fitted(forecast, y, *, effective=PLENTY, train=None):
    return Confidence.fit(LEVELS, forecast, y, effective_H=effective, last_NF=rows() if train is None else train)


def test_rows_of_training_are_not_strange():
    train = rows()
    score = Strangeness.fit(train).score(train)
    assert score.mean() < 0.001
    assert (score == 0).mean() >= 0.999 - 1e-9
    assert Strangeness.fit(train).score(rows(seed=0)[::-1]).mean() < 0.001


@given(st.integers(0, 19), st.sampled_from([-1, 1]))
@settings(max_examples=30)
def test_one_feature_eight_deviations_out_is_strange(feature, sign):
    train = rows()
    strange = train.mean(axis=0, keepdims=True)
    strange[0, feature] += 8 * sign * train[:, feature].std()
    assert Strangeness.fit(train).score(strange)[0] > 0.95


def test_strangeness_grows_with_the_distance():
    train = rows()
    strangeness = Strangeness.fit(train)
    out = train.mean(axis=0) + np.linspace(0, 12, 50)[:, None] * train.std(axis=0)
    score = strangeness.score(out)
    assert (np.diff(score) >= 0).all()
    assert score[0] == 0.0
    assert 0.99 < score[-1] <= 1.0


def test_strangeness_knows_no_units():
    train = rows()
    other = (train * 1e3 + 5.0).astype(np.float64)
    near = Strangeness.fit(train).distance(train[:50])
    np.testing.assert_allclose(Strangeness.fit(other).distance(other[:50]), near, rtol=0.02)


def test_a_feature_that_never_moved_is_strange_once_it_moves():
    train = rows()
    train[:, 3] = 1.0
    moved = train[:1].copy()
    moved[0, 3] = 1.5
    strangeness = Strangeness.fit(train)
    assert strangeness.score(train[:1])[0] == 0.0
    assert strangeness.score(moved)[0] > 0.99


def test_too_few_rows_are_a_sentence():
    broken = rows(100)
    broken[40:] = np.nan
    with pytest.raises(DataError, match=r"40 training origins are finite .* longer history"):
        Strangeness.fit(broken)


def test_shrunk_covariance_is_nearer_the_truth_than_the_plain_one():
    rng = np.random.default_rng(3)
    truth = np.diag(np.linspace(0.5, 1.5, 30))
    wins = 0
    for _ in range(20):
        x = rng.normal(size=(40, 30)) @ np.sqrt(truth)
        plain, shrunk = x.T @ x / 40, confidence.ledoit_wolf(x)
        wins += np.linalg.norm(shrunk - truth) < np.linalg.norm(plain - truth)
        assert np.trace(shrunk) == pytest.approx(np.trace(plain))
    assert wins == 20
    many = rng.normal(size=(200_000, 3)) @ np.sqrt(truth[:3, :3])
    np.testing.assert_allclose(confidence.ledoit_wolf(many), many.T @ many / 200_000, atol=1e-3)


@pytest.mark.parametrize("boast", [0.5, 2.0, 3.0])
def test_stated_odds_come_true_after_calibration(boast):
    """Confident tenth by tenth, on fresh outcomes, whether the forecaster boasted or was too modest."""
    forecast, y, _ = world(60_000, boast=boast)
    made = fitted(forecast, y)
    fresh, came, _ = world(60_000, boast=boast, seed=1)
    sure = made.apply(fresh, rows()[np.zeros(60_000, dtype=int)])[:, 0]
    for tenth in np.array_split(np.argsort(sure), 10):
        assert sure[tenth].mean() == pytest.approx((came[tenth, 0] > 0).mean(), abs=0.015)


def test_top_tenth_states_what_comes_and_the_abstention_curve_rises():
    forecast, y, _ = world(60_000, boast=2.0)
    made = fitted(forecast, y)
    fresh, came, _ = world(60_000, boast=2.0, seed=1)
    sure = made.probability(fresh)[:, 0]
    order = np.argsort(sure)
    is_right = came[order, 0] > 0
    top = is_right[-6_000:].mean()
    assert top > is_right.mean() + 0.05
    assert sure[order][-6_000:].mean() == pytest.approx(top, abs=0.01)
    curve = [is_right[int(60_000 * s) :].mean() for s in np.arange(10) / 10]
    assert (np.diff(curve) > 0).all()


def test_few_outcomes_move_the_usual_weights_little():
    """300 coin tosses that happened to fall one way are no reason to be sure."""
    forecast, y, _ = world(3_000, boast=1.0)
    lucky = fitted(forecast, np.ones_like(y), effective=np.array([10.0])).weight_HE
    assert (np.abs(lucky - confidence.USUAL_EVIDENCE) < 0.4).all()
    assert (fitted(forecast, np.ones_like(y)).weight_HE.max(axis=1) > 1.5).all()


def test_harmful_evidence_ends_as_a_coin_toss():
    forecast, y, _ = world(20_000, boast=1.0)
    backwards = fitted(forecast, -y)
    np.testing.assert_allclose(backwards.probability(forecast), 0.5, atol=1e-3)


def test_confidence_is_the_probability_times_what_is_not_strange():
    train = rows()
    forecast, y, _ = world(3_000, boast=1.0)
    made = fitted(forecast, y, train=train)
    strange = train[:3_000].copy()
    strange[::2, 4] += 6 * train[:, 4].std()
    score = made.strangeness.score(strange)
    np.testing.assert_allclose(
        made.apply(forecast, strange), made.probability(forecast) * (1 - score)[:, None], rtol=1e-12
    )
    assert made.apply(forecast, strange)[::2].mean() < made.apply(forecast, strange)[1::2].mean()


def test_unmoved_and_unknown_prices_teach_nothing():
    forecast, y, _ = world(2_000, boast=1.0)
    dull = y.copy()
    dull[::3], dull[1::3] = np.nan, 0.0
    kept = Forecast(*(a[2::3] for a in (forecast.quantile_BHQ, forecast.setup_BHC, forecast.confidence_BH)))
    np.testing.assert_allclose(fitted(forecast, dull).weight_HE, fitted(kept, y[2::3]).weight_HE, rtol=1e-9)


def test_nothing_known_leaves_the_usual_weights():
    forecast, y, _ = world(100, boast=1.0)
    made = fitted(forecast, np.full_like(y, np.nan))
    np.testing.assert_array_equal(made.weight_HE, [confidence.USUAL_EVIDENCE])


def test_confidence_comes_back_from_its_state():
    forecast, y, _ = world(2_000, boast=2.0)
    made = fitted(forecast, y)
    again = Confidence.restore(*made.state())
    np.testing.assert_array_equal(again.apply(forecast, rows()[:2_000]), made.apply(forecast, rows()[:2_000]))


@given(st.integers(0, 1_000))
@settings(max_examples=20)
def test_confidence_is_a_share_and_of_two_forecasts_alike_the_surer_stays_surer(seed):
    rng = np.random.default_rng(seed)
    stated = np.sort(rng.random(200))
    forecast = said(stated)
    made = fitted(*world(500, boast=1.0)[:2], train=rows(200, seed=seed))
    sure = made.apply(forecast, np.zeros((200, 20), dtype=np.float32))[:, 0]
    assert ((sure >= 0) & (sure <= 1)).all()
    assert (np.diff(sure) >= -1e-12).all()
