"""What is killed goes on: the execution actor from its journal, a download from what it has committed."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError
from tests.bench import chaos
from tests.e2e.conftest import Told
from tests.e2e.world import LIVE_BARS, settings_of

from heliograph.cli import demo
from heliograph.cluster import executor
from heliograph.core.commands import SubmitOrder
from heliograph.core.events import CandleClosed, OrderFilled
from heliograph.live import journal
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.progress import Quiet
from heliograph.wiring.floor import journal_path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

HALF = LIVE_BARS // 2
MARKETS = {"binance": 2, "okx": 2}


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


@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(600)
def test_download_that_is_killed_everywhere_ends_with_each_candle_once():
    """`make chaos-fetch` in short: a worker, the store, the driver, and the driver in the middle of a commit."""
    tally = chaos.run(4, victims=itertools.cycle(("worker", "store", "driver", "committer")))
    assert tally.kills.total() == 4
    assert (tally.missing, tally.duplicates, tally.wrong, tally.bad_parts) == (0, 0, 0, 0)
    assert tally.requests_again == 0
    assert tally.worst_batches <= 1.0
