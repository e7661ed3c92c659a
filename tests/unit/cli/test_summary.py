"""summary.json tells each stage, and is written whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heliograph.cli.summary import Summary
from heliograph.core.errors import DataError


def test_a_failed_stage_is_named_in_the_error_and_in_the_file(tmp_path: Path):
    summary = Summary()
    with summary.stage("first", "works"):
        summary.figures["candles"] = 7
    with pytest.raises(DataError) as told, summary.stage("second", "breaks"):
        raise DataError("broken")
    written = json.loads(summary.write(tmp_path / "deep" / "summary.json").read_text())
    assert told.value.__notes__ == ["while running the stage 'second'"]
    assert not written["ok"]
    assert [(s["name"], s["ok"]) for s in written["stages"]] == [("first", True), ("second", False)]
    assert written["candles"] == 7


def test_a_summary_without_stages_is_not_ok():
    assert not Summary().ok
