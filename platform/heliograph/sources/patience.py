"""A venue's history without losing heart: calls are repeated for as long as they may still succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from heliograph.core.errors import RateLimited, Retryable
from heliograph.core.market import Candles, Market
from heliograph.core.ports import CandleSource
from heliograph.core.timeframe import Timeframe
from heliograph.sources.dialect import shortest_ms
from heliograph.sources.tail import Gap, Row

_LONGEST_WAIT_S = 30.0
_AGAIN_S = 0.5

T = TypeVar("T")


def wait_s(failures: int) -> float:
    """How long to wait after so many failures in a row: doubling from 0.25 s to 30 s.

    >>> wait_s(1), wait_s(3), wait_s(99)
    (0.25, 1.0, 30.0)
    """
    return min(2.0 ** min(failures - 3, 10), _LONGEST_WAIT_S)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The answer of ``call``, asked again after every `Retryable`."""
    failures = 0
    while True:
        try:
            return await call()
        except Retryable as e:
            failures += 1
            asked_s = e.retry_after_s if isinstance(e, RateLimited) else 0.0
        await asyncio.sleep(max(asked_s, wait_s(failures)))


async def read_gap(source: CandleSource, market: Market, timeframe: Timeframe, gap: Gap) -> list[Row]:
    """Every bar of the venue that opens in the gap.

    A page that begins late is not believed: its missing beginning is asked for again. Nor is an end without bars, once:
    the history may come after the stream. Only where the stream was quiet as well there is no doubt.
    """
    rows = await _read(source, market, timeframe, gap)
    rest_ms = timeframe.next(rows[-1][0]) if rows else gap.start_ms
    if rest_ms < gap.end_ms and not gap.is_quiet:
        await asyncio.sleep(_AGAIN_S)
        rows += await _read(source, market, timeframe, Gap(rest_ms, gap.end_ms))
    return rows


def rows_of(candles: Candles) -> list[Row]:
    """Columns as rows."""
    c = candles
    return list(zip(*(x.tolist() for x in (c.open_ts_ms, c.open, c.high, c.low, c.close, c.volume)), strict=True))


async def _read(source: CandleSource, market: Market, timeframe: Timeframe, gap: Gap) -> list[Row]:
    rows: list[Row] = []
    start_ms = gap.start_ms
    while start_ms < gap.end_ms:
        page = await patiently(partial(source.fetch_page, market, timeframe, start_ms, gap.end_ms))
        found = page.candles.open_ts_ms
        if len(found) and int(found[0]) > timeframe.ceil(start_ms):
            rows += await _read(source, market, timeframe, Gap(start_ms, int(found[0])))
        rows += rows_of(page.candles)
        start_ms = _after(source, timeframe, start_ms, page.candles)
    return rows


def _after(source: CandleSource, timeframe: Timeframe, start_ms: int, candles: Candles) -> int:
    """Where the next page starts."""
    if len(candles):
        return timeframe.next(int(candles.open_ts_ms[-1]))
    if source.rules.seeks_first:
        return 2**62  # nothing is left
    return start_ms + source.rules.page_limit * shortest_ms(timeframe)
