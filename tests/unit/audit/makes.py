"""Small series for the tests of the audit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe, parse

START_MS = 1_735_689_600_000
"""2025-01-01 00:00 UTC."""

MINUTE, HOUR, DAY = parse("1m"), parse("1h"), parse("1d")


def path(bars: int, seed: int = 1, *, spread: float = 3e-4) -> np.ndarray:
    """A log-price that wanders."""
    return np.log(30_000.0) + np.cumsum(spread * np.random.default_rng(seed).standard_t(4, bars))


def quoted(log_price: np.ndarray, seed: int, *, frame: Timeframe = MINUTE, noise: float = 5e-5) -> Candles:
    """One venue's candles of a log-price: a tick of 0.1, each opening where the last closed or a tick above."""
    rng, n = np.random.default_rng(seed), log_price.size
    close = np.round(np.exp(log_price + noise * rng.standard_normal(n)), 1)
    opened = np.round(np.append(close[0], close[:-1]) + np.where(rng.random(n) < 0.3, 0.1, 0.0), 1)
    wick = 1.5e-4 * np.abs(rng.standard_normal((2, n)))
    high = np.maximum(np.round(np.maximum(opened, close) * (1 + wick[0]), 1), np.maximum(opened, close))
    low = np.minimum(np.round(np.minimum(opened, close) * (1 - wick[1]), 1), np.minimum(opened, close))
    volume = np.round(rng.lognormal(2.0, 0.6, n) + 0.001, 3)
    return Candles(START_MS + frame.ms * np.arange(n, dtype=np.int64), opened, high, low, close, volume)


def changed(candles: Candles, rows: slice | int, **columns: object) -> Candles:
    """The candles with some columns replaced at some rows."""
    copies = {name: getattr(candles, name).copy() for name in columns}
    for name, values in columns.items():
        copies[name][rows] = values
    return replace(candles, **copies)


def without(candles: Candles, rows: slice) -> Candles:
    """The candles less some rows."""
    keep = np.ones(len(candles), dtype=np.bool_)
    keep[rows] = False
    return candles.take(keep)
