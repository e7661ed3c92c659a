"""Passes over all symbols of one moment: the market's own numbers, and each symbol's place in it.

K per-symbol series of S symbols at T bars come as ``x_TSK``; NaN where a symbol has no bar or does not know the number
yet. Every bar is worked out from its own row alone, symbols in their order, so that any cut of T gives the same bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from heliograph.features.engine import compiled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RETURN, MOMENTUM, ABOVE, TURNOVER = 0, 1, 2, 3
"""What stands in a row of K: return of the bar, momentum of 24 bars, 1 above its own mean or 0, trailing turnover before
the bar (quote units); what comes after them is only ranked."""

MARKET: Final = (
    "market_return",
    "market_return_weighted",
    "market_momentum_24",
    "dispersion",
    "breadth_rising",
    "breadth_above_mean",
    "leader_return",
    "market_symbols",
)
"""What `across` gives of the market, in order; after it come the share of turnover and the ranks."""


@compiled
def across(x_TSK: FloatArray, is_present_TS: BoolArray, ranked_R: IntArray) -> FloatArray:
    """float64[M + 1 + R, S, T]: the `MARKET` numbers, each symbol's share of turnover, its ranks by the columns given.

    NaN where a symbol has no bar.
    """
    bars, symbols = is_present_TS.shape
    market = np.empty(8)
    column, shares, ranks = np.empty(symbols), np.empty(symbols), np.empty((ranked_R.size, symbols))
    out = np.empty((9 + ranked_R.size, symbols, bars))
    order_RS = np.empty((ranked_R.size, symbols), dtype=np.int64)
    order_RS[:] = np.arange(symbols)
    for t in range(bars):
        _market(x_TSK[t], market)
        _shares(x_TSK[t], shares)
        for r in range(ranked_R.size):
            for s in range(symbols):
                column[s] = x_TSK[t, s, ranked_R[r]]
            _sort(column, order_RS[r])
            _ranks(column, order_RS[r], ranks[r])
        for s in range(symbols):
            for m in range(8):
                out[m, s, t] = market[m] if is_present_TS[t, s] else np.nan
            out[8, s, t] = shares[s]
            for r in range(ranked_R.size):
                out[9 + r, s, t] = ranks[r, s]
    return out


@compiled
def _market(x_SK: FloatArray, out: FloatArray) -> None:
    num, total, rising, weights, weighted, leader, most = 0, 0.0, 0.0, 0.0, 0.0, np.nan, -1.0
    for s in range(x_SK.shape[0]):
        value, turnover = x_SK[s, RETURN], x_SK[s, TURNOVER]
        if np.isnan(value):
            continue
        num += 1
        total += value
        rising += 1.0 if value > 0.0 else (0.5 if value == 0.0 else 0.0)
        if turnover > 0.0:
            weights += turnover
            weighted += turnover * value
        if turnover > most:  # of equal ones the first; no NaN
            leader, most = value, turnover
    mean = total / num if num else np.nan
    out[0] = mean
    out[1] = weighted / weights if weights > 0.0 else mean
    out[2] = _mean(x_SK, MOMENTUM)
    out[3] = _deviation(x_SK, mean, num)
    out[4] = rising / num if num else np.nan
    out[5] = _mean(x_SK, ABOVE)
    out[6] = mean if np.isnan(leader) else leader
    out[7] = num


@compiled
def _mean(x_SK: FloatArray, k: int) -> float:
    num, total = 0, 0.0
    for s in range(x_SK.shape[0]):
        if not np.isnan(x_SK[s, k]):
            num += 1
            total += x_SK[s, k]
    return total / num if num else np.nan


@compiled
def _deviation(x_SK: FloatArray, mean: float, num: int) -> float:
    """Population standard deviation of the returns."""
    total = 0.0
    for s in range(x_SK.shape[0]):
        if not np.isnan(x_SK[s, RETURN]):
            total += (x_SK[s, RETURN] - mean) ** 2
    return float(np.sqrt(total / num)) if num else np.nan


@compiled
def _shares(x_SK: FloatArray, out_S: FloatArray) -> None:
    """Of all known turnover; equal shares where nothing was traded."""
    num, total = 0, 0.0
    for s in range(x_SK.shape[0]):
        if not np.isnan(x_SK[s, TURNOVER]):
            num += 1
            total += x_SK[s, TURNOVER]
    for s in range(x_SK.shape[0]):
        turnover = x_SK[s, TURNOVER]
        out_S[s] = turnover / total if total > 0.0 else 0.0 * turnover + 1.0 / max(num, 1)


@compiled
def _sort(value_S: FloatArray, order_S: IntArray) -> None:
    """Bring the order of the bar before up to date; what is unknown comes last. Ranks hardly change from bar to bar."""
    for k in range(1, order_S.size):
        moved, j = order_S[k], k
        value = value_S[moved]
        while j > 0:
            before = value_S[order_S[j - 1]]
            if not (before > value or (np.isnan(before) and not np.isnan(value))):
                break
            order_S[j] = order_S[j - 1]
            j -= 1
        order_S[j] = moved


@compiled
def _ranks(value_S: FloatArray, order_S: IntArray, out_S: FloatArray) -> None:
    """Share of the others below, ties half; 0.5 alone; NaN where unknown."""
    num = 0
    for s in range(value_S.size):
        out_S[s] = np.nan
        num += not np.isnan(value_S[s])
    first = 0
    while first < num:
        end = first + 1
        while end < num and value_S[order_S[end]] == value_S[order_S[first]]:
            end += 1
        share = (first + 0.5 * (end - first - 1)) / (num - 1) if num > 1 else 0.5
        for k in range(first, end):
            out_S[order_S[k]] = share
        first = end
