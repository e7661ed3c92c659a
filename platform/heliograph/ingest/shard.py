"""Fetch one shard and write it as one part; a venue's failure becomes a row, never an exception."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from heliograph.core.calendars import grid
from heliograph.core.errors import HeliographError, SchemaMismatch, SymbolGone
from heliograph.core.market import Market
from heliograph.core.ports import CandleSource, ObjectStore
from heliograph.core.timeframe import Timeframe
from heliograph.ingest.page import Patience, Sleep, Walk, walk
from heliograph.ingest.plan import least_pages
from heliograph.lake.write import Row, manifest, write_part

SETTLING_BARS = 5
"""A venue may publish its newest bars this late; absent ones are left open instead of being called no_trades."""


async def fetch_shard(
    source: CandleSource,
    store: ObjectStore,
    row: Mapping[str, Any],
    *,
    market: Market,
    attempts: int,
    sleep: Sleep = asyncio.sleep,
) -> list[Row]:
    """Fetch what a PLAN row asks for.

    Args:
        market: the one that the row names.
        attempts: tries of one page before the shard is given up.

    Returns:
        MANIFEST rows of the row's interval, none overlapping: what came (``have``, or ``no_trades`` where the venue has
        no candle), then what failed (``fetch_failed`` with the reason; ``delisted`` where a dead market's symbol is
        gone). Absent bars among a venue's newest are in no row's interval, so that the next run asks again.
    """
    timeframe = grid(row["venue"], row["timeframe"])
    patience = Patience(attempts, _generator(row), sleep)
    done = await walk(source, market, timeframe, row["start_ms"], row["end_ms"], patience=patience)
    candles = done.candles
    last_ts_ms = int(candles.open_ts_ms[-1]) if len(candles) else None
    settling_bars = SETTLING_BARS if market.is_active else 0
    answered_ms = _answered_ms(done, timeframe, row["end_ms"], last_ts_ms, settling_bars)
    came = _part_of(row, timeframe, (row["start_ms"], answered_ms), source.rules.page_limit)
    failed = _part_of(row, timeframe, (done.reached_ms, row["end_ms"]), source.rules.page_limit)
    rows = []
    if len(candles):
        try:
            rows.append(write_part(store, came, done.pages, candles, requests=done.requests))
        except SchemaMismatch as e:
            return [manifest(row, "fetch_failed", requests=done.requests, detail=_told(e))]
    elif came["start_ms"] < came["end_ms"] or done.failure is None:
        rows.append(manifest(came, "no_trades", requests=done.requests))  # an empty interval says: asked, still open
    if done.failure is not None:
        status = "delisted" if isinstance(done.failure, SymbolGone) and not market.is_active else "fetch_failed"
        rows.append(manifest(failed, status, requests=0 if rows else done.requests, detail=_told(done.failure)))
    return rows


def _answered_ms(done: Walk, timeframe: Timeframe, end_ms: int, last_ts_ms: int | None, settling_bars: int) -> int:
    """Up to here the walk's answer is final: its last candle, or further where an absent bar will stay absent."""
    settled_ms = timeframe.floor(done.answered_ts_ms) - settling_bars * timeframe.ms
    after_last_ms = 0 if last_ts_ms is None else timeframe.next(last_ts_ms)
    return min(done.reached_ms, end_ms, max(after_last_ms, timeframe.floor(settled_ms)))


def _part_of(row: Mapping[str, Any], timeframe: Timeframe, interval: tuple[int, int], page_limit: int) -> Row:
    start_ms, end_ms = interval
    pages = least_pages(timeframe, start_ms, end_ms, page_limit=page_limit)
    return {**row, "start_ms": start_ms, "end_ms": max(start_ms, end_ms), "pages": pages}


def _told(error: HeliographError) -> str:
    return f"{type(error).__name__}: {error}"


def _generator(row: Mapping[str, Any]) -> np.random.Generator:
    """The same shard waits the same; two shards do not wait in step."""
    name = "|".join(str(row[k]) for k in ("venue", "timeframe", "symbol", "start_ms"))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
