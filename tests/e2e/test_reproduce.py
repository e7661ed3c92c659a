"""A released model is fitted again after the lake has grown, and every metric comes again, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.world import settings_of

from heliograph.cli.main import main
from heliograph.cluster import fit
from heliograph.config.settings import Settings
from heliograph.core.market import Candles
from heliograph.core.ports import Page
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.write import write_part
from heliograph.sandbox.generator import generate
from heliograph.telemetry.progress import Quiet
from heliograph.train import ledger, registry
from heliograph.train.registry import open_registry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_session")]

SYMBOLS = ("BTC/USDT", "ETH/USDT")
HOUR_MS = 3_600_000


def small(settings: Settings) -> Settings:
    """One fold, hardly trained: what is compared is not how good it is."""
    train = settings.train.model_copy(update={"epochs": 1, "samples_per_epoch": 512})
    folds = settings.folds.model_copy(update={"count": 1})
    return settings.model_copy(update={"train": train, "folds": folds})


def stored(settings: Settings, rows: slice) -> None:
    """These rows of two symbols' hours, as one commit."""
    market, store = generate(3, days=120, minute_days=2), open_store(settings.lake)
    with Committer(settings.lake, store, "t") as committer:
        committer.commit([_part(store, symbol, market[symbol]["1h"].take(rows)) for symbol in SYMBOLS])


def _part(store, symbol: str, candles: Candles) -> dict:
    span = {"start_ms": int(candles.open_ts_ms[0]), "end_ms": int(candles.open_ts_ms[-1]) + HOUR_MS}
    row = {"venue": "binance", "timeframe": "1h", "symbol": symbol, **span, "pages": 1}
    return write_part(store, row, [Page(candles, "https://fake.example", "", "0" * 64, 0)], candles)


def test_released_model_comes_again_although_the_lake_has_grown(tmp_path: Path, capsys):
    settings = small(settings_of(tmp_path))
    stored(settings, slice(0, 2_400))
    report = fit.run(settings, Quiet())
    run = Path(report.folder)
    told = registry.release(
        settings, run, run / f"fold-{len(report.folds) - 1}" / "model", data_version=report.data_version
    )
    stored(settings, slice(2_400, None))
    before = open_registry(settings).pointer(), ledger.candidates(settings), len(ledger.read(settings))

    where = ["--set", f"var={tmp_path}", "--set", f"lake.uri={tmp_path / 'lake'}"]
    capsys.readouterr()
    assert main(["reproduce", told.model[:8], "--json", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["is_same"]
    assert said["differences"] == []
    assert said["metrics"] > 20
    assert said["run"] == run.name
    assert (open_registry(settings).pointer(), ledger.candidates(settings), len(ledger.read(settings))) == before
    assert list((tmp_path / "reproduce").iterdir()) == []
