"""Search over model settings with Optuna; every fold of every candidate is a Tune trial, judged on validation alone."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own tables; the progress bar says the same in one line

import optuna
from ray import tune
from ray.tune.search import Repeater
from ray.tune.search.optuna import OptunaSearch

from heliograph.cluster.fit import plan_folds
from heliograph.cluster.trials import SKILL, TrialsShown
from heliograph.config.settings import Settings
from heliograph.core.errors import HeliographError
from heliograph.telemetry.progress import Bar
from heliograph.train import dataset, ledger, loop

TRIAL_INDEX = "__trial_index__"  # Repeater's name for the number of the repetition: here, the fold


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The best candidate: pass its settings to `helio train --set …`.

    Attributes:
        skill_pct: its mean skill over folds on the inner validation slices, against the volatility-scaled baseline.
        candidates: how many different ones this project has ever tried; the deflated Sharpe ratio counts them.
    """

    best: dict[str, float]
    skill_pct: float
    trials: int
    candidates: int


def run(settings: Settings, shown: Bar) -> SweepReport:
    """Search.

    Raises:
        HeliographError: every trial failed.
    """
    num_folds = len(plan_folds(settings, dataset.read_symbols(settings)))
    space = settings.sweep
    search = OptunaSearch(
        {
            "learning_rate": optuna.distributions.FloatDistribution(*space.learning_rate, log=True),
            "width": optuna.distributions.CategoricalDistribution(space.widths),
            "dropout": optuna.distributions.FloatDistribution(*space.dropout),
        },
        metric=SKILL,
        mode="max",
        seed=settings.train.seed,
    )
    run_name = f"sweep-{settings.fingerprint}-{int(time.time())}"
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(fit_candidate, settings=settings, run_name=run_name), {"CPU": 1}),
        tune_config=tune.TuneConfig(
            search_alg=Repeater(search, repeat=num_folds, set_index=True),
            num_samples=space.trials * num_folds,
            max_concurrent_trials=settings.train.folds_at_once,
        ),
        run_config=tune.RunConfig(
            name=run_name,
            storage_path=str(settings.var / "tune"),
            verbose=0,
            callbacks=[TrialsShown(shown, trials=space.trials * num_folds, epochs=settings.train.epochs)],
        ),
    )
    results = [r for r in tuner.fit() if r.error is None and r.metrics and SKILL in r.metrics]
    if not results:
        raise HeliographError(f"every trial of {run_name} failed; their logs lie in {settings.var / 'tune' / run_name}")
    skills: dict[tuple[tuple[str, float], ...], list[float]] = {}
    for r in results:
        chosen = tuple(sorted((k, v) for k, v in r.config.items() if k != TRIAL_INDEX))
        skills.setdefault(chosen, []).append(r.metrics[SKILL])
    best, told = max(skills.items(), key=lambda item: sum(item[1]) / len(item[1]))
    return SweepReport(dict(best), sum(told) / len(told), len(results), ledger.candidates(settings.var))


def fit_candidate(config: dict[str, Any], settings: Settings, run_name: str) -> None:
    """One trial: fit one candidate on one fold and report how it did on the fold's validation slice."""
    candidate = settings.model_copy(
        update={
            "train": settings.train.model_copy(update={"learning_rate": config["learning_rate"]}),
            "model": settings.model.model_copy(update={"width": config["width"], "dropout": config["dropout"]}),
        }
    )
    index = int(config[TRIAL_INDEX])
    ledger.start(settings.var, {"candidate": candidate.fingerprint, "fold": index, "run": run_name, **config})
    data = dataset.read_symbols(candidate)
    best = [0.0]

    def tell(epoch: int, metrics: dict[str, float], _: object) -> None:
        best[0] = max(best[0], metrics[SKILL])
        tune.report({SKILL: best[0], "epoch": epoch})

    trial = tune.get_context().get_trial_id()
    loop.fit(
        data,
        plan_folds(candidate, data)[index],
        spec=dataset.spec(candidate),
        model=candidate.model,
        settings=candidate.train,
        folder=candidate.models_folder / run_name / str(trial),
        worker=loop.Worker(on_epoch=tell),
    )
