"""Moments and entropies against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.features.ops.windows import X, assert_is_window, assert_obeys_windows, evaluated, steps, walk

from heliograph.features.ops import distribution


def _moment(v: np.ndarray, power: int) -> np.ndarray:
    off = v - v.mean(axis=1, keepdims=True)
    found: np.ndarray = (off**power).mean(axis=1) / (off**2).mean(axis=1) ** (np.longdouble(power) / 2)
    return found


def _entropy(row: np.ndarray, count: int) -> float:
    shares = np.unique(row, return_counts=True)[1] / row.size
    return float(-np.sum(shares * np.log(shares)) / math.log(count))


def _sample_entropy(w: np.ndarray, radius: float) -> float:
    """Richman and Moorman's definition, pair by pair."""
    count = w.size - 2
    alike = staying = 0
    for i in range(count):
        for j in range(i + 1, count):
            if max(abs(w[i] - w[j]), abs(w[i + 1] - w[j + 1])) <= radius:
                alike += 1
                staying += abs(w[i + 2] - w[j + 2]) <= radius
    return math.log((alike or count * (count - 1) / 2) / max(staying, 1))


@pytest.mark.parametrize("bars", [20, 37, 100])
def test_moments_are_their_formulas(bars: int) -> None:
    x = steps(400, seed=bars)
    rows = np.lib.stride_tricks.sliding_window_view(x, bars)
    for made, expected in (
        (distribution.skewness(X, bars), _moment(rows, 3)),
        (distribution.kurtosis(X, bars), _moment(rows, 4) - 3),
    ):
        np.testing.assert_allclose(evaluated(made, x)[bars - 1 :], expected, rtol=1e-9, atol=1e-11)


def test_moments_of_a_price_lose_no_digits() -> None:
    x = walk(400, seed=1)
    assert_is_window(distribution.skewness(X, 100) + 5.0, 100, lambda v: _moment(v, 3) + 5, x)


@pytest.mark.parametrize("name", ["skewness", "kurtosis"])
def test_moments_know_their_own_bars_only(name: str) -> None:
    for bars in (5, 24, 37):
        assert_obeys_windows(getattr(distribution, name)(X, bars), bars)


def test_moments_of_a_flat_market_are_zero() -> None:
    for made in (distribution.skewness(X, 20), distribution.kurtosis(X, 20)):
        assert evaluated(made, np.full(50, 0.1))[-1] == 0.0


def test_permutation_entropy_is_bandt_and_pompes() -> None:
    x = walk(300, seed=2)
    orders = np.array([str(np.argsort(x[k : k + 3], kind="stable")) for k in range(x.size - 2)])
    expected = [_entropy(row, 6) for row in np.lib.stride_tricks.sliding_window_view(orders, 50)]
    found = evaluated(distribution.entropy(distribution.ordinal(X), 50, 6), x)
    assert np.isnan(found[:51]).all()
    np.testing.assert_allclose(found[51:], expected, rtol=1e-12, atol=1e-12)


def test_entropy_of_words_is_shannons() -> None:
    x = steps(300, seed=3)
    up = (x > 0).astype(int)
    words = 4 * up[:-2] + 2 * up[1:-1] + up[2:]
    np.testing.assert_array_equal(evaluated(distribution.word(X, 3), x)[2:], words)
    expected = [_entropy(row, 8) for row in np.lib.stride_tricks.sliding_window_view(words, 40)]
    found = evaluated(distribution.entropy(distribution.word(X, 3), 40, 8), x)
    np.testing.assert_allclose(found[41:], expected, rtol=1e-12, atol=1e-12)


def test_bins_are_even_and_open_at_both_ends() -> None:
    x = np.array([-9.0, -2.0, -1.51, -0.01, 0.0, 0.49, 1.99, 2.0, 9.0, np.nan])
    found = evaluated(distribution.bins(X, 2.0, 8), x)
    np.testing.assert_array_equal(found, [0, 0, 0, 3, 4, 4, 7, 7, 7, np.nan])


@pytest.mark.parametrize("radius", [0.0005, 0.003, 1.0])
def test_sample_entropy_is_richman_and_moormans(radius: float) -> None:
    x = steps(150, seed=4)
    found = evaluated(distribution.sample_entropy(X, 40, radius=radius), x)
    expected = [_sample_entropy(row, radius) for row in np.lib.stride_tricks.sliding_window_view(x, 40)]
    np.testing.assert_allclose(found[39:], expected, rtol=1e-12, atol=1e-12)


def test_entropies_know_their_own_bars_only() -> None:
    for bars in (12, 37):
        assert_obeys_windows(distribution.entropy(distribution.bins(X, 0.02, 5), bars, 5), bars)
        assert_obeys_windows(distribution.sample_entropy(X, bars, radius=0.004), bars)
