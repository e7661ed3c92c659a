"""Fetch one shard and write it as one part; a venue's failure becomes a row, never an exception."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from heliograph.core import timeframe as timeframes
from heliograph.core.errors import HeliographError, SchemaMismatch, SymbolGone
from heliograph.core.market import Market
from heliograph.core.ports import CandleSource, ObjectStore
from heliograph.core.timeframe import Timeframe
from heliograph.ingest.page import Patience, Sleep, Walk, walk
from heliograph.ingest.plan import forward
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
        MANIFEST rows that cover the row's interval without overlap: what came (``have``, or ``no_trades`` / ``delisted``
        where the venue has no candle), then what failed (``fetch_failed``, with the reason). Absent bars among a
        venue's newest are in no row, so that the next run asks again.
    """
    timeframe = timeframes.parse(row["timeframe"])
    patience = Patience(attempts, _generator(row), sleep)
    done = await walk(source, market, timeframe, row["start_ms"], row["end_ms"], patience=patience)
    came = _came(store, row, market, timeframe, done)
    if done.failure is None:
        return came
    failed = _interval(row, done.reached_ms, row["end_ms"])
    status = "delisted" if isinstance(done.failure, SymbolGone) and not market.is_active else "fetch_failed"
    return [*came, manifest(failed, status, requests=0 if came else done.requests, detail=_told(done.failure))]


def _came(store: ObjectStore, row: Mapping[str, Any], market: Market, timeframe: Timeframe, done: Walk) -> list[Row]:
    candles = done.candles
    after_last = timeframe.next(int(candles.open_ts_ms[-1])) if len(candles) else row["start_ms"]
    shard = _interval(row, row["start_ms"], max(after_last, min(done.reached_ms, _settled_ms(done, timeframe))))
    if shard["start_ms"] == shard["end_ms"]:
        return []
    if not len(candles):
        return [manifest(shard, "no_trades" if market.is_active else "delisted", requests=done.requests)]
    try:
        return [write_part(store, shard, done.pages, candles, requests=done.requests)]
    except SchemaMismatch as e:
        return [manifest(shard, "fetch_failed", requests=done.requests, detail=_told(e))]


def _settled_ms(done: Walk, timeframe: Timeframe) -> int:
    """Before this, an absent bar will stay absent."""
    fetched_ms = max((page.fetched_ts_ms for page in done.pages), default=0)
    return timeframe.floor(fetched_ms) - SETTLING_BARS * timeframe.ms


def _interval(row: Mapping[str, Any], start_ms: int, end_ms: int) -> Row:
    return {**row, "start_ms": start_ms, "end_ms": end_ms}


def _told(error: HeliographError) -> str:
    return "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])


def _generator(row: Mapping[str, Any]) -> np.random.Generator:
    """The same shard waits the same; two shards do not wait in step."""
    name = "|".join(str(row[k]) for k in ("venue", "timeframe", "symbol", "start_ms"))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
