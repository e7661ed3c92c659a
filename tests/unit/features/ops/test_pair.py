"""What two series share, against numpy in extended precision and TA-Lib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import talib
from tests.unit.features.candles import recorded
from tests.unit.features.graphs import values
from tests.unit.features.ops.windows import X, Y, assert_obeys_windows, evaluated, steps, walk

from heliograph.features.market import CLOSE, RAW_HIGH
from heliograph.features.ops import pair


def _rows(x: np.ndarray, bars: int) -> np.ndarray:
    rows = np.lib.stride_tricks.sliding_window_view(x, bars).astype(np.longdouble)
    off: np.ndarray = rows - rows.mean(axis=1, keepdims=True)
    return off


@pytest.mark.parametrize(("price", "tick"), [(6e4, 0.01), (1e-5, 1e-8)])
@pytest.mark.parametrize("bars", [3, 20, 100, 168])
def test_pairs_are_their_formulas(bars: int, price: float, tick: float) -> None:
    x, y = walk(500, seed=1, price=price, tick=tick), walk(500, seed=2, price=price / 2, tick=tick)
    a, b = _rows(x, bars), _rows(y, bars)
    common, size_a, size_b = (a * b).mean(axis=1), np.sqrt((a**2).mean(axis=1)), np.sqrt((b**2).mean(axis=1))
    moves = (size_a > 0) & (size_b > 0)
    common, size_a, size_b = common[moves], size_a[moves], size_b[moves]
    for made, unit in (
        (pair.covariance(X, Y, bars), 1.0 / (size_a * size_b)),
        (pair.correlation(X, Y, bars), 1.0),
        (pair.beta(X, Y, bars), size_b / size_a),
    ):
        off = evaluated(made, x, y)[bars - 1 :][moves] * unit - common / (size_a * size_b)
        assert np.max(np.abs(off)) < 1e-12


@pytest.mark.parametrize("lag", [1, 2, 7, 19])
def test_autocorrelation_is_box_and_jenkins(lag: int) -> None:
    x = walk(500, seed=3)
    rows = _rows(x, 20)
    expected = (rows[:, lag:] * rows[:, :-lag]).sum(axis=1) / (rows**2).sum(axis=1)
    np.testing.assert_allclose(
        evaluated(pair.autocorrelation(X, lag, 20), x)[19:], expected.astype(float), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("name", ["covariance", "correlation", "beta"])
def test_pair_knows_its_own_bars_only(name: str) -> None:
    for bars in (2, 24, 37):
        assert_obeys_windows(getattr(pair, name)(X, Y, bars), bars)


def test_autocorrelation_knows_its_own_bars_only() -> None:
    for lag, bars in ((1, 24), (5, 37), (23, 24)):
        assert_obeys_windows(pair.autocorrelation(X, lag, bars), bars)


def test_correlation_with_itself_is_one_and_with_nothing_zero() -> None:
    x, still = steps(200, seed=6), np.full(200, 3.3)
    assert evaluated(pair.correlation(X, X, 50), x)[-1] == pytest.approx(1.0, abs=1e-15)
    assert evaluated(pair.correlation(X, Y, 50), x, -2.0 * x)[-1] == pytest.approx(-1.0, abs=1e-15)
    for made in (pair.correlation(X, Y, 50), pair.beta(X, Y, 50), pair.autocorrelation(Y, 3, 50)):
        assert evaluated(made, x, still)[-1] == 0.0


def test_pairs_are_talibs(shared_data: Path) -> None:
    """CORREL keeps raw sums of squares: at these prices six digits are left. BETA is one of relative changes."""
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(52_000, 55_000))
    found = values(pair.correlation(RAW_HIGH, CLOSE, 30), candles)
    np.testing.assert_allclose(found, talib.CORREL(candles.high, candles.close, 30), atol=1e-4)
    a, b = (series / series.lag(1) - 1.0 for series in (RAW_HIGH, CLOSE))
    found = values(pair.beta(b, a, 30), candles)
    np.testing.assert_allclose(found[40:], talib.BETA(candles.high, candles.close, 30)[40:], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("lag", [0, 20, -1])
def test_lag_beyond_the_window_is_refused(lag: int) -> None:
    with pytest.raises(ValueError, match="use 1 to 19"):
        pair.autocorrelation(X, lag, 20)
