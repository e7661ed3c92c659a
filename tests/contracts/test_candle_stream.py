"""What every `CandleStream` holds, proved by unmodified ccxt.pro against the local world while it plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, SymbolGone
from heliograph.core.events import CandleClosed
from heliograph.core.market import Market
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget
from heliograph.sources.rest import CcxtSource
from heliograph.sources.stream import CcxtStream

VENUES = ("binance", "okx", "kraken")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
H = parse("1h")
PACE_S = 0.15


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    spec = TapeSpec("generated", days=90, minute_days=12)
    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0, live_bars=230) as sandbox:
        yield sandbox


@asynccontextmanager
async def stream_of(world: Sandbox, venue: str, **how: Any) -> AsyncIterator[CcxtStream]:
    settings = VenueSettings.model_validate(
        {"http_proxy": world.proxy_url, "ws_proxy": world.proxy_url, "ca_file": world.ca_file, "budget_scale": 1_000.0}
    )
    budget = LocalBudget.of(catalog.rules(venue), settings.budget_scale)
    source = CcxtSource(venue, settings, budget.acquire)
    stream = CcxtStream(venue, settings, budget.acquire, source=source, **how)
    try:
        yield stream
    finally:
        await stream.close()
        await source.close()


def market(venue: str, symbol: str) -> Market:
    base, quote = symbol.split("/")
    return Market(venue, symbol, "spot", base, quote, Decimal("0.01"), Decimal("0.001"), Decimal(5))


async def collect(
    world: Sandbox, stream: CcxtStream, venue: str, *, timeframe: str, since_ms: int, script: Coroutine[Any, Any, int]
) -> list[CandleClosed]:
    """All candles until the venue's time that the script returns; the script runs once the stream listens."""
    bars = parse(timeframe)
    found: list[CandleClosed] = []
    newest = dict.fromkeys(SYMBOLS, 0)
    came = asyncio.Event()

    async def listen() -> None:
        async with aclosing(stream.closed([market(venue, s) for s in SYMBOLS], bars, since_ms)) as candles:
            async for candle in candles:
                found.append(candle)
                newest[candle.symbol] = candle.open_ts_ms
                came.set()

    async with asyncio.timeout(40):
        listening = asyncio.create_task(listen())
        await asyncio.to_thread(world.wait_for_subscribers, {venue: len(SYMBOLS)})
        end_ms = await script
        while any(bars.close_ms(open_ms) < end_ms for open_ms in newest.values()):
            await came.wait()
            came.clear()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return found


def assert_each_once_as_the_venue_has_it(
    world: Sandbox, venue: str, found: Sequence[CandleClosed], *, timeframe: str, since_ms: int
) -> None:
    bars = parse(timeframe)
    for symbol in SYMBOLS:
        truth = world.venue_candles(venue, symbol, timeframe, start_ms=since_ms)
        columns = (truth.open_ts_ms, truth.open, truth.high, truth.low, truth.close, truth.volume)
        expected = [
            CandleClosed(venue, symbol, timeframe, ts, bars.close_ms(ts) + catalog.rules(venue).close_delay_ms, *row)
            for ts, *row in zip(*(c.tolist() for c in columns), strict=True)
        ]
        assert [c for c in found if c.symbol == symbol] == expected


@pytest.mark.parametrize("venue", VENUES)
class TestCandleStream:
    def test_missed_candles_come_first_then_live_ones_without_a_hole(self, world: Sandbox, venue: str) -> None:
        since_ms = world.now_ms() - 400 * HOUR_MS
        missed = sum(len(world.venue_candles(venue, s, "1h", start_ms=since_ms)) for s in SYMBOLS)

        async def play() -> int:
            return await asyncio.to_thread(world.play, 8, "1h", PACE_S)

        async def story() -> list[CandleClosed]:
            async with stream_of(world, venue) as stream:
                return await collect(world, stream, venue, timeframe="1h", since_ms=since_ms, script=play())

        found = asyncio.run(story())
        world.wait_played()
        assert_each_once_as_the_venue_has_it(world, venue, found, timeframe="1h", since_ms=since_ms)
        history = [(c.open_ts_ms, c.symbol) for c in found[:missed]]
        assert history == sorted(history)

    def test_broken_connection_leaves_no_hole(self, world: Sandbox, venue: str) -> None:
        """The socket dies in the middle of a bar and again while candles go by."""
        since_ms = world.now_ms() - 3 * HOUR_MS

        async def play() -> int:
            await asyncio.to_thread(world.advance, HOUR_MS + HOUR_MS // 2)
            await asyncio.to_thread(world.inject, Fault(venue, "disconnect"))
            await asyncio.to_thread(world.advance, HOUR_MS // 2 + 4 * HOUR_MS)
            await asyncio.to_thread(world.wait_for_subscribers, {venue: len(SYMBOLS)})
            end_ms = await asyncio.to_thread(world.play, 6, "1h", PACE_S)
            await asyncio.to_thread(world.inject, Fault(venue, "disconnect"))
            await asyncio.to_thread(world.wait_played)
            await asyncio.to_thread(world.wait_for_subscribers, {venue: len(SYMBOLS)})
            return max(end_ms, await asyncio.to_thread(world.advance, HOUR_MS))

        async def story() -> list[CandleClosed]:
            async with stream_of(world, venue) as stream:
                return await collect(world, stream, venue, timeframe="1h", since_ms=since_ms, script=play())

        found = asyncio.run(story())
        assert_each_once_as_the_venue_has_it(world, venue, found, timeframe="1h", since_ms=since_ms)

    def test_trouble_with_the_history_only_delays(self, world: Sandbox, venue: str) -> None:
        since_ms = world.now_ms() - 30 * HOUR_MS
        path = {"binance": "klines", "okx": "candles", "kraken": "OHLC"}[venue]
        for kind in ("server_error", "cut_body", "short_page"):
            world.inject(Fault(venue, kind, path=path))

        async def play() -> int:
            return await asyncio.to_thread(world.play, 2, "1h", PACE_S)

        async def story() -> list[CandleClosed]:
            async with stream_of(world, venue) as stream:
                return await collect(world, stream, venue, timeframe="1h", since_ms=since_ms, script=play())

        found = asyncio.run(story())
        world.wait_played()
        assert_each_once_as_the_venue_has_it(world, venue, found, timeframe="1h", since_ms=since_ms)

    def test_one_symbol_alone_streams_too(self, world: Sandbox, venue: str) -> None:
        since_ms = world.now_ms()

        async def story() -> list[CandleClosed]:
            async with (
                stream_of(world, venue) as stream,
                asyncio.timeout(30),
                aclosing(stream.closed([market(venue, "BTC/USDT")], H, since_ms)) as candles,
            ):
                first = asyncio.create_task(anext(candles))
                await asyncio.to_thread(world.wait_for_subscribers, {venue: 1})
                await asyncio.to_thread(world.play, 2, "1h", PACE_S)
                return [await first, await anext(candles)]

        opens = [c.open_ts_ms for c in asyncio.run(story())]
        world.wait_played()
        assert opens == [since_ms, since_ms + HOUR_MS]

    def test_ending_the_iterator_closes_the_sockets(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with stream_of(world, venue) as stream, asyncio.timeout(30):
                markets = [market(venue, s) for s in SYMBOLS]
                async with aclosing(stream.closed(markets, H, world.now_ms())) as candles:
                    waiting = asyncio.create_task(anext(candles))
                    await asyncio.to_thread(world.wait_for_subscribers, {venue: len(SYMBOLS)})
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                while world.stats()[venue]["subscriptions"]:  # the venue hears of it a moment later
                    await asyncio.sleep(0.02)

        asyncio.run(story())
        assert world.stats()[venue]["subscriptions"] == 0

    def test_closing_the_stream_ends_the_iterator(self, world: Sandbox, venue: str) -> None:
        async def story() -> list[CandleClosed]:
            async with stream_of(world, venue) as stream, asyncio.timeout(30):
                reading = asyncio.create_task(self.read_all(stream, venue, world.now_ms()))
                await asyncio.to_thread(world.wait_for_subscribers, {venue: 1})
                await stream.close()
                return await reading

        assert asyncio.run(story()) == []

    async def read_all(self, stream: CcxtStream, venue: str, since_ms: int) -> list[CandleClosed]:
        return [c async for c in stream.closed([market(venue, "BTC/USDT")], H, since_ms)]

    def test_unknown_symbol_is_gone(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with stream_of(world, venue) as stream:
                async for _ in stream.closed([market(venue, "GONE/USDT")], H, world.now_ms() - HOUR_MS):
                    pass

        with pytest.raises(SymbolGone):
            asyncio.run(story())

    def test_timeframe_that_is_not_native_is_refused(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with stream_of(world, venue) as stream:
                async for _ in stream.closed([market(venue, "BTC/USDT")], parse("3d"), 0):
                    pass

        with pytest.raises(ConfigError, match="3d"):
            asyncio.run(story())


def test_okx_days_open_at_midnight_utc(world: Sandbox) -> None:
    """ccxt subscribes okx's days by their UTC+8 name while its REST call asks for UTC days."""
    since_ms = parse("1d").floor(world.now_ms()) - 5 * 24 * HOUR_MS

    async def play() -> int:
        return await asyncio.to_thread(world.play, 1, "1d", PACE_S)

    async def story() -> list[CandleClosed]:
        async with stream_of(world, "okx") as stream:
            return await collect(world, stream, "okx", timeframe="1d", since_ms=since_ms, script=play())

    found = asyncio.run(story())
    assert_each_once_as_the_venue_has_it(world, "okx", found, timeframe="1d", since_ms=since_ms)
