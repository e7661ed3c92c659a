"""Windows against numpy in extended precision, and against TA-Lib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import recorded
from tests.unit.features.graphs import values
from tests.unit.features.ops.windows import (
    LENGTHS,
    Reference,
    X,
    assert_is_window,
    assert_obeys_windows,
    evaluated,
    steps,
    walk,
)

from heliograph.core.market import Candles
from heliograph.features.graph import Series
from heliograph.features.market import CLOSE
from heliograph.features.ops import window

WINDOWS: dict[str, tuple[Callable[[Series, int], Series], Reference]] = {
    "total": (window.total, lambda v: v.sum(axis=1)),
    "mean": (window.mean, lambda v: v.mean(axis=1)),
    "variance": (window.variance, lambda v: v.var(axis=1)),
    "deviation": (window.deviation, lambda v: v.std(axis=1)),
    "highest": (window.highest, lambda v: v.max(axis=1)),
    "lowest": (window.lowest, lambda v: v.min(axis=1)),
    "weighted_mean": (window.weighted_mean, lambda v: np.average(v, axis=1, weights=np.arange(1, v.shape[1] + 1))),
}
LINES = ("slope", "end", "r2", "error")


def _line(v: np.ndarray) -> np.ndarray:
    """Slope, end, R² and standard error of each row, by the normal equations."""
    bars = v.shape[1]
    t = np.arange(bars, dtype=np.longdouble) - (bars - 1) / 2
    off = v - v.mean(axis=1, keepdims=True)
    slope = (off @ t) / (t @ t)
    rest, whole = ((off - slope[:, None] * t) ** 2).sum(axis=1), (off**2).sum(axis=1)
    told = 1 - np.divide(rest, whole, out=np.ones_like(rest), where=whole > 0)
    return np.array([slope, v.mean(axis=1) + slope * t[-1], told, np.sqrt(rest / (bars - 2))])


@pytest.fixture(scope="module")
def candles(shared_data: Path) -> Candles:
    return recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(52_000, 55_000))


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize(("price", "tick"), [(6e4, 0.01), (1e-5, 1e-8)])
def test_window_is_its_formula(name: str, price: float, tick: float) -> None:
    made, formula = WINDOWS[name]
    for bars in LENGTHS:
        assert_is_window(made(X, bars), bars, formula, walk(400, seed=bars, price=price, tick=tick))


@pytest.mark.parametrize("name", [*WINDOWS, "score", "slope"])
def test_window_knows_its_own_bars_only(name: str) -> None:
    for bars in (2, 5, 24, 37):
        assert_obeys_windows(getattr(window, name)(X, bars), bars)


@settings(max_examples=30, deadline=None)
@given(bars=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_any_length_is_put_together_right(bars: int, seed: int) -> None:
    x = steps(700, seed=seed)
    for name in ("total", "highest", "variance"):
        made, formula = WINDOWS[name]
        found = evaluated(made(X, bars), x)[bars - 1 :]
        rows = np.lib.stride_tricks.sliding_window_view(x, bars)
        np.testing.assert_allclose(found, formula(rows).astype(np.float64), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("price", "tick"), [(6e4, 0.01), (1e-5, 1e-8)])
def test_line_is_the_least_squares_one(price: float, tick: float) -> None:
    for bars in (3, 20, 100):
        x = walk(400, seed=bars, price=price, tick=tick)
        rows = np.lib.stride_tricks.sliding_window_view(x, bars).astype(np.longdouble)
        size = rows.std(axis=1).astype(np.float64)
        scales = (size / bars, np.abs(x[bars - 1 :]), 1.0, size)
        expected = _line(rows).astype(np.float64)
        moves = size > 0
        for k, made in enumerate(window.fit(X, bars)):
            off = (evaluated(made, x)[bars - 1 :] - expected[k])[moves] / np.broadcast_to(scales[k], size.shape)[moves]
            # What is left of a straight line is rounding, and its root half the digits.
            assert np.max(np.abs(off)) < (1e-7 if LINES[k] == "error" else 1e-12)


def test_slope_is_that_of_the_fit() -> None:
    x = walk(300, seed=3)
    np.testing.assert_allclose(evaluated(window.slope(X, 24), x), evaluated(window.fit(X, 24)[0], x), rtol=1e-12)


def test_windows_of_a_flat_market_are_exact() -> None:
    x = np.full(300, 0.1)
    for bars in (20, 168):
        for made in (window.variance, window.deviation, window.slope, window.score):
            assert set(evaluated(made(X, bars), x)[bars - 1 :]) == {0.0}
        assert set(evaluated(window.weighted_mean(X, bars), x)[bars - 1 :]) == {0.1}
        assert [evaluated(made, x)[-1] for made in window.fit(X, bars)] == [0.0, 0.1, 0.0, 0.0]


def test_a_level_ten_orders_above_its_moves_costs_no_digits() -> None:
    """Mean squares less squared means would be noise here."""
    x = steps(300, seed=2)
    for made in (window.variance, window.score):
        far = evaluated(made(X, 168), np.round(x * 2**40) / 2**40 + 2.0**12)
        np.testing.assert_allclose(far, evaluated(made(X, 168), np.round(x * 2**40) / 2**40), rtol=1e-11)


def test_score_is_bounded() -> None:
    x = np.zeros(50)
    x[-1] = 1e9
    assert evaluated(window.score(X, 50), x)[-1] == pytest.approx(7.0, rel=1e-14)


@pytest.mark.parametrize("bars", [5, 14, 50, 168])
def test_windows_are_talibs(candles: Candles, bars: int) -> None:
    """To what TA-Lib's own sums, that gain and lose a value a bar, leave of the digits."""
    close = candles.close
    slope, end = window.fit(CLOSE, bars)[:2]
    pairs = [
        (window.mean(CLOSE, bars), talib.SMA(close, bars), 1e-12),
        (window.weighted_mean(CLOSE, bars), talib.WMA(close, bars), 1e-12),
        (window.variance(CLOSE, bars), talib.VAR(close, bars), 1e-3),
        (window.deviation(CLOSE, bars), talib.STDDEV(close, bars), 1e-3),
        (window.highest(CLOSE, bars), talib.MAX(close, bars), 0.0),
        (window.lowest(CLOSE, bars), talib.MIN(close, bars), 0.0),
        (end, talib.LINEARREG(close, bars), 1e-11),
    ]
    for made, expected, rtol in pairs:
        np.testing.assert_allclose(values(made, candles), expected, rtol=rtol, atol=0.0)
    for made in (slope, window.slope(CLOSE, bars)):
        np.testing.assert_allclose(values(made, candles), talib.LINEARREG_SLOPE(close, bars), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("made", "bars"), [(window.total, 0), (window.slope, 1), (window.fit, 2), (window.highest, -1)]
)
def test_too_short_a_window_is_refused(made: object, bars: int) -> None:
    with pytest.raises(ValueError, match="use"):
        made(X, bars)  # type: ignore[operator]
