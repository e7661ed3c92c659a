"""What a search has found out, on disk: a candidate's point before it runs, a fold's outcome when it ends.

``candidate-0003/point.json`` and ``candidate-0003/fold-1.json`` under the search's folder. Each is written whole or not
at all and never changed, so whatever was killed, a search goes on from what stands there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heliograph.train.space import Point

_POINT = "point.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one fold of one candidate went.

    Attributes:
        value: of the objective on the inner validation; None where the fold could not be fitted.
        error: why not; empty otherwise.
        metrics: what else was measured, all on the inner validation.
        took_s: seconds from the trial's start to its end.
    """

    value: float | None
    error: str
    metrics: dict[str, float]
    took_s: float


Record = dict[tuple[int, int], Outcome]
"""By (candidate, fold)."""


def home(folder: Path, candidate: int) -> Path:
    """A candidate's folder."""
    return folder / f"candidate-{candidate:04d}"


def read(folder: Path) -> tuple[list[Point], Record]:
    """The points drawn so far, by candidate, and the outcomes of their folds."""
    points: list[Point] = []
    record: Record = {}
    while (path := home(folder, len(points)) / _POINT).exists():
        for told in path.parent.glob("fold-*.json"):
            record[len(points), int(told.stem.removeprefix("fold-"))] = Outcome(**json.loads(told.read_text()))
        points.append(json.loads(path.read_text()))
    return points, record


def read_fold(folder: Path, candidate: int, fold: int) -> Outcome | None:
    """One fold's outcome; None where it has none yet."""
    path = _path(folder, candidate, fold)
    return Outcome(**json.loads(path.read_text())) if path.exists() else None


def write_point(folder: Path, candidate: int, point: Point) -> None:
    """Note which settings a candidate has."""
    write_whole(home(folder, candidate) / _POINT, dict(point))


def write_fold(folder: Path, candidate: int, fold: int, outcome: Outcome) -> None:
    """Note how a fold went."""
    write_whole(_path(folder, candidate, fold), asdict(outcome))


def write_whole(path: Path, told: Mapping[str, Any]) -> None:
    """Write JSON so that after any crash the file is either absent, or what it was before, or all of this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w") as file:
        json.dump(told, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _path(folder: Path, candidate: int, fold: int) -> Path:
    return home(folder, candidate) / f"fold-{fold}.json"
