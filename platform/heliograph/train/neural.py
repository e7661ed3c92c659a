"""The network as a fit of the protocol: trained on one task, calibrated on its validation slice, for all symbols."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliograph.config.learning import ModelSettings, TrainSettings
from heliograph.model.neural import NetworkForecaster, load_network
from heliograph.train import fold, loop, progress
from heliograph.train.protocol import Task


def fit(
    task: Task, *, model: ModelSettings, settings: TrainSettings, warm: Path | None = None
) -> Mapping[str, NetworkForecaster]:
    """One network for all symbols of the task, trained on its train slice; its seed is the task's.

    Args:
        warm: folder of a network or its forecaster, e.g. ``model`` of the fold before, whose weights this one starts from.

    Raises:
        ConfigError: too few windows, or a warm start of another size.
        SchemaMismatch: the warm start was trained on other features, horizons or levels.
    """
    best = _trained(task, task.folder, model=model, settings=settings, warm=warm)
    forecaster = fold.finish(best, task.data, task.fold, folder=task.folder / "model", provenance={})
    return dict.fromkeys((d.symbol for d in task.data), forecaster)


def anew(
    task: Task, held: NetworkForecaster, *, model: ModelSettings, settings: TrainSettings
) -> Mapping[str, NetworkForecaster]:
    """The network once more, trained on all that is known before the test slice.

    Args:
        held: what `fit` made of the task; its calibration stays, and its best epoch tells how long this one is trained.
    """
    best = _trained(task, task.folder / "anew", model=model, settings=settings, again=progress.noted(task.folder))
    return dict.fromkeys((d.symbol for d in task.data), recalibrated(best, held))


def recalibrated(best: Path, held: NetworkForecaster) -> NetworkForecaster:
    """The network of a fit on all that is known, with the calibration of the one that validation could measure."""
    return NetworkForecaster(load_network(best), held.calibration)


def _trained(task: Task, folder: Path, *, model: ModelSettings, settings: TrainSettings, **how: Any) -> Path:
    seeded = settings.model_copy(update={"seed": task.seed})
    return loop.fit(task.data, task.fold, spec=task.spec, model=model, settings=seeded, folder=folder, **how)
