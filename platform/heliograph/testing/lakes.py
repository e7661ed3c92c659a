"""Small lakes for tests: shards with candles, written as parts and ready to commit."""

from __future__ import annotations

from typing import Any

import numpy as np

from heliograph.core.market import Candles
from heliograph.core.ports import ObjectStore, Page
from heliograph.core.schema import TICK
from heliograph.core.series import Points, SeriesPage, Trades
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


def trades(start_ms: int, end_ms: int, *, every_ms: int = 60_000) -> Trades:
    """Two trades at each step of the interval; the same step has the same trades whatever the interval."""
    steps = np.arange(-(-start_ms // every_ms), -(-end_ms // every_ms), dtype=np.int64)
    number = np.repeat(steps, 2) * 2 + np.tile([0, 1], steps.size)
    price = np.round(20_000 + 300 * np.sin(number / 31), 2)
    ids = np.asarray([str(10_000_000 + n) for n in number], dtype=np.object_)
    return Trades(np.repeat(steps * every_ms, 2), price, (number % 97 + 1) / 1_000, number % 3 == 0, ids)


def points(start_ms: int, end_ms: int, *, every_ms: int = 8 * 3_600_000, known_after_ms: int = 1_000) -> Points:
    """A small signed number at each step of the interval, known a little later."""
    events = np.arange(-(-start_ms // every_ms), -(-end_ms // every_ms), dtype=np.int64) * every_ms
    return Points(events, events + known_after_ms, np.round(np.sin(events / 7e8) / 1e4, 8))


def written_series(store: ObjectStore, row: Row, table: str, *, fetched_ts_ms: int = 0) -> Row:
    """A MANIFEST row of a shard of ``trades``, ``funding`` or ``open_interest``, its rows in the store."""
    interval = row["start_ms"], row["end_ms"]
    if row["timeframe"] == TICK:
        rows: Trades | Points = trades(*interval) if table == "trades" else points(*interval)
    else:
        rows = points(*interval, every_ms=parse(row["timeframe"]).ms)
    page = SeriesPage(rows, "https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=fetched_ts_ms)
    return write_part(store, row, [page], rows, table=table)


def failed(row: Row, detail: str = "VenueTimeout: no answer") -> Row:
    """A MANIFEST row of a shard that could not be had."""
    return manifest(row, "fetch_failed", requests=5, detail=detail)
