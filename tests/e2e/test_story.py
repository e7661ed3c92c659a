"""The story of one candle and of one order: the main job, told on a tape of a few weeks, then told again.

Whatever looks at what it left stands in this file, for a file's tests run in one process, and another would make it anew.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError
from tests.e2e.conftest import Told
from tests.e2e.world import LIVE_BARS, settings_of

from heliograph.cli import demo
from heliograph.cluster import executor, repair
from heliograph.core.commands import SubmitOrder
from heliograph.core.errors import CorruptPart
from heliograph.core.events import CandleClosed, OrderFilled
from heliograph.core.market import unslug
from heliograph.lake import audit, coverage, read
from heliograph.live import journal
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.progress import Quiet
from heliograph.wiring.floor import journal_path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

STAGES = ["sandbox", "ray", "fetch", "features", "train", "backtest", "serve", "trade"]
HALF = LIVE_BARS // 2
MARKETS = {"binance": 2, "okx": 2}
MARKET = ("okx", "BTC/USDT", "1h")


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


def _until(answer: Callable[[], bool], what: str) -> None:
    """Ask again and again; an actor that is being restarted does not answer for a while."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        try:
            if answer():
                return
        except (ActorUnavailableError, ActorDiedError):
            continue
    pytest.fail(f"not within a minute: {what}")


def test_killed_executor_goes_on_and_no_candle_or_order_is_lost_or_doubled(told: Told, tmp_path: Path):
    settings = settings_of(told.var).model_copy(update={"var": tmp_path})
    (tmp_path / "models").symlink_to(told.var / "models")
    wanted = (LIVE_BARS - 1) * 4
    live = settings.live.model_copy(update={"max_candles": wanted})
    tape = TapeSpec("folder", told.tape)
    with Sandbox.start(tape, folder=tmp_path / "sandbox", live_bars=LIVE_BARS, weight_scale=demo.PATIENCE) as world:
        settings = demo.reached(settings, world, world.offers()).model_copy(update={"live": live})
        actor = executor.start(settings)
        before = ray.get(actor.news.remote()).pid
        with ThreadPoolExecutor(1) as desk:
            trading = desk.submit(executor.run, settings, Quiet(), actor=actor, idle_s=90.0)
            world.wait_for_subscribers(MARKETS, timeout_s=60)
            world.play(HALF, "1h", 0.05)
            world.wait_played()
            _until(lambda: ray.get(actor.news.remote()).candles == HALF * 4, "the first half is traded")
            os.kill(before, signal.SIGKILL)
            _until(lambda: ray.get(actor.news.remote()).pid != before, "the actor has a new process")
            world.wait_for_subscribers(MARKETS, timeout_s=90)
            world.play(LIVE_BARS - HALF, "1h", 0.05)
            closing = trading.result(timeout=120)
        ray.kill(actor)
    entries = list(journal.read(journal_path(settings)))
    candles = Counter((e.venue, e.symbol, e.open_ts_ms) for e in entries if isinstance(e, CandleClosed))
    intents = Counter(e.client_id for e in entries if isinstance(e, SubmitOrder))
    fills = Counter(e.trade_id for e in entries if isinstance(e, OrderFilled))
    assert len(candles) == wanted
    assert {*candles.values(), *intents.values(), *fills.values()} == {1}
    assert (closing.orders, closing.fills) == (len(intents), len(fills))
    assert closing.is_balanced
    assert not closing.halted


def test_flipped_byte_is_named_and_mended_from_the_venue(told: Told, tmp_path: Path):
    settings = settings_of(told.var)
    shutil.copytree(settings.lake.uri, tmp_path / "lake")
    lake = settings.lake.model_copy(update={"uri": str(tmp_path / "lake")})
    before = read.candles(lake, *MARKET)
    hurt = tmp_path / "lake" / "candles" / read.parts(lake, *MARKET)[0]
    body = bytearray(hurt.read_bytes())
    body[len(body) // 2] ^= 1
    hurt.write_bytes(body)

    with pytest.raises(CorruptPart, match="run `helio verify --repair`"):
        read.candles(lake, *MARKET)
    bad = audit.verify(lake)
    assert [part.path for part in bad] == [read.parts(lake, *MARKET)[0]]

    tape = TapeSpec("folder", told.tape)
    with Sandbox.start(tape, folder=tmp_path / "sandbox", live_bars=LIVE_BARS, weight_scale=demo.PATIENCE) as world:
        reached = demo.reached(settings.model_copy(update={"lake": lake}), world, world.offers())
        assert repair.repair(reached, bad, Quiet()) == ()
    assert audit.verify(lake) == []
    assert np.array_equal(read.candles(lake, *MARKET).close, before.close)
