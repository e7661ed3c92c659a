"""The main job, run twice on a small tape; every story looks at what it left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import world

from heliograph.cli.main import main

LONGEST_FIRST = (
    "test_story",
    "test_sweep_resume",
    "test_crash",
    "test_nodes",
    "test_sweep",
    "test_reproduce",
    "test_canary",
)
"""Files: what is long must not be what begins last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    name = item.path.stem
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


@dataclass(frozen=True)
class Told:
    """What two runs in one folder left: the folder, and each run's summary."""

    tape: Path
    var: Path
    first: dict[str, Any]
    second: dict[str, Any]


@pytest.fixture(scope="session")
def told(ray_session, tmp_path_factory: pytest.TempPathFactory) -> Told:
    tape = world.write_tape(tmp_path_factory.mktemp("tape"))
    var = tmp_path_factory.mktemp("var")
    command = ["demo", "--tape", str(tape), "--config", str(world.TINY), "--pace-s", "0.1"]
    command += ["--live-bars", str(world.LIVE_BARS), "--set", "serve.port=18431"]
    command += ["--set", f"var={var}", "--set", f"lake.uri={var / 'lake'}"]
    summaries = []
    for _ in range(2):
        assert main(command) == 0
        summaries.append(json.loads((var / "summary.json").read_text()))
    return Told(tape, var, *summaries)
