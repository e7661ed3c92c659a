"""Walk over an interval page by page: always forward, never for ever, and nothing lost when it ends early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from heliograph.core.errors import HeliographError, Permanent, RateLimited, Retryable, SchemaMismatch
from heliograph.core.market import Candles, Market
from heliograph.core.ports import CandleSource, Page
from heliograph.core.timeframe import Timeframe
from heliograph.ingest.plan import forward

Sleep = Callable[[float], Awaitable[None]]

BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and after what time a page is asked for again.

    Attributes:
        attempts: tries of one page, the first included.
        rng: spreads the waits of workers that failed together.
    """

    attempts: int
    rng: np.random.Generator
    sleep: Sleep = asyncio.sleep

    def wait_s(self, tries: int, error: Retryable) -> float:
        """Seconds to wait after the ``tries``-th failure: what the venue asks for, else doubling with jitter."""
        if isinstance(error, RateLimited):
            return error.retry_after_s
        return float(min(BACKOFF_S * 2 ** (tries - 1), LONGEST_BACKOFF_S) * self.rng.uniform(0.5, 1.0))


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk brought.

    Attributes:
        pages: answers that hold candles of before ``reached_ms``, ascending, no bar twice.
        reached_ms: every bar before this was answered.
        answered_ts_ms: when the last answer came; 0 where none came.
        requests: calls made, the failed ones included.
        failure: why the walk ended before its end; None where it did not.
    """

    pages: tuple[Page, ...]
    reached_ms: int
    answered_ts_ms: int
    requests: int
    failure: HeliographError | None

    @property
    def candles(self) -> Candles:
        """All of them that open before ``reached_ms``, ascending."""
        return Candles.concat([page.candles for page in self.pages]).between(0, self.reached_ms)


async def walk(
    source: CandleSource, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int, *, patience: Patience
) -> Walk:
    """Fetch every candle that opens in ``[start_ms, end_ms)``; a venue's failure ends the walk, it is never raised.

    A short page is asked on from where it stopped. A full page that starts late may be the end of a longer answer: the
    hole before it is asked for too. An empty page answers for all that was asked where the venue seeks the first
    candle, else for one page of bars. So every answer leaves less to ask.
    """
    rules, pages, requests, answered_ts_ms = source.rules, list[Page](), 0, 0
    left = [(start_ms, end_ms)] if start_ms < end_ms else []  # what is not answered, the earliest last
    failure: HeliographError | None = None
    while left and failure is None:
        start, end = left[-1]
        page, tries, failure = await ask(source, market, timeframe, (start, end), patience)
        requests += tries
        if page is None:
            continue
        answered_ts_ms = max(answered_ts_ms, page.fetched_ts_ms)
        opens = page.candles.open_ts_ms
        if opens.size:
            pages.append(page)
            after, hole = timeframe.next(int(opens[-1])), (start, int(opens[0]))
        else:
            after, hole = end if rules.seeks_first else forward(timeframe, start, rules.page_limit), (start, start)
        is_suspect = opens.size >= rules.page_limit and hole[0] < hole[1]
        left[-1:] = [i for i in ((after, end), hole if is_suspect else (start, start)) if i[0] < i[1]]
    reached_ms = left[-1][0] if left else max(start_ms, end_ms)
    kept = sorted(
        (p for p in pages if p.candles.open_ts_ms[0] < reached_ms), key=lambda p: int(p.candles.open_ts_ms[0])
    )
    return Walk(tuple(kept), reached_ms, answered_ts_ms, requests, failure)


async def ask(
    source: CandleSource, market: Market, timeframe: Timeframe, interval: tuple[int, int], patience: Patience
) -> tuple[Page | None, int, HeliographError | None]:
    """One sound page within ``interval``; else None and why. And how many calls it took."""
    tries = 0
    while True:
        tries += 1
        try:
            page = await source.fetch_page(market, timeframe, *interval)
            _require_inside(page, timeframe, interval)
        except Retryable as e:
            if tries == patience.attempts:
                return None, tries, e
            await patience.sleep(patience.wait_s(tries, e))
        except (Permanent, SchemaMismatch) as e:
            return None, tries, e
        else:
            return page, tries, None


def _require_inside(page: Page, timeframe: Timeframe, interval: tuple[int, int]) -> None:
    """Raises SchemaMismatch unless the page is sound and within what was asked for."""
    page.candles.require_sound(timeframe)
    outside = len(page.candles) - len(page.candles.between(*interval))
    if outside:
        raise SchemaMismatch(f"{outside} candles of the answer lie outside {interval}, which was asked for")
