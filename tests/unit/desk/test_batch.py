"""The desk over whole frames."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.desk.scripted import BTC, ETH, FEATURES, HOUR, START_MS, Scripted, walk

from heliograph.core.errors import DataError, SchemaMismatch
from heliograph.desk import batch


def test_bars_come_by_time_known_then_venue_then_symbol() -> None:
    frames = {ETH: walk(50, 1), BTC: walk(60, 2).take(slice(5, 60))}
    bars = list(batch.replay(frames, features=FEATURES, forecaster=Scripted(), close_delay_ms={"binance": 7}))
    keys = [(c.known_ts_ms, c.venue, c.symbol) for c, _ in bars]
    assert keys == sorted(keys)
    assert len(bars) == 105
    assert bars[0][0].known_ts_ms == START_MS + HOUR.ms
    assert {c.known_ts_ms - c.open_ts_ms - HOUR.ms for c, _ in bars if c.venue == "binance"} == {7}


def test_batch_size_changes_no_forecast() -> None:
    frames = {BTC: walk(300, 3)}
    small, large = (
        [f for _, f in batch.replay(frames, features=FEATURES, forecaster=Scripted(), batch_size=n)] for n in (7, 1_024)
    )
    assert sum(f is not None for f in large) > 150
    for a, b in zip(small, large, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.quantile_HQ, b.quantile_HQ, rtol=1e-12)


def test_history_shorter_than_the_window_has_no_forecast() -> None:
    bars = list(batch.replay({BTC: walk(20, 4)}, features=FEATURES, forecaster=Scripted()))
    assert [f for _, f in bars] == [None] * 20


def test_no_frame_no_bar() -> None:
    assert list(batch.replay({}, features=FEATURES, forecaster=Scripted())) == []


def test_one_market_twice_is_refused() -> None:
    stream = batch.Stream(*BTC, "1h", walk(3, 1), walk(3, 1).open_ts_ms, None)
    with pytest.raises(DataError, match="given twice"):
        batch.in_order([stream, stream])


def test_a_model_of_other_features_is_refused_at_once() -> None:
    other = Scripted()
    other.feature_names = ("moon_phase",)
    with pytest.raises(SchemaMismatch, match="moon_phase"):
        batch.replay({}, features=FEATURES, forecaster=other)
