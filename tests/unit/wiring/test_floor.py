"""The floor's history, and an account that is opened again: its cones are as wide as if it had never been closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.unit.desk.scripted import HOUR, START_MS, closed, walk

from heliograph.config.settings import Settings
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.core.market import Market
from heliograph.core.ports import Page
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.write import write_part
from heliograph.live import run as driver
from heliograph.model.baselines import PooledForecaster
from heliograph.model.forecaster import save
from heliograph.model.tracker import Tracker
from heliograph.sources.catalog import rules_of
from heliograph.train import dataset, registry
from heliograph.wiring import catalogue, floor

SYMBOLS = ("BTC/USDT", "ETH/USDT")
STORED, ALL = 130, 160
LEARNED = 90
"""Bars in the lake, bars of the tape, and where the released tracker's last outcomes ended."""


def tape() -> list[CandleClosed]:
    """Both markets, in the order of time."""
    delay_ms = rules_of("binance", SYMBOLS[0]).close_delay_ms
    bars = [
        bar for n, symbol in enumerate(SYMBOLS) for bar in closed(("binance", symbol), walk(ALL, n), delay_ms=delay_ms)
    ]
    return sorted(bars, key=lambda c: (c.known_ts_ms, c.symbol))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake with history, and a released model whose tracker learns fast."""
    made = Settings.model_validate(
        {
            "var": tmp_path / "var",
            "lake": {"uri": str(tmp_path / "lake")},
            "registry": {"uri": str(tmp_path / "registry")},
            "features": {"timeframe": "1h", "context_timeframes": [], "names": ["log_return_1", "close_position"]},
            "labels": {"horizons_bars": [1, 4]},
            "model": {"window_bars": 16, "patch_bars": 4},
            "risk": {"horizon_bars": 4},
            "live": {"venues": ["binance"], "warmup_bars": 60},
        }
    )
    store = open_store(made.lake)
    with Committer(made.lake, store, "t") as committer:
        committer.commit([_part(store, symbol, n) for n, symbol in enumerate(SYMBOLS)])
    listed = [
        Market("binance", s, "spot", s[:3], "USDT", Decimal("0.01"), Decimal("0.0001"), Decimal(5)) for s in SYMBOLS
    ]
    catalogue.write(made.lake, "binance", listed)
    _release(made)
    return made


def _part(store, symbol: str, seed: int) -> dict:
    candles = walk(ALL, seed).take(slice(0, STORED))
    row = {"venue": "binance", "timeframe": "1h", "symbol": symbol, "pages": 1}
    row |= {"start_ms": START_MS, "end_ms": START_MS + STORED * HOUR.ms}
    return write_part(store, row, [Page(candles, "https://fake.example", "", "0" * 64, 0)], candles)


def _release(settings: Settings) -> None:
    spec = dataset.spec(settings)
    rng = np.random.default_rng(0)
    forecaster = PooledForecaster.fit(
        spec,
        "volatility_scaled",
        sigma_N=np.full(500, 0.01),
        log_return_NH=0.01 * rng.normal(size=(500, 2)),
        setup_NH=rng.integers(0, 3, size=(500, 2)),
    )
    tracker = Tracker.fresh(spec.levels, spec.horizons_bars, bar_ms=HOUR.ms, rate=0.3)
    learned_ms = START_MS + LEARNED * HOUR.ms + rules_of("binance", SYMBOLS[0]).close_delay_ms
    tracker = replace(tracker, learned_ms_GH=np.full_like(tracker.learned_ms_GH, learned_ms))
    run = settings.models_folder / "run-1"
    save(run / "fold-0" / "model", forecaster, provenance={}, tracker=tracker)
    registry.release(settings, run, run / "fold-0" / "model")


def traded(settings: Settings, max_candles: int | None = None) -> dict[tuple[str, int], ForecastMade | None]:
    """Open the account, trade on the tape from where its history ends, and close it; what was forecast."""
    said = {}

    async def story() -> None:
        opened = floor.open_floor(settings, lambda _: None, epoch=1)
        try:
            end_ms = opened.recovery.since_ms
            await asyncio.to_thread(floor.warm_up, settings, opened.desk, opened.markets, end_ms=end_ms)
            await driver.run(
                stream(opened), opened.desk, opened.broker, opened.journal,
                recovery=opened.recovery, guard=opened.guard, max_candles=max_candles,
                on_bar=lambda c, f, _: said.update({(c.symbol, c.known_ts_ms): f}),
            )  # fmt: skip
        finally:
            await opened.close()

    async def stream(opened: floor.Floor):
        for bar in tape():
            if bar.open_ts_ms > opened.desk.last_open_ts_ms(bar.venue, bar.symbol):
                yield bar

    asyncio.run(story())
    return said


def markets(settings: Settings) -> Mapping[tuple[str, str], Market]:
    return floor.live_markets(settings)


def test_account_that_is_opened_again_forecasts_on_to_the_last_bit(settings: Settings, tmp_path: Path):
    """The lake has none of the candles that were traded on: the stream brings them once more, for the desk alone."""
    whole = traded(settings.model_copy(update={"var": tmp_path / "through"}))
    assert len(whole) == 2 * (ALL - STORED)
    assert all(whole.values())
    cuts = (7, 1, 20)  # one of them between the two markets of a moment
    pieces = [traded(settings, cut) for cut in cuts] + [traded(settings)]
    assert sum(map(len, pieces)) >= len(whole)
    for piece in pieces:
        assert piece.items() <= whole.items()


def test_newest_forecasts_are_those_of_the_desk_that_traded_up_to_there(settings: Settings):
    latest = floor.latest_forecasts(settings)
    assert {f.known_ts_ms for f in latest} == {
        b.known_ts_ms for b in tape() if b.open_ts_ms == START_MS + (STORED - 1) * HOUR.ms
    }
    bars = floor.history(settings, markets(settings), None)
    through = floor._desk(settings, markets(settings), None)
    floor.warm_up(settings, through, markets(settings), end_ms=START_MS + 110 * HOUR.ms)
    said = [through.forecast(bar) for bar in bars if bar.open_ts_ms >= START_MS + 110 * HOUR.ms]
    assert said[-2:] == latest


@pytest.mark.parametrize(
    ("learned_bars", "first_bar"),
    [(100, 40), (60, 0), (10, 0), (STORED, STORED - 60), (10**6, STORED - 60), (None, STORED - 60)],
)
def test_history_is_all_since_the_tracker_learned_and_a_warm_up_before(settings: Settings, learned_bars, first_bar):
    learned_ms = None if learned_bars is None else START_MS + learned_bars * HOUR.ms
    bars = floor.history(settings, markets(settings), learned_ms)
    assert {b.symbol for b in bars} == set(SYMBOLS)
    assert [b.known_ts_ms for b in bars] == sorted(b.known_ts_ms for b in bars)
    assert (bars[0].open_ts_ms, bars[-1].open_ts_ms) == (
        START_MS + first_bar * HOUR.ms,
        START_MS + (STORED - 1) * HOUR.ms,
    )
    assert len(bars) == 2 * (STORED - first_bar)
    cut = floor.history(settings, markets(settings), learned_ms, end_ms=START_MS + 120 * HOUR.ms)
    assert cut[-1].open_ts_ms == START_MS + 119 * HOUR.ms


@pytest.mark.parametrize("is_told", [False, True])
def test_history_that_is_too_short_for_the_tracker_is_told_once(settings: Settings, monkeypatch, is_told: bool):
    """A window of 16 bars is whole only after its features are warm."""
    if is_told:
        whole, first_ms = floor.read.candles, START_MS + 75 * HOUR.ms
        monkeypatch.setattr(floor.read, "candles", lambda *a, **k: whole(*a, **k).between(first_ms, 2 * START_MS))
    with capture_logs() as logs:
        floor.latest_forecasts(settings)
    told = [entry for entry in logs if entry["event"] == "tracker.behind"]
    assert [entry["markets"] for entry in told] == ([[f"binance {s}" for s in SYMBOLS]] if is_told else [])
