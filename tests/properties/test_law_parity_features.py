"""Law 1, parity: a feature row computed bar by bar is the batch row."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from tests.unit.features.candles import closed, markets

from heliograph.config.settings import FeatureSettings
from heliograph.core.market import Candles
from heliograph.features.table import LiveFeatures, compute

SETTINGS = FeatureSettings()


@settings(max_examples=40)
@given(candles=markets())
def test_live_row_equals_batch_row(candles: Candles) -> None:
    batch = compute(candles, SETTINGS)
    live = LiveFeatures(SETTINGS)
    for row, candle in enumerate(closed(candles, "1h")):
        np.testing.assert_array_equal(live.update(candle), batch.values[row])


@settings(max_examples=40)
@given(candles=markets())
def test_every_value_is_nan_in_warm_up_and_finite_after(candles: Candles) -> None:
    finite = np.isfinite(compute(candles, SETTINGS).values)
    assert (finite[1:] >= finite[:-1]).all()
