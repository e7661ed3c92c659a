"""Which model is the current one: a pointer that is swapped whole."""

from __future__ import annotations

import json
from pathlib import Path

from heliograph.core.errors import ConfigError

_POINTER = "current.json"


def release(models: Path, run: Path, model: Path) -> None:
    """Make ``model``, fitted in ``run``, the current one; both are folders under ``models``."""
    draft = models / f".{_POINTER}"
    draft.write_text(json.dumps({"run": str(run.relative_to(models)), "model": str(model.relative_to(models))}))
    draft.replace(models / _POINTER)


def current_run(models: Path) -> Path:
    """The folder of the run that the current model comes from: its folds' scores and forecasts.

    Raises:
        ConfigError: nothing was released yet.
    """
    return models / _read(models)["run"]


def current_model(models: Path) -> Path:
    """The folder of the current model.

    Raises:
        ConfigError: nothing was released yet.
    """
    return models / _read(models)["model"]


def _read(models: Path) -> dict[str, str]:
    try:
        told: dict[str, str] = json.loads((models / _POINTER).read_text())
    except FileNotFoundError as e:
        raise ConfigError(f"no model has been fitted under {models}; run `helio train` first") from e
    return told
