"""Optuna's part in a search: it draws candidates, keeps a study for its dashboard, and weighs the parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from heliograph.train import outcomes
from heliograph.train.selection import Standing
from heliograph.train.space import Axis, Point, Value, label

optuna.logging.set_verbosity(optuna.logging.WARNING)

METRIC = "mean over its folds"
"""What the dashboard calls a candidate's value."""
LEAST_FOR_IMPORTANCE = 8
_STATES = {"done": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
_CANDIDATE = "candidate"


def draw(axes: Sequence[Axis], points: Sequence[Point], known: Sequence[Standing], *, seed: int, startup: int) -> Point:
    """The next candidate's point, by a tree-structured Parzen estimator; the same arguments give the same point.

    Args:
        points: of all candidates before it.
        known: the first of them, as they ended; the others count as under way and are kept away from.
        startup: so many known ones are waited for; before that it is drawn at random.
    """
    number = len(points)
    sampler = optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
        n_startup_trials=startup,
        multivariate=True,
        constant_liar=True,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_trial(axes, points[s.number], s) for s in known])
    study.add_trials(
        [
            create_trial(state=TrialState.RUNNING, params=_labelled(point), distributions=_distributions(axes))
            for point in points[len(known) :]
        ]
    )
    drawn = study.ask(_distributions(axes)).params
    return {axis.name: _value(axis, drawn[axis.name]) for axis in axes}


def keep(path: Path, name: str, axes: Sequence[Axis], points: Sequence[Point], settled: Sequence[Standing]) -> None:
    """Add settled candidates that are not there yet to the study in a SQLite file, for optuna-dashboard.

    Args:
        path: in the search's folder, whose files say when a candidate was drawn and when its last fold ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([METRIC])
    there = {trial.user_attrs.get(_CANDIDATE) for trial in study.get_trials(deepcopy=False)}
    for standing in settled:
        if standing.number not in there:
            trial = _trial(axes, points[standing.number], standing)
            trial.datetime_start, trial.datetime_complete = _span(path.parent, standing.number)
            study.add_trial(trial)
    storage.remove_session()


def importance(axes: Sequence[Axis], points: Sequence[Point], first: Mapping[int, float]) -> dict[str, float]:
    """How much each parameter decides who is among the best tenth, by PED-ANOVA (S. Watanabe et al., 2023); they sum to one.

    Args:
        first: by candidate, its value on the first fold: the one measure that all have, the stopped ones too.

    Returns:
        Empty with fewer than `LEAST_FOR_IMPORTANCE` candidates, or where all did equally well.
    """
    if len(first) < LEAST_FOR_IMPORTANCE or len(set(first.values())) == 1:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            create_trial(params=_labelled(points[n]), distributions=_distributions(axes), value=value)
            for n, value in first.items()
        ]
    )
    shares: dict[str, float] = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return shares


def _trial(axes: Sequence[Axis], point: Point, standing: Standing) -> FrozenTrial:
    means = np.cumsum(standing.values) / np.arange(1, len(standing.values) + 1)
    return create_trial(
        state=_STATES[standing.state],
        params=_labelled(point),
        distributions=_distributions(axes),
        value=standing.value if standing.values else None,  # stopped ones too: without it no figure shows them
        intermediate_values={fold: float(mean) for fold, mean in enumerate(means, start=1)},
        user_attrs={_CANDIDATE: standing.number, **{f"fold {k}": v for k, v in enumerate(standing.values, start=1)}},
    )


def _span(folder: Path, candidate: int) -> tuple[datetime, datetime]:
    """When it was drawn and when its last fold ended, in local time without a zone, as Optuna writes it."""
    written_s = [path.stat().st_mtime for path in outcomes.home(folder, candidate).glob("*.json")]
    drawn, ended = (
        datetime.fromtimestamp(s, UTC).astimezone().replace(tzinfo=None) for s in (min(written_s), max(written_s))
    )
    return drawn, ended


def _distributions(axes: Sequence[Axis]) -> dict[str, BaseDistribution]:
    return {axis.name: _distribution(axis) for axis in axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.kind == "choice":
        return CategoricalDistribution([label(c) for c in axis.choices])
    if axis.kind == "int":
        return IntDistribution(int(axis.low), int(axis.high), log=axis.is_log)
    return FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _labelled(point: Point) -> dict[str, Value]:
    return {name: label(value) for name, value in point.items()}


def _value(axis: Axis, drawn: Value) -> Value:
    """The value that was drawn, lists as lists again."""
    return next((c for c in axis.choices if label(c) == drawn), drawn) if axis.kind == "choice" else drawn
