"""Candles in, features out: a whole frame at once, or the bar that just closed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import talib

from heliograph.config.settings import FeatureSettings
from heliograph.core.errors import SchemaMismatch
from heliograph.core.events import CandleClosed
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.features import align, kernels, plan, volatility
from heliograph.features.live import ContextStream, IndicatorStream, Ring

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SIGMA = volatility.SIGMA
"""The feature that holds the standard deviation of the log-return over one base bar."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of one market, one row per existing base candle; nothing is filled in for a missing one.

    Attributes:
        open_ts_ms: int64[n], opens of the candles.
        known_ts_ms: int64[n], when each row may be used: close of the candle plus the venue's delay.
        names: F column names.
        values: float64[n, F]; NaN while a feature warms up, finite and in its declared range ever after.
    """

    open_ts_ms: IntArray
    known_ts_ms: IntArray
    names: tuple[str, ...]
    values: FloatArray

    def __len__(self) -> int:
        return int(self.open_ts_ms.size)

    def column(self, name: str) -> FloatArray:
        """One feature; float64[n]."""
        return self.values[:, self.names.index(name)]


def names(settings: FeatureSettings) -> tuple[str, ...]:
    """The columns that `compute` and `LiveFeatures` give, in order.

    Raises:
        ConfigError: a glob of the settings matches no feature.
    """
    return plan.make(settings).names


def compute(candles: Candles, settings: FeatureSettings, *, close_delay_ms: int = 0) -> FeatureTable:
    """Features of every candle; a row reads nothing after the close of its own candle.

    Args:
        candles: closed candles of ``settings.timeframe``; bars may be missing.
        close_delay_ms: how long after its close the venue may still revise a candle.

    Raises:
        SchemaMismatch: candles out of order, off the grid, not finite, a close that is not above 0, or a negative volume.
        ConfigError: the settings name no such feature, or a context timeframe that the base does not divide.
    """
    todo = plan.make(settings)
    _require_sound(candles, todo.base)
    ts = candles.open_ts_ms
    values = np.empty((ts.size, len(todo.features)))
    if ts.size:
        x_KN = _columns(candles, todo)
        kernels.scale(x_KN, todo.rows_F7, todo.constants_F7, todo.range_F5, 0, values)
    return FeatureTable(ts, align.closes(todo.base, ts) + close_delay_ms, todo.names, values)


def _require_sound(candles: Candles, base: Timeframe) -> None:
    candles.require_sound(base)
    wrong = ~((candles.close > 0) & (candles.volume >= 0))
    if wrong.any():
        ts = int(candles.open_ts_ms[int(np.argmax(wrong))])
        raise SchemaMismatch(f"the bar that opens at {ts} needs a close above 0 and a volume of at least 0")


def _unit(close: float) -> float:
    """A power of two near the first close: prices in it are exact, and TA-Lib's absolute tolerances mean little."""
    return float(np.ldexp(1.0, int(np.frexp(close)[1])))


def _columns(candles: Candles, todo: plan.Plan) -> FloatArray:
    """The whole work matrix, float64[K, n]."""
    unit = _unit(float(candles.close[0]))
    x_KN = np.empty((todo.num_columns, len(candles)))
    x_KN[kernels.TS] = candles.open_ts_ms
    x_KN[kernels.VOLUME] = candles.volume
    prices = (candles.open, candles.high, candles.low, candles.close)
    for row, price in zip((kernels.OPEN, kernels.RAW_HIGH, kernels.RAW_LOW, kernels.CLOSE), prices, strict=True):
        np.divide(price, unit, out=x_KN[row])
    kernels.fill(x_KN, np.zeros(kernels.EWMA_STATE), 0, len(candles), float(todo.base.ms))
    for indicator, inputs, outputs in todo.indicators:
        x_KN[outputs] = getattr(talib, indicator.function)(*x_KN[list(inputs)], **dict(indicator.parameters))
    for timeframe, results in todo.contexts:
        found = align.higher(candles, todo.base, timeframe)
        higher_KM = np.empty((len(kernels.CONTEXT_COLUMNS), len(found.candles)))
        higher_KM[kernels.C_TS] = found.candles.open_ts_ms
        higher_KM[kernels.C_LOG_CLOSE] = np.log(found.candles.close / unit)
        kernels.fill_context(higher_KM, 0, len(found.candles), float(timeframe.ms))
        known = found.pointer >= 0
        x_KN[results] = np.nan
        x_KN[results, known] = higher_KM[plan.CONTEXT_RESULTS, found.pointer[known]]
    return x_KN


class LiveFeatures:
    """The same features one closed bar at a time, bit-equal to `compute` over the bars seen so far.

    A new one has seen nothing: seed it with `heliograph.features.plan.warmup_bars` of history. It holds TA-Lib
    handles and cannot be pickled; the process that needs it makes its own.
    """

    def __init__(self, settings: FeatureSettings) -> None:
        self._plan = plan.make(settings)
        self._timeframe = settings.timeframe
        self._ring = Ring(self._plan.num_columns)
        self._state = np.zeros(kernels.EWMA_STATE)
        self._indicators = [IndicatorStream(*wanted) for wanted in self._plan.indicators]
        self._contexts = [ContextStream(self._plan.base, *wanted) for wanted in self._plan.contexts]
        self._unit = 0.0
        self._last_ts_ms = -1

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a row."""
        return self._plan.names

    def update(self, candle: CandleClosed) -> FloatArray:
        """Take the next closed bar and answer with its row.

        Returns:
            float64[F], NaN where a feature warms up.

        Raises:
            SchemaMismatch: a bar of another timeframe, not after the one before it, or one that `compute` refuses.
        """
        self._require_next(candle)
        self._unit = self._unit or _unit(candle.close)
        x_KN, i = self._ring.advance()
        unit = self._unit
        x_KN[: len(kernels.INPUTS), i] = (
            candle.open_ts_ms, candle.open / unit, candle.high / unit, candle.low / unit, candle.close / unit, candle.volume,
        )  # fmt: skip
        kernels.fill(x_KN, self._state, i, i + 1, float(self._plan.base.ms))
        bar = x_KN[:, i].tolist()
        for indicator in self._indicators:
            indicator.update(bar, x_KN, i)
        for context in self._contexts:
            context.update(bar, x_KN, i)
        row = np.empty((1, len(self._plan.features)))
        kernels.scale(x_KN, self._plan.rows_F7, self._plan.constants_F7, self._plan.range_F5, i, row)
        result: FloatArray = row[0]
        return result

    def _require_next(self, candle: CandleClosed) -> None:
        if candle.timeframe != self._timeframe:
            raise SchemaMismatch(f"a {candle.timeframe} bar came where {self._timeframe} bars are expected")
        if candle.open_ts_ms <= self._last_ts_ms:
            raise SchemaMismatch(f"the bar that opens at {candle.open_ts_ms} is not after {self._last_ts_ms}")
        if not _is_sound(candle, self._plan.base):
            bar = [candle.open_ts_ms, candle.open, candle.high, candle.low, candle.close, candle.volume]
            _require_sound(Candles.of([bar]), self._plan.base)
        self._last_ts_ms = candle.open_ts_ms


def _is_sound(candle: CandleClosed, base: Timeframe) -> bool:
    """What `_require_sound` asks of one bar, in plain floats."""
    finite = math.isfinite(candle.open + candle.high + candle.low + candle.close + candle.volume)
    positive = candle.close > 0 and candle.volume >= 0
    return finite and positive and base.floor(candle.open_ts_ms) == candle.open_ts_ms


def to_arrow(table: FeatureTable) -> pa.Table:
    """The table as Arrow columns: open_ts_ms, known_ts_ms, then one double a feature; NaN stays NaN, nothing is null."""
    columns = {"open_ts_ms": table.open_ts_ms, "known_ts_ms": table.known_ts_ms}
    columns |= {name: np.ascontiguousarray(table.values[:, k]) for k, name in enumerate(table.names)}
    return pa.table(columns)


def from_arrow(table: pa.Table) -> FeatureTable:
    """Inverse of `to_arrow`.

    Raises:
        SchemaMismatch: the two times are not the first columns, or another column is not a double.
    """
    times, rest = table.schema.names[:2], table.schema.names[2:]
    if times != ["open_ts_ms", "known_ts_ms"] or any(table.schema.field(n).type != pa.float64() for n in rest):
        raise SchemaMismatch(f"a feature table is open_ts_ms, known_ts_ms and doubles, not {table.schema.names}")
    values = np.empty((table.num_rows, len(rest)))
    for k, name in enumerate(rest):
        values[:, k] = table[name].to_numpy()
    opens, known = (table[name].to_numpy() for name in times)
    return FeatureTable(opens, known, tuple(rest), values)
