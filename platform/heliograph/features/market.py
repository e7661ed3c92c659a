"""The series that every feature of a market starts from: the candle as it came, and the candle made safe.

Prices come in a unit of their own, a power of two near the first close (`heliograph.features.table`): no feature may
depend on it. A print at almost nothing (a low of 0.0001 where the bar opened at 10) would poison a range estimator for
weeks: wicks are cut at eight sigma before any feature sees the bar.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import kernel, node, source
from heliograph.features.ops.pointwise import log

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

INPUTS = ("open_ts_ms", "bar_number", "open", "raw_high", "raw_low", "close", "volume")
"""What the caller fills for every bar. ``bar_number``: bars of the timeframe's grid since its beginning, gaps counted."""

OPEN_TS_MS, BAR_NUMBER, RAW_OPEN, RAW_HIGH, RAW_LOW, CLOSE, VOLUME = (source(name) for name in INPUTS)

EWMA_DECAY = 0.97
SIGMA_FLOOR = 1e-6
SIGMA_RETURNS = 24
SETTLED_BARS = 907
"""Until 0.97**n is below 1e-12."""

WICK_SIGMAS = 8.0


@kernel
def _returns(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    steps, bar_return, number, close = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    for t in range(n):
        passed = x[number + t] - x[number + t - 1]
        x[steps + t] = 1.0 if passed < 1.0 else passed
        x[bar_return + t] = math.log(x[close + t] / x[close + t - 1]) / math.sqrt(x[steps + t])


@kernel
def _sigma(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        value = x[a + t]
        if not math.isnan(value):
            s[0] = EWMA_DECAY * s[0] + value * value
            s[1] = EWMA_DECAY * s[1] + 1.0
            s[2] += 1.0
        x[o + t] = max(math.sqrt(s[0] / s[1]), SIGMA_FLOOR) if s[2] >= SIGMA_RETURNS else np.nan


@kernel
def _tamed(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    open_, high, low, true_range = at[0] + i, at[1] + i, at[2] + i, at[3] + i
    raw_open, raw_high, raw_low, close, sigma = at[4] + i, at[5] + i, at[6] + i, at[7] + i, at[8] + i
    for t in range(n):
        last, before = x[close + t], x[close + t - 1]
        x[open_ + t] = x[raw_open + t] if x[raw_open + t] > 0.0 else last
        top, bottom = max(x[open_ + t], last), min(x[open_ + t], last)
        highest = max(x[raw_high + t], top)
        lowest = min(x[raw_low + t], bottom) if x[raw_low + t] > 0.0 else bottom
        if not math.isnan(x[sigma + t]):
            reach = math.exp(WICK_SIGMAS * x[sigma + t])
            highest, lowest = min(highest, top * reach), max(lowest, bottom / reach)
        if math.isnan(before):
            before = last
        x[high + t], x[low + t] = highest, lowest
        x[true_range + t] = max(highest, before) - min(lowest, before)


_RETURNS = node(_returns, BAR_NUMBER, CLOSE, reach=1, outputs=2, warmup=1)
LOG_CLOSE = log(CLOSE)
STEPS = _RETURNS[0]
"""Bars of time since the row before: more than 1 where candles are missing; NaN at the first row."""

BAR_RETURN = _RETURNS[1]
"""Log-return since the row before / √steps; NaN at the first row."""

SIGMA = node(_sigma, BAR_RETURN, states=3, warmup=SIGMA_RETURNS - 1, settle=SETTLED_BARS)[0]
"""Standard deviation of ``BAR_RETURN``, exponentially weighted (RiskMetrics 1996); NaN until 24 returns are known."""

_TAMED = node(_tamed, RAW_OPEN, RAW_HIGH, RAW_LOW, CLOSE, SIGMA, reach=(0, 0, 0, 1, 0), outputs=4, lookback=1)
OPEN = _TAMED[0]
HIGH = _TAMED[1]
LOW = _TAMED[2]
"""``HIGH`` and ``LOW`` hold the body, and their wicks end at eight sigma once sigma is known."""

TRUE_RANGE = _TAMED[3]
