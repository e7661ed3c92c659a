"""Small models for the tests of the registry, and what two processes do to its pointer."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np

from heliograph.config.settings import Settings
from heliograph.core.errors import Retryable
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.model import checkpoint
from heliograph.testing import lakes
from heliograph.train.manifest import Code, Origin
from heliograph.train.registry import open_registry

CODE = Code("0.0.0", None, False, "f" * 64, "0" * 64, {"python": "3"})
ORIGIN = Origin("run-1", CODE, seed=1)
FEATURES = ("ewma_volatility", "signal")
HOUR_MS = 3_600_000


def files(mark: str) -> dict[str, bytes]:
    """A model's files; another mark is another model."""
    return {"forecaster.json": b"{}", "weights.safetensors": mark.encode(), "more/graph.onnx": b"x" + mark.encode()}


def fitted(models: Path, run: str, *, folds: int = 2, weight: float = 1.0) -> tuple[Path, Path]:
    """A run's folder as training leaves it, and the folder of the last fold's model."""
    for index in range(folds):
        fold = models / run / f"fold-{index}"
        header = {"kind": "network", "spec": {"feature_names": list(FEATURES)}, "provenance": {"run": run}}
        checkpoint.write(fold / "model", {"w": np.array([weight, index])}, header)
        told = {"fold": index, "pinball": {"model": [0.1 + index, 0.2]}, "skill_pct": {"volatility_scaled": [1.0, 2.0]}}
        (fold / "score.json").write_text(json.dumps(told))
    return models / run, models / run / f"fold-{folds - 1}" / "model"


def settings_of(folder: Path, **changes: Any) -> Settings:
    """Settings with everything under a folder, and a lake with two commits of hourly candles."""
    made = Settings.model_validate(
        {"var": folder, "lake": {"uri": str(folder / "lake")}, "train": {"venue": "fake", "seed": 7}, **changes}
    )
    grow(made, 0)
    grow(made, 1)
    return made


def grow(settings: Settings, day: int) -> None:
    """One more day of candles in the lake, as one commit."""
    store = open_store(settings.lake)
    with Committer(settings.lake, store, "t") as committer:
        row = lakes.shard(day * 24 * HOUR_MS, (day + 1) * 24 * HOUR_MS)
        committer.commit([lakes.written(store, row)])


def race(settings: Settings, models: list[str], rounds: int) -> list[list[bool]]:
    """One process a model: in every round all see the pointer, then all move it at once; who won, by round."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(len(models)), context.Queue()
    racers = [context.Process(target=_racer, args=(settings, m, rounds, barrier, answers)) for m in models]
    for racer in racers:
        racer.start()
    told = dict(answers.get(timeout=100) for _ in racers)
    for racer in racers:
        racer.join()
    return [[told[model][turn] for model in models] for turn in range(rounds)]


def _racer(settings: Settings, model: str, rounds: int, barrier: Any, answers: Any) -> None:
    won = []
    registry = open_registry(settings)
    for _ in range(rounds):
        barrier.wait(60)
        seen = registry.pointer()
        if seen.current == model:  # a move to where it points already is none: both want another place
            registry.promote(registry.models()[-1], seen=seen)
            seen = registry.pointer()
        barrier.wait(60)
        seen = registry.pointer()
        barrier.wait(60)
        try:
            registry.promote(model, seen=seen)
        except Retryable:
            won.append(False)
        else:
            won.append(True)
    answers.put((model, won))
