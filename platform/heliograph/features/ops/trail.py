"""Stops that trail behind a trend until the price crosses them; they carry the trend since it began."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Trail(NamedTuple):
    """A stop, a price, and the side that it protects: 1 long, −1 short."""

    stop: Series
    side: Series


def sar(high: Series, low: Series, step: float = 0.02, limit: float = 0.2) -> Trail:
    """Wilder's parabolic stop and reverse; TA-Lib's SAR. It never wholly forgets the first bars.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.

    Raises:
        ValueError: the acceleration does not grow from above 0 to its limit.
    """
    if not 0.0 < step <= limit:
        raise ValueError(f"an acceleration of {step} up to {limit}: use 0 < step ≤ limit")
    made = node(_sar, high, low, reach=1, parameters=(step, limit), outputs=2, states=5, warmup=1, settle=None)
    return Trail(made[0], made[1])


def supertrend(high: Series, low: Series, close: Series, atr: Series, times: float = 3.0) -> Trail:
    """Stop so many average true ranges off the middle of the bar; it only ever moves with the trend.

    Source: O. Seban, Tout le monde mérite d'être riche, 2nd ed. 2009.
    """
    made = node(_supertrend, high, low, close, atr, parameters=(times,), outputs=2, states=4, settle=None)
    return Trail(made[0], made[1])


@kernel
def _sar(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    """In the space of the trend: prices times the side, so that the stop is always below."""
    stop_, side_, high, low = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    stop, side, best, pace = s[0], s[1], s[2], s[3]
    for t in range(n):
        top, bottom, top_before, bottom_before = x[high + t], x[low + t], x[high + t - 1], x[low + t - 1]
        if math.isnan(top + bottom + top_before + bottom_before):
            x[stop_ + t] = x[side_ + t] = np.nan
            continue
        if side == 0.0:
            fall = bottom_before - bottom
            side, pace = -1.0 if fall > max(top - top_before, 0.0) else 1.0, p[0]
            best, stop = (top, bottom_before) if side > 0.0 else (-bottom, -top_before)
            top_before, bottom_before = top, bottom
        ahead, behind, behind_before = (top, bottom, bottom_before) if side > 0.0 else (-bottom, -top, -top_before)
        if behind <= stop:  # crossed: the other side begins at the best of this one
            side, pace = -side, p[0]
            behind, behind_before = -ahead, -(top_before if side < 0.0 else -bottom_before)
            stop, best = min(-best, behind, behind_before), (top if side > 0.0 else -bottom)
            x[stop_ + t] = side * stop
        else:
            x[stop_ + t] = side * stop
            if ahead > best:
                best, pace = ahead, min(pace + p[0], p[1])
        x[side_ + t] = side
        stop = min(stop + pace * (best - stop), behind, behind_before)
    s[0], s[1], s[2], s[3] = stop, side, best, pace


@kernel
def _supertrend(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    stop, side_, high, low, close, atr = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i, at[5] + i
    upper, lower, side, last = s[0], s[1], s[2], s[3]
    for t in range(n):
        middle, width, now = (x[high + t] + x[low + t]) / 2.0, p[0] * x[atr + t], x[close + t]
        if math.isnan(middle + width + now):
            x[stop + t] = x[side_ + t] = np.nan
            continue
        if side == 0.0:
            upper, lower, side, last = middle + width, middle - width, 1.0, now
        upper = min(middle + width, upper) if last <= upper else middle + width
        lower = max(middle - width, lower) if last >= lower else middle - width
        if side > 0.0 and now < lower:
            side = -1.0
        elif side < 0.0 and now > upper:
            side = 1.0
        x[stop + t], x[side_ + t], last = lower if side > 0.0 else upper, side, now
    s[0], s[1], s[2], s[3] = upper, lower, side, last
