"""The network as a fit of the protocol: trained on one task, calibrated on its validation slice, for all symbols."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from heliograph.config.learning import ModelSettings, TrainSettings
from heliograph.model.neural import NetworkForecaster
from heliograph.train import fold, loop
from heliograph.train.protocol import Task


def fit(
    task: Task, *, model: ModelSettings, settings: TrainSettings, warm: Path | None = None
) -> Mapping[str, NetworkForecaster]:
    """One network for all symbols of the task; its seed is the task's.

    Args:
        warm: folder of a network or its forecaster, e.g. ``model`` of the fold before, whose weights this one starts from.

    Raises:
        ConfigError: too few windows, or a warm start of another size.
        SchemaMismatch: the warm start was trained on other features, horizons or levels.
    """
    best = loop.fit(
        task.data,
        task.fold,
        spec=task.spec,
        model=model,
        settings=settings.model_copy(update={"seed": task.seed}),
        folder=task.folder,
        warm=warm,
    )
    forecaster = fold.finish(best, task.data, task.fold, folder=task.folder / "model", provenance={})
    return dict.fromkeys((d.symbol for d in task.data), forecaster)
