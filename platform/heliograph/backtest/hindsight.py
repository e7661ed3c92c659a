"""What only hindsight knows: what holding would have earned, and what came of each forecast. Nothing that decides reads it.

Shapes: T grid points, N forecasts, H horizons, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from heliograph.backtest.result import Signals, StreamKey
from heliograph.config.settings import CostSettings
from heliograph.core.events import ForecastMade
from heliograph.core.market import Candles, FloatArray, IntArray
from heliograph.core.timeframe import Timeframe


def close_ts_ms(open_ts_ms: IntArray, timeframe: Timeframe, bars_later: int = 0) -> IntArray:
    """Close of the bar that opens at each moment, or of the one so many bars later; int64[n]."""
    if not timeframe.is_calendar:
        return open_ts_ms + timeframe.ms * (1 + bars_later)
    closes = []
    for moment in open_ts_ms.tolist():
        for _ in range(1 + bars_later):
            moment = timeframe.next(moment)  # noqa: PLW2901 - walks from bar to bar
        closes.append(moment)
    return np.asarray(closes, dtype=np.int64)


def buy_and_hold(
    grid_T: IntArray,
    frames: Mapping[StreamKey, Candles],
    timeframe: Timeframe,
    *,
    cash_quote: float,
    costs: CostSettings,
) -> FloatArray:
    """Equal cash into every market at the open of its second bar, with fee and slippage, and left there; float64[T].

    The second bar's open is the first price that a strategy on the same bars could have had. A market that starts later
    keeps its cash until then.

    Args:
        grid_T: int64[T], moments at which the curve is wanted; the last close at or before each counts.
    """
    share = cash_quote / len(frames)
    curve = np.zeros(grid_T.size)
    for candles in frames.values():
        if len(candles) < 2:
            curve += share
            continue
        paid = candles.open[1] * (1.0 + costs.slippage_bps / 1e4) * (1.0 + costs.fee_bps / 1e4)
        value = np.append(share, share / paid * candles.close[1:])
        row = np.searchsorted(close_ts_ms(candles.open_ts_ms, timeframe), grid_T, side="right") - 1
        curve += value[np.maximum(row, 0)]
    return curve


def signals(
    forecasts: Sequence[tuple[int, ForecastMade]], frames: Mapping[StreamKey, Candles], timeframe: Timeframe
) -> Signals | None:
    """Each forecast beside the log-return that came; None without forecasts.

    Args:
        forecasts: (open of the bar at whose close it was made, forecast).
    """
    if not forecasts:
        return None
    first = forecasts[0][1]
    open_N = np.array([opened for opened, _ in forecasts], dtype=np.int64)
    market_N = np.array([list(frames).index((f.venue, f.symbol)) for _, f in forecasts])
    came = np.full((open_N.size, len(first.horizons_bars)), np.nan)
    for i, candles in enumerate(frames.values()):
        mine = np.flatnonzero(market_N == i)
        start = candles.close[np.searchsorted(candles.open_ts_ms, open_N[mine])]
        closes = close_ts_ms(candles.open_ts_ms, timeframe)
        for h, bars in enumerate(first.horizons_bars):
            end = close_ts_ms(open_N[mine], timeframe, bars)
            at = np.minimum(np.searchsorted(closes, end), closes.size - 1)
            came[mine, h] = np.where(closes[at] == end, np.log(candles.close[at] / start), np.nan)
    return Signals(
        horizons_bars=first.horizons_bars,
        levels=first.levels,
        quantile_NHQ=np.array([f.quantile_HQ for _, f in forecasts]),
        confidence_NH=np.array([f.confidence_H for _, f in forecasts]),
        log_return_NH=came,
    )
