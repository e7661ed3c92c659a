"""Ranks, quantiles and ages against numpy and TA-Lib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import recorded
from tests.unit.features.graphs import values
from tests.unit.features.ops.windows import X, assert_is_window, assert_obeys_windows, evaluated, walk

from heliograph.features.market import RAW_HIGH, RAW_LOW
from heliograph.features.ops import order

WINDOWS = {
    "rank": lambda v: ((v < v[:, -1:]).sum(axis=1) + ((v == v[:, -1:]).sum(axis=1) - 1) / 2) / (v.shape[1] - 1),
    "median": lambda v: np.median(v.astype(np.float64), axis=1),
    "mean_absolute_deviation": lambda v: np.abs(v - v.mean(axis=1, keepdims=True)).mean(axis=1),
    "bars_since_highest": lambda v: np.argmax(v[:, ::-1], axis=1),
    "bars_since_lowest": lambda v: np.argmin(v[:, ::-1], axis=1),
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize(("price", "tick"), [(6e4, 0.01), (1e-5, 1e-8)])
def test_order_is_its_formula(name: str, price: float, tick: float) -> None:
    for bars in (2, 7, 20, 100, 168):
        x = walk(400, seed=bars, price=price, tick=tick)
        assert_is_window(getattr(order, name)(X, bars), bars, WINDOWS[name], x)


@pytest.mark.parametrize("name", WINDOWS)
def test_order_knows_its_own_bars_only(name: str) -> None:
    for bars in (2, 24, 37):
        assert_obeys_windows(getattr(order, name)(X, bars), bars)


@settings(max_examples=50, deadline=None)
@given(bars=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_quantile_is_numpys(bars: int, share: float, seed: int) -> None:
    x = walk(200, seed=seed, price=1.0)
    expected = np.quantile(np.lib.stride_tricks.sliding_window_view(x, bars), share, axis=1)
    np.testing.assert_allclose(evaluated(order.quantile(X, bars, share), x)[bars - 1 :], expected, rtol=1e-13)


def test_quantiles_of_one_window_are_each_ones() -> None:
    x = walk(300, seed=4)
    for made, share in zip(order.quantiles(X, 50, (0.1, 0.5, 0.9)), (0.1, 0.5, 0.9), strict=True):
        np.testing.assert_array_equal(evaluated(made, x), evaluated(order.quantile(X, 50, share), x))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), holes=st.floats(0, 0.4))
def test_quantile_forgets_what_was_unknown(seed: int, holes: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(200) < holes / 10, np.nan, rng.integers(0, 9, 200).astype(float))
    rows = np.lib.stride_tricks.sliding_window_view(x, 11)
    expected = np.quantile(rows, 0.3, axis=1)
    expected[np.isnan(rows).any(axis=1)] = np.nan
    np.testing.assert_allclose(evaluated(order.quantile(X, 11, 0.3), x)[10:], expected, rtol=1e-13)


def test_ages_are_talibs(shared_data: Path) -> None:
    """AROON counts in a window of one bar more; MAXINDEX gives now the newest and now an older one of equal bars."""
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(52_000, 55_000))
    rows = np.arange(len(candles))
    for bars in (5, 25, 168):
        down, up = talib.AROON(candles.high, candles.low, bars)
        high = values(order.bars_since_highest(RAW_HIGH, bars + 1), candles)
        low = values(order.bars_since_lowest(RAW_LOW, bars + 1), candles)
        np.testing.assert_allclose(100 * (bars - high) / bars, up, rtol=1e-12)
        np.testing.assert_allclose(100 * (bars - low) / bars, down, rtol=1e-12)
        newest = rows[bars - 1 :] - values(order.bars_since_highest(RAW_HIGH, bars), candles)[bars - 1 :].astype(
            np.int64
        )
        oldest = talib.MAXINDEX(candles.high, bars)[bars - 1 :]
        assert np.all(newest >= oldest)
        np.testing.assert_array_equal(candles.high[newest], candles.high[oldest])


@pytest.mark.parametrize(("bars", "share"), [(0, 0.5), (5, 1.1), (5, -0.1)])
def test_quantile_that_cannot_be_is_refused(bars: int, share: float) -> None:
    with pytest.raises(ValueError, match="use shares"):
        order.quantile(X, bars, share)


def test_rank_of_one_bar_is_refused() -> None:
    with pytest.raises(ValueError, match="use 2 or more"):
        order.rank(X, 1)
