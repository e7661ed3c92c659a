"""What a run does when the venue's stream is silent, deaf or refused; the venue is a list of bars here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from heliograph.core.errors import Permanent, RateLimited, Retryable
from heliograph.core.market import Candles, Market, VenueRules
from heliograph.core.ports import Page
from heliograph.core.timeframe import MINUTE_MS, Timeframe, parse
from heliograph.sources.ear import Heard
from heliograph.sources.patience import patiently, read_gap
from heliograph.sources.stream import _Run
from heliograph.sources.tail import Gap, Row

M = parse("1m")
MARKET = Market("x", "A/B", "spot", "A", "B", Decimal("0.1"), Decimal("0.1"), Decimal(0))


def row(n: int) -> tuple[int, float, float, float, float, float]:
    return (n * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, float(n))


class ListedSource:
    """A venue whose history is minute bars 0, 1, 2 … as far as its clock has come."""

    def __init__(self, *, seeks_first: bool = True, page_limit: int = 3, missing: frozenset[int] = frozenset()) -> None:
        self.rules = VenueRules("x", ("1m",), page_limit, None, 1.0, 1.0, 1.0, seeks_first)
        self.time_ms = 0
        self.pages = 0
        self.readings = 0
        self.late_pages = 0  # so many pages come before the history does
        self.missing = missing

    async def now_ms(self) -> int:
        self.readings += 1
        await asyncio.sleep(0)
        return self.time_ms

    async def markets(self) -> list[Market]:
        return [MARKET]

    async def fetch_page(self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int) -> Page:
        self.pages += 1
        if self.pages <= self.late_pages:
            return Page(Candles.empty(), "", "", "", self.time_ms)
        limit = self.rules.page_limit
        if not self.rules.seeks_first:
            end_ms = min(end_ms, start_ms + limit * M.ms)
        wanted = range(start_ms // M.ms, min(end_ms, self.time_ms) // M.ms)
        rows = [row(n) for n in wanted if n not in self.missing][:limit]
        return Page(Candles.of(rows), "", "", "", self.time_ms)

    async def close(self) -> None:
        return


class SilentEar:
    """Hears what it is given."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[Heard | Exception] = asyncio.Queue()
        self.reconnected = asyncio.Event()
        self.is_deaf = False
        self.connection = 0

    def listen(self) -> None:
        return

    async def heard(self) -> Heard:
        match await self.given.get():
            case Exception() as e:
                raise e
            case Heard() as heard:
                return heard

    async def reconnect(self) -> None:
        self.reconnected.set()

    async def close(self) -> None:
        return


def a_run(source: ListedSource, ear: SilentEar, *, silence_ms: int = 10**9) -> _Run:
    return _Run(
        ear,  # type: ignore[arg-type]
        source,
        {"A/B": MARKET},
        timeframe=M,
        since_ms=0,
        poll_s=0.005,
        silence_ms=silence_ms,
    )


async def opens_until(run: _Run, enough: Callable[[list[int]], bool]) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(5):
        while not enough(found):
            found += [c.open_ts_ms // M.ms for c in await run.next() or []]
    return found


def test_silent_bar_comes_from_the_history_when_the_venues_clock_has_passed_it() -> None:
    async def story() -> list[int]:
        source, ear = ListedSource(), SilentEar()
        source.time_ms = 2 * M.ms
        run = a_run(source, ear)
        missed = [c.open_ts_ms // M.ms for c in await run.missed()]
        run.start()
        source.time_ms = 7 * M.ms + 10_000
        try:
            return missed + await opens_until(run, lambda found: len(found) >= 5)
        finally:
            await run.stop()

    assert asyncio.run(story()) == list(range(7))


def test_long_silence_by_the_venues_clock_reconnects() -> None:
    async def story() -> None:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear, silence_ms=2 * M.ms)
        await run.missed()
        run.start()
        try:
            for _ in range(5):
                await run.next()
            assert not ear.reconnected.is_set(), "real time alone is no silence"
            source.time_ms = 2 * M.ms + 1
            async with asyncio.timeout(5):
                while not ear.reconnected.is_set():
                    await run.next()
        finally:
            await run.stop()

    asyncio.run(story())


def test_refused_subscription_ends_the_run() -> None:
    async def story() -> None:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear)
        await run.missed()
        run.start()
        ear.given.put_nowait(Permanent("no such channel"))
        try:
            await opens_until(run, lambda _: False)
        finally:
            await run.stop()

    with pytest.raises(Permanent, match="no such channel"):
        asyncio.run(story())


def test_new_connection_does_not_finish_a_bar_of_the_old_one() -> None:
    async def story() -> list[tuple[int, float]]:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear)
        await run.missed()
        run.start()
        half = (0, 1.0, 1.0, 1.0, 1.0, -1.0)
        ear.given.put_nowait(Heard(1, {"A/B": [half]}))
        ear.given.put_nowait(Heard(2, {"A/B": [row(1)]}))
        source.time_ms = M.ms + 1
        try:
            async with asyncio.timeout(5):
                while not (found := await run.next()):
                    pass
            return [(c.open_ts_ms, c.volume) for c in found]
        finally:
            await run.stop()

    assert asyncio.run(story()) == [(0, 0.0)]


def test_half_heard_bar_of_trades_comes_from_the_history_and_the_next_one_from_them() -> None:
    async def story() -> list[tuple[int, float]]:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear)
        await run.missed()
        run.start()
        source.time_ms = 2 * M.ms + 1
        built = (M.ms, 1.0, 2.0, 0.5, 1.5, -1.0)
        ear.given.put_nowait(Heard(1, {"A/B": []}, {"A/B": 0}))
        ear.given.put_nowait(Heard(1, {"A/B": [built]}, {"A/B": M.ms}))
        ear.given.put_nowait(Heard(1, {"A/B": [built, row(2)]}, {"A/B": 2 * M.ms}))
        found: list[tuple[int, float]] = []
        try:
            async with asyncio.timeout(5):
                while len(found) < 2:
                    found += [(c.open_ts_ms // M.ms, c.volume) for c in await run.next() or []]
            return found
        finally:
            await run.stop()

    assert asyncio.run(story()) == [(0, 0.0), (1, -1.0)]


def test_one_reading_of_the_clock_answers_all_who_wait_for_it() -> None:
    async def story() -> tuple[int, int]:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear)
        waiting = [asyncio.create_task(run._wait_until(M.ms)) for _ in range(100)]
        await asyncio.sleep(0.03)
        readings, source.time_ms = source.readings, M.ms
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        return readings, source.readings

    early, all_of_them = asyncio.run(story())
    assert 0 < early < 20
    assert all_of_them < 30


def test_silence_of_a_lost_connection_does_not_prove_that_there_was_no_bar() -> None:
    """The history lags, and the stream was heard until its connection broke: the bar is asked for twice."""

    async def story() -> list[int]:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear)
        await run.missed()
        run.start()
        ear.given.put_nowait(Heard(1, {"A/B": [row(0)]}))
        ear.given.put_nowait(Heard(1, {"A/B": [row(0), row(1)]}))
        ear.connection = 1
        try:
            found = await opens_until(run, lambda found: found == [0])
            ear.connection = 2
            source.late_pages, source.time_ms = source.pages + 1, 3 * M.ms + 10_000
            return found + await opens_until(run, lambda found: len(found) == 2)
        finally:
            await run.stop()

    assert asyncio.run(story()) == [0, 1, 2]


def test_what_was_heard_on_a_connection_that_was_lost_meanwhile_counts_no_more() -> None:
    async def story() -> list[tuple[int, float]]:
        source, ear = ListedSource(), SilentEar()
        run = a_run(source, ear)
        await run.missed()
        run.start()
        ear.given.put_nowait(Heard(2, {"A/B": []}, {"A/B": 0}))
        ear.given.put_nowait(Heard(1, {"A/B": [(0, 9.0, 9.0, 9.0, 9.0, 9.0), row(1)]}))
        ear.connection, source.time_ms = 2, M.ms + 10_000
        try:
            async with asyncio.timeout(5):
                while not (found := await run.next()):
                    pass
            return [(c.open_ts_ms, c.volume) for c in found]
        finally:
            await run.stop()

    assert asyncio.run(story()) == [(0, 0.0)]


@pytest.mark.parametrize(("is_quiet", "found"), [(False, [row(0), row(1)]), (True, [])])
def test_history_that_lags_is_asked_again_unless_the_stream_was_silent_too(is_quiet: bool, found: list[Row]) -> None:
    source = ListedSource()
    source.time_ms, source.late_pages = 9 * M.ms, 1
    assert asyncio.run(read_gap(source, MARKET, M, Gap(0, 2 * M.ms, is_quiet))) == found


@pytest.mark.parametrize("seeks_first", [True, False])
@pytest.mark.parametrize("missing", [frozenset(), frozenset({0, 1}), frozenset(range(2, 15)), frozenset({19})])
def test_gap_is_read_page_by_page_with_real_holes_left_out(seeks_first: bool, missing: frozenset[int]) -> None:
    source = ListedSource(seeks_first=seeks_first, missing=missing)
    source.time_ms = 30 * M.ms
    rows = asyncio.run(read_gap(source, MARKET, M, Gap(0, 20 * M.ms)))
    assert rows == [row(n) for n in range(20) if n not in missing]


def test_patience_asks_again_after_trouble_and_waits_as_told() -> None:
    answers: list[Exception | int] = [Retryable("busy"), RateLimited("slow", retry_after_s=0.3), 7]

    async def call() -> int:
        match answers.pop(0):
            case Exception() as e:
                raise e
            case int() as n:
                return n

    async def story() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        return await patiently(call), loop.time() - started_s

    found, took_s = asyncio.run(story())
    assert found == 7
    assert took_s >= 0.54
