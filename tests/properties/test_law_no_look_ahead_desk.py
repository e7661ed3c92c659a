"""Law: changing candles that become known after t changes no forecast and no command at or before t."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.desk.scripted import BTC, EAGER, ETH, FEATURES, HOUR, START_MS, Scripted, walk

from heliograph.backtest import run
from heliograph.config.settings import CostSettings
from heliograph.core.commands import CancelOrder, Halt, SubmitOrder
from heliograph.core.market import Candles, Market
from heliograph.desk import batch

MARKETS = {
    key: Market(*key, "spot", key[1][:3], "USDT", Decimal("0.01"), Decimal("0.0001"), Decimal(5)) for key in (BTC, ETH)
}


def _until(frames: dict[tuple[str, str], Candles], until_ms: int) -> tuple[list, list]:
    bars = list(batch.replay(frames, features=FEATURES, forecaster=Scripted()))
    said: list = []
    run.run(
        bars,
        timeframe=HOUR,
        markets=MARKETS,
        limits=EAGER,
        costs=CostSettings.model_validate({}),
        record=lambda entry, _: said.append(entry) if isinstance(entry, SubmitOrder | CancelOrder | Halt) else None,
    )
    return [f for _, f in bars if f and f.known_ts_ms <= until_ms], [c for c in said if c.ts_ms <= until_ms]


@given(seed=st.integers(0, 10_000), cut=st.integers(110, 180), factor=st.sampled_from([0.2, 0.9, 1.5]))
@settings(max_examples=12)
def test_the_future_changes_nothing_before_it(seed: int, cut: int, factor: float) -> None:
    frames = {BTC: walk(200, seed), ETH: walk(200, seed + 1)}
    until_ms = START_MS + cut * HOUR.ms
    changed = {}
    for key, frame in frames.items():
        late = frame.open_ts_ms + HOUR.ms > until_ms
        prices = {
            n: np.where(late, getattr(frame, n) * factor, getattr(frame, n)) for n in ("open", "high", "low", "close")
        }
        changed[key] = Candles(frame.open_ts_ms, **prices, volume=np.where(late, 99.0, frame.volume))
    before, after = _until(frames, until_ms), _until(changed, until_ms)
    assert before == after
    assert len(before[1]) > 3
    shorter = {key: frame.take(frame.open_ts_ms + HOUR.ms <= until_ms) for key, frame in frames.items()}
    assert _until(shorter, until_ms) == before
