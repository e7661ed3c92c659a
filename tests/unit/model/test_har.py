"""The volatility model finds what is planted, holds what it promises, and is not poisoned by bad rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.model.volatile import LEVELS, NAMES, SIGMA, make_spec, planted, rows, windows_of

from heliograph.core.errors import DataError, SchemaMismatch
from heliograph.model.har import Har, HarForecaster

SPEC = make_spec()
NUM = 8_000
UNKNOWN = np.full((NUM, 3), -1)


def market(num: int = NUM, seed: int = 0, degrees: float = 5.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, their scale, and returns of Student-t shocks of variance one times it."""
    x = rows(num, seed)
    scale = planted(x, SPEC)
    shocks = np.random.default_rng([seed, 1]).standard_t(degrees, size=scale.shape) / np.sqrt(degrees / (degrees - 2))
    return x, scale, scale * shocks


def forecaster(seed: int = 0) -> HarForecaster:
    x, _, returns = market(seed=seed)
    return HarForecaster.fit(SPEC, last_NF=x, log_return_NH=returns, setup_NH=UNKNOWN)


def test_scale_that_is_linear_in_logs_is_found_to_the_prior():
    x = rows(40_000)
    scale = planted(x, SPEC)
    flip = np.where(np.arange(40_000)[:, None] % 2, 1.0, -1.0)
    har = Har.fit(SPEC, last_NF=x, log_return_NH=scale * flip)
    np.testing.assert_allclose(har.scale(x), scale, rtol=2e-3)


def test_scale_is_found_through_noise():
    x, scale, returns = market(20_000)
    found = Har.fit(SPEC, last_NF=x, log_return_NH=returns).scale(x)
    error = np.log(found / scale)
    assert np.abs(error.mean(axis=0)).max() < 0.04
    assert error.std(axis=0).max() < 0.06


def test_realised_volatility_sharpens_the_scale():
    x, scale, returns = market(4_000)
    realised = scale * np.exp(0.1 * np.random.default_rng(2).normal(size=scale.shape))
    plain = Har.fit(SPEC, last_NF=x, log_return_NH=returns)
    told = Har.fit(SPEC, last_NF=x, log_return_NH=returns, realised_NH=realised)
    spread = [np.log(har.scale(x) / scale).std() for har in (plain, told)]
    assert spread[1] < 0.7 * spread[0]


def test_realised_volatility_in_another_unit_changes_nothing():
    x, scale, returns = market(4_000)
    once, thrice = (Har.fit(SPEC, last_NF=x, log_return_NH=returns, realised_NH=k * scale) for k in (1.0, 3.0))
    np.testing.assert_allclose(once.scale(x), thrice.scale(x), rtol=1e-6)


def test_standardised_returns_have_variance_one():
    x, _, returns = market()
    z = returns / Har.fit(SPEC, last_NF=x, log_return_NH=returns).scale(x)
    np.testing.assert_allclose((z**2).mean(axis=0), 1.0, rtol=0.02)


def test_quantiles_of_filtered_history_cover_what_they_say():
    model = forecaster()
    x, _, returns = market(20_000, seed=7)
    said = model.forecast(np.repeat(x[:, None], SPEC.window_bars, axis=1)).quantile_BHQ
    below = (returns[..., None] < said).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(LEVELS, below.shape), atol=0.012)
    assert (np.diff(said, axis=-1) >= 0).all()


def test_forecast_reads_the_newest_row_alone():
    model, x = forecaster(), rows(100)
    windows = windows_of(x, np.arange(40, 60), SPEC.window_bars)
    other = windows.copy()
    other[:, :-1] = 1e3
    np.testing.assert_array_equal(model.forecast(windows).quantile_BHQ, model.forecast(other).quantile_BHQ)


def test_scale_of_a_row_does_not_depend_on_its_neighbours():
    model, x = forecaster().har, rows(50)
    np.testing.assert_allclose(model.scale(x)[17:18], model.scale(x[17:18]), rtol=1e-14)


@settings(max_examples=30)
@given(st.integers(0, len(NAMES) - 1), st.floats(-1e6, 1e6, width=32))
def test_no_row_can_bend_the_scale_without_bound(column, value):
    x = rows(3)
    x[:, column] = value
    har = HAR
    ratio = har.scale(x) / (np.maximum(x[:, SIGMA], 1e-6)[:, None] * SPEC.root_horizons)
    assert (ratio > np.exp(-2.001)).all()
    assert (ratio < np.exp(2.001)).all()


def test_prints_at_nothing_do_not_poison_the_scale():
    x, _, returns = market()
    struck = returns.copy()
    struck[::1_000] = np.log(0.01)
    clean, hit = (Har.fit(SPEC, last_NF=x, log_return_NH=y) for y in (returns, struck))
    assert np.abs(np.log(hit.scale(x) / clean.scale(x))).max() < 0.25


def test_rows_with_a_hole_are_left_out():
    x, _, returns = market()
    holed, unknown = x.copy(), returns.copy()
    holed[:500, 4] = np.nan
    unknown[500:700, 1] = np.nan
    kept = Har.fit(SPEC, last_NF=x[700:], log_return_NH=returns[700:])
    np.testing.assert_allclose(Har.fit(SPEC, last_NF=holed, log_return_NH=unknown).scale(x), kept.scale(x), rtol=1e-12)


def test_order_of_features_does_not_matter():
    x, _, returns = market()
    turned = make_spec(NAMES[::-1])
    one = Har.fit(SPEC, last_NF=x, log_return_NH=returns)
    other = Har.fit(turned, last_NF=x[:, ::-1], log_return_NH=returns)
    np.testing.assert_array_equal(one.scale(x), other.scale(np.ascontiguousarray(x[:, ::-1])))


def test_volatility_alone_is_enough():
    x, _, returns = market()
    alone = make_spec(("ewma_volatility", "signal"))
    har = Har.fit(alone, last_NF=x[:, [SIGMA, 1]], log_return_NH=returns)
    assert har.names == ("ewma_volatility",)
    assert np.isfinite(har.scale(x[:, [SIGMA, 1]])).all()


def test_too_little_history_is_told_with_the_number_needed():
    x, _, returns = market(100)
    with pytest.raises(DataError, match=r"needs 5\d\d training origins and 100 are whole"):
        Har.fit(SPEC, last_NF=x, log_return_NH=returns)


def test_price_that_stood_still_is_told():
    x, _, returns = market()
    with pytest.raises(DataError, match="stood still"):
        Har.fit(SPEC, last_NF=x, log_return_NH=0.0 * returns)
    x[:, SIGMA] = 1e-6
    with pytest.raises(DataError, match="0 are whole"):
        Har.fit(SPEC, last_NF=x, log_return_NH=returns)


def test_market_that_stands_still_later_gets_a_narrow_forecast():
    x = rows(4)
    x[:, SIGMA] = 0.0
    scale = HAR.scale(x)
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    assert scale.max() < 1e-4


def test_rows_and_windows_of_another_shape_are_refused():
    with pytest.raises(SchemaMismatch, match="rows have shape"):
        HAR.scale(rows(3)[:, :-1])
    with pytest.raises(SchemaMismatch, match="windows have shape"):
        forecaster().forecast(np.zeros((2, 5, len(NAMES)), dtype=np.float32))


def test_state_and_back_is_the_same_to_the_bit():
    made, x = forecaster(), rows(64)
    tensors, header = made.state()
    again = HarForecaster.restore(SPEC, tensors, header)
    assert again.fingerprint == made.fingerprint
    windows = np.repeat(x[:, None], SPEC.window_bars, axis=1)
    for name in ("quantile_BHQ", "setup_BHC", "confidence_BH"):
        np.testing.assert_array_equal(getattr(again.forecast(windows), name), getattr(made.forecast(windows), name))


def test_fingerprint_names_data_and_spec():
    one = forecaster()
    assert one.fingerprint == forecaster().fingerprint
    assert one.fingerprint != forecaster(seed=1).fingerprint
    moved = HarForecaster(replace(one.har, spec=make_spec(window_bars=16)), one.cone)
    assert moved.fingerprint != one.fingerprint


HAR = forecaster().har
