"""What no true row can be: out of order, off the grid, not a number, not above zero, outside its own range."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from heliograph.audit.finding import KINDS, BoolArray, Mark, mark
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe

_CARRIES = 0.8
"""Share of opens that equal the close before, from which on a venue carries the close over; elsewhere about half do."""


def check(candles: Candles, timeframe: Timeframe) -> list[Mark]:
    """Marks over rows as they came, in any order.

    An open outside low and high is no fault where the venue writes the close before it as the open (BitMEX).
    """
    c = candles
    prices = (c.open, c.high, c.low, c.close)
    finite = np.isfinite(c.open + c.high + c.low + c.close + c.volume)
    positive = (np.minimum.reduce(prices) > 0.0) & (c.volume >= 0.0)
    found = (
        mark("order", _disordered(c)),
        mark("off_grid", timeframe.floor_array(c.open_ts_ms) != c.open_ts_ms),
        mark("not_finite", ~finite),
        mark("not_positive", finite & ~positive),
        mark("range", finite & positive & _out_of_range(c)),
        mark("moved_without_volume", finite & (c.volume == 0.0) & (c.high > c.low)),
    )
    return [m for m in found if m.where.any()]


def sound(candles: Candles, timeframe: Timeframe) -> BoolArray:
    """Rows that further checks can reckon with: in order, on the grid, finite, above zero; bool[n]."""
    return ~_any(candles, timeframe, ("order", "off_grid", "not_finite", "not_positive"))


def faultless(candles: Candles, timeframe: Timeframe) -> BoolArray:
    """Rows that fail no check here, fit to judge others by; bool[n]."""
    return ~_any(candles, timeframe, KINDS)


def _any(candles: Candles, timeframe: Timeframe, kinds: Container[str]) -> BoolArray:
    bad = np.zeros(len(candles), dtype=np.bool_)
    for m in check(candles, timeframe):
        if m.kind in kinds:
            bad |= m.where
    return bad


def _disordered(c: Candles) -> BoolArray:
    """Rows that do not open after every row before them."""
    if not len(c):
        return np.empty(0, dtype=np.bool_)
    newest = np.maximum.accumulate(c.open_ts_ms)
    return np.append(False, c.open_ts_ms[1:] <= newest[:-1])


def _out_of_range(c: Candles) -> BoolArray:
    """Where open or close lies outside the bar's own range."""
    strays = (c.low > c.high) | (c.close < c.low) | (c.close > c.high)
    open_strays = (c.open < c.low) | (c.open > c.high)
    if not open_strays.any():
        return strays
    carried = np.append(True, c.open[1:] == c.close[:-1])  # of the first nothing is known
    if carried.mean() < _CARRIES:
        return strays | open_strays
    loose: BoolArray = strays | (open_strays & ~carried)
    return loose
