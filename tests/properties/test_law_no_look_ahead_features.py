"""Law 2, no look-ahead: changing what is known after t changes no feature at or before t."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import markets

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.features import catalog, specimen
from heliograph.features.prove import look_ahead_violations
from heliograph.features.table import compute
from heliograph.features.trial import PARITY_RTOL, bars_needed, try_features

SETTINGS = FeatureSettings()
HOUR = timeframes.parse("1h")


@settings(max_examples=15)
@given(candles=markets(min_bars=30, max_bars=800), data=st.data())
def test_no_default_feature_reads_the_future(candles: Candles, data: st.DataObject) -> None:
    if not len(candles):
        return
    cuts = data.draw(st.lists(st.integers(0, len(candles) - 1), min_size=1, max_size=2))
    seed = data.draw(st.integers(0, 2**32 - 1))
    assert look_ahead_violations(lambda c: compute(c, SETTINGS), candles, cuts, seed=seed) == []


@pytest.mark.e2e
@pytest.mark.parametrize("timeframe", ["", "4h"])
def test_no_feature_of_the_catalog_reads_the_future_or_drifts(timeframe: str) -> None:
    """Other symbols and other inputs are changed too, each from its own known time on."""
    features = [f.on(timeframe) if timeframe else f for f in catalog.BASE]
    found = try_features(features, specimen.market(bars_needed(features, HOUR), HOUR), HOUR, num_cuts=4)
    assert [str(one) for one in found if not one.is_sound] == []
    assert [one.feature for one in found if not one.num_values] == []
    assert max(one.parity_max_rel_err for one in found) <= PARITY_RTOL
