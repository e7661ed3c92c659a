"""A second node with an address of its own joins a download that the venue's limit holds back, and is lost again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]


def test_node_with_its_own_address_doubles_the_pace_and_takes_nothing_with_it():
    """In a process of its own: it needs a Ray of several nodes, and this one has another."""
    env = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    env.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "tests.e2e.nodes"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["together_per_s"] >= 1.7 * told["alone_per_s"]
    assert told["violations"] == 0
    assert (told["missing"], told["bad_parts"]) == (0, 0)
    assert told["rows"] == told["candles"]
    assert told["report"]["failed"] == []
    assert told["report"]["again"] > 0
