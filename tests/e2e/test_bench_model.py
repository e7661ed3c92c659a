"""The scoring protocol on little: three symbols, one refit. Honest order of the forecasters, and cones that hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.bench import model

from heliograph.train import fits, score, tables

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def told(shared_data: Path):
    """The run, what was said at its origins, and its skill table."""
    command = ["--quick", "--candles", str(shared_data / "candles" / "binance")]
    run = model.quick(model.arguments().parse_args(command))
    outcome = model.measure(run)
    return run, outcome, tables.skill(outcome, run.spec, every_bars=run.plan.every_bars)


def test_volatility_is_known_better_by_har_than_by_history_or_by_ewma(told):
    rows = [r for r in told[2] if r.forecaster == tables.HAR]
    assert all(r.vs_uncond_pct > 3.0 for r in rows)
    assert all(r.vs_ewma_pct > 0.0 for r in rows)


def test_nothing_is_far_from_har_and_nothing_is_too_good_to_be_true(told):
    """Two years of three symbols teach next to nothing beyond volatility; thirty per cent better would be a leak."""
    for name in (fits.ENSEMBLE, fits.RELEASED):
        skill = [r.vs_har_pct for r in told[2] if r.forecaster == name]
        assert np.mean(skill) > -0.2
        assert max(skill) < 3.0


def test_no_forecaster_crosses(told):
    assert {name: score.crossings(said.quantile_NHQ) for name, said in told[1].said.items()} == dict.fromkeys(
        told[1].said, 0
    )


def test_released_cones_hold_what_they_promise(told):
    run, outcome, _ = told
    by_horizon, every = tables.cover(outcome.truth, outcome.said[fits.RELEASED], run.spec.levels)
    assert every.cov80["all"] == pytest.approx(0.80, abs=0.03)
    assert every.cov95["all"] == pytest.approx(0.95, abs=0.02)
    assert all(abs(c.cov80["all"] - 0.80) < 0.05 for c in by_horizon)


def test_every_table_has_its_lines(told):
    run, outcome, _ = told
    lines = model.lines(outcome, run)
    counts = {check: sum(c == check for c, _ in lines) for check, _ in lines}
    horizons = len(run.spec.horizons_bars)
    assert counts == {
        "skill": horizons * len(outcome.said),
        "ablation": horizons,
        "calibration": horizons + 1,
        "confidence": horizons,
    }


def test_folder_without_candles_is_refused_in_words(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.model", "--quick", "--candles", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "has no 1h candles of BTC/USDT" in done.stderr
