"""Windows by index: which rows can be origins, and their windows gathered; no window is ever stored."""

from __future__ import annotations

from dataclasses import dataclass

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
    first, last = np.searchsorted(data.known_ts_ms, interval)
    start = max(int(first) - window_bars + 1, 0)
    finite = np.isfinite(data.x_NF[start:last]).all(axis=1)
    faults = np.concatenate([[0], np.cumsum(~finite)])
    rows = np.arange(max(int(first), window_bars - 1), int(last), dtype=np.int64)
    whole = faults[rows + 1 - start] == faults[rows + 1 - window_bars - start]
    if labelled_by_ms is not None:
        whole &= np.isfinite(data.log_return_NH[rows]).all(axis=1) & (data.setup_NH[rows] >= 0).all(axis=1)
        whole &= data.end_ts_ms_NH[rows, -1] <= labelled_by_ms
    found: IntArray = rows[whole]
    return found


def gather(x_NF: Float32Array, rows: IntArray, window_bars: int) -> Float32Array:
    """The windows that end at ``rows``: float32[B, T, F], a copy; the last bar of each is the origin.

    Raises:
        LookAhead: a row has no whole window before it; a negative index would read the end of the history.
    """
    if rows.size and int(rows.min()) < window_bars - 1:
        raise LookAhead(f"row {int(rows.min())} has fewer than {window_bars} bars up to it: take rows from origins()")
    x_BTF: Float32Array = x_NF[rows[:, None] + np.arange(1 - window_bars, 1)]
    return x_BTF
