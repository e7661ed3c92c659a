"""Law no look-ahead for a search: no trial receives a row, or a label, of a test slice, whatever stands in it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.cluster import judge
from heliograph.config.learning import SweepSettings
from heliograph.config.settings import RiskSettings, Settings
from heliograph.core.errors import ConfigError, CorruptPart, DataError, InvariantBroken
from heliograph.train import ledger, outcomes

FOLDS = (makes.fold(),)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        var=tmp_path,
        labels=makes.LABELS,
        model=makes.MODEL,
        train=makes.TRAIN.model_copy(update={"epochs": 1}),
        risk=RiskSettings(horizon_bars=4),
        sweep=SweepSettings(),
    )


@pytest.fixture
def run(settings, tmp_path, monkeypatch):
    """Run one trial on a market; gives what the fit was handed and the outcome that was noted."""
    fit = judge.loop.fit

    def once(data, name: str = "a"):
        handed = []

        def watched(train, fold, **rest):
            handed.extend(train)
            return fit(train, fold, **rest)

        monkeypatch.setattr(judge.loop, "fit", watched)
        monkeypatch.setattr(judge.dataset, "read_symbols", lambda _: data)
        monkeypatch.setattr(judge.dataset, "spec", lambda _: makes.spec())
        monkeypatch.setattr(judge.tune, "report", lambda *_: None)
        point = {"train.learning_rate": 5e-3}
        judge.trial({"candidate": 0, "fold": 0, **point}, settings, FOLDS, tmp_path / name)
        return handed, outcomes.read_fold(tmp_path / name, 0, 0)

    return once


def another_future():
    """The same market up to the test slice, and something else from there on."""
    data = makes.world("volatility")
    start_ms = FOLDS[0].test[0]
    for symbol in data:
        late = symbol.known_ts_ms >= start_ms
        symbol.x_NF[late] = np.nan
        symbol.close[late] *= 3.0
        symbol.log_return_NH[symbol.end_ts_ms_NH > start_ms] = 9.0
        symbol.setup_NH[symbol.end_ts_ms_NH > start_ms] = 2
    return data


def test_trial_receives_no_row_and_no_label_of_the_test_slice(run):
    handed, _ = run(makes.world("volatility"))
    assert len(handed) == 2
    for symbol in handed:
        assert int(symbol.known_ts_ms.max()) < FOLDS[0].test[0]
        assert int(symbol.end_ts_ms_NH[np.isfinite(symbol.log_return_NH)].max()) <= FOLDS[0].test[0]


def test_another_future_gives_the_same_value_to_the_last_bit(run):
    _, outcome = run(makes.world("volatility"))
    _, other = run(another_future(), "b")
    assert outcome.value == other.value
    assert outcome.metrics == other.metrics


def test_trial_is_on_the_ledger_before_it_is_fitted_and_its_end_afterwards(run, settings, monkeypatch):
    seen = []
    monkeypatch.setattr(judge, "value", lambda *_: seen.append(ledger.read(settings)) or {judge.VALUE: 1.0})
    run(makes.world("walk"))
    assert [(t.told["fold"], t.told["number"], t.state) for t in seen[0]] == [(0, 0, "started")]
    assert [t.state for t in ledger.read(settings)] == ["done"]


@pytest.mark.parametrize("kind", [ConfigError, DataError, InvariantBroken])
def test_settings_that_can_not_be_fitted_are_an_outcome(run, settings, monkeypatch, kind):
    def refuse(*_):
        raise kind("too few windows")

    monkeypatch.setattr(judge, "value", refuse)
    _, outcome = run(makes.world("walk"))
    assert (outcome.value, outcome.error) == (None, "too few windows")
    assert [(t.state, t.error) for t in ledger.read(settings)] == [("failed", "too few windows")]


def test_torn_part_of_the_lake_is_no_outcome_of_a_candidate(run, settings, monkeypatch):
    def refuse(*_):
        raise CorruptPart("torn")

    monkeypatch.setattr(judge, "value", refuse)
    with pytest.raises(CorruptPart, match="torn"):
        run(makes.world("walk"))
    assert [t.state for t in ledger.read(settings)] == ["failed"]
