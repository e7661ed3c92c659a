"""What a run made: stages with their times, key figures, written as summary.json."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heliograph.core.errors import HeliographError
from heliograph.telemetry.progress import CONSOLE


@dataclass(slots=True)
class Stage:
    """One stage of a run; ``ok`` only when its block ended without an error."""

    name: str
    ok: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class Summary:
    """Stages in order, and the figures that they gave."""

    stages: list[Stage] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        """Time a stage; an error in it is noted with the stage's name and goes on upwards."""
        stage = Stage(name)
        self.stages.append(stage)
        CONSOLE.print(f"{len(self.stages)}. {name}: {what}", style="bold")
        started = time.monotonic()
        try:
            yield
            stage.ok = True
        except HeliographError as e:
            e.add_note(f"while running the stage {name!r}")
            raise
        finally:
            stage.seconds = round(time.monotonic() - started, 1)

    @property
    def ok(self) -> bool:
        """True when every stage that began has succeeded."""
        return bool(self.stages) and all(s.ok for s in self.stages)

    def write(self, path: Path) -> Path:
        """Write it as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(
            json.dumps({"ok": self.ok, "stages": [asdict(s) for s in self.stages], **self.figures}, indent=2)
        )
        draft.replace(path)
        return path
