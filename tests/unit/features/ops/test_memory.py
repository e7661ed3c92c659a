"""Measures of memory against their published formulas, written out in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.features.ops.windows import X, Y, assert_obeys_windows, evaluated, steps

from heliograph.features.ops import memory

STEPS = steps(500, seed=7)
WALK = np.cumsum(STEPS) + 10.0


def _rows(x: np.ndarray, bars: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, bars)


def _variance_ratio(rows: np.ndarray, q: int) -> np.ndarray:
    """Lo and MacKinlay 1988, eq. 12."""
    bars, mean = rows.shape[1], rows.mean(axis=1, keepdims=True)
    walks = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
    moves = walks[:, q:] - walks[:, :-q] - q * mean
    over = (moves**2).sum(axis=1) / (q * (bars - q + 1) * (1 - q / bars))
    found: np.ndarray = over / rows.var(axis=1, ddof=1)
    return found


def _growth(squares: list[np.ndarray], widths: tuple[int, ...]) -> np.ndarray:
    found: np.ndarray = np.polyfit(np.log(widths), np.log(squares), 1)[0] / 2
    return found


@pytest.mark.parametrize(("q", "bars"), [(2, 20), (4, 100), (8, 168)])
def test_variance_ratio_is_lo_and_mackinlays(q: int, bars: int) -> None:
    rows = _rows(STEPS, bars)
    expected = _variance_ratio(rows, q)
    np.testing.assert_allclose(evaluated(memory.variance_ratio(X, q, bars), STEPS)[bars - 1 :], expected, rtol=1e-11)
    a = rows**2
    error = sum((2 * (q - j) / q) ** 2 * (a[:, j:] * a[:, :-j]).sum(axis=1) for j in range(1, q)) / a.sum(axis=1) ** 2
    found = evaluated(memory.variance_ratio_z(X, q, bars), STEPS)[bars - 1 :]
    np.testing.assert_allclose(found, (expected - 1) / np.sqrt(error), rtol=1e-10, atol=1e-10)


def test_steps_that_turn_back_have_a_ratio_of_zero() -> None:
    x = np.tile([0.01, -0.01], 100)
    assert evaluated(memory.variance_ratio(X, 2, 100), x)[-1] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("bars", [20, 168])
def test_rescaled_range_is_hursts(bars: int) -> None:
    rows = _rows(STEPS, bars)
    walks = np.cumsum(rows - rows.mean(axis=1, keepdims=True), axis=1)
    expected = (np.maximum(walks.max(axis=1), 0) - np.minimum(walks.min(axis=1), 0)) / rows.std(axis=1)
    found = evaluated(memory.rescaled_range(X, bars), STEPS)[bars - 1 :]
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    found = evaluated(memory.hurst_of_range(X, bars), STEPS)[bars - 1 :]
    np.testing.assert_allclose(found, np.log(expected) / math.log(bars / 2), rtol=1e-11)


def test_exponents_are_slopes_of_logs() -> None:
    rows, widths = _rows(WALK, 100), (1, 2, 4, 8, 16)
    moves = [((rows[:, k:] - rows[:, :-k]) ** 2).mean(axis=1) for k in widths]
    found = evaluated(memory.hurst_of_variance(X, 100), WALK)
    np.testing.assert_allclose(found[99:], _growth(moves, widths), rtol=1e-9)
    assert np.isnan(found[:99]).all()


def test_detrended_fluctuation_is_pengs() -> None:
    rows, squares = _rows(WALK, 100), []
    for width in (8, 16, 32):
        t = np.arange(width) - (width - 1) / 2
        boxes = np.lib.stride_tricks.sliding_window_view(rows, width, axis=1)
        off = boxes - boxes.mean(axis=2, keepdims=True)
        off = off - (off @ t / (t @ t))[..., None] * t
        squares.append((off**2).mean(axis=2).mean(axis=1))
    found = evaluated(memory.detrended_fluctuation(X, 100), WALK)
    np.testing.assert_allclose(found[99:], _growth(squares, (8, 16, 32)), rtol=1e-9)


def test_exponents_tell_noise_walk_and_line_apart() -> None:
    noise, line = STEPS, 0.01 * np.arange(500.0)
    for made in (memory.hurst_of_variance(X, 168), memory.detrended_fluctuation(X, 168)):
        assert abs(evaluated(made, noise)[-1]) < 0.2
        assert 0.3 < np.mean(evaluated(made, WALK)[200:]) < 0.7
    assert evaluated(memory.hurst_of_variance(X, 168), line)[-1] == pytest.approx(1.0)


def test_dimensions_are_one_for_a_line_and_two_for_noise() -> None:
    line = 0.01 * np.arange(300.0)
    assert evaluated(memory.madogram_dimension(X, 72), line)[-1] == pytest.approx(1.0)
    assert evaluated(memory.madogram_dimension(X, 72), STEPS)[-1] == pytest.approx(2.0, abs=0.3)
    rows = _rows(WALK, 72)
    one, two = (np.abs(rows[:, k:] - rows[:, :-k]).mean(axis=1) for k in (1, 2))
    found = evaluated(memory.madogram_dimension(X, 72), WALK)[71:]
    np.testing.assert_allclose(found, 2 - np.log2(two / one), rtol=1e-11)


def test_range_dimension_is_ehlers() -> None:
    high, low = WALK + 0.01, WALK - 0.01
    tops, bottoms = _rows(high, 16), _rows(low, 16)
    n1, n2 = ((tops[:, k : k + 8].max(axis=1) - bottoms[:, k : k + 8].min(axis=1)) / 8 for k in (0, 8))
    n3 = (tops.max(axis=1) - bottoms.min(axis=1)) / 16
    found = evaluated(memory.range_dimension(X, Y, 16), high, low)
    np.testing.assert_allclose(found[15:], (np.log(n1 + n2) - np.log(n3)) / math.log(2), rtol=1e-11)


def test_run_counts_bars_on_one_side() -> None:
    x = np.array([1.0, 2.0, -1.0, -1.0, -2.0, -3.0, -1.0, 0.0, 0.0, 5.0, np.nan, 5.0, 5.0, 5.0, 5.0])
    nan = math.nan
    expected = [nan, nan, nan, -2, -3, -4, -4, 0, 0, 1, nan, nan, nan, nan, 4]
    np.testing.assert_array_equal(evaluated(memory.run(X, 4), x), expected)


@pytest.mark.parametrize("bars", [20, 72])
def test_runs_are_wald_and_wolfowitz(bars: int) -> None:
    up = _rows(STEPS > 0, bars)
    runs = 1 + (up[:, 1:] != up[:, :-1]).sum(axis=1)
    above = up.sum(axis=1)
    expected = 2 * above * (bars - above) / bars + 1
    spread = np.sqrt((expected - 1) * (expected - 2) / (bars - 1))
    found = evaluated(memory.runs_z(X, bars), STEPS)[bars - 1 :]
    np.testing.assert_allclose(found, (runs - expected) / spread, rtol=1e-11, atol=1e-12)


def test_memory_of_a_still_market_is_that_of_chance() -> None:
    x = np.full(200, 4.2)
    for made, expected in (
        (memory.variance_ratio(X, 4, 100), 1.0),
        (memory.variance_ratio_z(X - 4.2, 4, 100), 0.0),
        (memory.rescaled_range(X, 100), 0.0),
        (memory.hurst_of_range(X, 100), 0.5),
        (memory.hurst_of_variance(X, 100), 0.5),
        (memory.detrended_fluctuation(X, 100), 0.5),
        (memory.madogram_dimension(X, 100), 1.5),
        (memory.range_dimension(X, X, 100), 1.5),
        (memory.runs_z(X, 100), 0.0),
    ):
        assert evaluated(made, x)[-1] == expected


def test_memory_knows_its_own_bars_only() -> None:
    for bars in (40, 53):
        for made in (
            memory.variance_ratio(X, 4, bars),
            memory.variance_ratio_z(X, 4, bars),
            memory.rescaled_range(X, bars),
            memory.hurst_of_variance(X, bars),
            memory.detrended_fluctuation(X, bars),
            memory.madogram_dimension(X, bars),
            memory.run(X, bars),
            memory.runs_z(X, bars),
        ):
            assert_obeys_windows(made, bars)
        assert_obeys_windows(memory.range_dimension(X, Y, bars), bars - bars % 2)
