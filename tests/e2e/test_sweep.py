"""A search: folds as trials under Optuna, judged on validation alone; the test slices are opened for the chosen one only."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from tests.e2e import searches

from heliograph.cluster import sweep
from heliograph.config.load import load
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.telemetry.progress import Quiet
from heliograph.train import ledger

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_session")]

SMALL = ("sweep.candidates=4", "train.folds_at_once=2")


@pytest.fixture(scope="module")
def searched(ray_session, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, sweep.SweepReport]:
    folder = tmp_path_factory.mktemp("search")
    searches.fill(folder / "lake")
    settings = searches.settings_of(folder / "var", folder / "lake", *SMALL)
    return settings, sweep.run(settings, Quiet())


def scores(settings: Settings) -> list[Path]:
    """A score is what an opened test slice leaves."""
    return sorted(settings.var.glob("models/*/*/score.json"))


def test_every_fold_of_every_candidate_is_a_trial_on_the_ledger(searched):
    settings, report = searched
    trials = ledger.read(settings)
    assert len(trials) == report.trials
    assert {t.state for t in trials} == {"done"}
    assert len({t.candidate for t in trials}) == report.candidates == 4
    ran = {(t.told["number"], t.told["fold"]) for t in trials}
    assert len(ran) == len(trials)
    assert {(number, 0) for number in range(4)} <= ran
    assert {number for number, fold in ran if fold == 1} >= {report.candidate}
    assert len(ran) == 8 - report.stopped
    assert set(report.best) == set(settings.sweep.space)
    assert report.skill_pct == report.value >= 0


def test_no_test_slice_is_opened_by_a_search(searched):
    settings, report = searched
    assert scores(settings) == []
    assert report.outer_skill_pct is None


def test_search_leaves_a_page_a_study_event_files_and_settings_to_train_with(searched):
    settings, report = searched
    assert Path(report.page).read_text().startswith("<!doctype html>")
    study = optuna.load_study(study_name=None, storage=report.study)
    assert len(study.trials) == 4
    assert study.best_value == pytest.approx(report.value)
    assert len(list(settings.var.glob("tune/*/candidate-*/events.out.tfevents.*"))) == report.trials
    chosen = load(Path(report.chosen), environ={})
    assert chosen.train.learning_rate == report.best["train.learning_rate"]
    assert chosen.labels.barrier_sigma == report.best["labels.barrier_sigma"]


def test_search_that_is_over_fits_nothing_again(searched):
    settings, report = searched
    assert sweep.run(settings, Quiet()) == report
    assert len(ledger.read(settings)) == report.trials


def test_space_that_names_no_setting_is_refused_before_anything_starts(searched):
    settings, report = searched
    space = {"model.widht": {"choices": [8, 16]}}
    wrong = settings.model_validate(settings.model_dump() | {"sweep": {"space": space}})
    with pytest.raises(ConfigError, match=r"model\.widht: there is no such setting; did you mean model\.width"):
        sweep.run(wrong, Quiet())
    assert len(ledger.read(settings)) == report.trials


def test_test_slices_are_opened_for_the_chosen_candidate_alone(searched):
    settings, report = searched
    asking = settings.model_copy(update={"sweep": settings.sweep.model_copy(update={"score_chosen": True})})
    opened = sweep.run(asking, Quiet())
    assert (opened.candidate, opened.value) == (report.candidate, report.value)
    assert set(opened.outer_skill_pct)
    assert len(scores(settings)) == 2
    assert len({path.parent.parent for path in scores(settings)}) == 1
    record = sweep.home(settings) / sweep.OPENED
    record.write_text('{"candidate": 99}')
    with pytest.raises(InvariantBroken, match="opened for candidate 99 of this search"):
        sweep.run(asking, Quiet())
