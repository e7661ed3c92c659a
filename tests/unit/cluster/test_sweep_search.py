"""What Tune is told to fit next: drawn by Optuna from outcomes alone, resumed from the folder."""

from __future__ import annotations

import os
from math import log10
from statistics import median

import optuna
import pytest

from heliograph.cluster import draw, sweep
from heliograph.cluster.sweep import FoldSearch
from heliograph.config.learning import Range, SweepSettings
from heliograph.config.settings import Settings
from heliograph.core.errors import HeliographError
from heliograph.train import outcomes, selection, space
from heliograph.train.outcomes import Outcome
from heliograph.train.selection import Rules

SPACE = {
    "train.learning_rate": Range(low=1e-4, high=1e-1, log=True),
    "model.lstm_layers": Range(low=1, high=3),
    "features.names": Range(choices=(["core"], ["core", "har_*"])),
}
RULES = Rules(candidates=12, folds=3, abreast=3, reduction=2, grace=3)


@pytest.fixture
def settings(tmp_path):
    return Settings(var=tmp_path, sweep=SweepSettings(space=SPACE, candidates=12, abreast=3, grace=3, startup=4))


def begin(settings, folder=None, rules=RULES) -> FoldSearch:
    return FoldSearch(space.read(settings), settings, rules, folder or settings.var / "search")


def off(point) -> float:
    """Decades from the best learning rate."""
    return abs(log10(point["train.learning_rate"]) + 2)


def truth(job) -> float:
    """Best near a learning rate of 1e-2, worse with every layer; the folds differ a little."""
    return -off(job) - 0.1 * job["model.lstm_layers"] + 0.01 * job["fold"]


def note(search: FoldSearch, trial: str, job, value) -> None:
    outcomes.write_fold(search.folder, job["candidate"], job["fold"], Outcome(value, "" if value else "broke", {}, 1.0))
    search.on_trial_complete(trial)


def finish(search: FoldSearch, workers: int = 1, *, until: int = 10**6) -> FoldSearch:
    """Run the search; with several workers the newest fold ends first."""
    running, done = [], 0
    while done < until:
        while len(running) < workers and isinstance(job := search.suggest(f"t{done}-{len(running)}"), dict):
            running.append((f"t{done}-{len(running)}", job))
        if not running:
            break
        trial, job = running.pop()
        note(search, trial, job, truth(job))
        done += 1
    return search


def test_search_killed_anywhere_goes_on_from_its_folder_to_the_same_end(settings, tmp_path):
    whole = finish(begin(settings, tmp_path / "whole"))
    for workers, cuts in ((1, (3, 4)), (3, (5, 1))):
        folder = tmp_path / f"cut-{workers}"
        for cut in cuts:
            finish(begin(settings, folder), workers, until=cut)
        again = finish(begin(settings, folder), workers)
        assert again.points == whole.points
        assert again.standings == whole.standings
        assert again.is_over
        assert again.suggest("more") == "FINISHED"


def test_first_candidate_is_what_stands_in_the_settings(settings):
    search = begin(settings)
    job = search.suggest("t")
    assert job["train.learning_rate"] == settings.train.learning_rate
    assert job["features.names"] == ["core"]


def test_more_candidates_go_on_where_the_search_ended(settings):
    few = finish(begin(settings, rules=Rules(6, 3, 3, 2, 3)))
    more = finish(begin(settings))
    assert more.points[:6] == few.points
    assert len(more.points) == 12
    assert begin(settings, rules=Rules(6, 3, 3, 2, 3)).is_over


def test_estimator_learns_where_the_good_ones_lie(settings):
    settings = settings.model_copy(update={"sweep": settings.sweep.model_copy(update={"startup": 10})})
    search = finish(begin(settings, rules=Rules(40, 1, 1, 2, 3)))
    told = [off(p) for p in search.points]
    assert median(told[-10:]) < 0.7 * median(told[1:11])


def test_fold_that_broke_without_an_outcome_ends_the_run_and_says_how_to_go_on(settings):
    search = begin(settings)
    for attempt in range(sweep.RESTARTS + 1):
        job = search.suggest(f"a{attempt}")
        assert (job["candidate"], job["fold"]) == (0, 0)
        search.on_trial_complete(f"a{attempt}", error=True)
    assert search.suggest("b") == "FINISHED"
    with pytest.raises(HeliographError, match=r"fold 0 of candidate 0 broke .* goes on from there"):
        search.close("Made up.")


def test_fold_whose_process_died_is_given_again(settings):
    search = begin(settings)
    first = search.suggest("a")
    search.on_trial_complete("a", error=True)
    assert search.suggest("b") == first
    note(search, "b", first, truth(first))
    finish(search)
    assert search.standings == finish(begin(settings, settings.var / "other")).standings


def test_candidate_whose_values_contradict_each_other_fails_without_a_trial(tmp_path):
    contradicting = {"model.width": Range(choices=(18, 22))}
    settings = Settings(var=tmp_path, sweep=SweepSettings(space=contradicting, candidates=2, abreast=1))
    search = begin(settings, rules=Rules(2, 2, 1, 2, 3))
    assert search.suggest("t") == "FINISHED"
    assert {s.state for s in search.standings} == {"failed"}
    with pytest.raises(HeliographError, match=r"no candidate ran through all folds.*multiple of attention_heads"):
        search.close("Made up.")


def test_study_holds_every_settled_candidate_once_for_the_dashboard(settings, monkeypatch):
    search = finish(begin(settings))
    monkeypatch.setattr(sweep.ledger, "candidates", lambda _: 12)
    best = search.close("Made up.")
    assert search.close("Made up.") == best
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{settings.var / 'search' / sweep.STUDY}")
    assert study.best_trial.user_attrs["candidate"] == best.number
    assert study.best_value == pytest.approx(best.value)
    assert len(study.trials) == 12
    states = {t.user_attrs["candidate"]: t.state.name for t in study.trials}
    told = {"done": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
    assert states == {s.number: told[s.state] for s in search.standings}
    assert (settings.var / "search" / sweep.PAGE).exists()
    study._storage.remove_session()


def test_study_tells_what_every_figure_of_the_dashboard_needs(settings):
    """Stopped candidates had no value, and all of them the moment at which the study was written: its figures were empty."""
    folder = settings.var / "search"
    search = finish(begin(settings, folder))
    for number in range(12):
        os.utime(folder / f"candidate-{number:04d}" / "point.json", (1_700_000_000 + number,) * 2)
        for path in (folder / f"candidate-{number:04d}").glob("fold-*.json"):
            os.utime(path, (1_700_000_060 + number,) * 2)
    draw.keep(folder / sweep.STUDY, "search", search._axes, search.points, search.standings)
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / sweep.STUDY}")
    assert study.metric_names == [draw.METRIC]
    assert {s.state for s in search.standings} == {"done", "stopped"}
    for trial, standing in zip(study.trials, search.standings, strict=True):
        assert trial.value == pytest.approx(standing.value)
        assert [trial.user_attrs[f"fold {k}"] for k in trial.intermediate_values] == list(standing.values)
        assert trial.intermediate_values[len(standing.values)] == pytest.approx(standing.value)
        assert trial.datetime_start.timestamp() == 1_700_000_000 + standing.number
        assert trial.duration.total_seconds() == 60
    assert study.best_trial.number == selection.best(search.standings).number
    study._storage.remove_session()


def test_importance_names_the_setting_that_decides(settings):
    search = finish(begin(settings, rules=Rules(30, 1, 3, 2, 3)))
    first = {s.number: s.values[0] for s in search.standings}
    shares = draw.importance(search._axes, search.points, first)
    assert max(shares, key=shares.get) == "train.learning_rate"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert draw.importance(search._axes, search.points, dict(list(first.items())[:3])) == {}


def test_same_arguments_draw_the_same_point(settings):
    search = finish(begin(settings))
    known = selection.known_to(search.standings[:9], RULES)
    drawn = [draw.draw(search._axes, search.points[:9], known, seed=3, startup=4) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != draw.draw(search._axes, search.points[:9], known, seed=4, startup=4)
