"""The tracker of widths: it learns from nothing but what is known, and holds the promised coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.model.tracker import NO_REGIME, Follower, Regimes, Tracker

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
Z = np.array([-1.959964, -1.281552, -0.67449, 0.0, 0.67449, 1.281552, 1.959964])
HORIZONS = (1, 6)
BAR_MS = 3_600_000


def fresh(rate: float = 0.02, regimes: Regimes | None = None) -> Tracker:
    return Tracker.fresh(LEVELS, HORIZONS, bar_ms=BAR_MS, rate=rate, regimes=regimes)


def history(num: int, *, symbols: int = 1, seed: int = 0, spread: float = 1.0):
    """Origins of several symbols at the same bars, standard normal quantiles, outcomes ``spread`` times as wide."""
    rng = np.random.default_rng(seed)
    known = np.tile((np.arange(num) + 1) * BAR_MS, symbols)
    end = known[:, None] + BAR_MS * np.array(HORIZONS)
    quantile = np.tile(Z, (known.size, len(HORIZONS), 1)) * np.exp(0.2 * rng.normal(size=(known.size, 1, 1)))
    return known, end, quantile, spread * rng.normal(size=(known.size, len(HORIZONS)))


def covered(said, y, pair):
    return ((y >= said[..., pair]) & (y <= said[..., -1 - pair])).mean(axis=0)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), cut=st.integers(1, 79), size=st.floats(0.1, 100.0))
def test_outcomes_that_end_later_change_nothing_at_a_moment(seed, cut, size):
    known, end, quantile, y = history(80, symbols=2, seed=seed)
    regime = np.random.default_rng(seed).integers(-1, 3, size=known.size)
    now = (cut + 1) * BAR_MS
    other = np.where(end >= now, size * np.random.default_rng(seed + 1).normal(size=y.shape), y)
    before, _ = fresh(0.2).run(known, end, quantile, y, regime_N=regime)
    after, _ = fresh(0.2).run(known, end, quantile, other, regime_N=regime)
    np.testing.assert_array_equal(before[known <= now], after[known <= now])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), rate=st.floats(0.0, 3.0))
def test_quantiles_never_cross_and_medians_never_move(seed, rate):
    known, end, quantile, y = history(60, seed=seed, spread=3.0)
    quantile = quantile + 0.3
    said, tracker = fresh(rate).run(known, end, quantile, y)
    assert (np.diff(said, axis=-1) >= 0).all()
    np.testing.assert_array_equal(said[..., 3], quantile[..., 3])
    again = tracker.apply(quantile)
    assert (np.diff(again, axis=-1) >= 0).all()


@pytest.mark.parametrize("spread", [0.7, 1.5])
def test_coverage_of_a_cone_of_wrong_width_comes_true(spread):
    known, end, quantile, y = history(12_000, spread=spread)
    raw, said = quantile, fresh(0.05).run(known, end, quantile, y)[0]
    late = known > 3_000 * BAR_MS
    for pair, nominal in ((0, 0.95), (1, 0.8)):
        assert (np.abs(covered(raw[late], y[late], pair) - nominal) > 0.035).all()
        np.testing.assert_allclose(covered(said[late], y[late], pair), nominal, atol=0.01)


def test_regimes_have_widths_of_their_own():
    known, end, quantile, y = history(12_000)
    regime = np.arange(known.size) // 50 % 3
    y = y * np.array([0.7, 1.0, 1.4])[regime][:, None]
    said, _ = fresh(0.05).run(known, end, quantile, y, regime_N=regime)
    for r in range(3):
        late = (known > 3_000 * BAR_MS) & (regime == r)
        np.testing.assert_allclose(covered(said[late], y[late], 1)[0], 0.8, atol=0.02)


def test_a_fresh_tracker_changes_nothing_but_rounding():
    _, _, quantile, _ = history(10)
    np.testing.assert_allclose(fresh().apply(quantile), quantile, rtol=1e-14, atol=1e-14)


def test_order_of_origins_does_not_matter():
    known, end, quantile, y = history(200, symbols=3)
    mixed = np.random.default_rng(1).permutation(known.size)
    straight, one = fresh().run(known, end, quantile, y)
    shuffled, two = fresh().run(known[mixed], end[mixed], quantile[mixed], y[mixed])
    np.testing.assert_array_equal(straight[mixed], shuffled)
    np.testing.assert_array_equal(one.log_width_GHK, two.log_width_GHK)


def test_outcomes_that_overlap_step_less():
    known, end, quantile, _ = history(40)
    always_out = np.full((known.size, 2), 100.0)
    _, tracker = fresh(0.01).run(known, end, quantile, always_out)
    one, six = tracker.log_width_GHK[0, :, 0]
    assert one == pytest.approx(0.01 * 0.95 * 38)
    assert six == pytest.approx(0.01 * 0.95 * (1 + 32 / 6))


def test_unknown_outcomes_teach_nothing():
    known, end, quantile, y = history(50)
    _, tracker = fresh().run(known, end, quantile, np.full_like(y, np.nan))
    np.testing.assert_array_equal(tracker.log_width_GHK, 0.0)


def test_bar_by_bar_is_the_whole_history():
    symbols, num = ("A/USDT", "B/USDT", "C/USDT"), 120
    rng = np.random.default_rng(4)
    regimes = Regimes(symbols[:2], np.array([[0.01, 0.02], [0.02, 0.03]]))
    log_close = np.cumsum(0.02 * rng.standard_t(3, size=(len(symbols), num + 6)), axis=1)
    sigma = 0.02 * np.exp(0.5 * rng.normal(size=(len(symbols), num)))
    known, end, _, _ = history(num, symbols=len(symbols))
    quantile = 0.02 * Z * np.sqrt(HORIZONS)[:, None] * np.ones((known.size, 1, 1))
    y = np.concatenate([np.column_stack([p[h : num + h] - p[:num] for h in HORIZONS]) for p in log_close])
    regime = np.concatenate([regimes.of(s, sigma[i]) for i, s in enumerate(symbols)])
    tracker = fresh(0.1, regimes)
    batch, last = tracker.run(known, end, quantile, y, regime_N=regime)
    follower = Follower(tracker)
    for t in range(num):
        for i in rng.permutation(len(symbols)):
            close = float(np.exp(log_close[i, t]))
            said = follower.forecast(
                symbols[i], int(known[t]), quantile[i * num + t], close=close, sigma=float(sigma[i, t])
            )
            np.testing.assert_allclose(said, batch[i * num + t], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(follower.tracker.log_width_GHK, last.log_width_GHK, atol=1e-12)


def test_a_missing_bar_settles_nothing_and_is_forgotten():
    follower = Follower(fresh(0.5))
    quantile = np.tile(Z, (2, 1))
    follower.forecast("A", BAR_MS, quantile, close=1.0, sigma=0.1)
    follower.forecast("A", 10 * BAR_MS, quantile, close=9.0, sigma=0.1)
    follower.forecast("A", 30 * BAR_MS, quantile, close=9.0, sigma=0.1)
    np.testing.assert_array_equal(follower.tracker.log_width_GHK, 0.0)


def test_a_step_leaves_the_state_before_it_alone():
    tracker = fresh(0.5)
    moved = tracker.step(0, BAR_MS, Z[None], np.array([9.0]))
    assert moved.log_width_GHK[0, 0, 0] > 0
    np.testing.assert_array_equal(tracker.log_width_GHK, 0.0)


def test_a_symbol_without_a_past_takes_the_median_edges():
    regimes = Regimes(("A", "B", "C"), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    assert regimes.of("D", np.array([2.5, 3.5, 4.5])).tolist() == [0, 1, 2]
    assert Regimes().of("D", np.array([2.5])).tolist() == [NO_REGIME]
