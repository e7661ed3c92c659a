"""Windows by index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heliograph.core.errors import LookAhead
from heliograph.windows.sample import SymbolData, gather, origins


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
    mapped = replace(d, x_NF=np.load(tmp_path / "x.npy", mmap_mode="r"))
    rows = origins(mapped, (0, 500), 8, labelled_by_ms=None)
    np.testing.assert_array_equal(gather(mapped.x_NF, rows, 8), gather(d.x_NF, rows, 8))
