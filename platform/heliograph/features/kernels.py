"""The numba passes: one compiled function fills a whole frame or the one bar that just closed.

Each pass runs over the columns ``[start, end)`` of a matrix ``x_KN`` (K columns of N bars, float64). The batch calls
it with the whole frame, the live path with the newest bar of a ring that keeps at least `KEEP_BARS` bars, so that both
execute the same machine code on the same numbers. Windows are summed afresh from their bars (a week as seven days), never by
adding the new and taking off the old: a value depends on its window only, not on where the history began.

Kernels that call each other stand in this one file because numba's cache of a function is void only when the
function's own file changes, not when a function that it calls does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
F = TypeVar("F", bound=Callable[..., object])

INPUTS = ("open_ts_ms", "open", "raw_high", "raw_low", "close", "volume")
"""Columns that the caller fills. Prices in any unit that stays the same throughout."""

STATES = (
    "high", "low", "log_close", "bar_return", "steps", "true_range", "sigma", "sigma_quote",
    "parkinson_term", "garman_klass_term", "rogers_satchell_term",
    "signed_volume", "money", "signed_money", "relative_volume", "square", "relative_square",
    "square_24", "volume_24", "relative_24", "relative_square_24",
)  # fmt: skip
"""Columns that the passes fill and read again."""

RESULTS = (
    "log_return_1", "log_return_4", "log_return_12", "log_return_24", "bollinger_20",
    "volatility_ratio_6_24", "volatility_ratio_24_168", "parkinson_24", "garman_klass_24", "rogers_satchell_24",
    "volume_z_168", "volume_ratio_24_168", "flow_24", "money_flow_14", "bars_missing",
    "hour_sin", "hour_cos", "weekday_sin", "weekday_cos",
)  # fmt: skip
"""Columns that features read."""

COLUMNS = (*INPUTS, *STATES, *RESULTS)

(TS, OPEN, RAW_HIGH, RAW_LOW, CLOSE, VOLUME,
 HIGH, LOW, LOG_CLOSE, RETURN, STEPS, TRUE_RANGE, SIGMA, SIGMA_QUOTE, PARKINSON, GARMAN_KLASS, ROGERS_SATCHELL,
 SIGNED_VOLUME, MONEY, SIGNED_MONEY, RELATIVE_VOLUME, SQUARE, RELATIVE_SQUARE,
 SQUARE_24, VOLUME_24, RELATIVE_24, RELATIVE_SQUARE_24,
 RETURN_1, RETURN_4, RETURN_12, RETURN_24, BOLLINGER, RATIO_6_24, RATIO_24_168, PARKINSON_24, GARMAN_KLASS_24,
 ROGERS_SATCHELL_24, VOLUME_Z, VOLUME_RATIO, FLOW, MONEY_FLOW, MISSING,
 HOUR_SIN, HOUR_COS, WEEKDAY_SIN, WEEKDAY_COS) = range(len(COLUMNS))  # fmt: skip

CONTEXT_COLUMNS = (
    "open_ts_ms",
    "log_close",
    "bar_return",
    "log_return",
    "rsi_14",
    "volatility_ratio_5_20",
    "distance_mean_20",
)
C_TS, C_LOG_CLOSE, C_RETURN, C_LOG_RETURN, C_RSI, C_RATIO, C_DISTANCE = range(len(CONTEXT_COLUMNS))

KEEP_BARS = 256
"""More than the longest window, 169 bars."""

EWMA_DECAY = 0.97
EWMA_STATE = 3  # weighted sum of squares, sum of weights, returns seen
SIGMA_FLOOR = 1e-6
WICK_SIGMAS = 8.0
SIGMA_RETURNS = 24
VOLUME_FLOOR = 0.01
_DAY_MS = 86_400_000.0
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-01 was a Thursday
_BLOCK_BARS = 256  # rows of output that stay in the cache while all features are written
_STEADY = 1e-5  # a standard deviation of log-volume below it is rounding
_VARIANCE_FLOOR = SIGMA_FLOOR * SIGMA_FLOOR
_TWO_PI = 2.0 * math.pi
_LOG_2 = math.log(2.0)


def compiled(function: F) -> F:
    """Compile with numba: cached on disk, without the GIL, division by zero as in numpy; never fast-math."""
    result: F = numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    return result


@compiled
def window_sum(x_KN: FloatArray, row: int, i: int, bars: int) -> float:
    """Sum of the ``bars`` values that end at ``i``, in four strands; the order is fixed, so is the result."""
    window = x_KN[row, i - bars + 1 : i + 1]
    a = b = c = d = 0.0
    whole = bars // 4 * 4
    for j in range(0, whole, 4):
        a += window[j]
        b += window[j + 1]
        c += window[j + 2]
        d += window[j + 3]
    for j in range(whole, bars):
        a += window[j]
    return (a + b) + (c + d)


@compiled
def week_sum(x_KN: FloatArray, day_row: int, i: int) -> float:
    """Sum over the 168 bars that end at ``i``, of the seven sums over 24 bars that ``day_row`` holds."""
    total = 0.0
    for k in range(7):
        total += x_KN[day_row, i - 24 * k]
    return total


@compiled
def window_squares(x_KN: FloatArray, row: int, i: int, bars: int, centre: float) -> float:
    """Sum of ``(value − centre)²`` over the ``bars`` values that end at ``i``, oldest first."""
    total = 0.0
    for value in x_KN[row, i - bars + 1 : i + 1]:
        total += (value - centre) ** 2
    return total


@compiled
def _log_ratio(over: float, under: float) -> float:
    """Half the log of a ratio of variances, both floored: the log of the ratio of standard deviations."""
    return 0.5 * math.log(max(over, _VARIANCE_FLOOR) / max(under, _VARIANCE_FLOOR))


@compiled
def _sign(value: float) -> float:
    return 1.0 if value > 0.0 else (-1.0 if value < 0.0 else 0.0)


@compiled
def _steps(x_KN: FloatArray, row: int, i: int, bars: int, bar_ms: float) -> float:
    """Bars of time between row ``i − bars`` and row ``i``: more than ``bars`` where candles are missing."""
    passed = float(x_KN[row, i] - x_KN[row, i - bars])
    return max(1.0, math.floor(passed / bar_ms + 0.5))


@compiled
def _volatility_state(x_KN: FloatArray, state: FloatArray, i: int, bar_ms: float) -> None:
    """Log-return per root bar and its EWMA volatility, weights summing to one from the first return on."""
    x_KN[LOG_CLOSE, i] = math.log(x_KN[CLOSE, i])
    x_KN[RETURN, i] = x_KN[STEPS, i] = x_KN[SQUARE, i] = np.nan
    if i > 0:
        x_KN[STEPS, i] = _steps(x_KN, TS, i, 1, bar_ms)
        x_KN[RETURN, i] = math.log(x_KN[CLOSE, i] / x_KN[CLOSE, i - 1]) / math.sqrt(x_KN[STEPS, i])
        x_KN[SQUARE, i] = x_KN[RETURN, i] ** 2
        state[0] = EWMA_DECAY * state[0] + x_KN[SQUARE, i]
        state[1] = EWMA_DECAY * state[1] + 1.0
        state[2] += 1.0
    known = state[2] >= SIGMA_RETURNS
    x_KN[SIGMA, i] = max(math.sqrt(state[0] / state[1]), SIGMA_FLOOR) if known else np.nan
    x_KN[SIGMA_QUOTE, i] = x_KN[SIGMA, i] * x_KN[CLOSE, i]


@compiled
def _tame(x_KN: FloatArray, i: int) -> None:
    """High and low that hold the body, with wicks of at most `WICK_SIGMAS` sigma: a print at ~0 is no range.

    An open or low that is not above 0 is no price: the close, or the body's lower end, stands in its place.
    """
    if x_KN[OPEN, i] <= 0.0:
        x_KN[OPEN, i] = x_KN[CLOSE, i]
    top = max(x_KN[OPEN, i], x_KN[CLOSE, i])
    bottom = min(x_KN[OPEN, i], x_KN[CLOSE, i])
    x_KN[HIGH, i] = max(x_KN[RAW_HIGH, i], top)
    x_KN[LOW, i] = min(x_KN[RAW_LOW, i], bottom) if x_KN[RAW_LOW, i] > 0.0 else bottom
    reach = math.exp(WICK_SIGMAS * x_KN[SIGMA, i])
    if not math.isnan(reach):
        x_KN[HIGH, i] = min(x_KN[HIGH, i], top * reach)
        x_KN[LOW, i] = max(x_KN[LOW, i], bottom / reach)
    before = x_KN[CLOSE, i - 1] if i > 0 else x_KN[CLOSE, i]
    x_KN[TRUE_RANGE, i] = max(x_KN[HIGH, i], before) - min(x_KN[LOW, i], before)


@compiled
def _range_terms(x_KN: FloatArray, i: int) -> None:
    """Variance of one bar from its range, three ways; NaN until sigma is known."""
    if math.isnan(x_KN[SIGMA, i]):
        x_KN[PARKINSON, i] = x_KN[GARMAN_KLASS, i] = x_KN[ROGERS_SATCHELL, i] = np.nan
        return
    up = math.log(x_KN[HIGH, i] / x_KN[OPEN, i])
    down = math.log(x_KN[LOW, i] / x_KN[OPEN, i])
    body = math.log(x_KN[CLOSE, i] / x_KN[OPEN, i])
    x_KN[PARKINSON, i] = (up - down) ** 2 / (4.0 * _LOG_2)
    x_KN[GARMAN_KLASS, i] = 0.5 * (up - down) ** 2 - (2.0 * _LOG_2 - 1.0) * body**2
    x_KN[ROGERS_SATCHELL, i] = up * (up - body) + down * (down - body)


@compiled
def _volume_state(x_KN: FloatArray, i: int) -> None:
    """Volume and money flow signed by the price change; log-volume against its mean, floored at 1 % of it."""
    typical = x_KN[HIGH, i] + x_KN[LOW, i] + x_KN[CLOSE, i]
    x_KN[MONEY, i] = typical * x_KN[VOLUME, i]
    x_KN[SIGNED_VOLUME, i] = x_KN[SIGNED_MONEY, i] = np.nan
    if i > 0:
        before = x_KN[HIGH, i - 1] + x_KN[LOW, i - 1] + x_KN[CLOSE, i - 1]
        x_KN[SIGNED_VOLUME, i] = _sign(x_KN[CLOSE, i] - x_KN[CLOSE, i - 1]) * x_KN[VOLUME, i]
        x_KN[SIGNED_MONEY, i] = _sign(typical - before) * x_KN[MONEY, i]
    x_KN[RELATIVE_VOLUME, i] = x_KN[VOLUME_24, i] = np.nan
    if i >= 23:
        x_KN[VOLUME_24, i] = window_sum(x_KN, VOLUME, i, 24)
    if i >= 167:
        mean = week_sum(x_KN, VOLUME_24, i) / 168.0
        x_KN[RELATIVE_VOLUME, i] = math.log(x_KN[VOLUME, i] / mean + VOLUME_FLOOR) if mean > 0.0 else 0.0
    x_KN[RELATIVE_SQUARE, i] = x_KN[RELATIVE_VOLUME, i] ** 2


@compiled
def _price_results(x_KN: FloatArray, i: int, bar_ms: float) -> None:
    for row, bars in ((RETURN_1, 1), (RETURN_4, 4), (RETURN_12, 12), (RETURN_24, 24)):
        x_KN[row, i] = np.nan
        if i >= bars:
            width = x_KN[SIGMA, i] * math.sqrt(_steps(x_KN, TS, i, bars, bar_ms))
            x_KN[row, i] = math.log(x_KN[CLOSE, i] / x_KN[CLOSE, i - bars]) / width
    x_KN[BOLLINGER, i] = np.nan
    if i >= 19:
        mean = window_sum(x_KN, LOG_CLOSE, i, 20) / 20.0
        deviation = math.sqrt(window_squares(x_KN, LOG_CLOSE, i, 20, mean) / 20.0)
        x_KN[BOLLINGER, i] = (x_KN[LOG_CLOSE, i] - mean) / max(2.0 * deviation, SIGMA_FLOOR)


@compiled
def _volatility_results(x_KN: FloatArray, i: int) -> None:
    x_KN[SQUARE_24, i] = x_KN[RATIO_6_24, i] = x_KN[RATIO_24_168, i] = np.nan
    if i >= 24:
        x_KN[SQUARE_24, i] = window_sum(x_KN, SQUARE, i, 24)
        x_KN[RATIO_6_24, i] = _log_ratio(window_sum(x_KN, SQUARE, i, 6) / 6.0, x_KN[SQUARE_24, i] / 24.0)
    if i >= 168:
        x_KN[RATIO_24_168, i] = _log_ratio(x_KN[SQUARE_24, i] / 24.0, week_sum(x_KN, SQUARE_24, i) / 168.0)
    for row, term in (
        (PARKINSON_24, PARKINSON), (GARMAN_KLASS_24, GARMAN_KLASS), (ROGERS_SATCHELL_24, ROGERS_SATCHELL),
    ):  # fmt: skip
        x_KN[row, i] = np.nan
        if i >= 23 and not math.isnan(x_KN[term, i - 23]):
            x_KN[row, i] = _log_ratio(window_sum(x_KN, term, i, 24) / 24.0, x_KN[SIGMA, i] ** 2)


@compiled
def _share(x_KN: FloatArray, over: int, under: int, i: int, bars: int) -> float:
    """Window sum over window sum; 0 where the lower one is nothing."""
    if i < bars:
        return np.nan
    total = window_sum(x_KN, under, i, bars)
    return window_sum(x_KN, over, i, bars) / total if total > 0.0 else 0.0


@compiled
def _volume_results(x_KN: FloatArray, i: int) -> None:
    x_KN[FLOW, i] = _share(x_KN, SIGNED_VOLUME, VOLUME, i, 24)
    x_KN[MONEY_FLOW, i] = _share(x_KN, SIGNED_MONEY, MONEY, i, 14)
    x_KN[VOLUME_RATIO, i] = x_KN[VOLUME_Z, i] = x_KN[RELATIVE_24, i] = x_KN[RELATIVE_SQUARE_24, i] = np.nan
    if i >= 167:
        x_KN[RELATIVE_24, i] = window_sum(x_KN, RELATIVE_VOLUME, i, 24)
        x_KN[RELATIVE_SQUARE_24, i] = window_sum(x_KN, RELATIVE_SQUARE, i, 24)
        week = week_sum(x_KN, VOLUME_24, i)
        x_KN[VOLUME_RATIO, i] = math.log(7.0 * x_KN[VOLUME_24, i] / week + VOLUME_FLOOR) if week > 0.0 else 0.0
        mean = week_sum(x_KN, RELATIVE_24, i) / 168.0
        variance = week_sum(x_KN, RELATIVE_SQUARE_24, i) / 168.0 - mean**2
        if not math.isnan(variance):
            deviation = math.sqrt(max(variance, 0.0))
            x_KN[VOLUME_Z, i] = (x_KN[RELATIVE_VOLUME, i] - mean) / deviation if deviation > _STEADY else 0.0


@compiled
def _season_results(x_KN: FloatArray, i: int) -> None:
    x_KN[MISSING, i] = math.log(x_KN[STEPS, i])
    day = _TWO_PI * ((x_KN[TS, i] % _DAY_MS) / _DAY_MS)
    week = _TWO_PI * (((x_KN[TS, i] - _MONDAY_MS) % (7.0 * _DAY_MS)) / (7.0 * _DAY_MS))
    x_KN[HOUR_SIN, i] = math.sin(day)
    x_KN[HOUR_COS, i] = math.cos(day)
    x_KN[WEEKDAY_SIN, i] = math.sin(week)
    x_KN[WEEKDAY_COS, i] = math.cos(week)


@compiled
def fill(x_KN: FloatArray, state: FloatArray, start: int, end: int, bar_ms: float) -> None:
    """Fill `STATES` and `RESULTS` of the bars ``[start, end)``.

    Args:
        x_KN: float64[len(COLUMNS) or more, N]; row 0 is the first bar of the history, or the ring has `KEEP_BARS`.
        state: float64[`EWMA_STATE`], carried from bar to bar; zeros before the first.
        bar_ms: length of a bar.
    """
    for i in range(start, end):
        _volatility_state(x_KN, state, i, bar_ms)
        _tame(x_KN, i)
        _range_terms(x_KN, i)
        _volume_state(x_KN, i)
        _price_results(x_KN, i, bar_ms)
        _volatility_results(x_KN, i)
        _volume_results(x_KN, i)
        _season_results(x_KN, i)


@compiled
def fill_context(x_KN: FloatArray, start: int, end: int, bar_ms: float) -> None:
    """Fill the results of the higher bars ``[start, end)``; pure windows of 21 closes, so that few bars warm it up.

    Args:
        x_KN: float64[len(CONTEXT_COLUMNS), N] with open_ts_ms and log_close given.
        bar_ms: length of a higher bar.
    """
    for i in range(start, end):
        for row in range(C_RETURN, C_DISTANCE + 1):
            x_KN[row, i] = np.nan
        if i > 0:
            step = x_KN[C_LOG_CLOSE, i] - x_KN[C_LOG_CLOSE, i - 1]
            x_KN[C_RETURN, i] = step / math.sqrt(_steps(x_KN, C_TS, i, 1, bar_ms))
        if i < 20:
            continue
        variance = window_squares(x_KN, C_RETURN, i, 20, 0.0) / 20.0
        sigma = max(math.sqrt(variance), SIGMA_FLOOR)
        net = total = 0.0
        for j in range(i - 13, i + 1):
            net += x_KN[C_RETURN, j]
            total += abs(x_KN[C_RETURN, j])
        x_KN[C_LOG_RETURN, i] = x_KN[C_RETURN, i] / sigma
        x_KN[C_RSI, i] = net / total if total > 0.0 else 0.0
        x_KN[C_RATIO, i] = _log_ratio(window_squares(x_KN, C_RETURN, i, 5, 0.0) / 5.0, variance)
        mean = window_sum(x_KN, C_LOG_CLOSE, i, 20) / 20.0
        x_KN[C_DISTANCE, i] = (x_KN[C_LOG_CLOSE, i] - mean) / (sigma * math.sqrt(20.0))


@compiled
def _scale_one(
    x_KN: FloatArray, rows_7: IntArray, constants_7: FloatArray, range_5: FloatArray, start: int, out_N: FloatArray
) -> None:
    of, minus, over, less, top, bottom, measure = rows_7
    factor, least, otherwise, low, high = range_5
    for n in range(out_N.size):
        i = start + n
        numerator = x_KN[of, i] - (x_KN[minus, i] if minus >= 0 else constants_7[1])
        divisor = (x_KN[over, i] if over >= 0 else constants_7[2]) - (x_KN[less, i] if less >= 0 else constants_7[3])
        width = (x_KN[top, i] if top >= 0 else constants_7[4]) - (x_KN[bottom, i] if bottom >= 0 else constants_7[5])
        limit = least * (x_KN[measure, i] if measure >= 0 else constants_7[6])
        if math.isnan(numerator + divisor + width + limit):
            out_N[n] = np.nan
        elif abs(width) <= limit:
            out_N[n] = otherwise
        else:
            out_N[n] = min(max(numerator / divisor * factor, low), high)


@compiled
def scale(
    x_KN: FloatArray, rows_F7: IntArray, constants_F7: FloatArray, range_F5: FloatArray, start: int, out_NF: FloatArray
) -> None:
    """Evaluate every feature's formula (see `heliograph.features.spec`) on the bars from ``start`` on.

    Args:
        x_KN: all columns.
        rows_F7: column of each term, or −1 where the term is the constant at the same place of ``constants_F7``; the
            first is a column always.
        range_F5: factor, least, otherwise, low, high of each feature.
        out_NF: float64[N, F]; its first row gets the bar ``start``. NaN where a term is NaN.
    """
    for first in range(0, out_NF.shape[0], _BLOCK_BARS):
        block_NF = out_NF[first : first + _BLOCK_BARS]
        for f in range(out_NF.shape[1]):
            _scale_one(x_KN, rows_F7[f], constants_F7[f], range_F5[f], start + first, block_NF[:, f])
