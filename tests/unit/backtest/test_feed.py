"""Stored forecasts beside their candles, and every way in which they can fail to fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.backtest.tapes import BTC, ETH, HORIZONS, HOUR, LEVELS, START_MS, candles

from heliograph.backtest import feed
from heliograph.core.errors import DataError, LookAhead, SchemaMismatch
from heliograph.model.table import FORECASTS

TAPE = candles([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])


def _table(rows: list[int], *, key=BTC, model="m1", delay_ms=0, price=None, horizons=HORIZONS) -> pa.Table:
    known = [START_MS + (r + 1) * HOUR.ms + delay_ms for r in rows]
    width = len(horizons) * len(LEVELS)
    columns = [
        [key[0]] * len(rows),
        [key[1]] * len(rows),
        known,
        price or [float(TAPE.close[r]) for r in rows],
        [[r + i / 100 for i in range(width)] for r in rows],
        [[0.2, 0.3, 0.5] * len(horizons) for _ in rows],
        [[0.6] * len(horizons) for _ in rows],
    ]
    metadata = {"horizons_bars": json.dumps(horizons), "levels": json.dumps(LEVELS), "model": json.dumps(model)}
    arrays = [pa.array(c, f.type) for c, f in zip(columns, FORECASTS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=FORECASTS.with_metadata(metadata))


def test_forecasts_stand_at_their_own_candles_and_none_elsewhere() -> None:
    bars = list(feed.bars({BTC: TAPE}, [_table([1, 2], model="m1"), _table([4], model="m2")], HOUR))
    assert [c.close for c, _ in bars] == [101, 102, 103, 104]
    made = [f for _, f in bars]
    assert made[2] is None
    assert [f.model for f in made if f] == ["m1", "m1", "m2"]
    assert made[0].quantile_HQ == ((1.0, 1.01, 1.02), (1.03, 1.04, 1.05))
    assert made[0].setup_HC == ((0.2, 0.3, 0.5),) * 2
    assert all(f.known_ts_ms == c.known_ts_ms and f.price == c.close for c, f in bars if f)


def test_bars_come_by_time_then_market_and_a_market_without_forecasts_still_marks() -> None:
    bars = list(feed.bars({ETH: TAPE, BTC: TAPE}, [_table([0, 1])], HOUR))
    assert [(c.symbol, f is not None) for c, f in bars] == [("BTC/USDT", True), ("ETH/USDT", False)] * 2


def test_fold_order_does_not_matter_and_the_interval_cuts() -> None:
    tables = [_table([4]), _table([1, 2])]
    interval = (START_MS + 3 * HOUR.ms, START_MS + 6 * HOUR.ms)
    bars = list(feed.bars({BTC: TAPE}, tables, HOUR, interval_ms=interval))
    assert [(c.close, f is not None) for c, f in bars] == [(102, True), (103, False), (104, True)]


def test_close_delay_moves_when_a_candle_is_known() -> None:
    bars = list(feed.bars({BTC: TAPE}, [_table([1], delay_ms=500)], HOUR, close_delay_ms={"binance": 500}))
    assert [c.known_ts_ms for c, _ in bars] == [START_MS + 2 * HOUR.ms + 500]
    with pytest.raises(LookAhead, match="no candle became known"):
        feed.bars({BTC: TAPE}, [_table([1], delay_ms=500)], HOUR)


def test_a_forecast_after_the_last_candle_is_refused() -> None:
    table = _table([5])
    with pytest.raises(LookAhead):
        feed.bars({BTC: TAPE.take(slice(0, 5))}, [table], HOUR)


def test_a_fold_given_twice_is_refused() -> None:
    with pytest.raises(DataError, match="give each fold once"):
        feed.bars({BTC: TAPE}, [_table([1]), _table([1])], HOUR)


def test_other_candles_than_those_forecast_on_are_refused() -> None:
    with pytest.raises(DataError, match="closed at"):
        feed.bars({BTC: TAPE}, [_table([1], price=[99.0])], HOUR)
    with pytest.raises(DataError, match="no candles"):
        feed.bars({ETH: TAPE}, [_table([1])], HOUR)


def test_no_forecast_at_all_is_refused() -> None:
    for tables in ([], [_table([])]):
        with pytest.raises(DataError, match="run training"):
            feed.bars({BTC: TAPE}, tables, HOUR)


def test_foreign_tables_and_mixed_runs_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="not one of forecasts"):
        feed.bars({BTC: TAPE}, [_table([1]).replace_schema_metadata(None)], HOUR)
    with pytest.raises(SchemaMismatch, match="differ in horizons"):
        feed.bars({BTC: TAPE}, [_table([1]), _table([2], horizons=(1, 12))], HOUR)
    short = _table([1])
    short = short.set_column(4, FORECASTS.field("quantile"), pa.array([[1.0]], pa.list_(pa.float64())))
    with pytest.raises(SchemaMismatch, match="column quantile must hold 6 numbers"):
        feed.bars({BTC: TAPE}, [short.cast(FORECASTS).replace_schema_metadata(_table([1]).schema.metadata)], HOUR)


def test_a_table_that_was_kept_as_parquet_reads_the_same(tmp_path: Path) -> None:
    pq.write_table(_table([1, 2]), tmp_path / "forecasts.parquet")
    kept = pq.read_table(tmp_path / "forecasts.parquet")
    assert list(feed.bars({BTC: TAPE}, [kept], HOUR)) == list(feed.bars({BTC: TAPE}, [_table([1, 2])], HOUR))


def test_what_training_writes_can_be_read() -> None:
    """The writer is the model's own; only its attributes that `to_arrow` reads are needed here."""
    from types import SimpleNamespace

    from heliograph.model.spec import Forecast
    from heliograph.model.table import to_arrow

    forecaster = SimpleNamespace(horizons_bars=HORIZONS, levels=LEVELS, fingerprint="abc")
    quantile = np.arange(12.0).reshape(2, 2, 3)
    made = Forecast(quantile, np.full((2, 2, 3), 1 / 3), np.full((2, 2), 0.5))
    known = np.array([START_MS + HOUR.ms, START_MS + 2 * HOUR.ms])
    table = to_arrow(forecaster, venue=BTC[0], symbol=BTC[1], known_ts_ms=known, price_N=TAPE.close[:2], forecast=made)
    bars = list(feed.bars({BTC: TAPE}, [table], HOUR))
    assert np.array([f.quantile_HQ for _, f in bars]).tolist() == quantile.tolist()
