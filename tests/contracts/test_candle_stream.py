"""What every `CandleStream` holds, proved by unmodified ccxt.pro against the local world while it plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from heliograph.config.settings import VenueSettings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError, SymbolGone
from heliograph.core.events import CandleClosed
from heliograph.core.market import Kind, Market, kind_of
from heliograph.core.timeframe import HOUR_MS, MINUTE_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources import catalog
from heliograph.sources.rest import CcxtSource
from heliograph.sources.stream import CcxtStream
from heliograph.testing.fakes import Unlimited

Served = tuple[str, Kind]


def _served() -> list[Served]:
    """What of the certified markets the local world lists."""
    tape = TapeSpec("generated", days=10, minute_days=0).build()
    built = venues.build(tape, VirtualClock(tape.end_ms, tape.end_ms))
    return [(v, kind) for v, kind in catalog.RULES if v in built and built[v].book.listings(kind)]


SERVED = _served()
H = parse("1h")
PACE_S = 0.1
POLL_S = 0.1
DISCONNECTS = 200


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    spec = TapeSpec("generated", days=120, minute_days=60)
    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0, live_bars=1_200) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def listed(world: Sandbox) -> dict[Served, list[str]]:
    """Three markets of each venue and kind: its first two, and its last."""
    found: dict[Served, list[str]] = {served: [] for served in SERVED}
    for offer in world.offers():
        symbols = found.get((offer.venue, kind_of(offer.symbol)), [])
        if offer.symbol not in symbols:
            symbols.append(offer.symbol)
    return {served: [*symbols[:2], symbols[-1]] for served, symbols in found.items()}


@asynccontextmanager
async def stream_of(world: Sandbox, served: Served, **how: Any) -> AsyncIterator[CcxtStream]:
    venue, kind = served
    settings = VenueSettings.model_validate(
        {"http_proxy": world.proxy_url, "ws_proxy": world.proxy_url, "ca_file": world.ca_file}
    )
    source = CcxtSource(venue, settings, Unlimited(), kind=kind)
    stream = CcxtStream(venue, settings, Unlimited(), source=source, **{"poll_s": POLL_S} | how)
    try:
        yield stream
    finally:
        await stream.close()
        await source.close()


def market(venue: str, symbol: str) -> Market:
    base, quote = symbol.partition(":")[0].split("/")
    return Market(venue, symbol, kind_of(symbol), base, quote, Decimal("0.01"), Decimal("0.001"), Decimal(5))


class Listener:
    """Collects all that a stream gives."""

    def __init__(self, stream: CcxtStream, venue: str, symbols: Sequence[str], timeframe: str, since_ms: int) -> None:
        self.found: list[CandleClosed] = []
        self._venue, self._bars, self._since_ms = venue, grid(venue, timeframe), since_ms
        self._newest = dict.fromkeys(symbols, 0)
        self._came = asyncio.Event()
        markets = [market(venue, symbol) for symbol in symbols]
        self._task = asyncio.create_task(self._listen(stream.closed(markets, self._bars, since_ms)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def during(self, work: Coroutine[Any, Any, object]) -> None:
        """Do the work while the stream goes on; if that ends, its error ends the work."""
        working = asyncio.ensure_future(work)
        await asyncio.wait([working, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            self._task.result()
        await working

    async def until(self, world: Sandbox, end_ms: int) -> list[CandleClosed]:
        """What came, once every bar did that the venue has from before ``end_ms``."""
        for symbol in self._newest:
            truth = await asyncio.to_thread(
                world.venue_candles, self._venue, symbol, self._bars.name, start_ms=self._since_ms, end_ms=end_ms
            )
            while len(truth) and self._newest[symbol] < int(truth.open_ts_ms[-1]):
                await self.during(self._came.wait())
                self._came.clear()
        return self.found

    async def _listen(self, closed: AsyncGenerator[CandleClosed, None]) -> None:
        async with aclosing(closed) as candles:
            async for candle in candles:
                self.found.append(candle)
                self._newest[candle.symbol] = candle.open_ts_ms
                self._came.set()


async def subscribed(world: Sandbox, counts: Mapping[str, int]) -> None:
    await asyncio.to_thread(world.wait_for_subscribers, counts, 20.0)


async def settle(world: Sandbox) -> int:
    """Move the clock past the delay of every venue's history; returns the last whole hour."""
    longest_ms = max(rules.close_delay_ms for rules in catalog.RULES.values())
    return H.floor(await asyncio.to_thread(world.advance, longest_ms + MINUTE_MS))


async def collect(
    world: Sandbox,
    served: Served,
    symbols: Sequence[str],
    script: Callable[[], Coroutine[Any, Any, object]],
    *,
    since_ms: int,
    timeframe: str = "1h",
) -> list[CandleClosed]:
    """All candles until the end of the script, which runs once the stream listens."""
    async with (
        asyncio.timeout(60),
        stream_of(world, served) as stream,
        Listener(stream, served[0], symbols, timeframe, since_ms) as listener,
    ):
        await listener.during(subscribed(world, {served[0]: len(symbols)}))
        await listener.during(script())
        return await listener.until(world, await settle(world))


def assert_each_once_as_the_venue_has_it(
    world: Sandbox,
    served: Served,
    found: Sequence[CandleClosed],
    symbols: Sequence[str],
    *,
    since_ms: int,
    end_ms: int = 2**53,
    timeframe: str = "1h",
) -> None:
    venue, bars = served[0], grid(served[0], timeframe)
    delay_ms = catalog.rules(*served).close_delay_ms
    for symbol in symbols:
        truth = world.venue_candles(venue, symbol, timeframe, start_ms=since_ms, end_ms=end_ms)
        columns = (truth.open_ts_ms, truth.open, truth.high, truth.low, truth.close, truth.volume)
        expected = [
            CandleClosed(venue, symbol, timeframe, ts, bars.close_ms(ts) + delay_ms, *row)
            for ts, *row in zip(*(c.tolist() for c in columns), strict=True)
        ]
        assert [c for c in found if c.symbol == symbol and c.open_ts_ms < end_ms] == expected


async def play(world: Sandbox, bars: int, timeframe: str = "1h") -> None:
    await asyncio.to_thread(world.play, bars, timeframe, PACE_S)
    await asyncio.to_thread(world.wait_played)


@pytest.mark.parametrize("served", SERVED, ids="-".join)
class TestCandleStream:
    def test_missed_candles_come_first_then_live_ones_without_a_hole(
        self, world: Sandbox, listed: dict[Served, list[str]], served: Served
    ) -> None:
        symbols, since_ms = listed[served], H.floor(world.now_ms()) - 400 * HOUR_MS
        missed = sum(len(world.venue_candles(served[0], s, "1h", start_ms=since_ms)) for s in symbols)
        found = asyncio.run(collect(world, served, symbols, partial(play, world, 5), since_ms=since_ms))
        assert_each_once_as_the_venue_has_it(world, served, found, symbols, since_ms=since_ms)
        history = [(c.open_ts_ms, c.symbol) for c in found[:missed]]
        assert history == sorted(history)

    def test_broken_connection_leaves_no_hole(
        self, world: Sandbox, listed: dict[Served, list[str]], served: Served
    ) -> None:
        """The socket dies in the middle of a bar, and again while candles go by; the history is in trouble too."""
        venue, symbols, since_ms = served[0], listed[served], H.floor(world.now_ms()) - 3 * HOUR_MS

        async def script() -> None:
            await asyncio.to_thread(world.advance, HOUR_MS + HOUR_MS // 2)
            for kind in ("server_error", "cut_body", "short_page"):
                await asyncio.to_thread(world.inject, Fault(venue, kind))
            await asyncio.to_thread(world.inject, Fault(venue, "disconnect"))
            await asyncio.to_thread(world.advance, HOUR_MS // 2 + 4 * HOUR_MS)
            await subscribed(world, {venue: len(symbols)})
            await asyncio.to_thread(world.play, 4, "1h", PACE_S)
            await asyncio.to_thread(world.inject, Fault(venue, "disconnect"))
            await asyncio.to_thread(world.wait_played)

        found = asyncio.run(collect(world, served, symbols, script, since_ms=since_ms))
        assert_each_once_as_the_venue_has_it(world, served, found, symbols, since_ms=since_ms)

    def test_one_symbol_alone_streams_too(
        self, world: Sandbox, listed: dict[Served, list[str]], served: Served
    ) -> None:
        symbols, since_ms = listed[served][-1:], H.floor(world.now_ms()) - HOUR_MS
        found = asyncio.run(collect(world, served, symbols, partial(play, world, 2), since_ms=since_ms))
        assert_each_once_as_the_venue_has_it(world, served, found, symbols, since_ms=since_ms)

    def test_ending_the_iterator_closes_the_sockets(
        self, world: Sandbox, listed: dict[Served, list[str]], served: Served
    ) -> None:
        symbols = listed[served]

        async def story() -> None:
            async with stream_of(world, served) as stream, asyncio.timeout(30):
                markets = [market(served[0], s) for s in symbols]
                async with aclosing(stream.closed(markets, H, world.now_ms())) as candles:
                    waiting = asyncio.create_task(anext(candles))
                    await subscribed(world, {served[0]: len(symbols)})
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                while world.stats()[served[0]]["subscriptions"]:  # the venue hears of it a moment later
                    await asyncio.sleep(0.02)

        asyncio.run(story())
        assert world.stats()[served[0]]["subscriptions"] == 0

    def test_unknown_symbol_is_gone(self, world: Sandbox, served: Served) -> None:
        async def story() -> None:
            async with stream_of(world, served) as stream:
                async for _ in stream.closed([market(served[0], "GONE/USDT")], H, world.now_ms() - HOUR_MS):
                    pass

        with pytest.raises(SymbolGone):
            asyncio.run(story())


def test_closing_the_stream_ends_the_iterator(world: Sandbox) -> None:
    async def read_all(stream: CcxtStream) -> list[CandleClosed]:
        return [c async for c in stream.closed([market("okx", "BTC/USDT")], H, world.now_ms())]

    async def story() -> list[CandleClosed]:
        async with stream_of(world, ("okx", "spot")) as stream, asyncio.timeout(30):
            reading = asyncio.create_task(read_all(stream))
            await subscribed(world, {"okx": 1})
            await stream.close()
            return await reading

    assert asyncio.run(story()) == []


def test_timeframe_that_is_not_native_is_refused(world: Sandbox) -> None:
    async def story() -> None:
        async with stream_of(world, ("binance", "spot")) as stream:
            async for _ in stream.closed([market("binance", "BTC/USDT")], parse("3d"), 0):
                pass

    with pytest.raises(ConfigError, match="3d"):
        asyncio.run(story())


def test_okx_days_open_at_midnight_utc(world: Sandbox, listed: dict[Served, list[str]]) -> None:
    """ccxt subscribes okx's days by their UTC+8 name while its REST call asks for UTC days."""
    served: Served = ("okx", "spot")
    since_ms = parse("1d").floor(world.now_ms()) - 5 * 24 * HOUR_MS
    script = partial(play, world, 1, "1d")
    found = asyncio.run(collect(world, served, listed[served], script, since_ms=since_ms, timeframe="1d"))
    assert_each_once_as_the_venue_has_it(world, served, found, listed[served], since_ms=since_ms, timeframe="1d")


@pytest.mark.e2e
@pytest.mark.parametrize("served", SERVED, ids="-".join)
def test_every_native_timeframe_streams_as_the_history_has_it(served: Served, tmp_path: Path) -> None:
    """First those of more than six hours, over five weeks; then the others, over some hours."""
    names = catalog.rules(*served).timeframes
    long = [name for name in names if grid(served[0], name).ms > 6 * HOUR_MS]

    async def listen(world: Sandbox, symbol: str, timeframes: Sequence[str], steps_ms: Sequence[int]) -> None:
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            listeners = {}
            for name in timeframes:
                stream = await stack.enter_async_context(stream_of(world, served))
                since_ms = grid(served[0], name).floor(world.now_ms())
                listener = await stack.enter_async_context(Listener(stream, served[0], [symbol], name, since_ms))
                listeners[name] = (listener, since_ms)
            await subscribed(world, {served[0]: len(listeners)})
            for step_ms in steps_ms:
                await asyncio.to_thread(world.advance, step_ms)
            now_ms = await settle(world)
            for name, (listener, since_ms) in listeners.items():
                found = await listener.until(world, now_ms)
                told: Any = {"since_ms": since_ms, "end_ms": now_ms, "timeframe": name}
                assert_each_once_as_the_venue_has_it(world, served, found, [symbol], **told)

    with Sandbox.start(
        TapeSpec("generated", days=60, minute_days=4), folder=tmp_path, weight_scale=1_000.0, live_bars=40 * 24
    ) as world:
        symbol = next(o.symbol for o in world.offers() if o.venue == served[0] and kind_of(o.symbol) == served[1])
        asyncio.run(listen(world, symbol, long, [24 * HOUR_MS] * 37))
        asyncio.run(listen(world, symbol, [name for name in names if name not in long], [HOUR_MS] * 9))


async def break_connections(
    world: Sandbox, listed: dict[Served, list[str]], rounds: int, *, since_ms: int
) -> tuple[int, dict[Served, list[CandleClosed]]]:
    """Listen to every venue at once while the clock plays, and break all their connections ``rounds`` times.

    Every venue has subscribed again before its next connection breaks; the clock waits for nobody in between.

    Returns:
        How many times a venue lost its connections, and what came.
    """
    rng = np.random.default_rng(11)
    subscriptions = {venue: sum(len(s) for (v, _), s in listed.items() if v == venue) for venue, _ in listed}
    broken = 0
    async with AsyncExitStack() as stack, asyncio.timeout(170):
        listeners = {
            served: await stack.enter_async_context(
                Listener(await stack.enter_async_context(stream_of(world, served)), served[0], symbols, "1h", since_ms)
            )
            for served, symbols in listed.items()
        }
        for _ in range(rounds):
            await subscribed(world, subscriptions)
            await asyncio.to_thread(world.advance, int(rng.integers(1, 2 * HOUR_MS)))
            await asyncio.to_thread(world.play, 3, "1h", PACE_S / 2)
            for venue in rng.permutation(list(subscriptions)):
                await asyncio.to_thread(world.inject, Fault(str(venue), "disconnect"))
                broken += 1
            await asyncio.to_thread(world.wait_played)
        await subscribed(world, subscriptions)
        await asyncio.to_thread(world.advance, HOUR_MS)
        end_ms = await settle(world)
        return broken, {served: await listener.until(world, end_ms) for served, listener in listeners.items()}


@pytest.mark.e2e
def test_two_hundred_broken_connections_lose_and_double_nothing(
    world: Sandbox, listed: dict[Served, list[str]]
) -> None:
    """The short form is `test_broken_connection_leaves_no_hole`: two for each venue and kind."""
    rounds = -(-DISCONNECTS // len({venue for venue, _ in listed}))
    since_ms = H.floor(world.now_ms()) - 5 * HOUR_MS
    broken, found = asyncio.run(break_connections(world, listed, rounds, since_ms=since_ms))
    assert broken >= DISCONNECTS
    for served, candles in found.items():
        assert_each_once_as_the_venue_has_it(world, served, candles, listed[served], since_ms=since_ms)
