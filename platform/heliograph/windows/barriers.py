"""Where horizons end and which barrier the price touches first: the one pass under labels and meta-labels.

Shapes: N bars, H horizons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from heliograph.config.learning import LabelSettings
from heliograph.core.errors import DataError
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

UNKNOWN, STOP, TIMEOUT, PROFIT = -1, 0, 1, 2


@dataclass(frozen=True, slots=True)
class Horizons:
    """Where each bar's horizons end, by time.

    Attributes:
        row_NH: int64, the row that closes exactly h bars of time later; −1 where it is missing.
        close_ts_ms_NH: int64, when it closes, there or not.
        log_return_NH: float64, from close to close; NaN where the row is missing or a close is not a price.
    """

    row_NH: IntArray
    close_ts_ms_NH: IntArray
    log_return_NH: FloatArray


@dataclass(frozen=True, slots=True)
class Touches:
    """What ended each label.

    Attributes:
        setup_NH: int64: `STOP` 0, `TIMEOUT` 1, `PROFIT` 2, `UNKNOWN` −1.
        row_NH: int64, the row that decided it: of the touch, or of the horizon; −1 where unknown.
        width_NH: float64, distance of either barrier from the close, log-return.
    """

    setup_NH: IntArray
    row_NH: IntArray
    width_NH: FloatArray


def closes(timeframe: Timeframe, open_ts_ms: IntArray) -> IntArray:
    """Close of each bar; int64[N] in, int64[N] out."""
    return _horizon_times(open_ts_ms, timeframe, (0,))[0][:, 0]


def horizons(candles: Candles, timeframe: Timeframe, horizons_bars: tuple[int, ...]) -> Horizons:
    """The ends of every bar's horizons; a missing bar is skipped over by time, never by row.

    Raises:
        DataError: the candles are not in the order of time.
    """
    ts = candles.open_ts_ms
    _require_ascending(ts)
    close_NH, open_NH = _horizon_times(ts, timeframe, horizons_bars)
    row_NH = np.searchsorted(ts, open_NH)
    row_NH = np.where(np.append(ts, -1)[row_NH] == open_NH, row_NH, -1)
    log_close = np.full(len(candles) + 1, np.nan)
    np.log(candles.close, out=log_close[:-1], where=candles.close > 0.0)
    return Horizons(row_NH, close_NH, log_close[row_NH] - log_close[:-1, None])


def touches(
    candles: Candles, ends: Horizons, sigma_N: FloatArray, settings: LabelSettings, *, side_N: IntArray | None = None
) -> Touches:
    """Which barrier each bar's price touches first within each horizon.

    The barriers stand at close · exp(± barrier_sigma · sigma · √h). Highs and lows of the bars after the origin
    decide. Where one bar touches both it counts as the stop, because the order within a bar is not known. A missing bar
    touches nothing; a bar before the touch that has no finite range leaves the label unknown. (M. López de Prado,
    Advances in Financial Machine Learning, 2018, ch. 3.)

    Args:
        sigma_N: float64[N], standard deviation of the log-return over one bar, known at the bar's close.
        side_N: int64[N], +1 long, −1 short, 0 no position (unknown); None: long everywhere.
    """
    sides = np.ones(len(candles), dtype=np.int64) if side_N is None else side_N
    width_NH = settings.barrier_sigma * sigma_N[:, None] * np.sqrt(np.array(settings.horizons_bars, dtype=np.float64))
    is_open = np.isfinite(width_NH) & np.isfinite(ends.log_return_NH) & (sides != 0)[:, None]
    last_NH = np.where(is_open, ends.row_NH, -1)
    setup_NH = np.full(last_NH.shape, UNKNOWN, dtype=np.int64)
    row_NH = np.full(last_NH.shape, -1, dtype=np.int64)
    high, low, close = (np.array(column) for column in (candles.high, candles.low, candles.close))
    _touch(high, low, close, np.array(sides), width_NH, last_NH, setup_NH, row_NH)
    return Touches(setup_NH, row_NH, width_NH)


def known_ts_ms(close_ts_ms_N: IntArray, decided: Touches, ends: Horizons, close_delay_ms: int) -> IntArray:
    """When each setup is known, int64[N, H]: the close of the deciding bar plus the delay; unknown ones: the horizon's."""
    padded = np.append(close_ts_ms_N, 0)
    return np.where(decided.row_NH >= 0, padded[decided.row_NH], ends.close_ts_ms_NH) + close_delay_ms


def _require_ascending(ts: IntArray) -> None:
    back = np.flatnonzero(np.diff(ts) <= 0)
    if back.size:
        raise DataError(
            f"the candle in row {int(back[0]) + 1} opens at {int(ts[back[0] + 1])}, not after the one before it: sort "
            "candles by open_ts_ms and keep each open once before labelling"
        )


def _horizon_times(open_ts_ms: IntArray, timeframe: Timeframe, bars: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Close and open of the bar that closes exactly h bars after each bar; int64[N, H] each."""
    if not timeframe.is_calendar:
        opens = open_ts_ms[:, None] + timeframe.ms * np.array(bars, dtype=np.int64)
        return opens + timeframe.ms, opens
    local_ms = open_ts_ms - timeframe.offset_ms
    months = local_ms.astype("datetime64[ms]").astype("datetime64[M]")[:, None] + np.array(bars)
    return _month_ms(months + 1) + timeframe.offset_ms, _month_ms(months) + timeframe.offset_ms


def _month_ms(months: npt.NDArray[Any]) -> IntArray:
    return months.astype("datetime64[ms]").astype(np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _touch(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    side_N: IntArray,
    width_NH: FloatArray,
    last_NH: IntArray,
    setup_NH: IntArray,
    row_NH: IntArray,
) -> None:
    """Write which barrier each bar touches first, and where, for the horizons whose last row is known (not −1)."""
    for i in range(last_NH.shape[0]):
        for k in range(last_NH.shape[1]):
            last = last_NH[i, k]
            if last < 0:
                continue
            top = close[i] * math.exp(width_NH[i, k])
            bottom = close[i] * math.exp(-width_NH[i, k])
            setup, row = TIMEOUT, last
            for j in range(i + 1, last + 1):
                if not (math.isfinite(high[j]) and math.isfinite(low[j])):
                    setup, row = UNKNOWN, -1
                    break
                is_below, is_above = low[j] <= bottom, high[j] >= top
                if is_below or is_above:
                    is_stop = is_below if side_N[i] > 0 else is_above
                    setup, row = (STOP if is_stop else PROFIT), j
                    break
            setup_NH[i, k] = setup
            row_NH[i, k] = row
