"""Candles of a longer timeframe out of shorter ones, exact to the last decimal."""

from __future__ import annotations

import numpy as np

from heliograph.core.market import Candles
from heliograph.core.money import from_ticks, to_ticks
from heliograph.core.timeframe import Timeframe


def resample(candles: Candles, timeframe: Timeframe) -> Candles:
    """Bars of ``timeframe`` that hold at least one of the candles.

    Volumes are added as integers of ticks, so that a sum has no more decimals than its parts.

    Args:
        candles: ascending, of a timeframe that divides ``timeframe``.
        timeframe: the grid of the result.

    >>> from heliograph.core.timeframe import parse
    >>> minutes = Candles.of([[0, 1, 3, 1, 2, 0.1], [60_000, 2, 2, 0.5, 1.5, 0.2]])
    >>> hour = resample(minutes, parse("1h"))
    >>> [float(column[0]) for column in (hour.open, hour.high, hour.low, hour.close, hour.volume)]
    [1.0, 3.0, 0.5, 1.5, 0.3]
    """
    if not len(candles):
        return Candles.empty()
    bar_open = timeframe.floor_array(candles.open_ts_ms)
    first = np.flatnonzero(np.append(True, np.diff(bar_open) > 0))
    last = np.append(first[1:], len(candles)) - 1
    volume_ticks, scale = to_ticks(candles.volume)
    return Candles(
        open_ts_ms=bar_open[first],
        open=candles.open[first],
        high=np.maximum.reduceat(candles.high, first),
        low=np.minimum.reduceat(candles.low, first),
        close=candles.close[last],
        volume=from_ticks(np.add.reduceat(volume_ticks, first), scale),
    )
