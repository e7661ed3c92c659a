"""Walk-forward folds as Tune trials; inside each, Ray Train fits the network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own tables; the progress bar says the same in one line

import pyarrow.parquet as pq
import ray.train
from ray import tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from heliograph.cluster import fit_worker, strategy
from heliograph.cluster.trials import Curves, TrialsShown
from heliograph.config.settings import Settings
from heliograph.core.errors import HeliographError
from heliograph.lake import read
from heliograph.model.forecaster import save
from heliograph.telemetry.progress import Bar
from heliograph.train import dataset, fold, ledger, neural, origin, registry, release, score, selection
from heliograph.train.protocol import Task
from heliograph.windows.folds import Fold

DRIVER_CPUS = 0.1  # a trial only waits while its workers train
RESTARTS = 2


@dataclass(frozen=True, slots=True)
class FitReport:
    """What came of all folds.

    Attributes:
        folder: the run's: one folder a fold with ``model``, ``forecasts.parquet`` and ``score.json``.
        folds: every fold's score.
        skill_pct: per baseline and horizon (bars), over all folds.
        coverage_80: per horizon (bars), mean over folds.
        notes: what should be known of markets that were trained on, a sentence each.
    """

    folder: str
    data_version: int
    folds: list[dict[str, Any]]
    skill_pct: dict[str, dict[int, float]]
    coverage_80: dict[int, float]
    notes: tuple[str, ...] = ()


def run(settings: Settings, shown: Bar) -> FitReport:
    """Fit every fold that is not done yet, score all, and release the last fold's model.

    Raises:
        ConfigError: there is no GPU where one is asked for, or a fold can't be fitted with these settings.
        HeliographError: a fold failed; the others are kept, and the next run goes on from there.
    """
    strategy.require(settings.train, at_once=settings.train.workers)
    version = read.version(settings.lake)
    folder = settings.models_folder / f"{settings.fingerprint}-v{version}"
    as_of = origin.pinned(settings, folder, version)
    folds, notes = _looked_at(settings, as_of)
    pending = [f.index for f in folds if not (folder / f"fold-{f.index}" / "score.json").exists()]
    if pending:
        _fit(settings, folder, pending, shown, as_of=as_of)
    registry.release(settings, folder, folder / f"fold-{folds[-1].index}" / "model", data_version=version)
    return replace(report(folder, version, len(folds)), notes=notes)


def _looked_at(settings: Settings, as_of: Mapping[str, int]) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    data = dataset.read_symbols(settings, as_of=as_of)  # not held while folds are fitted
    return dataset.folds(settings, data), dataset.doubts(data, dataset.spec(settings))


def report(folder: Path, version: int, num_folds: int) -> FitReport:
    """Read the folds' scores back."""
    told = [json.loads((folder / f"fold-{k}" / "score.json").read_text()) for k in range(num_folds)]
    horizons = told[0]["horizons_bars"]
    weight = [t["origins"] for t in told]

    def pooled(name: str, h: int) -> float:
        return sum(float(w * t["pinball"][name][h]) for w, t in zip(weight, told, strict=True))

    return FitReport(
        folder=str(folder),
        data_version=version,
        folds=told,
        skill_pct={
            name: {bars: 100 * (1 - pooled(score.MODEL, h) / pooled(name, h)) for h, bars in enumerate(horizons)}
            for name in told[0]["skill_pct"]
        },
        coverage_80={bars: sum(t["coverage"]["0.8"][h] for t in told) / len(told) for h, bars in enumerate(horizons)},
    )


def _fit(settings: Settings, folder: Path, pending: Sequence[int], shown: Bar, *, as_of: Mapping[str, int]) -> None:
    trial = tune.with_parameters(fit_fold, settings=settings, folder=folder, as_of=as_of)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"CPU": DRIVER_CPUS}),
        param_space={"fold": tune.grid_search(list(pending))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=1 if settings.folds.warm_start else settings.train.folds_at_once,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(settings.var / "tune"),
            verbose=0,
            callbacks=[TrialsShown(shown, trials=len(pending), epochs=_epochs(settings)), Curves()],
        ),
    )
    failed = [r for r in tuner.fit() if r.error is not None]
    if failed:
        first = failed[0]
        if told := strategy.fault(first.error):
            told.add_note(
                f"in fold {first.config['fold']}, the first of {len(failed)} that failed; its log lies in {first.path}"
            )
            raise told
        *_, last = str(first.error).strip().splitlines()  # the rest is what Ray's processes called
        raise HeliographError(
            f"{len(failed)} of {len(pending)} folds failed; the first: {last}; its log lies in {first.path}"
        ) from first.error


def _trial_name(trial: Any) -> str:
    return f"fold-{trial.config['fold']}-{trial.trial_id}"


def fit_fold(config: dict[str, Any], settings: Settings, folder: Path, as_of: Mapping[str, int]) -> None:
    """One trial: fit one fold through Ray Train and make a release of it, open its outer slice once, and keep all of it."""
    index = int(config["fold"])
    noted = {"candidate": settings.fingerprint, "fold": index, "run": folder.name}
    with ledger.Running(settings, noted) as trial:
        skill_pct = _released(settings, folder, index, as_of)
        trial.end({"skill_pct": skill_pct})
    tune.report({"skill_pct": skill_pct, "epoch": _epochs(settings)})


def _released(settings: Settings, folder: Path, index: int, as_of: Mapping[str, int]) -> dict[str, Any]:
    """Of one fold; returns its skill, per baseline and horizon."""
    place = folder / f"fold-{index}"
    trainer = TorchTrainer(
        fit_worker.train,
        train_loop_config={
            "settings": settings,
            "as_of": dict(as_of),
            "fold": index,
            "place": place,
            "warm": folder / f"fold-{index - 1}" / "fit" / "best" if settings.folds.warm_start and index else None,
        },
        scaling_config=strategy.scaling(settings.train),
        run_config=ray.train.RunConfig(
            name=f"{folder.name}-fold-{index}",
            storage_path=str(settings.var / "train"),
            failure_config=ray.train.FailureConfig(max_failures=RESTARTS),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
            callbacks=[TuneReportCallback(), strategy.EndAtFault()],
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as e:
        raise strategy.fault(e) or e from None  # a worker's own sentence, not the page that Ray makes of it
    data = dataset.read_symbols(settings, as_of=as_of)
    chosen = dataset.folds(settings, data)[index]
    provenance = {"settings": settings.fingerprint, "run": folder.name, "fold": str(index)}
    task = Task(selection.inner(data, chosen), chosen, dataset.spec(settings), settings.train.seed, place)
    held = fold.finish(place / "fit" / "best", task.data, chosen, folder=place / "network", provenance=provenance)
    made = release.release(task, held, neural.recalibrated(place / "anew" / "best", held), settings.trees)
    outer = fold.OuterSlice(data, chosen)
    table, tracker = fold.forecasts(made.forecaster, outer, made.tracker)
    pq.write_table(table, place / "forecasts.parquet")
    rivals = release.rivals(task)
    told = asdict(score.score({score.MODEL: made.forecaster, **rivals}, outer, made.tracker))
    save(place / "model", made.forecaster, provenance=provenance, tracker=tracker)
    span = {"test_start_ms": chosen.test[0], "test_end_ms": chosen.test[1]}
    draft = place / "score.tmp"
    draft.write_text(json.dumps({**told, **span}))
    draft.replace(place / "score.json")
    skill_pct: dict[str, Any] = told["skill_pct"]
    return skill_pct


def _epochs(settings: Settings) -> int:
    """Of both fits, if the first one runs to its end."""
    return 2 * settings.train.epochs
