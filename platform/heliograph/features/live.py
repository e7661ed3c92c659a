"""What is carried from one live bar to the next: the newest columns, TA-Lib's handles, the higher bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import talib
from talib import stream

from heliograph.core.timeframe import Timeframe
from heliograph.features import align, kernels, plan
from heliograph.features.spec import Indicator

FloatArray = npt.NDArray[np.float64]
RING_BARS = 2_048


class Ring:
    """The newest bars of a matrix of columns, contiguous, so that a kernel reads them like a frame."""

    def __init__(self, num_columns: int) -> None:
        self._x_KN = np.full((num_columns, RING_BARS), np.nan)
        self._end = 0

    def advance(self) -> tuple[FloatArray, int]:
        """Make room for one bar: the matrix, and the column that is now the newest."""
        if self._end == RING_BARS:
            self._x_KN[:, : kernels.KEEP_BARS] = self._x_KN[:, -kernels.KEEP_BARS :]
            self._end = kernels.KEEP_BARS
        self._end += 1
        return self._x_KN, self._end - 1


class IndicatorStream:
    """A TA-Lib handle, opened as soon as TA-Lib has enough history."""

    def __init__(self, indicator: Indicator, inputs: tuple[int, ...], outputs: slice) -> None:
        self._indicator = indicator
        self._inputs = inputs
        self._outputs = outputs
        self._handle: Any = None

    def update(self, bar: Sequence[float], x_KN: FloatArray, i: int) -> None:
        """Write the outputs at column ``i``; ``bar`` is that column."""
        if self._handle is not None:
            x_KN[self._outputs, i] = self._handle.update(*[bar[row] for row in self._inputs])
        elif i >= self._indicator.lookback_bars:
            history = [np.ascontiguousarray(x_KN[row, : i + 1]) for row in self._inputs]
            try:
                self._handle = getattr(stream, self._indicator.function)(*history, **dict(self._indicator.parameters))
            except talib.InsufficientHistory:
                return
            x_KN[self._outputs, i] = self._handle.value


class ContextStream:
    """One higher timeframe: its unfinished bar, its closed bars, and the results of the last closed one."""

    def __init__(self, base: Timeframe, timeframe: Timeframe, results: slice) -> None:
        self._bars = align.HigherStream(base, timeframe)
        self._bar_ms = float(timeframe.ms)
        self._results = results
        self._ring = Ring(len(kernels.CONTEXT_COLUMNS))
        self._latest = np.full(results.stop - results.start, np.nan)

    def update(self, bar: Sequence[float], x_KN: FloatArray, i: int) -> None:
        """Write the results known at column ``i``; ``bar`` is that column."""
        closed = self._bars.update(bar[: len(kernels.INPUTS)])
        for m in range(closed.shape[1]):
            y_KN, j = self._ring.advance()
            y_KN[kernels.C_TS, j] = closed[0, m]
            y_KN[kernels.C_LOG_CLOSE, j] = np.log(closed[4, m])
            kernels.fill_context(y_KN, j, j + 1, self._bar_ms)
            self._latest = y_KN[plan.CONTEXT_RESULTS, j].copy()
        x_KN[self._results, i] = self._latest
