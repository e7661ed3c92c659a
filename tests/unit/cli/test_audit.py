"""`helio audit` as its user sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from heliograph.cli.audit import audit, fills_quiet
from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import HOUR_MS
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

app = typer.Typer()
app.command()(audit)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    settings = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(settings)
    with Committer(settings, store, "t") as committer:
        committer.commit(
            [
                lakes.written(store, lakes.shard(0, 200 * HOUR_MS)),
                lakes.failed(lakes.shard(200 * HOUR_MS, 240 * HOUR_MS)),
            ]
        )
    return settings.uri


def run(*arguments: str) -> str:
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.exit_code == 0
    return told.output


def test_it_tells_the_counts_and_writes_the_page(lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "out" / "audit.html"
    with capsys.disabled():
        told = run("--set", f"lake.uri={lake}", "--out", str(page), "--quick")
    head, line = [text.split() for text in told.splitlines() if text.startswith(("venue", "fake"))]
    assert dict(zip(head, line, strict=True)) == {
        "venue": "fake",
        "timeframe": "1h",
        "markets": "1",
        "there": "200",
        "failed": "40",
        "wrong": "–",
        "differ": "–",
    }
    assert str(page) in told
    assert page.read_text().startswith("<!doctype html>")


def test_globs_that_match_nothing_are_an_error_that_says_what_to_do(lake: str):
    with pytest.raises(ConfigError, match="other globs"):
        run("--set", f"lake.uri={lake}", "--venue", "no-such")


def test_which_venues_fill_quiet_bars_comes_from_the_catalogue():
    known = fills_quiet()
    assert known["hyperliquid", "swap"] is True
    assert known["coinbase", "spot"] is False
