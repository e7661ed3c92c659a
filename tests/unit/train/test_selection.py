"""Who goes on, who is stopped, who is chosen: by outcomes alone, in whatever order they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.train import makes

from heliograph.config.learning import SweepSettings
from heliograph.train import selection
from heliograph.train.selection import Rules

rules_drawn = st.builds(
    Rules,
    candidates=st.integers(1, 14),
    folds=st.integers(1, 5),
    abreast=st.integers(1, 5),
    reduction=st.integers(2, 3),
    grace=st.integers(1, 4),
)


def play(rules: Rules, truth, *, workers: int, rng: np.random.Generator, kills: int = 0):
    """Run a search: up to so many folds at a time end in any order; a kill loses all folds under way."""
    outcomes: dict[tuple[int, int], float | None] = {}
    running: list[tuple[int, int]] = []
    drawn = 0
    while True:
        made = selection.standings(outcomes, drawn, rules)
        while selection.may_draw(made, rules):
            drawn += 1
            made = selection.standings(outcomes, drawn, rules)
        waiting = [job for job in selection.ready(made, outcomes) if job not in running]
        running += waiting[: workers - len(running)]
        if not running:
            return made, outcomes
        if kills and rng.random() < 0.2:
            running, kills = [], kills - 1
            continue
        job = running.pop(int(rng.integers(len(running))))
        outcomes[job] = truth(*job)


@given(rules=rules_drawn, seed=st.integers(0, 2**31))
def test_search_ends_the_same_for_any_workers_any_order_and_any_kills(rules: Rules, seed: int):
    table = np.random.default_rng(seed).normal(size=(rules.candidates, rules.folds)).round(1)

    def truth(candidate: int, fold: int) -> float | None:
        return None if table[candidate, fold] > 1.8 else float(table[candidate, fold])

    undisturbed, told = play(rules, truth, workers=1, rng=np.random.default_rng(0))
    for workers, kills in ((1, 3), (2, 0), (7, 5)):
        made, more = play(rules, truth, workers=workers, rng=np.random.default_rng(seed), kills=kills)
        assert [(s.state, s.values) for s in made] == [(s.state, s.values) for s in undisturbed]
        assert selection.best(made) == selection.best(undisturbed)
        # more workers begin some folds of a candidate that fails in another; none that a stop should have spared
        assert {job for job in more if made[job[0]].state != "failed"} == {
            job for job in told if undisturbed[job[0]].state != "failed"
        }


@given(rules=rules_drawn, seed=st.integers(0, 2**31))
def test_every_candidate_is_settled_in_the_end_and_the_best_ran_through_all_folds(rules: Rules, seed: int):
    table = np.random.default_rng(seed).normal(size=(rules.candidates, rules.folds))
    made, outcomes = play(rules, lambda c, f: float(table[c, f]), workers=3, rng=np.random.default_rng(seed))
    assert len(made) == rules.candidates
    assert all(s.is_settled for s in made)
    best = selection.best(made)
    assert best is not None
    assert len(best.values) == rules.folds
    assert len(outcomes) == sum(len(s.values) for s in made)


def test_candidate_whose_first_fold_is_clearly_worse_is_never_fitted_on_its_later_folds():
    rules = Rules(candidates=8, folds=3, abreast=1, reduction=2, grace=4)

    def truth(candidate: int, fold: int) -> float:
        return -5.0 if candidate == 6 else float(candidate)

    made, outcomes = play(rules, truth, workers=2, rng=np.random.default_rng(1))
    assert made[6].state == "stopped"
    assert (6, 0) in outcomes
    assert (6, 1) not in outcomes
    assert selection.best(made).number == 7


def test_nobody_is_stopped_before_enough_have_reached_the_rung():
    rules = Rules(candidates=3, folds=2, abreast=1, reduction=2, grace=4)
    made, _ = play(rules, lambda c, _: -float(c), workers=1, rng=np.random.default_rng(0))
    assert {s.state for s in made} == {"done"}


def test_equals_stop_nobody():
    rules = Rules(candidates=9, folds=2, abreast=2, reduction=3, grace=1)
    made, _ = play(rules, lambda *_: 0.0, workers=2, rng=np.random.default_rng(0))
    assert {s.state for s in made} == {"done"}
    assert selection.best(made).number == 0


def test_candidate_that_can_not_be_fitted_is_out_and_nobody_is_measured_against_it():
    rules = Rules(candidates=3, folds=2, abreast=1, reduction=2, grace=2)
    made, _ = play(rules, lambda c, _: None if c == 1 else -float(c), workers=1, rng=np.random.default_rng(0))
    assert [s.state for s in made] == ["done", "failed", "stopped"]


def test_rules_are_those_of_the_settings():
    settings = SweepSettings(candidates=5, abreast=2, reduction=3, grace=6)
    assert Rules.of(settings, 9) == Rules(5, 9, 2, 3, 6)
    assert Rules.of(settings, 9).rungs == (1, 3)
    assert Rules.of(settings, 1).rungs == ()


@pytest.mark.parametrize("kind", ["volatility", "walk"])
def test_inner_data_ends_before_the_test_slice_and_so_do_its_labels(kind: str):
    fold = makes.fold()
    for whole, past in zip(makes.world(kind), selection.inner(makes.world(kind), fold), strict=True):
        assert past.known_ts_ms.size < whole.known_ts_ms.size
        assert int(past.known_ts_ms.max()) < fold.test[0]
        known = np.isfinite(past.log_return_NH)
        assert int(past.end_ts_ms_NH[known].max()) <= fold.test[0]
        assert (past.setup_NH[past.end_ts_ms_NH > fold.test[0]] == -1).all()
        for array in (past.x_NF, past.close, past.log_return_NH, past.setup_NH):
            assert array.shape[0] == past.known_ts_ms.size


def test_folds_that_a_candidate_may_use_lie_within_the_inner_data_alone():
    """Another future, from the test slice on, gives the same inner data, bit for bit."""
    fold, other = makes.fold(), makes.world("volatility")
    for symbol in other:
        late = symbol.known_ts_ms >= fold.test[0]
        symbol.x_NF[late] += 1.0
        symbol.close[late] *= 2.0
        symbol.log_return_NH[symbol.end_ts_ms_NH > fold.test[0]] = 7.0
        symbol.setup_NH[symbol.end_ts_ms_NH > fold.test[0]] = 2
    for a, b in zip(selection.inner(makes.world("volatility"), fold), selection.inner(other, fold), strict=True):
        for name in ("known_ts_ms", "close", "x_NF", "log_return_NH", "setup_NH"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
