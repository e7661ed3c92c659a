"""Small lakes for tests: shards with candles, written as parts and ready to commit."""

from __future__ import annotations

from typing import Any

import numpy as np

from heliograph.core.market import Candles
from heliograph.core.ports import ObjectStore, Page
from heliograph.core.timeframe import parse
from heliograph.lake.write import manifest, write_part

Row = dict[str, Any]


def shard(
    start_ms: int, end_ms: int, *, symbol: str = "BTC/USDT", venue: str = "fake", timeframe: str = "1h", pages: int = 1
) -> Row:
    """A PLAN row."""
    key = {"venue": venue, "timeframe": timeframe, "symbol": symbol}
    return {**key, "start_ms": start_ms, "end_ms": end_ms, "pages": pages}


def candles(start_ms: int, end_ms: int, timeframe: str = "1h", *, seed: int = 1) -> Candles:
    """A candle for every bar of the interval; the same bar is the same candle whatever the interval."""
    opens = parse(timeframe).opens(start_ms, end_ms)
    step = (opens // parse(timeframe).ms).astype(np.float64)
    close = np.round(20_000 + 500 * np.sin(step / 17 + seed) + step % 7, 2)
    spread = np.round(5 + step % 11, 2)
    return Candles(opens, close, np.round(close + spread, 2), np.round(close - spread, 2), close, (step % 90 + 1) / 8)


def written(store: ObjectStore, row: Row, *, fetched_ts_ms: int = 0) -> Row:
    """A MANIFEST row of the shard, its candles in the store."""
    held = candles(row["start_ms"], row["end_ms"], row["timeframe"])
    page = Page(held, endpoint="https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=fetched_ts_ms)
    return write_part(store, row, [page], held)


def failed(row: Row, detail: str = "VenueTimeout: no answer") -> Row:
    """A MANIFEST row of a shard that could not be had."""
    return manifest(row, "fetch_failed", requests=5, detail=detail)
