"""Law: a forecast is a function of its own window; no later bar and no other window can change it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.test_law_quantiles_never_cross_model import SPEC, random_forecaster

from heliograph.windows.sample import gather


@given(seed=st.integers(0, 2**32 - 1), row=st.integers(7, 30), fill=st.sampled_from([0.0, -1e6, np.nan, np.inf]))
def test_changing_what_comes_later_changes_no_forecast(seed, row, fill):
    forecaster = random_forecaster(seed, 1.0, 0.3)
    x_NF = np.abs(np.random.default_rng(seed).normal(size=(40, 2)).astype(np.float32))
    before = forecaster.forecast(gather(x_NF, np.array([row]), SPEC.window_bars))
    x_NF[row + 1 :] = fill
    after = forecaster.forecast(gather(x_NF, np.array([row]), SPEC.window_bars))
    for name in ("quantile_BHQ", "setup_BHC", "confidence_BH"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


@given(seed=st.integers(0, 2**32 - 1), place=st.integers(0, 5))
def test_other_windows_of_the_batch_change_no_forecast(seed, place):
    forecaster = random_forecaster(seed, 1.0, 0.3)
    rng = np.random.default_rng(seed)
    x_BTF = np.abs(rng.normal(size=(6, SPEC.window_bars, 2)).astype(np.float32))
    before = forecaster.forecast(x_BTF).quantile_BHQ[place]
    others = np.abs(rng.normal(size=x_BTF.shape).astype(np.float32)) * 10
    others[place] = x_BTF[place]
    np.testing.assert_array_equal(forecaster.forecast(others).quantile_BHQ[place], before)
