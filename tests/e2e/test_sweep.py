"""A sweep: folds as trials under Optuna, judged on validation alone, every trial in the ledger."""

from __future__ import annotations

import json

import pytest
from tests.e2e.conftest import Told
from tests.e2e.world import TINY

from heliograph.cluster import sweep
from heliograph.config.load import load
from heliograph.telemetry.progress import Quiet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_every_fold_of_every_candidate_is_a_trial_and_no_outer_slice_is_opened(told: Told):
    small = ["sweep.trials=2", "sweep.widths=[8, 16]", "train.epochs=1", "train.folds_at_once=2"]
    settings = load(TINY, [f"var={told.var}", f"lake.uri={told.var / 'lake'}", *small], environ={})
    before = (told.var / "trials.jsonl").read_text().splitlines()
    scores = sorted(told.var.glob("models/*/*/score.json"))
    report = sweep.run(settings, Quiet())
    trials = [json.loads(line) for line in (told.var / "trials.jsonl").read_text().splitlines()[len(before) :]]
    assert len(trials) == report.trials == 4
    assert sorted(t["fold"] for t in trials) == [0, 0, 1, 1]
    assert len({t["candidate"] for t in trials}) == 2
    assert set(report.best) == {"learning_rate", "width", "dropout"}
    assert report.skill_pct >= 0
    assert sorted(told.var.glob("models/*/*/score.json")) == scores
