"""Where bars end, and which bar follows which, for whole columns of opens."""

from __future__ import annotations

import numpy as np

from heliograph.audit.finding import BoolArray
from heliograph.core.market import IntArray
from heliograph.core.timeframe import Timeframe


def ends(opens: IntArray, timeframe: Timeframe) -> IntArray:
    """Close of each bar, the same as the open of the next one; int64[n]."""
    if timeframe.is_calendar:
        return np.asarray([timeframe.next(int(ts)) for ts in opens], dtype=np.int64)
    return opens + timeframe.ms


def follows(opens: IntArray, timeframe: Timeframe) -> BoolArray:
    """Whether each bar opens where the one before it ends; bool[n], False for the first."""
    after = np.zeros(opens.size, dtype=np.bool_)
    after[1:] = opens[1:] == ends(opens[:-1], timeframe)
    return after
