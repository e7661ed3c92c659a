"""Law 2, no look-ahead: changing what is known after t changes no feature at or before t."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import markets

from heliograph.config.settings import FeatureSettings
from heliograph.core.market import Candles
from heliograph.features.prove import look_ahead_violations
from heliograph.features.table import compute

SETTINGS = FeatureSettings()


@settings(max_examples=40)
@given(candles=markets(min_bars=30, max_bars=800), data=st.data())
def test_no_feature_reads_the_future(candles: Candles, data: st.DataObject) -> None:
    if not len(candles):
        return
    cuts = data.draw(st.lists(st.integers(0, len(candles) - 1), min_size=1, max_size=3))
    seed = data.draw(st.integers(0, 2**32 - 1))
    assert look_ahead_violations(lambda c: compute(c, SETTINGS), candles, cuts, seed=seed) == []
