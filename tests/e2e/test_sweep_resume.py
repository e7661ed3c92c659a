"""A search is killed: its driver, then a worker of the next run; it ends where nothing disturbs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e import searches

from heliograph.cluster import judge, sweep
from heliograph.cluster.sweep import FoldSearch
from heliograph.cluster.trials import VALUE
from heliograph.config.settings import Settings
from heliograph.train import dataset, ledger, outcomes, selection, space
from heliograph.train.outcomes import Outcome
from heliograph.train.selection import Rules

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300
SMALL = ("sweep.candidates=4",)
AGENTS = ("DashboardAgent", "RuntimeEnvAgent")
"""Of Ray: they outlive a killed driver by a minute, looking for their cluster, and run nothing of ours."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched") / "lake"
    searches.fill(folder)
    return folder


def alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FoldSearch:
    """The search that nothing disturbs: one fold after the other, in this process, without Ray."""
    monkeypatch.setattr(judge.tune, "report", lambda *_: None)
    axes = space.read(settings)
    folds = sweep.plan_folds(settings, axes)
    folder = sweep.home(settings)
    search = FoldSearch(axes, settings, Rules.of(settings.sweep, len(folds)), folder)
    while isinstance(job := search.suggest("only"), dict):
        candidate = space.candidate(settings, {n: v for n, v in job.items() if n not in ("candidate", "fold")})
        past = selection.inner(dataset.read_symbols(candidate), folds[job["fold"]])
        told = judge.value(candidate, past, folds[job["fold"]], folder / "fit")
        outcomes.write_fold(folder, job["candidate"], job["fold"], Outcome(told[VALUE], "", {}, 0.0))
        search.on_trial_complete("only")
    return search


def begin(var: Path, lake: Path, kind: str = "alone") -> subprocess.Popen[str]:
    """A driver of its own, with its own Ray."""
    env = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    env.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "tests.e2e.searches", kind, str(var), str(lake), *SMALL]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(answer: Callable[[], Any], driver: subprocess.Popen[str]) -> Any:
    """What ``answer`` says as soon as it says something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if said := answer():
            return said
        with suppress(subprocess.TimeoutExpired):
            driver.wait(timeout=0.2)
            pytest.fail(f"the driver ended first: {driver.communicate()[1][-3_000:]}")
    driver.kill()
    pytest.fail(f"not in time: {driver.communicate()[1][-3_000:]}")


def started(settings: Settings) -> int:
    return len(ledger.read(settings))


def runs(process: psutil.Process, names: Sequence[str]) -> bool:
    """Whether its command line has one of the names; False where it is gone."""
    with suppress(psutil.NoSuchProcess):
        return any(name in word for name in names for word in process.cmdline())
    return False


def trial_worker(driver: subprocess.Popen[str]) -> psutil.Process | None:
    """A process that runs a trial now."""
    family = psutil.Process(driver.pid).children(recursive=True)
    return next((process for process in family if runs(process, ("ImplicitFunc",))), None)


@pytest.fixture(scope="module")
def undisturbed(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> FoldSearch:
    with pytest.MonkeyPatch.context() as patch:
        return alone(searches.settings_of(tmp_path_factory.mktemp("alone"), lake, *SMALL), patch)


def same_end(told: str, folder: Path, undisturbed: FoldSearch) -> None:
    """To the last bit, in every fold of every candidate."""
    report = json.loads(
        next(line for line in told.splitlines() if line.startswith("{"))
    )  # Ray tells of nodes beside it
    best = selection.best(undisturbed.standings)
    assert (report["candidate"], report["value"]) == (best.number, best.value)
    points, record = outcomes.read(folder)
    assert points == undisturbed.points
    assert {key: r.value for key, r in record.items()} == {key: r.value for key, r in undisturbed.record.items()}


def test_killed_driver_and_worker_end_at_the_same_best_candidate(lake: Path, tmp_path: Path, undisturbed: FoldSearch):
    settings = searches.settings_of(tmp_path, lake, *SMALL)
    folder = sweep.home(settings)
    driver = begin(tmp_path, lake)
    until(lambda: outcomes.read(folder)[1], driver)
    family = [p for p in psutil.Process(driver.pid).children(recursive=True) if not runs(p, AGENTS)]
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert psutil.wait_procs(family, timeout=60)[1] == []
    kept = outcomes.read(folder)[1]
    assert kept

    driver = begin(tmp_path, lake)
    before = started(settings)
    worker = until(lambda: started(settings) > before and trial_worker(driver), driver)
    worker.kill()
    told, complaint = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, complaint[-3_000:]
    same_end(told, folder, undisturbed)
    record = outcomes.read(folder)[1]
    assert {key: record[key].took_s for key in kept} == {key: r.took_s for key, r in kept.items()}  # nothing twice
    assert started(settings) > len(record)  # the killed one is on the ledger too


def test_lost_node_ends_at_the_same_best_candidate(lake: Path, tmp_path: Path, undisturbed: FoldSearch):
    settings = searches.settings_of(tmp_path, lake, *SMALL)
    driver = begin(tmp_path, lake, "nodes")
    told, complaint = driver.communicate(timeout=2 * PATIENCE_S)
    assert driver.returncode == 0, complaint[-3_000:]
    folder = sweep.home(settings)
    assert (folder / "lost").exists()
    same_end(told, folder, undisturbed)
