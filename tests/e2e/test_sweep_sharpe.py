"""Risk settings are searched by what they earn on the inner validation: another size, another Sharpe ratio, the same skill."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.e2e import searches

from heliograph.cluster import judge, sweep
from heliograph.cluster.trials import SKILL, VALUE
from heliograph.train import dataset, selection, space

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

SPACE = "{risk.kelly_fraction: {low: 0.05, high: 1.0}, risk.min_confidence: {choices: [0.0, 0.5]}, model.dropout: {low: 0.0, high: 0.3}}"


def test_risk_settings_change_the_sharpe_ratio_and_not_the_skill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(judge.tune, "report", lambda *_: None)
    searches.fill(tmp_path / "lake")
    settings = searches.settings_of(
        tmp_path / "var", tmp_path / "lake", f"sweep.space={SPACE}", "sweep.objective=sharpe"
    )
    fold = sweep.plan_folds(settings, space.read(settings))[0]
    told = []
    for kelly in (0.05, 1.0):
        candidate = space.candidate(settings, {"risk.kelly_fraction": kelly})
        past = selection.inner(dataset.read_symbols(candidate), fold)
        told.append(judge.value(candidate, past, fold, tmp_path / f"fit-{kelly}"))
    assert told[0][SKILL] == told[1][SKILL]
    assert all(math.isfinite(t[VALUE]) and t[VALUE] == t["sharpe"] for t in told)
    assert told[0][VALUE] != told[1][VALUE]
