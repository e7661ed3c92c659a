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
def _candle(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    log_close, steps, bar_return, sigma, open_, high, low, true_range = at[:8] + i
    number, raw_open, raw_high, raw_low, close = at[8:] + i
    for t in range(n):
        last, before = x[close + t], x[close + t - 1]
        x[log_close + t] = math.log(last)
        x[steps + t] = max(1.0, x[number + t] - x[number + t - 1]) if s[3] > 0.0 else np.nan
        x[bar_return + t] = math.log(last / before) / math.sqrt(x[steps + t]) if s[3] > 0.0 else np.nan
        if s[3] > 0.0:
            s[0] = EWMA_DECAY * s[0] + x[bar_return + t] ** 2
            s[1] = EWMA_DECAY * s[1] + 1.0
            s[2] += 1.0
        s[3] = 1.0
        x[sigma + t] = max(math.sqrt(s[0] / s[1]), SIGMA_FLOOR) if s[2] >= SIGMA_RETURNS else np.nan
        x[open_ + t] = x[raw_open + t] if x[raw_open + t] > 0.0 else last
        top, bottom = max(x[open_ + t], last), min(x[open_ + t], last)
        x[high + t] = max(x[raw_high + t], top)
        x[low + t] = min(x[raw_low + t], bottom) if x[raw_low + t] > 0.0 else bottom
        if s[2] >= SIGMA_RETURNS:
            reach = math.exp(WICK_SIGMAS * x[sigma + t])
            x[high + t] = min(x[high + t], top * reach)
            x[low + t] = max(x[low + t], bottom / reach)
        earlier = before if s[2] > 0.0 else last
        x[true_range + t] = max(x[high + t], earlier) - min(x[low + t], earlier)


_CANDLE = node(
    _candle,
    *(BAR_NUMBER, RAW_OPEN, RAW_HIGH, RAW_LOW, CLOSE),
    reach=1,
    outputs=8,
    states=4,
    settle=SETTLED_BARS,
)

LOG_CLOSE = _CANDLE[0]
STEPS = _CANDLE[1]
"""Bars of time since the row before: more than 1 where candles are missing; NaN at the first row."""

BAR_RETURN = _CANDLE[2]
"""Log-return since the row before / √steps; NaN at the first row."""

SIGMA = _CANDLE[3]
"""Standard deviation of ``BAR_RETURN``, exponentially weighted (RiskMetrics 1996); NaN until 24 returns are known."""

OPEN = _CANDLE[4]
HIGH = _CANDLE[5]
LOW = _CANDLE[6]
"""``HIGH`` and ``LOW`` hold the body, and their wicks end at eight sigma."""

TRUE_RANGE = _CANDLE[7]
