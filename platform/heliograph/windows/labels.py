"""What happened after each bar: log-returns over several horizons, and which barrier the price touched first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.config.learning import LabelSettings
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.windows import barriers
from heliograph.windows.barriers import UNKNOWN
from heliograph.windows.intervals import Intervals

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of N bars at H horizons; all of them look ahead, none may be read before its end.

    Every label carries its interval: from ``start_ts_ms_N``, when its row may be acted on, to its end, when the outcome
    is known; both UTC epoch ms, by time and not by rows.

    Attributes:
        log_return_NH: float64, from the bar's close to the close exactly h bars of time later; NaN where the bar that
            closes then is missing.
        setup_NH: int64: stop 0, timeout 1, profit 2 for a long position; unknown −1 where the log-return is NaN
            or sigma is.
        end_ts_ms_NH: int64, when both are known: the close of the bar at the horizon, plus the venue's delay. The
            setup may be decided earlier; this is the latest moment that the label can touch.
        start_ts_ms_N: int64, when the row is known: its close plus the venue's delay.
        touch_ts_ms_NH: int64, when the setup alone is known: the close of the bar that touched a barrier, plus the
            delay; where none did, or it is unknown, the same as ``end_ts_ms_NH``.
    """

    log_return_NH: FloatArray
    setup_NH: IntArray
    end_ts_ms_NH: IntArray
    start_ts_ms_N: IntArray
    touch_ts_ms_NH: IntArray

    def is_known(self) -> BoolArray:
        """Where both log-return and setup are known, bool[N, H]; False where the label's end is not in the data."""
        known_NH: BoolArray = np.isfinite(self.log_return_NH) & (self.setup_NH != UNKNOWN)
        return known_NH

    def known(self) -> tuple[IntArray, Intervals]:
        """Rows that have every label, int64[n] ascending, and their intervals up to the longest horizon's end."""
        rows = np.flatnonzero(self.is_known().all(axis=1))
        return rows, Intervals(self.start_ts_ms_N[rows], self.end_ts_ms_NH[rows, -1])


def make(
    candles: Candles, timeframe: Timeframe, sigma_N: FloatArray, settings: LabelSettings, *, close_delay_ms: int = 0
) -> Labels:
    """Labels of every bar; the barriers are those of `heliograph.windows.barriers.touches`, for a long position.

    Args:
        candles: N closed bars, ascending; bars may be missing.
        sigma_N: float64[N], standard deviation of the log-return over one bar, known at the bar's close.
        close_delay_ms: how long after its close the venue may still revise a candle.

    Raises:
        DataError: the candles are not in the order of time.
    """
    ends = barriers.horizons(candles, timeframe, settings.horizons_bars)
    decided = barriers.touches(candles, ends, sigma_N, settings)
    close_ts_ms_N = barriers.closes(timeframe, candles.open_ts_ms)
    return Labels(
        log_return_NH=ends.log_return_NH,
        setup_NH=decided.setup_NH,
        end_ts_ms_NH=ends.close_ts_ms_NH + close_delay_ms,
        start_ts_ms_N=close_ts_ms_N + close_delay_ms,
        touch_ts_ms_NH=barriers.known_ts_ms(close_ts_ms_N, decided, ends, close_delay_ms),
    )
