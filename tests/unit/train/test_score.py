"""Scores against closed forms, and the guard of the test slice."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.train import fold as finishing
from heliograph.train import score as scoring
from heliograph.train.fold import OuterSlice


@pytest.fixture(scope="module")
def world():
    return makes.world("volatility")


@pytest.fixture(scope="module")
def bases(world):
    return finishing.baselines(world, makes.fold(), makes.spec())


def test_forecaster_against_itself_has_no_skill(world, bases):
    ours = bases["volatility_scaled"]
    score = scoring.score({"model": ours, "volatility_scaled": ours}, OuterSlice(world, makes.fold()))
    assert score.skill_pct["volatility_scaled"] == (0.0, 0.0)
    assert np.isnan(score.dm_t["volatility_scaled"]).all()


def test_losses_count_every_origin_once(world, bases):
    score = scoring.score({"model": bases["unconditional"]}, OuterSlice(world, makes.fold()))
    expected = []
    for symbol in world:
        late = (symbol.known_ts_ms >= makes.fold().test[0]) & np.isfinite(symbol.log_return_NH).all(axis=1)
        error = symbol.log_return_NH[late][:, :, None] - bases["unconditional"].quantile_HQ
        level = np.array(makes.LABELS.levels)
        expected.append(np.maximum(level * error, (level - 1) * error).mean(axis=2))
    expected = np.concatenate(expected)
    assert score.origins == expected.shape[0]
    np.testing.assert_allclose(score.pinball["model"], expected.mean(axis=0), rtol=1e-12)


def test_baselines_cover_what_they_promise():
    walk = makes.world("walk")
    bases = finishing.baselines(walk, makes.fold(), makes.spec())
    score = scoring.score({"model": bases["unconditional"]}, OuterSlice(walk, makes.fold()))
    assert set(score.coverage) == {0.95, 0.8, 0.5}
    for nominal, covered in score.coverage.items():
        assert covered == pytest.approx((nominal, nominal), abs=0.04)


def test_score_is_plain_data(world, bases):
    score = scoring.score({"model": bases["unconditional"]}, OuterSlice(world, makes.fold()))
    assert json.loads(json.dumps(asdict(score)))["fold"] == 0


def test_test_slice_opens_once_for_each_purpose(world, bases):
    outer = OuterSlice(world, makes.fold())
    scoring.score({"model": bases["unconditional"]}, outer)
    finishing.forecasts(bases["unconditional"], outer)
    with pytest.raises(InvariantBroken, match="select on validation"):
        scoring.score({"model": bases["unconditional"]}, outer)
    with pytest.raises(InvariantBroken, match="forecast"):
        finishing.forecasts(bases["unconditional"], outer)


def test_empty_test_slice_says_what_to_change(world, bases):
    beyond = replace(makes.fold(), test=(10**12, 10**12 + 1))
    with pytest.raises(ConfigError, match=r"folds\.test_bars"):
        scoring.score({"model": bases["unconditional"]}, OuterSlice(world, beyond))
    with pytest.raises(ConfigError, match=r"folds\.test_bars"):
        finishing.forecasts(bases["unconditional"], OuterSlice(world, beyond))


def test_diebold_mariano_of_white_noise_is_a_t_statistic():
    difference = np.random.default_rng(0).normal(0.1, 1.0, size=400)
    plain = difference.mean() / (difference.std() / np.sqrt(400))
    assert scoring.diebold_mariano(difference, lag=0) == pytest.approx(plain, rel=1e-12)
    assert scoring.diebold_mariano(-difference, lag=5) == -scoring.diebold_mariano(difference, lag=5)


def test_diebold_mariano_with_lag_follows_newey_and_west():
    """By hand: γ0 = 1.25, γ1 = -0.9375, Bartlett weight 1/2, so the variance is 0.3125."""
    assert scoring.diebold_mariano(np.array([1.0, -1.0, 2.0, 0.0]), lag=1) == pytest.approx(0.5 / np.sqrt(0.3125 / 4))


def test_overlapping_differences_are_worth_less_than_they_look():
    white = np.random.default_rng(1).normal(0.2, 1.0, size=2_000)
    overlapping = np.convolve(white, np.ones(24) / 24, mode="valid")
    assert scoring.diebold_mariano(overlapping, lag=23) < 0.5 * scoring.diebold_mariano(overlapping, lag=0)


def test_hits_by_confidence_rank_the_tenths():
    rng = np.random.default_rng(2)
    confidence = rng.random(20_000)
    right = rng.random(20_000) < confidence
    y = rng.choice([-1.0, 1.0], size=20_000)
    hit_rate, hits, stated = scoring.hits_by_confidence(np.where(right, y, -y), y, confidence)
    assert hit_rate == pytest.approx(0.5, abs=0.02)
    assert hits == pytest.approx(stated, abs=0.04)
    assert len(hits) == 10


def test_skill_over_folds_adds_losses_first():
    score = scoring.FoldScore(0, "m", 100, (1,), {"model": (1.0,), "b": (2.0,)}, {}, {}, {}, (), (), ())
    larger = replace(score, origins=300, pinball={"model": (4.0,), "b": (4.0,)})
    assert scoring.skill_over_folds([score, larger], "b") == pytest.approx((100 * (1 - 1300 / 1400),))
