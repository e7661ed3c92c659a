"""A venue's live candles over ccxt.pro: closed ones only, each once, in order, holes filled from its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.core.events import CandleClosed
from heliograph.core.market import Market
from heliograph.core.ports import Budget, CandleSource
from heliograph.core.timeframe import Timeframe
from heliograph.sources.client import CcxtClient
from heliograph.sources.ear import Ear, Heard
from heliograph.sources.patience import patiently, read_gap
from heliograph.sources.tail import Gap, Row, Tail

_GRACE_MS = 10_000  # how long past a bar's close the stream may keep silent before the bar is fetched
_QUEUE = 1_000
_FILLS_AT_ONCE = 8

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class _Filled:
    symbol: str
    gap: Gap
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class _ClockRead:
    now_ms: int


@dataclass(frozen=True, slots=True)
class _Failed:
    error: HeliographError


@dataclass(frozen=True, slots=True)
class _Stopped:
    pass


class CcxtStream:
    """`CandleStream` of one venue.

    Args:
        budget: only the market list costs any.
        source: the same venue's history and clock; missed bars come from it.
        poll_s: real seconds between readings of the venue's clock; None: a quarter of a bar, at most ``timeout_s``.
        silence_bars: reconnect after so many bars, by the venue's clock, without any update.
    """

    def __init__(
        self,
        venue: str,
        settings: VenueSettings,
        budget: Budget,
        *,
        source: CandleSource,
        poll_s: float | None = None,
        silence_bars: int = 2,
    ) -> None:
        self._venue = venue
        self._settings = settings
        self._budget = budget
        self._source = source
        self._poll_s = poll_s
        self._silence_bars = silence_bars
        self._runs: set[_Run] = set()

    async def closed(
        self, markets: Sequence[Market], timeframe: Timeframe, since_ms: int
    ) -> AsyncGenerator[CandleClosed, None]:
        """Every candle that opens at or after ``since_ms``: the missed ones first, then live, without a hole.

        Missed candles come ordered by open, then symbol; live ones are in order for each symbol. A live candle comes out
        when the first update of a later one, or a later trade, proves it closed; or from the history once the venue's
        clock does, or where the connection broke, or began in the midst of it. The iterator ends only by an error, or by
        being closed or cancelled; then its sockets are closed.

        Raises:
            ConfigError: the venue has no such timeframe.
            SymbolGone, Permanent: the venue refuses a market.
        """
        rules = self._source.rules
        if timeframe.name not in rules.timeframes:
            raise ConfigError(
                f"{rules.venue} has no right {timeframe} candles of its own: use one of {', '.join(rules.timeframes)}"
            )
        client = CcxtClient(self._venue, self._settings, self._budget, kind=rules.kind, streams=True)
        run = _Run(
            Ear(client, [m.symbol for m in markets], timeframe),
            self._source,
            {m.symbol: m for m in markets},
            timeframe=timeframe,
            since_ms=since_ms,
            poll_s=self._poll_s or min(timeframe.ms / 4_000, self._settings.timeout_s),
            silence_ms=self._silence_bars * timeframe.ms + _GRACE_MS,
        )
        self._runs.add(run)
        try:
            for candle in await run.missed():
                yield candle
            run.start()
            while (candles := await run.next()) is not None:
                for candle in candles:
                    yield candle
        finally:
            self._runs.discard(run)
            await run.stop()

    async def close(self) -> None:
        """Free the connections; an iterator that is still being read ends."""
        while self._runs:
            await self._runs.pop().stop()


class _Run:
    """One run: tasks that listen, fill gaps and read the venue's clock put messages in one queue; `next` answers them."""

    def __init__(
        self,
        ear: Ear,
        source: CandleSource,
        markets: dict[str, Market],
        *,
        timeframe: Timeframe,
        since_ms: int,
        poll_s: float,
        silence_ms: int,
    ) -> None:
        self._ear = ear
        self._source = source
        self._markets = markets
        self._timeframe = timeframe
        self._poll_s = poll_s
        self._silence_ms = silence_ms
        self._tails = {symbol: Tail(timeframe, since_ms) for symbol in markets}
        self._messages: asyncio.Queue[Heard | _Filled | _ClockRead | _Failed | _Stopped] = asyncio.Queue(_QUEUE)
        self._fills_at_once = asyncio.Semaphore(_FILLS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._now_ms = 0  # the last reading of the venue's clock
        self._readings = 0
        self._clock_turn = asyncio.Lock()
        self._connection = 0  # the one that was heard last
        self._heard_at_ms: int | None = None  # the venue's clock when the last update was noticed; None: since then

    async def missed(self) -> list[CandleClosed]:
        """What the venue's history holds already, ordered by open, then symbol."""
        self._prove(await patiently(self._source.now_ms), margin_ms=0)
        gaps = {symbol: gap for symbol, tail in self._tails.items() if (gap := tail.gap())}
        found = await asyncio.gather(*(self._read(symbol, gap) for symbol, gap in gaps.items()))
        candles = [c for f in found for c in self._candles(f.symbol, self._tails[f.symbol].fill(f.gap, f.rows))]
        return sorted(candles, key=lambda c: (c.open_ts_ms, c.symbol))

    def start(self) -> None:
        """Begin to listen."""
        self._ear.listen()
        self._spawn(self._hear)
        self._spawn(self._poll)

    async def next(self) -> list[CandleClosed] | None:
        """The candles that the next message brings, often none; None once the run was stopped."""
        touched: Iterable[str] = self._tails
        match await self._messages.get():
            case _Failed(error):
                raise error
            case _Stopped():
                return None
            case _Filled(symbol, gap, rows):
                found = self._candles(symbol, self._tails[symbol].fill(gap, rows))
            case Heard() as heard:
                touched = heard.rows
                found = self._update(heard)
            case _ClockRead(now_ms):
                found = []
                self._notice(self._ear.connection)
                self._prove(now_ms, margin_ms=_GRACE_MS)
                if self._is_deaf(now_ms):
                    self._heard_at_ms = None
                    await self._ear.reconnect()
        for symbol in touched:
            if lacking := self._tails[symbol].gap():
                self._spawn(self._fill, symbol, lacking)
        return found

    async def stop(self) -> None:
        """Stop listening and close the sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(_Stopped())
        await self._ear.close()

    def _notice(self, connection: int) -> None:
        if connection != self._connection:
            for tail in self._tails.values():
                tail.lose()
        self._connection = connection

    def _update(self, heard: Heard) -> list[CandleClosed]:
        if heard.connection < self._connection:
            return []  # it was lost meanwhile
        self._notice(heard.connection)
        self._heard_at_ms = None
        found = []
        for symbol, rows in heard.rows.items():
            self._tails[symbol].update(rows, heard.begun.get(symbol, 0))
            found += self._candles(symbol, self._tails[symbol].take())
        return found

    def _prove(self, now_ms: int, *, margin_ms: int) -> None:
        self._note(now_ms)
        for tail in self._tails.values():
            tail.prove(now_ms - self._source.rules.close_delay_ms - margin_ms)

    def _is_deaf(self, now_ms: int) -> bool:
        if self._heard_at_ms is None:
            self._heard_at_ms = now_ms
        return now_ms - self._heard_at_ms > self._silence_ms or self._ear.is_deaf

    def _candles(self, symbol: str, rows: list[Row]) -> list[CandleClosed]:
        delay_ms = self._source.rules.close_delay_ms
        return [
            CandleClosed(
                self._source.rules.venue,
                symbol,
                self._timeframe.name,
                ts,
                self._timeframe.close_ms(ts) + delay_ms,
                *values,
            )
            for ts, *values in rows
        ]

    def _spawn(self, work: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        task = asyncio.create_task(self._guarded(partial(work, *args, **kwargs)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except HeliographError as e:
            await self._messages.put(_Failed(e))

    async def _hear(self) -> None:
        while True:
            await self._messages.put(await self._ear.heard())

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self._messages.put(_ClockRead(await patiently(self._source.now_ms)))

    async def _fill(self, symbol: str, gap: Gap) -> None:
        await self._messages.put(await self._read(symbol, gap))

    async def _read(self, symbol: str, gap: Gap) -> _Filled:
        await self._wait_until(gap.end_ms + self._source.rules.close_delay_ms)
        async with self._fills_at_once:
            rows = await read_gap(self._source, self._markets[symbol], self._timeframe, gap)
        return _Filled(symbol, gap, rows)

    async def _wait_until(self, ts_ms: int) -> None:
        """The history holds back bars that may still change, by the venue's clock; one reading answers all who wait."""
        while self._now_ms < ts_ms:
            readings = self._readings
            async with self._clock_turn:
                if self._readings == readings:
                    self._note(await patiently(self._source.now_ms))
            if self._now_ms < ts_ms:
                await asyncio.sleep(min((ts_ms - self._now_ms) / 1000, self._poll_s))

    def _note(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)
        self._readings += 1
