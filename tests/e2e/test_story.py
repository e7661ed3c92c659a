"""The story of one candle and of one order: the main job, told on a tape of a few weeks, then told again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heliograph.cli.main import main
from heliograph.config.load import load
from heliograph.core.commands import SubmitOrder
from heliograph.core.events import OrderFilled
from heliograph.lake import audit, coverage, read
from heliograph.live.journal import SqliteJournal
from heliograph.sandbox.generator import generate

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_session")]

TINY = Path(__file__).with_name("tiny.yaml")
LIVE_BARS = 32
SYMBOLS = ("BTC/USDT", "ETH/USDT", "ADA/USDT")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of candle Parquet, as a user would give it."""
    folder = tmp_path_factory.mktemp("tape")
    market = generate(3, days=120, minute_days=2)
    for symbol in SYMBOLS:
        for timeframe, candles in market[symbol].items():
            path = folder / symbol.replace("/", "-") / f"{timeframe}.parquet"
            path.parent.mkdir(exist_ok=True)
            columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")}
            pq.write_table(pa.table({"ts": candles.open_ts_ms, **columns}), path)
    return folder


@pytest.fixture(scope="module")
def run(tape: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The main job, twice in the same folder: (folder, first summary, second summary)."""
    var = tmp_path_factory.mktemp("var")
    command = ["demo", "--tape", str(tape), "--config", str(TINY), "--live-bars", str(LIVE_BARS), "--pace-s", "0.1"]
    command += ["--set", f"var={var}", "--set", f"lake.uri={var / 'lake'}", "--set", "serve.port=18431"]
    told = []
    for _ in range(2):
        assert main(command) == 0
        told.append(json.loads((var / "summary.json").read_text()))
    return var, told[0], told[1]


def settings_of(var: Path):
    return load(TINY, [f"var={var}", f"lake.uri={var / 'lake'}"], environ={})


def test_every_stage_succeeds_and_says_how_long_it_took(run):
    _, first, _ = run
    assert [s["name"] for s in first["stages"]] == [
        "sandbox",
        "ray",
        "fetch",
        "features",
        "train",
        "backtest",
        "serve",
        "trade",
    ]
    assert first["ok"]
    assert all(s["ok"] and s["seconds"] >= 0 for s in first["stages"])
    assert "folder" in first["tape"]
    assert first["peak_rss_mb"] > 0


def test_every_candle_is_fetched_with_hardly_a_request_too_many(run):
    _, first, _ = run
    assert first["candles"] > 3 * 2_500
    assert first["requests_minimum"] <= first["requests"] <= 1.02 * first["requests_minimum"] + 2


def test_a_second_run_asks_for_no_candle_again_and_fits_nothing_again(run):
    var, first, second = run
    assert (second["candles"], second["requests"]) == (0, 0)
    assert second["skill_pct"] == first["skill_pct"]
    assert len(list((var / "models").glob("*/fold-0"))) == 1


def test_lake_holds_each_candle_once_and_every_byte_as_written(run):
    var, first, _ = run
    lake = settings_of(var).lake
    stored = sum(len(read.candles(lake, v, s.replace("-", "/"), t)) for v, t, s in read.series(lake))
    assert stored == first["candles"] == sum(coverage.read(lake).column("candles").to_pylist())
    assert audit.verify(lake) == []


def test_scores_cover_every_horizon_and_baseline(run):
    _, first, _ = run
    assert first["folds"] == 2
    assert set(first["skill_pct"]) == {"unconditional", "volatility_scaled"}
    for row in (*first["skill_pct"].values(), first["coverage_80"]):
        assert set(row) == {"1", "4"}


def test_report_is_one_page_that_needs_nothing_else(run):
    _, first, _ = run
    page = Path(first["report"]).read_text()
    assert page.startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert first["backtest"]["ledger_balanced"]


def test_paper_account_traded_and_its_ledger_balances(run):
    _, first, second = run
    for told in (first, second):
        assert told["live_candles"] == (LIVE_BARS - 1) * 4
        assert told["orders"] >= told["fills"] > 0
        assert told["ledger_balanced"]


def test_stream_told_every_forecast_of_the_live_candles(run):
    _, first, _ = run
    assert first["stream_messages"] >= 0.9 * first["live_candles"]


def test_journal_holds_each_intent_before_its_fill_and_none_twice(run):
    var, _, second = run
    journal = SqliteJournal(var / "live" / "journal.sqlite", account="paper 100000.0")
    entries = list(journal.replay())
    journal.close()
    intents = [e.client_id for e in entries if isinstance(e, SubmitOrder)]
    fills = [e for e in entries if isinstance(e, OrderFilled)]
    assert len(intents) == second["orders"]
    assert max(Counter(intents).values()) == 1
    for fill in fills:
        sent = next(e for e in entries if isinstance(e, SubmitOrder) and e.client_id == fill.client_id)
        assert entries.index(sent) < entries.index(fill)
        assert fill.ts_ms >= sent.ts_ms
