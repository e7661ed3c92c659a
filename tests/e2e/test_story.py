"""The story of one candle and of one order: the main job, told on a tape of a few weeks, then told again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.conftest import Told
from tests.e2e.world import LIVE_BARS, settings_of

from heliograph.core.commands import SubmitOrder
from heliograph.core.events import OrderFilled
from heliograph.core.market import unslug
from heliograph.lake import audit, coverage, read
from heliograph.live import journal
from heliograph.wiring.floor import journal_path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

STAGES = ["sandbox", "ray", "fetch", "features", "train", "backtest", "serve", "trade"]


def test_every_stage_succeeds_and_says_how_long_it_took(told: Told):
    assert [s["name"] for s in told.first["stages"]] == STAGES
    assert told.first["ok"]
    assert all(s["ok"] and s["seconds"] >= 0 for s in told.first["stages"])
    assert "folder" in told.first["tape"]
    assert told.first["peak_rss_mb"] > 0


def test_every_candle_is_fetched_with_hardly_a_request_too_many(told: Told):
    first = told.first
    assert first["candles"] > 3 * 2_500
    assert first["requests_minimum"] <= first["requests"] <= 1.02 * first["requests_minimum"] + 3


def test_a_second_run_asks_for_no_candle_again_and_fits_nothing_again(told: Told):
    assert (told.second["candles"], told.second["requests"], told.second["requests_minimum"]) == (0, 0, 0)
    assert told.second["skill_pct"] == told.first["skill_pct"]
    assert len(list((told.var / "models").glob("*/fold-0"))) == 1


def test_lake_holds_each_candle_once_and_every_byte_as_written(told: Told):
    lake = settings_of(told.var).lake
    stored = sum(len(read.candles(lake, v, unslug(s), t)) for v, t, s in read.series(lake))
    assert stored == told.first["candles"] == sum(coverage.read(lake).column("candles").to_pylist())
    assert audit.verify(lake) == []


def test_scores_cover_every_horizon_and_baseline(told: Told):
    assert told.first["folds"] == 2
    assert set(told.first["skill_pct"]) == {"unconditional", "volatility_scaled", "har_pooled"}
    for row in (*told.first["skill_pct"].values(), told.first["coverage_80"]):
        assert set(row) == {"1", "4"}


def test_report_is_one_page_that_needs_nothing_else(told: Told):
    page = Path(told.first["report"]).read_text()
    assert page.startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert told.first["backtest"]["ledger_balanced"]


def test_paper_account_traded_and_its_ledger_balances(told: Told):
    for summary in (told.first, told.second):
        assert summary["live_candles"] == (LIVE_BARS - 1) * 4
        assert summary["orders"] >= summary["fills"] > 0
        assert summary["ledger_balanced"]


def test_stream_told_every_forecast_of_the_live_candles(told: Told):
    assert told.first["stream_messages"] >= 0.9 * told.first["live_candles"]


def test_journal_holds_each_intent_before_its_fill_and_none_twice(told: Told):
    entries = list(journal.read(journal_path(settings_of(told.var))))
    sent = {e.client_id: at for at, e in enumerate(entries) if isinstance(e, SubmitOrder)}
    filled = [(at, e) for at, e in enumerate(entries) if isinstance(e, OrderFilled)]
    assert len(sent) == told.second["orders"]
    assert max(Counter(e.client_id for e in entries if isinstance(e, SubmitOrder)).values()) == 1
    assert all(sent[fill.client_id] < at for at, fill in filled)
    assert all(fill.ts_ms >= entries[sent[fill.client_id]].ts_ms for _, fill in filled)
