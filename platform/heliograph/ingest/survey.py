"""Ask a venue what the planner must know: its markets, its clock, and how far the wanted markets reach."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from heliograph.config.settings import Selection
from heliograph.core.calendars import grid
from heliograph.core.errors import HeliographError, InvariantBroken, Permanent, Retryable, SchemaMismatch
from heliograph.core.market import IntArray, Market
from heliograph.core.ports import CandleSource
from heliograph.core.timeframe import Timeframe
from heliograph.ingest.page import Patience, Sleep, ask, walk
from heliograph.ingest.plan import Catalogue, History, wanted
from heliograph.ingest.select import matches
from heliograph.lake import coverage as known

Probe = tuple[Market, Timeframe, int]
"""A market and timeframe, and from when on its candles are wanted."""

Key = tuple[str, str]

DAWN_MS = 1_293_840_000_000
"""2011-01-01: no venue that is still there had a candle before."""

DAILY = "1d"


async def survey(
    source: CandleSource,
    coverage: pa.Table,
    selections: Sequence[Selection],
    *,
    attempts: int,
    in_flight: int,
    sleep: Sleep = asyncio.sleep,
    dawn_ms: int = DAWN_MS,
) -> Catalogue:
    """One venue for the planner; candles are asked for only where coverage does not tell a market's reach.

    Args:
        in_flight: concurrent requests.
        dawn_ms: no candle is older; a venue that seeks nothing is looked through from here.

    Raises:
        Retryable: the venue gives neither markets nor time.
    """
    markets, now_ms = await source.markets(), await source.now_ms()
    catalogue = Catalogue(source.rules, tuple(markets), now_ms)
    patience = Patience(attempts, np.random.default_rng(0), sleep)
    slots = asyncio.Semaphore(in_flight)

    async def sought(market: Market, timeframe: Timeframe) -> tuple[Key, History]:
        async with slots:
            return (market.symbol, timeframe.name), await _reach(source, catalogue, market, timeframe, patience)

    async def swept(market: Market, probes: Sequence[Probe]) -> list[tuple[Key, History]]:
        async with slots:
            start_ms = max(min(start for _, _, start in probes), dawn_ms)
            history = await _sweep(source, catalogue, market, start_ms, patience)
        return [((market.symbol, timeframe.name), _drawn(history, timeframe)) for _, timeframe, _ in probes]

    unknown = list(_unknown(catalogue, coverage, selections))
    if source.rules.seeks_first:
        return replace(catalogue, history=dict(await asyncio.gather(*(sought(m, t) for m, t, _ in unknown))))
    by_market: dict[Market, list[Probe]] = defaultdict(list)
    for probe in unknown:
        by_market[probe[0]].append(probe)
    found = await asyncio.gather(*(swept(*item) for item in by_market.items()))
    return replace(catalogue, history=dict(pair for pairs in found for pair in pairs))


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
    if rules.horizon_candles is not None:
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
                yield market, timeframe, gaps[0][0]


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


async def _sweep(
    source: CandleSource, catalogue: Catalogue, market: Market, start_ms: int, patience: Patience
) -> History:
    """How far a market reaches after ``start_ms`` on a venue that seeks nothing.

    Its longest candles are all looked at, then the days of the first and the last of them.
    """
    longest = grid(market.venue, source.rules.timeframes[-1])
    whole = (longest.floor(start_ms), catalogue.closed_end_ms(longest))
    first, last = await _ends(source, market, longest, whole, patience)
    if isinstance(first, HeliographError):
        return History(None, failure=f"{type(first).__name__}: {first}")
    if first is None or last is None:
        return History(max(whole[1], whole[0]))  # it is younger than any that has closed
    begin_ms, end_ms = first, longest.next(last)
    if DAILY in source.rules.timeframes and longest.name != DAILY:
        days = grid(market.venue, DAILY)
        early, _ = await _ends(source, market, days, (days.ceil(first), longest.next(first)), patience)
        begin_ms = early if isinstance(early, int) else begin_ms
        if not market.is_active:
            _, late = await _ends(source, market, days, (days.ceil(last), end_ms), patience)
            end_ms = days.next(late) if isinstance(late, int) else end_ms
    return History(begin_ms, end_ms=None if market.is_active else end_ms)


async def _ends(
    source: CandleSource, market: Market, timeframe: Timeframe, interval: known.Interval, patience: Patience
) -> tuple[int | HeliographError | None, int | None]:
    """Opens of the first and the last candle in the interval; why not, in place of the first."""
    told = await walk(source, market, timeframe, *interval, patience=patience)
    if told.failure is not None:
        return told.failure, None
    opens = told.candles.open_ts_ms
    return (int(opens[0]), int(opens[-1])) if opens.size else (None, None)


def _drawn(history: History, timeframe: Timeframe) -> History:
    """The reach on another timeframe's grid: no bar of it lies outside."""
    first_ms = None if history.first_ms is None else timeframe.floor(history.first_ms)
    end_ms = None if history.end_ms is None else timeframe.ceil(history.end_ms)
    return replace(history, first_ms=first_ms, end_ms=end_ms)


async def _opens(
    source: CandleSource, market: Market, timeframe: Timeframe, interval: known.Interval, patience: Patience
) -> IntArray:
    page, _, failure = await ask(source, market, timeframe, interval, patience)
    if page is None:
        raise failure or InvariantBroken("a page is either there or failed")
    return page.candles.open_ts_ms
