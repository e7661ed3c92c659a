"""The prover finds planted leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, market

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.features.prove import look_ahead_violations
from heliograph.features.table import FeatureTable, compute

SETTINGS = FeatureSettings()


def with_column(candles: Candles, values: np.ndarray) -> FeatureTable:
    table = compute(candles, SETTINGS)
    return replace(table, names=(*table.names, "planted"), values=np.column_stack([table.values, values]))


def shifted(candles: Candles) -> FeatureTable:
    return with_column(candles, np.append(np.diff(np.log(candles.close)), 0.0))


def unclosed_day(candles: Candles) -> FeatureTable:
    """The day's close, shown from the day's first hour on."""
    day = timeframes.parse("1d").floor_array(candles.open_ts_ms)
    last = np.searchsorted(day, day, side="right") - 1
    return with_column(candles, candles.close[last])


def whole_history_scaled(candles: Candles) -> FeatureTable:
    return with_column(candles, (candles.volume - candles.volume.mean()) / candles.volume.std())


def extra_row(candles: Candles) -> FeatureTable:
    """Rows for missing candles, filled from the next existing one."""
    table = compute(candles, SETTINGS)
    return replace(table, open_ts_ms=np.append(candles.open_ts_ms[1:], candles.open_ts_ms[-1] + HOUR_MS))


@pytest.mark.parametrize("leak", [shifted, unclosed_day, whole_history_scaled])
def test_planted_leak_is_named(leak: object) -> None:
    found = look_ahead_violations(leak, market(300, missing=0.05), [40, 100, 200])
    assert found
    assert all(v.startswith("planted at row") for v in found)


def test_rows_that_move_with_the_future_are_named() -> None:
    found = look_ahead_violations(extra_row, market(300, missing=0.2), [40, 100])
    assert found
    assert all(v.startswith("open_ts_ms at row") for v in found)


def test_sound_features_have_no_violation() -> None:
    assert look_ahead_violations(lambda c: compute(c, SETTINGS), market(700, missing=0.05), [0, 5, 300, 699]) == []
