"""Unmodified ccxt.pro hears the same candles that the history holds, as the clock plays them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import ccxt.pro
import numpy as np
import pytest

from heliograph.core.errors import ConfigError, VenueTimeout
from heliograph.core.timeframe import HOUR_MS, MINUTE_MS, parse
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import Tape, TapeSpec
from heliograph.sandbox.world import Sandbox

VENUES = ("binance", "okx", "kraken")
SPEC = TapeSpec("generated", seed=3, days=30, minute_days=6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(SPEC, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def tape() -> Tape:
    return SPEC.build()


@asynccontextmanager
async def client(world: Sandbox, venue: str) -> AsyncIterator[Any]:
    options = {"httpsProxy": world.proxy_url, "wssProxy": world.proxy_url, "cafile": world.ca_file}
    exchange = getattr(ccxt.pro, venue)(options)
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


def hear(seen: dict[int, list[float]], rows: list[list[float]]) -> None:
    seen.update({int(row[0]): row for row in rows})


def assert_tape(tape: Tape, symbol: str, timeframe: str, seen: dict[int, list[float]], span: tuple[int, int]) -> None:
    """The bars that open within the span came, are final and equal the tape."""
    rows = np.array([row for ts, row in sorted(seen.items()) if span[0] <= ts < span[1]])
    truth = tape.candles(symbol, parse(timeframe), *span)
    assert np.array_equal(rows[:, 0], truth.open_ts_ms)
    assert np.array_equal(rows[:, 1:], np.column_stack([truth.open, truth.high, truth.low, truth.close, truth.volume]))


def test_watched_candles_equal_the_tape_on_every_venue(world: Sandbox, tape: Tape) -> None:
    start_ms = world.now_ms()
    end_ms = start_ms + 12 * HOUR_MS

    async def listen(exchange: Any, seen: dict[int, list[float]]) -> None:
        while end_ms not in seen:
            hear(seen, await exchange.watch_ohlcv("BTC/USDT", "1h"))

    async def story() -> dict[str, dict[int, list[float]]]:
        found: dict[str, dict[int, list[float]]] = {venue: {} for venue in VENUES}
        async with AsyncExitStack() as stack:
            exchanges = [await stack.enter_async_context(client(world, venue)) for venue in VENUES]
            listeners = [asyncio.create_task(listen(e, found[e.id])) for e in exchanges]
            await asyncio.to_thread(world.wait_for_subscribers, dict.fromkeys(VENUES, 1), 10.0)
            assert world.play(12, "1h", 0.02) == end_ms
            await asyncio.wait_for(asyncio.gather(*listeners), 30.0)
        return found

    found = asyncio.run(story())
    for venue, seen in found.items():
        assert len(seen) >= 13, venue  # twelve closed and the open one
        assert_tape(tape, "BTC/USDT", "1h", seen, (start_ms, end_ms))
    assert world.wait_played(5.0) == end_ms


@pytest.mark.parametrize("venue", ["binance", "okx"])
def test_one_socket_carries_many_symbols_and_timeframes(world: Sandbox, tape: Tape, venue: str) -> None:
    start_ms = world.now_ms()
    wanted = [["BTC/USDT", "1m"], ["ETH/USDT", "1m"], ["SOL/USDT", "1h"]]
    end_ms = start_ms + HOUR_MS

    async def story() -> dict[tuple[str, str], dict[int, list[float]]]:
        async with client(world, venue) as exchange:

            def seen(symbol: str, name: str) -> dict[int, list[float]]:
                """What the class has kept: its watch call itself drops bars of symbols that come in one burst."""
                return {int(row[0]): row for row in exchange.ohlcvs.get(symbol, {}).get(name, [])}

            async def listen() -> None:
                while any(end_ms not in seen(*key) for key in wanted):
                    await exchange.watch_ohlcv_for_symbols(wanted)

            listener = asyncio.create_task(listen())
            await asyncio.to_thread(world.wait_for_subscribers, {venue: 3}, 10.0)
            await asyncio.to_thread(world.advance, HOUR_MS)
            await asyncio.wait_for(listener, 30.0)
            return {(symbol, name): seen(symbol, name) for symbol, name in wanted}

    for (symbol, name), seen in asyncio.run(story()).items():
        assert_tape(tape, symbol, name, seen, (start_ms, end_ms))


@pytest.mark.parametrize("venue", VENUES)
def test_lost_connection_is_told_and_can_be_made_again(world: Sandbox, venue: str) -> None:
    async def story() -> list[list[float]]:
        async with client(world, venue) as exchange:

            async def listen() -> None:
                while True:
                    await exchange.watch_ohlcv("BTC/USDT", "1h")

            listener = asyncio.create_task(listen())
            await asyncio.to_thread(world.wait_for_subscribers, {venue: 1}, 10.0)
            world.inject(Fault(venue, "disconnect"))
            with pytest.raises(ccxt.NetworkError):
                await asyncio.wait_for(listener, 10.0)
            return await asyncio.wait_for(exchange.watch_ohlcv("BTC/USDT", "1h"), 10.0)

    assert asyncio.run(story())[-1][0] == world.now_ms()


def test_subscribers_that_never_come_are_not_waited_for_for_ever(world: Sandbox) -> None:
    with pytest.raises(VenueTimeout, match="wait_subscribers"):
        world.wait_for_subscribers({"okx": 50}, timeout_s=0.1)


def test_clock_plays_one_tune_at_a_time_and_stops_at_the_tapes_end(world: Sandbox) -> None:
    with pytest.raises(ConfigError, match="end after the tape"):
        world.play(10_000, "1h", 0.0)
    with pytest.raises(ConfigError, match="can't move"):
        world.advance(10_000 * HOUR_MS)
    start_ms = world.now_ms()
    world.play(2, "1m", 0.5)
    with pytest.raises(ConfigError, match="is playing"):
        world.advance(1)
    assert world.wait_played(10.0) == start_ms + 2 * MINUTE_MS
