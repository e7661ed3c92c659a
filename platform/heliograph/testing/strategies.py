"""Hypothesis strategies for what flows through Heliograph."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe


@st.composite
def candles(draw: st.DrawFn, timeframe: Timeframe, *, first_ms: int = 0, bars: int = 60, min_size: int = 0) -> Candles:
    """Sound candles on the grid, single bars and long runs missing: decimal prices and volumes as venues print them.

    Prices have up to ten decimals (ticks of 1e-8 are common), volumes reach past 1e12 or go down to 1e-8.

    Args:
        first_ms: bars open at or after this.
        bars: length of the stretch that they lie in.
        min_size: candles, at least.
    """
    opens = timeframe.opens(first_ms, first_ms + bars * timeframe.ms)
    single = draw(st.sets(st.integers(0, len(opens) - 1), max_size=len(opens) // 4))
    runs = draw(st.lists(st.tuples(st.integers(0, len(opens) - 1), st.integers(1, len(opens) // 2)), max_size=2))
    missing = single | {i for start, length in runs for i in range(start, min(start + length, len(opens)))}
    kept = np.delete(opens, sorted(missing)[: len(opens) - min_size])
    n = len(kept)
    price_scale = draw(st.integers(0, 10))
    prices = [_decimals(draw, n, 10**9, price_scale) for _ in range(4)]
    volume = _decimals(draw, n, 10**14, draw(st.integers(0, 8)))
    return Candles(kept, prices[0], prices[1], prices[2], prices[3], volume)


def _decimals(draw: st.DrawFn, n: int, most: int, scale: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    ticks = draw(st.lists(st.integers(0, most), min_size=n, max_size=n))
    return np.asarray([float(f"{tick}e-{scale}") for tick in ticks], dtype=np.float64)
