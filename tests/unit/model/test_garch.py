"""GARCH(1,1)-t by the package arch: parameters that were planted are found, and a failed fit is told."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.model.volatile import LEVELS, garch, labels, make_spec, windows_of

from heliograph.core.errors import DataError
from heliograph.model import garch as module
from heliograph.model.ewma import Moves
from heliograph.model.garch import GarchForecaster, estimate

OMEGA, ALPHA, BETA = 4e-6, 0.1, 0.85
SPEC = make_spec(("ewma_volatility", "log_return_1"), window_bars=64)
NUM = 12_000
ROWS = np.arange(100, NUM - 20)


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, and the variance of the bar after each row."""
    returns, variance = garch(NUM + 1, omega=OMEGA, alpha=ALPHA, beta=BETA, degrees=6.0, seed=seed)
    sigma = np.sqrt(variance[:-1])
    x = np.column_stack([sigma, returns[:-1] / sigma]).astype(np.float32)
    return x, labels(returns)[:-1], variance[1:]


def fitted(seed: int = 0) -> GarchForecaster:
    x, y, _ = world(seed)
    setups = np.full((ROWS.size, 3), 1)
    return GarchForecaster.fit(SPEC, Moves.of(SPEC, x), rows=ROWS, log_return_NH=y[ROWS], setup_NH=setups)


MADE = fitted()


def test_parameters_are_recovered():
    omega, alpha, beta = (float(a[0]) for a in (MADE.recursion.omega_H, MADE.recursion.alpha_H, MADE.recursion.beta_H))
    assert alpha == pytest.approx(ALPHA, abs=0.02)
    assert beta == pytest.approx(BETA, abs=0.03)
    assert omega / (1 - alpha - beta) == pytest.approx(OMEGA / (1 - ALPHA - BETA), rel=0.15)


def test_variance_of_the_next_bar_is_the_true_one():
    x, _, variance = world(seed=3)
    found = MADE.recursion.next(Moves.of(SPEC, x), ROWS, SPEC.window_bars)[:, 0]
    assert np.abs(np.log(found / variance[ROWS])).mean() < 0.05


def test_quantiles_cover_what_they_say_on_another_path():
    x, y, _ = world(seed=5)
    said = MADE.forecast(windows_of(x, ROWS, SPEC.window_bars)).quantile_BHQ
    below = (y[ROWS][..., None] < said).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=0.02)


def test_only_the_past_of_the_last_origin_is_fitted():
    x, y, _ = world()
    rows = ROWS[ROWS < 8_000]
    told = x.copy()
    told[8_000:, 1] *= 50
    moves, other = Moves.of(SPEC, x), Moves.of(SPEC, told)
    one, two = (
        GarchForecaster.fit(SPEC, m, rows=rows, log_return_NH=y[rows], setup_NH=np.full((rows.size, 3), 1))
        for m in (moves, other)
    )
    assert one.fingerprint == two.fingerprint


def test_integrated_variance_is_held_just_below_one():
    returns, _ = garch(4_000, omega=1e-7, alpha=0.12, beta=0.88, degrees=8.0, seed=2)
    _, alpha, beta = estimate(returns)
    assert 0.97 < alpha + beta < 1.0


def test_fit_that_does_not_converge_is_told(monkeypatch):
    monkeypatch.setattr(module, "_STEPS", 1)
    with pytest.raises(DataError, match="did not converge"):
        fitted()


def test_price_that_stood_still_and_too_little_history_are_told():
    x, y, _ = world()
    setups = np.full((ROWS.size, 3), -1)
    with pytest.raises(DataError, match="stood still"):
        GarchForecaster.fit(SPEC, Moves.of(SPEC, x), rows=ROWS, log_return_NH=0 * y[ROWS], setup_NH=setups)
    with pytest.raises(DataError, match="needs 500"):
        GarchForecaster.fit(SPEC, Moves.of(SPEC, x), rows=ROWS[:9], log_return_NH=y[ROWS[:9]], setup_NH=setups[:9])


def test_state_and_back_is_the_same_to_the_bit():
    tensors, header = MADE.state()
    again = GarchForecaster.restore(SPEC, tensors, header)
    windows = windows_of(world()[0], ROWS[:50], SPEC.window_bars)
    assert again.fingerprint == MADE.fingerprint
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, MADE.forecast(windows).quantile_BHQ)


def test_the_same_data_give_the_same_model():
    assert fitted().fingerprint == MADE.fingerprint
    assert fitted(seed=1).fingerprint != MADE.fingerprint
