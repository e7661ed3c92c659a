"""Candles for the tests of features and windows: made ones by hypothesis, and recorded ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import strategies as st

from heliograph.core.events import CandleClosed
from heliograph.core.market import Candles

HOUR_MS = 3_600_000
START_MS = 1_517_443_200_000  # 2018-02-01


def recorded(folder: Path, venue: str, symbol: str, timeframe: str) -> Candles:
    table = pq.read_table(folder / "candles" / venue / symbol / f"{timeframe}.parquet")
    columns = (table[name].to_numpy() for name in ("ts", "open", "high", "low", "close", "volume"))
    return Candles(*columns)


def market(
    n: int,
    *,
    seed: int = 1,
    missing: float = 0.0,
    quiet: float = 0.0,
    tick: float = 0.01,
    price: float = 100.0,
    step_ms: int = HOUR_MS,
) -> Candles:
    """A random walk on a tick grid, with bars missing and bars where nothing moves or trades."""
    rng = np.random.default_rng(seed)
    still = rng.random(n) < quiet
    move = np.where(still, 0.0, rng.standard_t(3, n) * 0.006)
    close = np.maximum(np.round(price * np.exp(np.cumsum(move)) / tick), 1) * tick
    open_ = np.concatenate([close[:1], close[:-1]])
    wick = np.where(still, 0.0, np.abs(rng.normal(0, 0.004, (2, n))))
    high = np.maximum(open_, close) * np.exp(wick[0])
    low = np.minimum(open_, close) * np.exp(-wick[1])
    volume = np.where(still, 0.0, np.round(rng.lognormal(2, 1, n), 3))
    whole = Candles(START_MS + step_ms * np.arange(n), open_, high, low, close, volume)
    return whole.take(rng.random(n) >= missing)


@st.composite
def markets(draw: st.DrawFn, min_bars: int = 1, max_bars: int = 600) -> Candles:
    """Markets of every temper: gaps, stillness, a stretch without any trade, a print at almost nothing."""
    candles = market(
        draw(st.integers(min_bars, max_bars)),
        seed=draw(st.integers(0, 2**32 - 1)),
        missing=draw(st.sampled_from([0.0, 0.02, 0.5])),
        quiet=draw(st.sampled_from([0.0, 0.1, 0.9, 1.0])),
        tick=draw(st.sampled_from([0.01, 1.0, 1e-8])),
        price=draw(st.sampled_from([100.0, 6e4, 1e-5])),
    )
    if len(candles) and draw(st.booleans()):
        row = draw(st.integers(0, len(candles) - 1))
        candles.low[row] = candles.low[row] * 1e-5
    return candles


def closed(candles: Candles, timeframe: str, step_ms: int = HOUR_MS) -> Iterator[CandleClosed]:
    columns = (candles.open_ts_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    for ts, *numbers in zip(*(c.tolist() for c in columns), strict=True):
        yield CandleClosed("binance", "BTC/USDT", timeframe, ts, ts + step_ms, *numbers)
