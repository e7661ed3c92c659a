"""What the plain baselines know, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.model.conftest import LEVELS

from heliograph.core.errors import ConfigError, DataError
from heliograph.model.baselines import PooledForecaster, month_sigma, setup_frequencies
from heliograph.model.spec import Spec


def fitted(spec, kind):
    rng = np.random.default_rng(5)
    sigma = np.where(np.arange(6_000) % 2, 0.01, 0.03)
    returns = rng.normal(size=(6_000, 2)) * sigma[:, None] * spec.root_horizons
    setups = np.zeros((6_000, 2), dtype=np.int64)
    return PooledForecaster.fit(spec, kind, sigma_N=sigma, log_return_NH=returns, setup_NH=setups), sigma, returns


def test_volatility_scaled_quantiles_are_those_of_standard_returns(spec):
    forecaster, sigma, returns = fitted(spec, "volatility_scaled")
    expected = np.quantile(returns / (sigma[:, None] * np.sqrt([1, 4])), spec.levels, axis=0).T
    np.testing.assert_allclose(forecaster.quantile_HQ, expected)
    np.testing.assert_allclose(forecaster.quantile_HQ[:, 5], 1.2816, atol=0.06)


def test_volatility_scaled_cone_follows_sigma_and_the_other_does_not(spec, windows):
    quiet, loud = windows.copy(), windows.copy()
    quiet[:, -1, spec.sigma_index], loud[:, -1, spec.sigma_index] = 0.01, 0.04
    scaled, _, _ = fitted(spec, "volatility_scaled")
    flat, _, _ = fitted(spec, "unconditional")
    np.testing.assert_allclose(4 * scaled.forecast(quiet).quantile_BHQ, scaled.forecast(loud).quantile_BHQ, rtol=1e-6)
    np.testing.assert_array_equal(flat.forecast(quiet).quantile_BHQ, flat.forecast(loud).quantile_BHQ)


def test_confidence_is_the_frequency_of_the_medians_sign(spec, windows):
    forecaster, _, returns = fitted(spec, "unconditional")
    sign = np.where(np.median(returns, axis=0) >= 0, 1, -1)
    np.testing.assert_allclose(forecaster.forecast(windows).confidence_BH[0], (returns * sign > 0).mean(axis=0))


def test_standing_market_never_divides_by_zero(spec, windows):
    forecaster, _, _ = fitted(spec, "volatility_scaled")
    still = windows.copy()
    still[:, -1, spec.sigma_index] = 0.0
    assert np.abs(forecaster.forecast(still).quantile_BHQ).max() < 1e-5


def test_setup_never_seen_keeps_a_small_probability():
    share = setup_frequencies(np.array([[2], [2], [-1]]))
    assert (share > 0).all()
    assert share.sum() == 1.0


def test_fingerprint_names_content(spec):
    assert fitted(spec, "unconditional")[0].fingerprint == fitted(spec, "unconditional")[0].fingerprint
    assert fitted(spec, "unconditional")[0].fingerprint != fitted(spec, "volatility_scaled")[0].fingerprint


MONTHLY = Spec(("ewma_volatility", "har_month_720"), "ewma_volatility", (1, 4), LEVELS, 4)


def rolling(num=4_000):
    rng = np.random.default_rng(2)
    x = np.column_stack([np.full(num, 0.01), rng.normal(size=num)]).astype(np.float32)
    returns = rng.normal(size=(num, 2)) * month_sigma(MONTHLY, x)[:, None] * MONTHLY.root_horizons
    setups = np.full((num, 2), -1)
    made = PooledForecaster.fit(
        MONTHLY, "rolling", sigma_N=month_sigma(MONTHLY, x), log_return_NH=returns, setup_NH=setups
    )
    return made, x


def test_rolling_cone_is_as_wide_as_the_last_month():
    made, _ = rolling()
    windows = np.full((2, 4, 2), 0.01, dtype=np.float32)
    windows[:, -1, 1] = 0.0, np.log(3.0)
    calm, wild = made.forecast(windows).quantile_BHQ
    np.testing.assert_allclose(wild, 3.0 * calm, rtol=1e-6)
    np.testing.assert_allclose(calm[:, 5] / (0.01 * MONTHLY.root_horizons), 1.2816, atol=0.08)


def test_rolling_needs_the_months_volatility(spec, windows):
    with pytest.raises(ConfigError, match="har_month_720"):
        month_sigma(spec, windows[:, -1])


@pytest.mark.parametrize("kind", ["unconditional", "volatility_scaled"])
def test_state_and_back_is_the_same_to_the_bit(spec, windows, kind):
    made = fitted(spec, kind)[0]
    again = PooledForecaster.restore(spec, *made.state())
    assert again.fingerprint == made.fingerprint
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, made.forecast(windows).quantile_BHQ)


def test_unknown_returns_are_passed_over_and_none_at_all_is_told(spec):
    _, sigma, returns = fitted(spec, "unconditional")
    holed = returns.copy()
    holed[::2, 0] = np.nan
    setups = np.zeros((returns.shape[0], 2), dtype=np.int64)
    few = PooledForecaster.fit(spec, "volatility_scaled", sigma_N=sigma, log_return_NH=holed, setup_NH=setups)
    assert np.isfinite(few.quantile_HQ).all()
    with pytest.raises(DataError, match="no training origin"):
        PooledForecaster.fit(
            spec, "unconditional", sigma_N=sigma, log_return_NH=np.full_like(returns, np.nan), setup_NH=setups
        )
