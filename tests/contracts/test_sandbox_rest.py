"""Unmodified ccxt believes that it talks to the real venues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.pro
import numpy as np
import pytest

from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import Tape, TapeSpec
from heliograph.sandbox.world import Sandbox

VENUES = ("binance", "okx", "kraken")
SPEC = TapeSpec("generated", seed=3, days=60, minute_days=4)
PAGE = {"binance": 1_000, "okx": 300, "kraken": 720}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(SPEC, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def tape() -> Tape:
    return SPEC.build()


async def _no_wait(cost: float | None = None) -> None:
    """In place of ccxt's own pacing, so that tests don't wait for it."""


@asynccontextmanager
async def client(world: Sandbox, venue: str, **options: Any) -> AsyncIterator[Any]:
    proxies = {"httpsProxy": world.proxy_url, "wssProxy": world.proxy_url, "cafile": world.ca_file}
    exchange = getattr(ccxt.pro, venue)(proxies | options)
    exchange.throttle = _no_wait
    try:
        yield exchange
    finally:
        await exchange.close()


async def walk(exchange: Any, symbol: str, timeframe: str, first_ms: int, now_ms: int) -> Candles:
    """Every closed candle from ``first_ms`` on, page by page."""
    step = parse(timeframe).ms
    rows: list[list[float]] = []
    since = first_ms
    while since < now_ms:
        page = await exchange.fetch_ohlcv(symbol, timeframe, since, PAGE[exchange.id])
        rows += page
        since = int(page[-1][0]) + step if page else since + PAGE[exchange.id] * step
    return Candles.of([row for row in rows if row[0] + step <= now_ms])


def hosts(urls: Any) -> set[str]:
    if isinstance(urls, dict):
        return set().union(*(hosts(value) for value in urls.values()))
    return {urls.split("://")[1].split("/")[0].split(":")[0]} if "://" in urls else set()


@pytest.mark.parametrize("venue", VENUES)
def test_every_api_host_of_the_ccxt_class_is_covered(venue: str, tape: Tape) -> None:
    async def story() -> set[str]:
        exchange = getattr(ccxt.pro, venue)()
        try:
            return {host.replace("{hostname}", exchange.hostname or "") for host in hosts(exchange.urls["api"])}
        finally:
            await exchange.close()

    built = venues.build(tape, VirtualClock(tape.end_ms, tape.end_ms))
    for host in asyncio.run(story()):
        owner = venues.owner_of(host, tuple(built.values()))
        assert owner is not None, host
        assert owner.name.startswith(venue), "binance's futures are a venue of their own"


@pytest.mark.parametrize(("venue", "count"), [("binance", 8), ("okx", 6), ("kraken", 4)])
def test_markets_load_under_their_unified_names(world: Sandbox, venue: str, count: int) -> None:
    async def story() -> dict[str, Any]:
        async with client(world, venue) as exchange:
            return await exchange.load_markets()

    markets = {symbol: market for symbol, market in asyncio.run(story()).items() if market["spot"]}
    assert len(markets) == count
    assert {"BTC/USDT", "ETH/USDT"} <= markets.keys()
    assert all(market["active"] and market["spot"] for market in markets.values())
    assert markets["BTC/USDT"]["precision"]["price"] == 0.01


@pytest.mark.parametrize("venue", VENUES)
def test_venue_lives_in_virtual_time(world: Sandbox, venue: str) -> None:
    async def story() -> int:
        async with client(world, venue) as exchange:
            return await exchange.fetch_time()

    assert asyncio.run(story()) == world.now_ms()


def test_minutes_equal_the_tape(world: Sandbox, tape: Tape) -> None:
    async def story() -> Candles:
        async with client(world, "binance") as exchange:
            await exchange.load_markets()
            return await walk(exchange, "BTC/USDT", "1m", world.now_ms() - 4 * 24 * HOUR_MS, world.now_ms())

    truth = tape.candles("BTC/USDT", parse("1m"), 0, world.now_ms())
    assert np.array_equal(asyncio.run(story()).close, truth.close)


def test_kraken_sends_its_newest_720_with_its_own_fills(world: Sandbox, tape: Tape) -> None:
    async def story() -> dict[str, Candles]:
        async with client(world, "kraken") as exchange:
            await exchange.load_markets()
            old_ms, now_ms = tape.listed_ms("BTC/USDT"), world.now_ms()
            pages = {s: await exchange.fetch_ohlcv(s, "1h", old_ms, 721) for s in exchange.symbols}
            return {s: Candles.of([row for row in page if row[0] < now_ms]) for s, page in pages.items()}

    fills = 0
    for symbol, candles in asyncio.run(story()).items():
        assert len(candles) == 720
        told = world.venue_candles("kraken", symbol, "1h")
        assert np.array_equal(candles.open_ts_ms, told.open_ts_ms)
        assert np.array_equal(candles.close, told.close)
        is_fill = candles.volume == 0
        fills += int(is_fill.sum())
        truth = tape.candles(symbol, parse("1h"), int(candles.open_ts_ms[0]), world.now_ms())
        assert np.array_equal(candles.open_ts_ms[~is_fill], truth.open_ts_ms)
        assert np.array_equal(candles.volume[~is_fill], truth.volume)
    assert fills > 0


@pytest.mark.parametrize("venue", VENUES)
def test_last_bar_is_not_finished(world: Sandbox, tape: Tape, venue: str) -> None:
    async def story() -> list[float]:
        async with client(world, venue) as exchange:
            await exchange.load_markets()
            return (await exchange.fetch_ohlcv("ETH/USDT", "1h", world.now_ms() - 5 * HOUR_MS, 10))[-1]

    row, now_ms = asyncio.run(story()), world.now_ms()
    final = tape.candles("ETH/USDT", parse("1h"), now_ms, now_ms + 1)
    assert row[:2] == [now_ms, final.open[0]]
    assert row[5] < final.volume[0] / 1_000


@pytest.mark.parametrize(
    ("venue", "method", "query", "error"),
    [
        ("binance", "publicGetKlines", {"symbol": "NOPE", "interval": "1h"}, ccxt.BadSymbol),
        ("okx", "publicGetMarketCandles", {"instId": "NO-PE"}, ccxt.BadSymbol),
        ("kraken", "publicGetOHLC", {"pair": "NOPE"}, ccxt.ExchangeError),
    ],
)
def test_unknown_symbol_is_refused_in_the_venues_words(world, venue: str, method: str, query: Any, error: type) -> None:
    async def story() -> None:
        async with client(world, venue) as exchange:
            await getattr(exchange, method)(query)

    with pytest.raises(error):
        asyncio.run(story())


REFUSED = {"binance": ccxt.DDoSProtection, "okx": ccxt.RateLimitExceeded, "kraken": ccxt.DDoSProtection}


def test_callers_over_their_budget_are_refused_then_banned(tmp_path: Path) -> None:
    """Binance grants 60 here: the listing costs 20, a page 2, so the 21st page is one too many."""

    async def story(world: Sandbox) -> list[str]:
        said = []
        async with client(world, "binance") as exchange:
            await exchange.load_markets()
            for _ in range(20 + 22):
                try:
                    await exchange.fetch_ohlcv("BTC/USDT", "1h")
                except ccxt.DDoSProtection as e:
                    said.append(str(e))
        return said

    with Sandbox.start(SPEC, folder=tmp_path, weight_scale=0.01) as world:
        said = asyncio.run(story(world))
        stats = world.stats()["binance"]
        assert stats["violations"] == len(said) == 22
        assert "429" in said[0]
        assert "418" in said[-1]
        assert "banned until" in said[-1]
        assert stats["weight"] <= 60.0 + 2.0  # futures have their own pool
        for venue in ("okx", "kraken"):
            with pytest.raises(REFUSED[venue]):
                asyncio.run(self_load(world, venue))


async def self_load(world: Sandbox, venue: str) -> None:
    async with client(world, venue) as exchange:
        for _ in range(3):
            await exchange.load_markets(True)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "maintenance", "timeout", "cut_body"])
def test_faults_strike_as_often_as_ordered_and_then_pass(world: Sandbox, venue: str, kind: Any) -> None:
    async def story() -> list[list[float]]:
        async with client(world, venue, timeout=400) as exchange:
            await exchange.load_markets()
            world.inject(
                Fault(
                    venue, kind, count=2, path="OHLC" if venue == "kraken" else "k" if venue == "binance" else "candles"
                )
            )
            for _ in range(2):
                with pytest.raises(ccxt.BaseError) as caught:
                    await exchange.fetch_ohlcv("BTC/USDT", "1h")
                if kind == "rate_limit":
                    assert isinstance(caught.value, REFUSED[venue])
                if kind == "timeout":
                    assert isinstance(caught.value, ccxt.RequestTimeout)
            return await exchange.fetch_ohlcv("BTC/USDT", "1h")

    assert asyncio.run(story())
    assert [call["fault"] for call in world.log(venue, 3)] == [kind, kind, ""]


@pytest.mark.parametrize(("venue", "path"), [("binance", "klines"), ("okx", "candles"), ("kraken", "OHLC")])
def test_short_page_lacks_candles_without_a_word(world: Sandbox, venue: str, path: str) -> None:
    async def story() -> tuple[int, int]:
        async with client(world, venue) as exchange:
            await exchange.load_markets()
            world.inject(Fault(venue, "short_page", path=path))
            since = world.now_ms() - 99 * HOUR_MS
            return tuple([len(await exchange.fetch_ohlcv("BTC/USDT", "1h", since, 100)) for _ in range(2)])

    short, full = asyncio.run(story())
    assert (short < 60, full) == (True, 100)


def test_unknown_venue_of_a_fault_is_refused(world: Sandbox) -> None:
    with pytest.raises(ConfigError, match="use one of binance, okx, kraken"):
        world.inject(Fault("nowhere", "ban"))


def test_log_and_counters_tell_what_was_asked(world: Sandbox) -> None:
    async def story() -> None:
        async with client(world, "binance") as exchange:
            exchange.options["fetchMarkets"] = {"types": ["spot"]}
            await exchange.load_markets()
            await exchange.fetch_ohlcv("BTC/USDT", "1h", limit=5)

    before = world.stats()["binance"]
    asyncio.run(story())
    after, last = world.stats()["binance"], world.log("binance", 1)[0]
    assert after["requests"] - before["requests"] == 2
    assert after["weight"] - before["weight"] == 20 + 2
    assert after["violations"] == 0
    assert (last["path"], last["status"], last["weight"]) == ("/api/v3/klines", 200, 2.0)
    assert "symbol=BTCUSDT" in last["query"]


def test_nothing_leaves_through_the_proxy(world: Sandbox) -> None:
    async def story(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(url, proxy=world.proxy_url):
            raise AssertionError("an answer came")

    with pytest.raises(aiohttp.ClientHttpProxyError, match="403"):
        asyncio.run(story("https://example.com/"))


def test_plain_http_is_refused(world: Sandbox) -> None:
    async def story() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get("http://api.binance.com/", proxy=world.proxy_url) as r,
        ):
            return r.status

    assert asyncio.run(story()) == 405


def test_clients_that_do_not_trust_the_authority_get_nothing(world: Sandbox) -> None:
    async def story(**options: Any) -> Any:
        async with client(world, "binance", **options) as exchange:
            return await exchange.fetch_time()

    with pytest.raises(ccxt.ExchangeNotAvailable):
        asyncio.run(story(cafile=None))
    assert asyncio.run(story()) == world.now_ms()
