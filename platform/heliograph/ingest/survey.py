"""Ask a venue what the planner must know: its markets, its clock, and how far the wanted markets reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from heliograph.config.settings import Selection
from heliograph.core.errors import InvariantBroken, Permanent, Retryable, SchemaMismatch
from heliograph.core.market import IntArray, Market
from heliograph.core.ports import CandleSource
from heliograph.core.timeframe import Timeframe
from heliograph.ingest.page import Patience, Sleep, ask
from heliograph.ingest.plan import Catalogue, History, wanted
from heliograph.ingest.select import matches
from heliograph.lake import coverage as known

Probe = tuple[Market, Timeframe]
Key = tuple[str, str]


async def survey(
    source: CandleSource,
    coverage: pa.Table,
    selections: Sequence[Selection],
    *,
    attempts: int,
    in_flight: int,
    sleep: Sleep = asyncio.sleep,
) -> Catalogue:
    """One venue for the planner; candles are asked for only where coverage does not tell a market's reach.

    Args:
        in_flight: concurrent requests.

    Raises:
        Retryable: the venue gives neither markets nor time.
    """
    markets, now_ms = await source.markets(), await source.now_ms()
    catalogue = Catalogue(source.rules, tuple(markets), now_ms)
    patience = Patience(attempts, np.random.default_rng(0), sleep)
    slots = asyncio.Semaphore(in_flight)

    async def reach(market: Market, timeframe: Timeframe) -> tuple[Key, History]:
        async with slots:
            return (market.symbol, timeframe.name), await _reach(source, catalogue, market, timeframe, patience)

    found = await asyncio.gather(*(reach(*probe) for probe in _unknown(catalogue, coverage, selections)))
    return replace(catalogue, history=dict(found))


async def find_first(
    source: CandleSource, market: Market, timeframe: Timeframe, end_ms: int, *, patience: Patience
) -> int | None:
    """Open of the first candle ever before ``end_ms``, in one request; the venue must seek it (``seeks_first``).

    Raises:
        Retryable: no answer after all attempts.
        Permanent: the venue refuses.
    """
    opens = await _opens(source, market, timeframe, (timeframe.ceil(0), end_ms), patience)
    return int(opens[0]) if opens.size else None


async def find_last(
    source: CandleSource, market: Market, timeframe: Timeframe, interval: known.Interval, *, patience: Patience
) -> int:
    """Open of the last candle in ``interval``, whose first bar has one; by bisection, about log2(pages) requests.

    Raises:
        Retryable: no answer after all attempts.
        Permanent: the venue refuses.
    """
    last, end = interval
    is_end_near = False
    while (start := timeframe.next(last)) < end:
        middle = timeframe.ceil(start + (end - start) // 2)
        probe = start if is_end_near or middle >= end else middle
        opens = await _opens(source, market, timeframe, (probe, end), patience)
        if opens.size:
            last = int(opens[-1])
            is_end_near = opens.size < source.rules.page_limit
        else:
            end = probe
    return last


def _unknown(catalogue: Catalogue, coverage: pa.Table, selections: Sequence[Selection]) -> Iterator[Probe]:
    """Wanted markets of which neither the listing nor the coverage says where their candles begin or end."""
    rules = catalogue.rules
    if not rules.seeks_first or rules.horizon_candles is not None:
        return
    covered = known.index(coverage)
    begun, ended = (known.index(coverage, (status,)) for status in ("not_listed", "delisted"))
    seen: set[known.Key] = set()
    for selection in selections:
        for market, timeframe in matches(rules, catalogue.markets, selection):
            key = (market.venue, timeframe.name, market.symbol)
            start, end = wanted(catalogue, timeframe, selection)
            gaps = known.subtract((start, end), covered.get(key, []))
            if not gaps or key in seen:
                continue
            is_start_open = gaps[0][0] == start and market.listed_ts_ms is None and key not in begun
            if is_start_open or not (market.is_active or key in ended):
                seen.add(key)
                yield market, timeframe


async def _reach(
    source: CandleSource, catalogue: Catalogue, market: Market, timeframe: Timeframe, patience: Patience
) -> History:
    end_ms = catalogue.closed_end_ms(timeframe)
    try:
        first_ms = await find_first(source, market, timeframe, end_ms, patience=patience)
        if first_ms is None or market.is_active:
            return History(first_ms)
        last_ms = await find_last(source, market, timeframe, (first_ms, end_ms), patience=patience)
        return History(first_ms, end_ms=timeframe.next(last_ms))
    except (Retryable, Permanent, SchemaMismatch) as e:
        return History(None, failure=f"{type(e).__name__}: {e}")


async def _opens(
    source: CandleSource, market: Market, timeframe: Timeframe, interval: known.Interval, patience: Patience
) -> IntArray:
    page, _, failure = await ask(source, market, timeframe, interval, patience)
    if page is None:
        raise failure or InvariantBroken("a page is either there or failed")
    return page.candles.open_ts_ms
