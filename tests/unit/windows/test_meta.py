"""Meta-labels against a slow walk through each trade."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, market

from heliograph.config.learning import LabelSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError, DataError
from heliograph.core.market import Candles
from heliograph.windows import labels
from heliograph.windows.meta import Costs, MetaLabels, make

HOUR = timeframes.parse("1h")
FREE = Costs(fee_bps=0.0, slippage_bps=0.0)


def trade(candles: Candles, i: int, end: int, side: int, width: float) -> tuple[float, int]:
    """Exit price and row of one trade, bar by bar."""
    profit, stop = (candles.close[i] * np.exp(s * side * width) for s in (1, -1))
    for j in range(i + 1, end + 1):
        worst, best = (candles.low[j], candles.high[j]) if side > 0 else (candles.high[j], candles.low[j])
        if (stop - worst) * side >= 0:
            return (min(stop, candles.open[j]) if side > 0 else max(stop, candles.open[j])), j
        if (best - profit) * side >= 0:
            return profit, j
    return candles.close[end], end


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_meta_labels_follow_each_trade(missing: float) -> None:
    candles = market(300, missing=missing)
    n, settings, costs = len(candles), LabelSettings(), Costs(fee_bps=4.0, slippage_bps=3.0)
    side = np.random.default_rng(3).integers(-1, 2, n)
    made = make(candles, HOUR, np.full(n, 0.006), settings, side_N=side, costs=costs, close_delay_ms=5)
    row_of = {int(ts): i for i, ts in enumerate(candles.open_ts_ms)}
    for i, ts in enumerate(candles.open_ts_ms.tolist()):
        for k, h in enumerate(settings.horizons_bars):
            end = row_of.get(ts + h * HOUR_MS)
            if end is None or side[i] == 0:
                assert made.pays_NH[i, k] == -1
                assert np.isnan(made.net_return_NH[i, k])
                continue
            price, row = trade(candles, i, end, int(side[i]), 0.006 * np.sqrt(h))
            gone = price / candles.close[i]
            net = side[i] * (gone - 1) - 7e-4 * (1 + gone)
            assert made.net_return_NH[i, k] == pytest.approx(net, rel=1e-9, abs=1e-15)
            assert made.pays_NH[i, k] == (net > 0)
            assert made.end_ts_ms_NH[i, k] == candles.open_ts_ms[row] + HOUR_MS + 5
    np.testing.assert_array_equal(made.start_ts_ms_N, candles.open_ts_ms + HOUR_MS + 5)
    assert set(np.unique(made.pays_NH)) == {-1, 0, 1}


def one_trade(rows: list[list[float]], side: int, costs: Costs = FREE) -> MetaLabels:
    candles = Candles.of([[START_MS + k * HOUR_MS, *row, 1] for k, row in enumerate(rows)])
    sides = np.full(len(rows), side)
    horizon = LabelSettings(horizons_bars=(len(rows) - 1,))
    return make(candles, HOUR, np.full(len(rows), np.log(1.1)), horizon, side_N=sides, costs=costs)


def test_bar_that_touches_both_barriers_stops_long_and_short_alike() -> None:
    rows = [[100.0, 100, 100, 100], [100, 120, 80, 100]]
    for side in (1, -1):
        assert one_trade(rows, side).pays_NH[0, 0] == 0


def test_stop_that_is_jumped_over_fills_at_the_open() -> None:
    assert one_trade([[100, 100, 100, 100], [70, 75, 65, 75]], 1).net_return_NH[0, 0] == pytest.approx(-0.3)
    assert one_trade([[100, 100, 100, 100], [130, 135, 120, 125]], -1).net_return_NH[0, 0] == pytest.approx(-0.3)


def test_costs_alone_turn_a_win_into_a_loss() -> None:
    rows = [[100.0, 100, 100, 100], [100, 100.2, 100, 100.1]]
    assert one_trade(rows, 1).pays_NH[0, 0] == 1
    assert one_trade(rows, 1, Costs(fee_bps=5.0, slippage_bps=2.0)).pays_NH[0, 0] == 0
    flat = [[100.0, 100, 100, 100], [100, 100, 100, 100]]
    assert one_trade(flat, 1).pays_NH[0, 0] == 0


def test_long_everywhere_decides_as_the_labels_do() -> None:
    candles = market(200)
    sigma = np.full(len(candles), 0.006)
    told = labels.make(candles, HOUR, sigma, LabelSettings())
    made = make(candles, HOUR, sigma, LabelSettings(), side_N=np.ones(len(candles), dtype=np.int64), costs=FREE)
    np.testing.assert_array_equal(made.end_ts_ms_NH, told.touch_ts_ms_NH)
    assert (made.pays_NH[told.setup_NH == 2] == 1).all()
    assert (made.pays_NH[told.setup_NH == 0] == 0).all()


def test_side_and_costs_out_of_range_are_refused_by_name() -> None:
    candles = market(5)
    with pytest.raises(DataError, match="the side of bar 3 is 2"):
        make(candles, HOUR, np.ones(5), LabelSettings(), side_N=np.array([0, 1, -1, 2, 0]), costs=FREE)
    with pytest.raises(ConfigError, match="slippage_bps is -1"):
        Costs(fee_bps=1.0, slippage_bps=-1.0)
    with pytest.raises(ConfigError, match="fee_bps is nan"):
        Costs(fee_bps=float("nan"), slippage_bps=0.0)
