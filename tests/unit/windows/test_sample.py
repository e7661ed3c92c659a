"""Windows by index."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, market

from heliograph.core import timeframe as timeframes
from heliograph.core.errors import LookAhead, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.features.align import Higher, higher
from heliograph.windows import mapped
from heliograph.windows.sample import Scale, SymbolData, gather, gather_scales, origins, whole


def data(n: int = 50, features: int = 3) -> SymbolData:
    rng = np.random.default_rng(1)
    ts = np.arange(n, dtype=np.int64) * 10
    return SymbolData(
        venue="binance",
        symbol="BTC/USDT",
        known_ts_ms=ts,
        close=np.ones(n),
        x_NF=rng.normal(size=(n, features)).astype(np.float32),
        log_return_NH=rng.normal(size=(n, 2)),
        setup_NH=np.ones((n, 2), dtype=np.int64),
        end_ts_ms_NH=np.stack([ts + 10, ts + 40], axis=1),
    )


def test_origins_have_a_whole_finite_window() -> None:
    d = data()
    d.x_NF[0, 0] = d.x_NF[20, 2] = np.nan
    assert origins(d, (0, 500), 8, labelled_by_ms=None).tolist() == [*range(8, 20), *range(28, 50)]


def test_origins_window_may_reach_back_before_the_interval() -> None:
    d = data()
    d.x_NF[20, 2] = np.nan
    assert origins(d, (250, 300), 8, labelled_by_ms=None).tolist() == [28, 29]
    assert origins(d, (100, 130), 8, labelled_by_ms=None).tolist() == [10, 11, 12]


def test_origins_labels_are_known_in_time() -> None:
    d = data()
    assert origins(d, (0, 500), 1, labelled_by_ms=100).tolist() == [*range(7)]
    d.log_return_NH[3, 1] = np.nan
    d.setup_NH[5, 0] = -1
    assert origins(d, (0, 500), 1, labelled_by_ms=100).tolist() == [0, 1, 2, 4, 6]
    assert 3 in origins(d, (0, 500), 1, labelled_by_ms=None)


def test_interval_outside_the_data_has_no_origins() -> None:
    for interval in ((-100, 0), (500, 900), (200, 200)):
        assert origins(data(), interval, 8, labelled_by_ms=None).size == 0
    assert origins(data(5), (0, 500), 8, labelled_by_ms=None).size == 0


def test_window_ends_with_its_origin() -> None:
    d = data()
    x_BTF = gather(d.x_NF, np.array([7, 49]), 8)
    assert x_BTF.shape == (2, 8, 3)
    assert x_BTF.dtype == np.float32
    np.testing.assert_array_equal(x_BTF[0], d.x_NF[:8])
    np.testing.assert_array_equal(x_BTF[1], d.x_NF[42:])


def test_row_without_a_whole_window_is_refused() -> None:
    """Index −1 is the newest row: numpy would read the future without a word."""
    with pytest.raises(LookAhead, match="row 6 has fewer than 8 bars"):
        gather(data().x_NF, np.array([9, 6]), 8)


def test_no_rows_give_no_windows() -> None:
    assert gather(data().x_NF, np.empty(0, dtype=np.int64), 8).shape == (0, 8, 3)


def test_memory_maps_serve(tmp_path: Path) -> None:
    d = data()
    np.save(tmp_path / "x.npy", d.x_NF)
    kept = replace(d, x_NF=np.load(tmp_path / "x.npy", mmap_mode="r"))
    rows = origins(kept, (0, 500), 8, labelled_by_ms=None)
    np.testing.assert_array_equal(gather(kept.x_NF, rows, 8), gather(d.x_NF, rows, 8))


def test_row_that_is_not_there_yet_is_refused() -> None:
    with pytest.raises(LookAhead, match="row 50 is not there yet, 50 rows are"):
        gather(data().x_NF, np.array([50]), 8)


def test_memory_of_a_batch_is_that_of_the_batch(tmp_path: Path) -> None:
    """256 MB of columns are mapped; four batches are gathered in the memory of one."""
    writer = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(1_000_000, 64))
    writer[::1_000] = np.arange(1_000, dtype=np.float32)[:, None]
    del writer
    columns = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = np.linspace(32, 999_999, 64).astype(np.int64)
    gather(columns, rows, 32)
    tracemalloc.start()
    for _ in range(4):
        x_BTF = gather(columns, rows, 32)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x_BTF.nbytes <= peak < 2.5 * x_BTF.nbytes
    np.testing.assert_array_equal(x_BTF[:, -1], columns[rows])


def test_written_symbol_comes_back_mapped_and_equal(tmp_path: Path) -> None:
    d = data()
    mapped.write(tmp_path / "btc", d)
    back = mapped.read(tmp_path / "btc")
    assert (back.venue, back.symbol) == (d.venue, d.symbol)
    for name in ("known_ts_ms", "close", "x_NF", "log_return_NH", "setup_NH", "end_ts_ms_NH"):
        column = getattr(back, name)
        assert isinstance(column, np.memmap)
        assert not column.flags.writeable
        np.testing.assert_array_equal(column, getattr(d, name))
    assert (
        origins(back, (0, 500), 8, labelled_by_ms=400).tolist() == origins(d, (0, 500), 8, labelled_by_ms=400).tolist()
    )


def test_half_written_symbol_is_refused(tmp_path: Path) -> None:
    mapped.write(tmp_path, data())
    np.save(tmp_path / "close.npy", np.ones(3))
    with pytest.raises(SchemaMismatch, match="differ in length: write it again"):
        mapped.read(tmp_path)
    (tmp_path / "symbol.json").unlink()
    with pytest.raises(SchemaMismatch, match="holds no whole symbol"):
        mapped.read(tmp_path)


def scales(missing: float = 0.1) -> tuple[Candles, tuple[Scale, ...], list[Higher]]:
    candles = market(600, missing=missing)
    base = timeframes.parse("1h")
    made = [higher(candles, base, timeframes.parse(name)) for name in ("4h", "1d")]
    columns = [np.stack([c.close, c.volume], axis=1).astype(np.float32) for c in (candles, *(m.candles for m in made))]
    windows = (
        Scale(columns[0], 12),
        *(Scale(x, w, m.pointer) for x, w, m in zip(columns[1:], (6, 3), made, strict=True)),
    )
    return candles, windows, made


def test_every_scale_ends_with_the_last_bar_known_at_the_row() -> None:
    candles, windows, made = scales()
    rows = whole(windows, np.arange(len(candles)))
    known = candles.open_ts_ms + HOUR_MS
    gathered = gather_scales(windows, rows)
    assert [x.shape[1:] for x in gathered] == [(12, 2), (6, 2), (3, 2)]
    for b, row in enumerate(rows.tolist()):
        np.testing.assert_array_equal(gathered[0][b], windows[0].x_MF[row - 11 : row + 1])
        for k, (m, span) in enumerate(zip(made, (4, 24), strict=True), start=1):
            closed = np.flatnonzero(m.candles.open_ts_ms + span * HOUR_MS <= known[row])[-windows[k].window_bars :]
            np.testing.assert_array_equal(gathered[k][b], windows[k].x_MF[closed])


def test_rows_without_every_higher_window_are_left_out_and_refused() -> None:
    candles, windows, _ = scales(missing=0.0)
    rows = whole(windows, np.arange(len(candles)))
    assert windows[2].ends(rows).min() == 2
    assert np.array_equal(rows, np.arange(rows[0], len(candles)))
    with pytest.raises(LookAhead, match="row 1 has fewer than 3 bars"):
        gather_scales(windows, rows[:1] - 1)
    with pytest.raises(LookAhead, match="row -1 has fewer than 6 bars"):
        gather_scales(windows[1:2], np.array([2]))
    windows[1].x_MF[40] = np.nan
    left = whole(windows, rows)
    assert set(np.unique(windows[1].ends(np.setdiff1d(rows, left)))) == set(range(40, 46))
