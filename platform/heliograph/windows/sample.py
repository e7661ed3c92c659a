"""Windows by index: which rows can be origins, and their windows gathered; no window is ever stored.

Shapes: N rows, B windows, T bars, F features, H horizons; K scales of M rows, W bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from heliograph.core.errors import LookAhead

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SymbolData:
    """Features and labels of one market, N rows; the arrays may be memory maps.

    Attributes:
        symbol: unified name.
        known_ts_ms: int64[N], ascending; when each row may be used.
        close: float64[N], quote units.
        x_NF: float32[N, F], raw features; NaN in warm-up.
        log_return_NH, setup_NH, end_ts_ms_NH: as in `heliograph.windows.labels.Labels`.
    """

    venue: str
    symbol: str
    known_ts_ms: IntArray
    close: FloatArray
    x_NF: Float32Array
    log_return_NH: FloatArray
    setup_NH: IntArray
    end_ts_ms_NH: IntArray


@dataclass(frozen=True, slots=True)
class Scale:
    """Features of one timeframe, for windows of several timeframes side by side.

    Attributes:
        x_MF: float32[M, F], its own bars, ascending, never repeated for each base bar; may be a memory map.
        window_bars: W, its bars in each window.
        pointer_N: int64[N], row of its last bar known at each base row, −1 where none is (`features.align.Higher` has
            it); None for the base itself.
    """

    x_MF: Float32Array
    window_bars: int
    pointer_N: IntArray | None = None

    def ends(self, rows: IntArray) -> IntArray:
        """Its own last row known at each of these base rows."""
        last: IntArray = rows if self.pointer_N is None else self.pointer_N[rows]
        return last


def origins(data: SymbolData, interval: tuple[int, int], window_bars: int, *, labelled_by_ms: int | None) -> IntArray:
    """Rows that a window can end at.

    Args:
        interval: half-open, ``known_ts_ms`` of the origin lies in it.
        window_bars: T; the row and the T − 1 rows before it must be finite in every feature.
        labelled_by_ms: where given, every label of the row must be there, and the longest be known by then.

    Returns:
        int64[m], ascending.

    >>> n = np.arange(4)
    >>> x = np.array([[np.nan], [1.0], [2.0], [3.0]], dtype=np.float32)
    >>> end = (n[:, None] + 1) * 10
    >>> data = SymbolData("v", "A/B", n * 10, n + 1.0, x, np.zeros((4, 1)), np.zeros((4, 1), dtype=np.int64), end)
    >>> origins(data, (0, 40), 2, labelled_by_ms=None), origins(data, (0, 40), 2, labelled_by_ms=30)
    (array([2, 3]), array([2]))
    """
    first, last = (int(row) for row in np.searchsorted(data.known_ts_ms, interval))
    start = max(first - window_bars + 1, 0)
    rows = first + np.flatnonzero(_finite_run(np.asarray(data.x_NF[start:last]))[first - start :] >= window_bars)
    if labelled_by_ms is None:
        return rows
    is_labelled = np.isfinite(data.log_return_NH[rows]).all(axis=1) & (data.setup_NH[rows] >= 0).all(axis=1)
    is_labelled &= data.end_ts_ms_NH[rows, -1] <= labelled_by_ms
    labelled: IntArray = rows[is_labelled]
    return labelled


def whole(scales: Sequence[Scale], rows: IntArray) -> IntArray:
    """Those of the base rows at which every scale has a whole window, finite in every feature; int64[m]."""
    for scale in scales:
        run_M = np.append(_finite_run(np.asarray(scale.x_MF)), 0)
        rows = rows[run_M[scale.ends(rows)] >= scale.window_bars]
    return rows


def gather(x_NF: Float32Array, rows: IntArray, window_bars: int) -> Float32Array:
    """The windows that end at ``rows``: float32[B, T, F], a copy; the last bar of each is the origin.

    Raises:
        LookAhead: a row has no whole window before it; a negative index would read the end of the history.
    """
    if rows.size and int(rows.min()) < window_bars - 1:
        raise LookAhead(f"row {int(rows.min())} has fewer than {window_bars} bars up to it: take rows from origins()")
    if rows.size and int(rows.max()) >= x_NF.shape[0]:
        raise LookAhead(f"row {int(rows.max())} is not there yet, {x_NF.shape[0]} rows are: take rows from origins()")
    x_BTF = np.empty((rows.size, window_bars, x_NF.shape[1]), dtype=np.float32)
    _gather(np.asarray(x_NF), rows, x_BTF)
    return x_BTF


def gather_scales(scales: Sequence[Scale], rows: IntArray) -> tuple[Float32Array, ...]:
    """For each scale the windows of its last bars known at the base ``rows``: K times float32[B, W, F], copies.

    Higher bars are found by their row, so a window of days beside minutes reads W days and not W · 1440 minutes.

    Raises:
        LookAhead: fewer bars are known at a row than a window has.

    >>> minutes, hours = np.arange(6, dtype=np.float32)[:, None], np.array([[10], [20]], dtype=np.float32)
    >>> scales = (Scale(minutes, 2), Scale(hours, 1, pointer_N=np.array([-1, -1, 0, 0, 1, 1])))
    >>> [x_BWF[..., 0].tolist() for x_BWF in gather_scales(scales, np.array([3, 4]))]
    [[[2.0, 3.0], [3.0, 4.0]], [[10.0], [20.0]]]
    """
    return tuple(gather(scale.x_MF, scale.ends(rows), scale.window_bars) for scale in scales)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _gather(x_NF: Float32Array, rows: IntArray, x_BTF: Float32Array) -> None:
    num_bars = x_BTF.shape[1]
    for b in range(rows.size):
        first = rows[b] + 1 - num_bars
        for t in range(num_bars):
            for f in range(x_NF.shape[1]):
                x_BTF[b, t, f] = x_NF[first + t, f]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _finite_run(x_NF: Float32Array) -> IntArray:
    """How many rows up to and with each are finite in every feature; int64[N], one pass, no copy."""
    run = np.zeros(x_NF.shape[0], dtype=np.int64)
    for i in range(x_NF.shape[0]):
        is_finite = True
        for f in range(x_NF.shape[1]):
            is_finite &= np.isfinite(x_NF[i, f])
        if is_finite:
            run[i] = run[i - 1] + 1 if i else 1
    return run
