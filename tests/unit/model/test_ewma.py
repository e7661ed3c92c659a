"""The recursion of the variance, Student's tails, and EWMA on both."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.model.volatile import HORIZONS, LEVELS, garch, labels, make_spec, windows_of

from heliograph.core.errors import ConfigError, DataError, SchemaMismatch
from heliograph.model.ewma import EwmaForecaster, Moves, Recursion, student, student_cone, student_loss
from heliograph.model.garch import GarchForecaster

SPEC = make_spec(("ewma_volatility", "log_return_1"), window_bars=48)
DECAY = 0.93
NUM = 6_000
ROWS = np.arange(100, NUM - 20)


def features(returns: np.ndarray, decay: float = 0.97) -> np.ndarray:
    """The two columns as the feature table has them, float32[M, 2]."""
    variance, made = returns[0] ** 2 + 1e-8, np.empty((returns.size, 2))
    for i, step in enumerate(returns):
        variance = decay * variance + (1 - decay) * step**2
        made[i] = np.sqrt(variance), step / np.sqrt(variance)
    return made.astype(np.float32)


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of a market whose variance is EWMA's (held from fading by a little omega), and its labels."""
    returns, _ = garch(NUM, omega=2e-7, alpha=1 - DECAY, beta=DECAY - 0.002, degrees=6.0, seed=seed)
    return features(returns), labels(returns)


def fitted(seed: int = 0) -> EwmaForecaster:
    x, y = world(seed)
    setups = np.full((ROWS.size, 3), 1)
    return EwmaForecaster.fit(SPEC, Moves.of(SPEC, x), rows=ROWS, log_return_NH=y[ROWS], setup_NH=setups)


MADE = fitted()


@pytest.mark.parametrize("degrees", [2.5, 4.0, 9.0])
def test_degrees_of_freedom_and_scale_are_recovered(degrees):
    z = 0.7 * np.random.default_rng(1).standard_t(degrees, size=40_000)
    found, scale = student(z)
    assert found == pytest.approx(degrees, rel=0.1)
    assert scale == pytest.approx(0.7, rel=0.02)


def test_likelihood_is_scipys():
    z = np.random.default_rng(2).normal(size=50)
    assert student_loss(z, 4.5, 1.3) == pytest.approx(-scipy.stats.t.logpdf(z, 4.5, scale=1.3).mean(), rel=1e-12)


def test_quantiles_are_those_of_the_t_that_was_drawn():
    z = 1.2 * np.random.default_rng(3).standard_t(5.0, size=(60_000, 3))
    cone = student_cone(SPEC, z, np.full((60_000, 3), -1))
    expected = 1.2 * scipy.stats.t.ppf(LEVELS, 5.0)
    np.testing.assert_allclose(cone.quantile_HQ, np.tile(expected, (3, 1)), rtol=0.05, atol=1e-9)
    np.testing.assert_allclose(cone.confidence_H, 0.5, atol=0.01)


def test_decay_of_the_next_bar_is_recovered():
    assert MADE.recursion.beta_H[0] == pytest.approx(DECAY, abs=0.02)


@settings(max_examples=20)
@given(st.floats(0.8, 0.999), st.integers(0, 40))
def test_filter_is_the_plain_loop_over_the_window(decay, start):
    x, _ = world()
    window = x[start : start + 48].astype(float)
    variance = window[0, 0] ** 2
    for sigma, move in window[1:]:
        variance = decay * variance + (1 - decay) * (sigma * move) ** 2
    last = np.array([start + 47])
    found = Recursion.ewma(np.array([decay])).next(Moves.of(SPEC, x), last, 48)
    assert found[0, 0] == pytest.approx(variance, rel=1e-12)


def test_filter_with_the_features_own_decay_gives_the_feature():
    x, _ = world()
    found = Recursion.ewma(np.array([0.97])).next(Moves.of(SPEC, x), ROWS, 48)
    np.testing.assert_allclose(np.sqrt(found[:, 0]), x[ROWS, 0], rtol=1e-5)


def test_nothing_before_the_window_is_read():
    x, _ = world()
    other = x.copy()
    other[:53] *= 5
    recursion = Recursion.ewma(np.array([0.99]))
    at = np.array([100])
    np.testing.assert_array_equal(
        recursion.next(Moves.of(SPEC, x), at, 48), recursion.next(Moves.of(SPEC, other), at, 48)
    )


def test_ewma_grows_with_the_root_of_the_horizon():
    recursion = Recursion.ewma(np.array([0.9, 0.95, 0.99]))
    ahead = recursion.ahead(np.full((1, 3), 4e-4), HORIZONS)
    np.testing.assert_allclose(ahead[0], 0.02 * np.sqrt(HORIZONS), rtol=1e-12)


@settings(max_examples=30)
@given(st.floats(0.0, 0.2), st.floats(0.5, 0.79), st.floats(1e-7, 1e-4))
def test_variance_ahead_is_the_closed_form(alpha, beta, now):
    omega, decay = 1e-6, alpha + beta
    recursion = Recursion(*(np.full(3, number) for number in (omega, alpha, beta)))
    long = omega / (1 - decay)
    expected = [h * long + (now - long) * (1 - decay**h) / (1 - decay) for h in HORIZONS]
    np.testing.assert_allclose(recursion.ahead(np.full((1, 3), now), HORIZONS)[0] ** 2, expected, rtol=1e-9)


def test_window_gives_what_training_saw():
    x, _ = world()
    ends = np.arange(200, 260)
    cone = MADE.forecast(windows_of(x, ends, 48)).quantile_BHQ
    scale = MADE.recursion.scale(Moves.of(SPEC, x), ends, SPEC)
    np.testing.assert_array_equal(cone, MADE.cone.quantile_HQ * scale[..., None])


def test_quantiles_cover_what_they_say_on_another_path():
    x, y = world(seed=5)
    said = MADE.forecast(windows_of(x, ROWS, 48)).quantile_BHQ
    below = (y[ROWS][..., None] < said).mean(axis=0)
    np.testing.assert_allclose(below[0], LEVELS, atol=0.02)
    assert (np.diff(said, axis=-1) > 0).all()


def test_feature_that_is_filtered_must_be_there():
    with pytest.raises(ConfigError, match="log_return_1"):
        Moves.of(make_spec(("ewma_volatility", "bar_range")), np.zeros((5, 2), dtype=np.float32))


def test_too_little_history_and_a_price_that_stood_still_are_told():
    x, y = world()
    few, setups = ROWS[:300], np.full((ROWS.size, 3), -1)
    with pytest.raises(DataError, match=r"needs 500 training origins and there are 300"):
        EwmaForecaster.fit(SPEC, Moves.of(SPEC, x), rows=few, log_return_NH=y[few], setup_NH=setups[:300])
    with pytest.raises(DataError, match="stood still"):
        EwmaForecaster.fit(SPEC, Moves.of(SPEC, x), rows=ROWS, log_return_NH=0.0 * y[ROWS], setup_NH=setups)


def test_market_that_stands_still_later_gets_a_narrow_forecast():
    said = MADE.forecast(np.zeros((2, 48, 2), dtype=np.float32)).quantile_BHQ
    assert np.isfinite(said).all()
    assert np.abs(said).max() < 1e-4


def test_windows_of_another_shape_are_refused():
    with pytest.raises(SchemaMismatch):
        MADE.forecast(np.zeros((2, 47, 2), dtype=np.float32))


def test_state_and_back_is_the_same_to_the_bit():
    tensors, header = MADE.state()
    again = EwmaForecaster.restore(SPEC, tensors, header)
    windows = windows_of(world()[0], ROWS[:50], 48)
    assert again.fingerprint == MADE.fingerprint
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, MADE.forecast(windows).quantile_BHQ)


def test_fingerprint_names_data_and_kind():
    assert fitted().fingerprint == MADE.fingerprint
    assert fitted(seed=1).fingerprint != MADE.fingerprint
    assert GarchForecaster(SPEC, MADE.recursion, MADE.cone).fingerprint != MADE.fingerprint
