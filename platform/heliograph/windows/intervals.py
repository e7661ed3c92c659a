"""Label intervals: from when a sample may be acted on to when its outcome is known; what splits are purged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import DataError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """The label intervals of N samples, both ends included, UTC epoch ms.

    Samples of several symbols may stand in one set: lay them into one order of time.

    Attributes:
        start_ts_ms_N: int64[N], ascending; repeats are allowed.
        end_ts_ms_N: int64[N], none before its start.

    Raises:
        DataError: the starts run back, an end lies before its start, or the lengths differ; the message names the row.

    >>> Intervals(np.array([0, 5]), np.array([4, 3]))
    Traceback (most recent call last):
    heliograph.core.errors.DataError: the label of sample 1 ends at 3, before its start 5: an unknown label has no \
interval, leave the sample out (Labels.known() does)
    """

    start_ts_ms_N: IntArray
    end_ts_ms_N: IntArray

    def __post_init__(self) -> None:
        starts, ends = self.start_ts_ms_N, self.end_ts_ms_N
        if starts.ndim != 1 or starts.shape != ends.shape:
            raise DataError(f"starts have shape {starts.shape} and ends {ends.shape}: give one of each per sample")
        back = np.flatnonzero(np.diff(starts) < 0)
        if back.size:
            raise DataError(
                f"sample {int(back[0]) + 1} starts at {int(starts[back[0] + 1])}, before the one in front of it: sort the "
                "samples by start_ts_ms (of several symbols: all of them together) before splitting"
            )
        early = np.flatnonzero(ends < starts)
        if early.size:
            raise DataError(
                f"the label of sample {int(early[0])} ends at {int(ends[early[0]])}, before its start "
                f"{int(starts[early[0]])}: an unknown label has no interval, leave the sample out (Labels.known() does)"
            )

    def __len__(self) -> int:
        return int(self.start_ts_ms_N.size)
