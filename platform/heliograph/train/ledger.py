"""Every trial ever started: one JSON line each, on disk before the trial runs. Deflated Sharpe ratios count them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NAME = "trials.jsonl"


def start(var: Path, trial: Mapping[str, Any]) -> None:
    """Note a trial; lines of many processes do not mix, for one line is one write."""
    line = json.dumps(trial, sort_keys=True, default=str).encode() + b"\n"
    var.mkdir(parents=True, exist_ok=True)
    handle = os.open(var / _NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def candidates(var: Path) -> int:
    """How many different candidates were ever tried; folds and repetitions of one candidate count once."""
    path = var / _NAME
    if not path.exists():
        return 0
    return len({json.loads(line)["candidate"] for line in path.read_text().splitlines()})
