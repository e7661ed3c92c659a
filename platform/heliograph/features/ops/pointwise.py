"""Passes that look at one bar at a time: logs, signs, ratios that survive a flat market."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.graph import Series, kernel, node

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def log(series: Series) -> Series:
    """Natural logarithm; NaN below 0."""
    return node(_log, series)[0]


def root(series: Series) -> Series:
    """Square root; what rounding has left below 0 counts as 0."""
    return node(_root, series)[0]


def magnitude(series: Series) -> Series:
    """Absolute value."""
    return node(_magnitude, series)[0]


def sign(series: Series) -> Series:
    """−1, 0 or 1."""
    return node(_sign, series)[0]


def at_least(series: Series, floor: float) -> Series:
    """The larger of the two; NaN stays NaN."""
    return node(_at_least, series, parameters=(floor,))[0]


def larger(a: Series, b: Series) -> Series:
    """The larger of the two; NaN where one is NaN."""
    return node(_larger, a, b)[0]


def smaller(a: Series, b: Series) -> Series:
    """The smaller of the two; NaN where one is NaN."""
    return node(_smaller, a, b)[0]


def ratio(
    over: Series, under: Series, *, least: float = 0.0, measure: Series | None = None, otherwise: float = 0.0
) -> Series:
    """``over / under``, and ``otherwise`` where the market is flat: where ``|under| ≤ least · |measure|``.

    Args:
        measure: what ``under`` is small against; 1 where None.

    >>> from heliograph.features.market import CLOSE, HIGH, LOW
    >>> ratio(CLOSE - LOW, HIGH - LOW, least=1e-9, measure=CLOSE, otherwise=0.5).node.lookback_bars
    1
    """
    if measure is None:
        return node(_ratio, over, under, parameters=(least, otherwise))[0]
    return node(_measured_ratio, over, under, measure, parameters=(least, otherwise))[0]


def where(is_so: Series, yes: Series, no: Series) -> Series:
    """``yes`` where ``is_so`` is above 0, else ``no``; NaN where ``is_so`` is."""
    return node(_where, is_so, yes, no)[0]


@kernel
def _log(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        out[t] = math.log(a[t])


@kernel
def _root(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        value = a[t]
        out[t] = 0.0 if value < 0.0 else math.sqrt(value)


@kernel
def _magnitude(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        out[t] = abs(a[t])


@kernel
def _sign(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        value = a[t]
        out[t] = 1.0 if value > 0.0 else (-1.0 if value < 0.0 else value)


@kernel
def _at_least(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, floor = x[at[0] + i :], x[at[1] + i :], p[0]
    for t in range(n):
        value = a[t]
        out[t] = floor if value < floor else value


@kernel
def _larger(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        one, other = a[t], b[t]
        out[t] = other if other != other or one < other else one  # noqa: PLR0124


@kernel
def _smaller(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        one, other = a[t], b[t]
        out[t] = other if other != other or one > other else one  # noqa: PLR0124


@kernel
def _ratio(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b, least, otherwise = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], p[0], p[1]
    for t in range(n):
        over, under = a[t], b[t]
        value = over / under
        if abs(under) <= least:
            value = otherwise + 0.0 * over  # NaN stays NaN
        out[t] = value


@kernel
def _measured_ratio(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b, c = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    least, otherwise = p[0], p[1]
    for t in range(n):
        over, under = a[t], b[t]
        value = over / under
        if abs(under) <= least * abs(c[t]):
            value = otherwise + 0.0 * over
        out[t] = value


@kernel
def _where(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, c, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :], x[at[3] + i :]
    for t in range(n):
        is_so = c[t]
        out[t] = a[t] if is_so > 0.0 else (b[t] if is_so <= 0.0 else np.nan)
