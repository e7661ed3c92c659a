"""A fold as a trial: noted before it is fitted, and told with its error where it fails."""

from __future__ import annotations

import pytest
from ray.train.v2.api.exceptions import WorkerGroupError

from heliograph.cluster import fit
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError
from heliograph.train import ledger


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(var=tmp_path)


def test_fitted_fold_is_done_with_its_skill(settings, tmp_path, monkeypatch):
    told, seen = [], []

    def released(_, folder, index, as_of):
        seen.append([(t.told["run"], t.told["fold"], t.state) for t in ledger.read(settings)])
        return {"har": [1.5 + index]}

    monkeypatch.setattr(fit, "_released", released)
    monkeypatch.setattr(fit.tune, "report", told.append)
    fit.fit_fold({"fold": 1}, settings, tmp_path / "run", {"candles": 1})
    assert seen == [[("run", 1, "started")]]
    assert [t["skill_pct"] for t in told] == [{"har": [2.5]}]
    assert [(t.state, t.metrics, t.error) for t in ledger.read(settings)] == [
        ("done", {"skill_pct": {"har": [2.5]}}, "")
    ]


def test_fold_that_fails_is_told_with_the_sentence_of_its_worker(settings, tmp_path, monkeypatch):
    """What Ray Train raises carries the workers' tracebacks; the ledger keeps the last line of the first."""

    def broken(*_):
        story = "Traceback (most recent call last):\n  File …\nheliograph.core.errors.DataError: no finite window\n"
        raise WorkerGroupError(f"[Rank 0 Error Snippet]:\n{story}", {0: ValueError("x")})

    monkeypatch.setattr(fit, "_released", broken)
    with pytest.raises(WorkerGroupError):
        fit.fit_fold({"fold": 0}, settings, tmp_path / "run", {"candles": 1})
    told = ledger.read(settings)
    assert [(t.state, t.error) for t in told] == [("failed", "heliograph.core.errors.DataError: no finite window")]
    assert ledger.candidates(settings) == 1


def test_fold_that_is_fitted_again_is_another_trial_of_the_same_candidate(settings, tmp_path, monkeypatch):
    def refuse(*_):
        raise ConfigError("no rows")

    monkeypatch.setattr(fit, "_released", refuse)
    for _ in range(2):
        with pytest.raises(ConfigError):
            fit.fit_fold({"fold": 0}, settings, tmp_path / "run", {"candles": 1})
    assert [t.state for t in ledger.read(settings)] == ["failed", "failed"]
    assert ledger.candidates(settings) == 1
