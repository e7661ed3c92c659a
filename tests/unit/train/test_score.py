"""Scores against closed forms, and the guard of the test slice."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.model import calibrate
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


def test_ranks_and_area_under_the_curve_agree_with_counting_pairs():
    rng = np.random.default_rng(3)
    given, came = rng.integers(5, size=60) / 5, rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in given[came] for b in given[~came]]
    assert scoring.auc(given, came) == pytest.approx(np.mean(pairs))
    assert np.isnan(scoring.auc(given, np.ones(60, dtype=bool)))


def test_honest_probabilities_have_no_calibration_error_but_chance():
    """Law: for probabilities that are right the error falls with 1/√n, and the classes lie on the diagonal."""
    rng = np.random.default_rng(4)
    given = rng.uniform(0.3, 0.7, size=40_000)
    for of_equal in ("width", "count"):
        told = scoring.reliability(given, rng.random(40_000) < given, of_equal=of_equal)
        assert told.error < 0.01
        assert sum(told.count) == 40_000
        assert np.polyfit(told.stated, told.came, 1)[0] == pytest.approx(1.0, abs=0.1)
    assert scoring.reliability(given, rng.random(40_000) < given - 0.1).error == pytest.approx(0.1, abs=0.01)
    assert np.isnan(scoring.reliability(np.empty(0), np.empty(0, dtype=bool)).error)


def test_rank_correlation_is_taken_across_the_symbols_of_each_moment():
    moments = np.repeat([1, 2, 3], 3)
    y = np.array([1.0, 2.0, 3.0, 30.0, 20.0, 10.0, 1.0, 1.0, 1.0])
    said = np.array([0.1, 0.2, 0.3, 0.3, 0.2, 0.1, 0.5, 0.4, 0.6])
    assert scoring.rank_ic(moments, said, y) == pytest.approx(1.0), "unmoved moments say nothing"
    assert scoring.rank_ic(moments, -said, y) == pytest.approx(-1.0)
    assert np.isnan(scoring.rank_ic(np.arange(9), said, y))


def test_pit_of_the_true_distribution_is_flat_and_a_narrow_one_has_high_ends():
    rng = np.random.default_rng(5)
    y, levels = rng.random((50_000, 1)), (0.05, 0.25, 0.5, 0.75, 0.95)
    flat = scoring.pit_density(y, np.tile(levels, (50_000, 1, 1)), levels)
    assert flat[0] == pytest.approx(np.ones(6), abs=0.08)
    narrow = scoring.pit_density(y, np.tile(0.5 + 0.5 * (np.array(levels) - 0.5), (50_000, 1, 1)), levels)
    assert narrow[0, 0] > 5
    assert narrow[0, -1] > 5


def test_crossings_are_counted():
    quantile = np.array([[[1.0, 2.0, 1.5], [1.0, 1.0, 1.0]]])
    assert scoring.crossings(quantile) == 1


def test_pinball_is_the_mean_quantile_score():
    """Oracle: scoringrules."""
    import scoringrules

    rng = np.random.default_rng(6)
    y, levels = rng.normal(size=(50, 2)), (0.1, 0.5, 0.9)
    quantile = np.sort(rng.normal(size=(50, 2, 3)), axis=-1)
    scores = [
        scoringrules.quantile_score(y, quantile[..., k], level, backend="numpy") for k, level in enumerate(levels)
    ]
    np.testing.assert_allclose(calibrate.pinball(y, quantile, levels), np.mean(scores, axis=0))


def test_lag_of_a_thinned_sample_covers_the_same_hours():
    rng = np.random.default_rng(7)
    known, difference = np.arange(2_000) * 4, rng.normal(0.1, 1.0, size=(2_000, 1))
    told = scoring.dm_by_horizon(known, difference, (24,), every_bars=4)
    assert told[0] == scoring.diebold_mariano(difference[:, 0], lag=max(5, int(4 * 20 ** (2 / 9))))


def test_calibration_of_a_fold_is_plain_data_over_horizons_and_regimes(world, bases):
    score = scoring.score({"model": bases["unconditional"]}, OuterSlice(world, makes.fold()))
    told = json.loads(json.dumps(asdict(score)))["calibration"]
    assert np.shape(told["pit_density"]) == (2, len(makes.LABELS.levels) + 1)
    assert np.shape(told["abstention"]) == (2, 10)
    assert np.shape(told["regime_coverage"]["0.8"]) == (2, scoring.NUM_REGIMES)
    assert sum(told["regime_origins"]) == score.origins
    assert all(sum(d["count"]) == score.origins for d in told["direction"])
    assert score.calibration.abstention[0][0] == score.hit_rate[0]


def test_regime_coverage_adds_up_to_the_whole(world, bases):
    score = scoring.score({"model": bases["volatility_scaled"]}, OuterSlice(world, makes.fold()))
    share = np.array(score.calibration.regime_origins) / score.origins
    for nominal, rows in score.calibration.regime_coverage.items():
        assert np.nansum(np.array(rows) * share, axis=1) == pytest.approx(score.coverage[nominal])


def test_symbol_unknown_before_the_slice_has_no_regime(world):
    late = replace(world[0], known_ts_ms=world[0].known_ts_ms + makes.fold().test[0])
    assert set(scoring.regimes(late, np.arange(50), makes.fold(), 0)) == {-1}
