"""A search on two and on four logical workers: the time that a slot stands idle between trials, which no fold pays for.

Two cores can't show four workers computing. What can be shown on any machine is what Tune, the search and the ledger add
to a trial, because that alone keeps four workers from being twice two: trials that do nothing are run, and

    efficiency(d) = (d + idle with 2) / (d + idle with 4)

for folds of d seconds. ``fold_s`` is what a fold of the default settings takes on one core of this machine, out of one
epoch on a planted market; ``least_fold_s`` is the shortest fold at which the efficiency is still 0.85.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ray import tune
from tests.bench.measure import report
from tests.unit.train import makes

from heliograph.cluster import judge, sweep
from heliograph.cluster.session import session
from heliograph.cluster.trials import VALUE
from heliograph.config.learning import ModelSettings, SweepSettings, TrainSettings
from heliograph.config.settings import LakeSettings, Settings
from heliograph.telemetry.progress import Quiet
from heliograph.train import ledger, loop, outcomes, pool, space
from heliograph.train.outcomes import Outcome
from heliograph.train.selection import Rules
from heliograph.windows.folds import Fold

FOLDS = (makes.fold(index=0), makes.fold(index=1))
WANTED = 0.85


def nothing(config: dict[str, Any], settings: Settings, folds: Sequence[Fold], folder: Path) -> None:
    """A trial but for its fold."""
    began_s = time.time()
    number, fold = int(config["candidate"]), int(config["fold"])
    entry = ledger.start(settings, {"candidate": str(number), "fold": fold, "run": folder.name})
    ledger.end(settings, entry, {})
    outcome = Outcome(float(number % 7), "", {"began_s": began_s, "ended_s": time.time()}, 0.0)
    outcomes.write_fold(folder, number, fold, outcome)
    tune.report({VALUE: outcome.value, "epoch": 1})


def idle_s(workers: int, trials: int) -> float:
    """Seconds that a slot stands idle a trial; the processes' start is not counted."""
    candidates = trials // len(FOLDS)
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(
            var=Path(name),
            lake=LakeSettings(uri=f"{name}/lake"),
            train=TrainSettings(folds_at_once=workers),
            sweep=SweepSettings(candidates=candidates, abreast=4 * workers, grace=10**6, startup=4),
        )
        folder = Path(name) / "search"
        rules = Rules.of(settings.sweep, len(FOLDS))
        search = sweep.FoldSearch(space.read(settings), settings, rules, folder)
        sweep.fit_folds(settings, FOLDS, search, Quiet())
        spans = sorted((told.metrics["began_s"], told.metrics["ended_s"]) for told in search.record.values())
    warm = spans[workers:]  # the first of each slot waits for its process
    wall_s = max(end for _, end in warm) - warm[0][0]
    return max(0.0, (workers * wall_s - sum(end - begin for begin, end in warm)) / len(warm))


def fold_s() -> float:
    """CPU seconds of a fold with the default settings."""
    settings, model = TrainSettings(), ModelSettings()
    data, fold = makes.world("volatility", num=6_000), makes.fold(6_000)
    some = settings.model_copy(update={"epochs": 1})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        spec = pool.spec_of(makes.NAMES, makes.LABELS, model)
        loop.fit(data, fold, spec=spec, model=model, settings=some, folder=Path(folder))
        return settings.epochs * (time.process_time() - start)


def main(trials: int = 40) -> None:
    """One line."""
    judge.trial = nothing
    with session():
        two, four = (idle_s(workers, trials) for workers in (2, 4))
    whole = fold_s()
    report(
        "sweep_scaling",
        trials=trials,
        idle_s_2=two,
        idle_s_4=four,
        fold_s=whole,
        efficiency_2_to_4=(whole + two) / (whole + four),
        least_fold_s=max(0.0, (WANTED * four - two) / (1 - WANTED)),
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
