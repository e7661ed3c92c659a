"""The benchmark and the outcomes of forecasts, against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heliograph.backtest import hindsight
from heliograph.config.settings import CostSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.events import ForecastMade
from heliograph.core.market import Candles

HOUR = timeframes.parse("1h")
A, B = ("binance", "A/USDT"), ("binance", "B/USDT")


def _candles(closes: list[float], first_bar: int = 0) -> Candles:
    rows = [[(first_bar + i) * HOUR.ms, c - 1, c + 1, c - 2, c, 1.0] for i, c in enumerate(closes)]
    return Candles.of(rows)


def test_buy_and_hold_buys_at_the_second_open_with_costs_and_late_markets_wait_in_cash() -> None:
    frames = {A: _candles([100, 110, 121]), B: _candles([50, 60], first_bar=1)}
    grid = np.arange(1, 4, dtype=np.int64) * HOUR.ms
    costs = CostSettings(fee_bps=10.0, slippage_bps=5.0)
    curve = hindsight.buy_and_hold(grid, frames, HOUR, cash_quote=1_000.0, costs=costs)
    qty_a = 500 / (109 * 1.0005 * 1.001)
    qty_b = 500 / (59 * 1.0005 * 1.001)
    assert curve == pytest.approx([1_000, qty_a * 110 + 500, qty_a * 121 + qty_b * 60])


def test_a_single_bar_buys_nothing() -> None:
    grid = np.array([HOUR.ms], dtype=np.int64)
    costs = CostSettings.model_validate({})
    assert hindsight.buy_and_hold(grid, {A: _candles([100])}, HOUR, cash_quote=9.0, costs=costs).tolist() == [9.0]


def _forecast(key: tuple[str, str], known_ts_ms: int) -> ForecastMade:
    return ForecastMade(
        *key, "1h", known_ts_ms, 1.0, (1, 2), (0.5,), ((0.0,), (0.0,)), ((0, 1, 0),) * 2, (0.5, 0.5), "m"
    )


def test_outcome_is_the_bar_exactly_h_later_in_time_and_unknown_over_a_gap() -> None:
    whole = _candles([100, 110, 121, 133.1])
    gappy = whole.take(np.array([0, 1, 3]))
    forecasts = [(0, _forecast(A, HOUR.ms)), (HOUR.ms, _forecast(A, 2 * HOUR.ms)), (0, _forecast(B, HOUR.ms))]
    signals = hindsight.signals(forecasts, {A: whole, B: gappy}, HOUR)
    assert signals is not None
    step = math.log(1.1)
    np.testing.assert_allclose(
        signals.log_return_NH, [[step, 2 * step], [step, 2 * step], [step, math.nan]], rtol=1e-12
    )


def test_months_close_on_the_calendar() -> None:
    month = timeframes.parse("1M")
    january = 1_704_067_200_000  # 2024-01-01
    closes = hindsight.close_ts_ms(np.array([january]), month, bars_later=1)
    assert closes.astype("datetime64[ms]").astype(str).tolist() == ["2024-03-01T00:00:00.000"]


def test_no_forecast_no_signals() -> None:
    assert hindsight.signals([], {A: _candles([1.0])}, HOUR) is None
