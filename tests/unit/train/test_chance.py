"""What chance alone does to calibration figures, when outcomes come in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from heliograph.train import chance, score

DAY_MS = 86_400_000


def a_sample(rng, *, days: int, each: int):
    """Probabilities that are true; all outcomes of a day are one and the same draw."""
    stated = np.repeat(rng.uniform(0.4, 0.6, days), each)
    came = np.repeat(rng.random(days), each) < stated
    return stated, came, np.repeat(np.arange(days) * DAY_MS, each)


def test_error_of_a_true_statement_is_what_chance_expects():
    rng = np.random.default_rng(0)
    seen, expected = [], []
    for _ in range(60):
        stated, came, known = a_sample(rng, days=700, each=5)
        seen.append(score.reliability(stated, came).error)
        block = chance.blocks(known, DAY_MS // 24)
        expected.append(chance.calibration_error(stated, came, score.width_class(stated), block))
    assert np.mean(expected) == pytest.approx(np.mean(seen), rel=0.15)


def test_outcomes_that_come_together_tell_less():
    rng = np.random.default_rng(1)
    alone, together = a_sample(rng, days=3_500, each=1), a_sample(rng, days=700, each=5)
    errors = [
        chance.calibration_error(s, c, score.width_class(s), chance.blocks(k, DAY_MS)) for s, c, k in (alone, together)
    ]
    assert errors[1] > 1.7 * errors[0]


def test_standard_error_of_a_mean_is_that_of_its_blocks():
    rng = np.random.default_rng(2)
    per_week = rng.normal(size=400)
    error = chance.standard_error(np.repeat(per_week, 7), np.repeat(np.arange(400), 7))
    assert error == pytest.approx(per_week.std() / 20, rel=0.1)


def test_blocks_are_weeks_or_four_labels():
    known = np.arange(0, 40 * DAY_MS, DAY_MS)
    assert np.unique(chance.blocks(known, DAY_MS)).size == 6
    assert np.unique(chance.blocks(known, 5 * DAY_MS)).size == 2


def test_nothing_said_is_not_a_number():
    none, no = np.empty(0), np.empty(0, dtype=np.int64)
    assert np.isnan(chance.calibration_error(none, none.astype(bool), no, no))
    assert np.isnan(chance.standard_error(none, no))
