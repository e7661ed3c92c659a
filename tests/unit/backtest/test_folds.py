"""Fold scores as training writes them, and what they say together."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest
from tests.unit.backtest.scores import score

from heliograph.backtest import folds
from heliograph.core.errors import SchemaMismatch
from heliograph.train.score import FoldScore


def test_the_training_run_s_own_score_can_be_read() -> None:
    own = FoldScore(**{k: v for k, v in score(0).items() if not k.startswith("test_")})
    (fold,) = folds.read([asdict(own) | {"test_start_ms": 1, "test_end_ms": 2}])
    assert (fold.coverage_80, fold.coverage_95) == ((0.79, 0.81), (0.95, 0.94))


def test_a_score_that_went_through_json_reads_the_same() -> None:
    there_and_back = json.loads(json.dumps(score(0)))
    assert folds.together(folds.read([there_and_back])) == folds.together(folds.read([score(0)]))


def test_skill_over_folds_pools_losses_before_comparing() -> None:
    light = score(0, loss=(1.0, 1.0), origins=100)
    heavy = score(1, loss=(9.0, 9.0), origins=300)
    skill, *_ = folds.together(folds.read([light, heavy]))
    assert skill.skill_pct == pytest.approx(100 * (1 - (100 * 1 + 300 * 9) / (400 * 10)))


def test_t_values_combine_over_folds_and_missing_ones_do_not_count() -> None:
    assert folds.combined_t([3.0, -1.0]) == pytest.approx(2 / math.sqrt(2))
    assert math.isnan(folds.combined_t([math.nan]))


def test_skill_is_shown_only_when_positive_and_beyond_chance() -> None:
    shown = [folds.Skill("b", 1, s, t).is_shown for s, t in ((1, 2), (1, 1.9), (-1, -5), (1, math.nan))]
    assert shown == [True, False, False, False]


def test_folds_come_in_the_order_of_their_slices() -> None:
    assert [f.fold for f in folds.read([score(1), score(0)])] == [0, 1]


def test_a_score_without_a_field_or_of_other_horizons_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="test_start_ms"):
        folds.read([{k: v for k, v in score(0).items() if k != "test_start_ms"}])
    with pytest.raises(SchemaMismatch, match=r"0\.95"):
        folds.read([score(0) | {"coverage": {0.8: (0.8, 0.8)}}])
    with pytest.raises(SchemaMismatch, match="different horizons"):
        folds.read([score(0), score(1) | {"horizons_bars": (1, 12)}])


def test_no_fold_says_nothing() -> None:
    assert folds.together(folds.read([])) == ()


def test_calibrations_of_folds_are_weighed_by_their_origins() -> None:
    light, heavy = score(0, origins=100), score(1, origins=300)
    heavy["calibration"] = heavy["calibration"] | {
        "abstention": ((0.6,) * 10,) * 2,
        "regime_coverage": {0.8: ((0.9, math.nan, 0.9),) * 2, 0.95: ((1.0, 1.0, 1.0),) * 2},
        "regime_origins": (100, 0, 200),
    }
    told = folds.calibrated(folds.read([light, heavy]))
    assert told is not None
    assert told.abstention[0, 0] == pytest.approx((100 * 0.5 + 300 * 0.6) / 400)
    assert told.regime_80[0].tolist() == pytest.approx([(0.79 + 0.9) / 2, 0.8, (40 * 0.82 + 200 * 0.9) / 240])
    assert told.count[0].tolist() == [40.0] * 10
    assert told.direction_ece == pytest.approx((0.004, 0.006))


def test_scores_of_older_versions_have_no_calibration() -> None:
    old = {k: v for k, v in score(0).items() if k != "calibration"}
    assert folds.calibrated(folds.read([old])) is None
    assert folds.calibrated(folds.read([old, score(1)])) is None
    assert folds.calibrated(()) is None
