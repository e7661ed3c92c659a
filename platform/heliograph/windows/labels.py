"""What happened after each bar: log-returns over several horizons, and which barrier the price touched first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from heliograph.config.settings import LabelSettings
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

UNKNOWN, STOP, TIMEOUT, PROFIT = -1, 0, 1, 2


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of N bars at H horizons; all of them look ahead, none may be read before its ``end_ts_ms``.

    Attributes:
        log_return_NH: float64, from the bar's close to the close exactly h bars of time later; NaN where the bar that
            closes then is missing.
        setup_NH: int64: `STOP` 0, `TIMEOUT` 1, `PROFIT` 2 for a long position; `UNKNOWN` −1 where the log-return is NaN
            or sigma is.
        end_ts_ms_NH: int64, when both are known: the close of the bar at the horizon, plus the venue's delay. The
            setup may be decided earlier; this is the latest moment that the label can touch.
    """

    log_return_NH: FloatArray
    setup_NH: IntArray
    end_ts_ms_NH: IntArray


def make(
    candles: Candles, timeframe: Timeframe, sigma_N: FloatArray, settings: LabelSettings, *, close_delay_ms: int = 0
) -> Labels:
    """Labels of every bar.

    The barriers of horizon h stand at close · exp(± barrier_sigma · sigma · √h), the horizon is the third. Highs and
    lows of the bars after the origin decide; where one bar touches both barriers it counts as the stop, because the
    order within a bar is not known. Missing bars touch nothing. (M. López de Prado, Advances in Financial Machine
    Learning, 2018, ch. 3.)

    Args:
        candles: N closed bars, ascending; bars may be missing.
        sigma_N: float64[N], standard deviation of the log-return over one bar, known at the bar's close.
        close_delay_ms: how long after its close the venue may still revise a candle.
    """
    ends_NH, opens_NH = _horizon_times(candles.open_ts_ms, timeframe, settings.horizons_bars)
    row_NH = np.searchsorted(candles.open_ts_ms, opens_NH)
    found_NH = row_NH < len(candles)
    found_NH &= candles.open_ts_ms[np.minimum(row_NH, len(candles) - 1)] == opens_NH if len(candles) else found_NH
    log_close = np.append(np.log(candles.close), np.nan)
    log_return_NH = log_close[np.where(found_NH, row_NH, len(candles))] - log_close[:-1, None]
    width_NH = settings.barrier_sigma * sigma_N[:, None] * np.sqrt(np.array(settings.horizons_bars, dtype=np.float64))
    last_NH = np.where(found_NH & np.isfinite(width_NH), row_NH, -1)
    setup_NH = np.full(last_NH.shape, UNKNOWN, dtype=np.int64)
    _touch(np.array(candles.high), np.array(candles.low), np.array(candles.close), width_NH, last_NH, setup_NH)
    return Labels(log_return_NH, setup_NH, ends_NH + close_delay_ms)


def _horizon_times(open_ts_ms: IntArray, timeframe: Timeframe, horizons: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Close and open of the bar that closes exactly h bars after each bar; int64[N, H] each."""
    if not timeframe.is_calendar:
        opens = open_ts_ms[:, None] + timeframe.ms * np.array(horizons, dtype=np.int64)
        return opens + timeframe.ms, opens
    months = open_ts_ms.astype("datetime64[ms]").astype("datetime64[M]")[:, None] + np.array(horizons)
    return _month_ms(months + 1), _month_ms(months)


def _month_ms(months: npt.NDArray[Any]) -> IntArray:
    return months.astype("datetime64[ms]").astype(np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _touch(
    high: FloatArray, low: FloatArray, close: FloatArray, width_NH: FloatArray, last_NH: IntArray, setup_NH: IntArray
) -> None:
    """Write which barrier each bar touches first, for the horizons whose last row is known (not −1)."""
    for i in range(last_NH.shape[0]):
        for k in range(last_NH.shape[1]):
            if last_NH[i, k] < 0:
                continue
            top = close[i] * math.exp(width_NH[i, k])
            bottom = close[i] * math.exp(-width_NH[i, k])
            setup_NH[i, k] = TIMEOUT
            for j in range(i + 1, last_NH[i, k] + 1):
                if low[j] <= bottom:
                    setup_NH[i, k] = STOP
                    break
                if high[j] >= top:
                    setup_NH[i, k] = PROFIT
                    break
