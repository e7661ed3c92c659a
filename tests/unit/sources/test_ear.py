"""What an ear makes of the candles and trades that ccxt reads; the exchange is a stand-in that connects when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from heliograph.core.errors import SchemaMismatch, SymbolGone
from heliograph.core.timeframe import MINUTE_MS, parse
from heliograph.sources.dialect import Dialect
from heliograph.sources.ear import Ear, Heard

M = parse("1m")
MARKETS: dict[str, dict[str, Any]] = {
    "A/USD": {"id": "A-USD", "alias": "A-USDC"},
    "A/USDC": {"id": "A-USDC", "alias": None},
    "B/USD": {"id": "B-USD", "alias": None},
}


class Exchange:
    """As much of ccxt.pro as an ear touches."""

    def __init__(self, *, has_candles: bool) -> None:
        self.has = {"watchOHLCV": has_candles, "watchTrades": True}
        self.markets = MARKETS
        self.ohlcvs: dict[str, Any] = {}
        self.trades: dict[str, Any] = {}

    def on_connected(self, socket: object, message: object = None) -> None:
        return

    def parse_ohlcv(self, told: Any, market: object = None) -> list[object]:
        return [told[name] for name in "tohlcv"]

    def safe_number(self, told: Any, name: str) -> float:
        return float(told[name])


class Client:
    """Calls that never answer, like a subscription on which nothing happens."""

    def __init__(self, venue: str = "x", *, has_candles: bool) -> None:
        self.venue = venue
        self.dialect = Dialect({})
        self.exchange: Any = Exchange(has_candles=has_candles)
        self.calls: list[tuple[object, ...]] = []
        self.refusal: Exception | None = None

    async def load(self) -> None:
        return

    async def call(self, *args: object) -> None:
        self.calls.append(args)
        if self.refusal:
            raise self.refusal
        await asyncio.Event().wait()

    async def close(self) -> None:
        return


@asynccontextmanager
async def ear_of(client: Client, *symbols: str) -> AsyncIterator[Ear]:
    ear = Ear(client, symbols, M)  # type: ignore[arg-type]
    ear.listen()
    client.exchange.on_connected("socket")
    try:
        yield ear
    finally:
        await ear.close()


async def next_of(ear: Ear) -> Heard:
    async with asyncio.timeout(2):
        return await ear.heard()


def candle(n: int, volume: float) -> list[object]:
    return [n * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, volume]


def trade(name: str, ts_ms: int, qty: float = 1.0) -> dict[str, Any]:
    return {"id": name, "timestamp": ts_ms, "price": 2.0, "amount": qty, "symbol": "A/USD"}


def test_last_word_on_each_candle_of_a_burst_is_heard() -> None:
    async def story() -> Heard:
        client = Client(has_candles=True)
        async with ear_of(client, "A/USD", "B/USD") as ear:
            cache = client.exchange.ohlcvs["A/USD"]["1m"]
            for row in (candle(0, 1.0), candle(0, 2.0), candle(1, 0.5)):
                cache.append(row)
            return await next_of(ear)

    heard = asyncio.run(story())
    assert heard.rows == {"A/USD": [(0, 1.0, 2.0, 0.5, 1.5, 2.0), (60_000, 1.0, 2.0, 0.5, 1.5, 0.5)]}
    assert (heard.connection, heard.begun) == (1, {})


def test_more_trades_in_a_burst_than_ccxt_remembers_all_count() -> None:
    async def story() -> Heard:
        client = Client(has_candles=False)
        async with ear_of(client, "A/USD") as ear:
            for n in range(5_000):
                client.exchange.trades["A/USD"].append(trade(str(n), 59_000 + n, 0.1))
            return await next_of(ear)

    heard = asyncio.run(story())
    assert heard.rows == {"A/USD": [(60_000, 2.0, 2.0, 2.0, 2.0, 400.0)]}
    assert heard.begun == {"A/USD": 60_000}


def test_trades_of_an_alias_are_heard_for_both_names_once() -> None:
    """Coinbase tells BTC/USDC as BTC/USD, and to a subscriber of both, twice."""

    async def story() -> tuple[Heard, set[str]]:
        client = Client(has_candles=False)
        async with ear_of(client, "A/USD", "A/USDC", "B/USD") as ear:
            for each in (trade("1", 0), trade("1", 0), trade("2", 60_000, 0.5), trade("2", 60_000, 0.5)):
                client.exchange.trades["A/USD"].append(each)
            return await next_of(ear), set(client.exchange.trades)

    heard, told = asyncio.run(story())
    row = (60_000, 2.0, 2.0, 2.0, 2.0, 0.5)
    assert heard.rows == {"A/USD": [row], "A/USDC": [row]}
    assert told == {"A/USD", "A/USDC", "B/USD"}


def test_new_connection_forgets_what_the_old_one_told() -> None:
    async def story() -> list[Heard]:
        client = Client(has_candles=False)
        async with ear_of(client, "A/USD") as ear:
            client.exchange.trades["A/USD"].append(trade("1", 0))
            first = await next_of(ear)
            client.exchange.trades["A/USD"].append(trade("2", 60_000))
            client.exchange.on_connected("another socket")
            client.exchange.trades["A/USD"].append(trade("3", 61_000))
            return [first, await next_of(ear)]

    first, second = asyncio.run(story())
    assert (first.connection, first.begun) == (1, {"A/USD": 0})
    assert (second.connection, second.rows, second.begun) == (2, {"A/USD": []}, {"A/USD": 60_000})


def test_lost_connection_is_counted_before_there_is_another() -> None:
    async def story() -> tuple[int, int]:
        client = Client(has_candles=True)
        client.refusal = ConnectionResetError("cannot write")
        async with ear_of(client, "A/USD") as ear:
            before = ear.connection
            await asyncio.sleep(0)
            return before, ear.connection

    assert asyncio.run(story()) == (1, 2)


def test_turnover_is_never_taken_for_volume() -> None:
    """Gate's stream has the turnover where ccxt looks for the volume, while its history has both."""
    told = {"t": 0, "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 99.0, "a": "7.5"}
    gate, other = (Client(venue, has_candles=True) for venue in ("gate", "okx"))
    for client, expected in ((gate, 7.5), (other, 99.0)):
        Ear(client, ["A/USD"], M)  # type: ignore[arg-type]
        assert client.exchange.parse_ohlcv(told)[-1] == expected


@pytest.mark.parametrize(
    ("has_candles", "wrong"),
    [(True, [0, 1.0, 2.0, None, 1.5, 1.0]), (True, [1, 1.0, 2.0, 0.5, 1.5, 1.0]), (False, {"id": "1", "price": 2.0})],
)
def test_wrong_word_is_refused_where_it_is_heard(has_candles: bool, wrong: Any) -> None:
    """Not inside ccxt, whose connection would stand still after it."""

    async def story() -> None:
        client = Client(has_candles=has_candles)
        async with ear_of(client, "A/USD") as ear:
            tap = client.exchange.ohlcvs["A/USD"]["1m"] if has_candles else client.exchange.trades["A/USD"]
            tap.append({"timestamp": None, "amount": None} | wrong if isinstance(wrong, dict) else wrong)
            await next_of(ear)

    with pytest.raises(SchemaMismatch):
        asyncio.run(story())


def test_refused_subscription_is_told_to_who_listens() -> None:
    async def story() -> bool:
        client = Client(has_candles=True)
        client.refusal = SymbolGone("never heard of it")
        async with ear_of(client, "A/USD") as ear:
            with pytest.raises(SymbolGone):
                await next_of(ear)
            return ear.is_deaf

    assert asyncio.run(story())


@pytest.mark.parametrize(
    ("has", "calls"),
    [
        ({"watchOHLCV": True, "watchOHLCVForSymbols": True}, ["watch_ohlcv_for_symbols"]),
        ({"watchOHLCV": True}, ["watch_ohlcv", "watch_ohlcv"]),
        ({"watchTradesForSymbols": True}, ["watch_trades_for_symbols"]),
        ({"watchTrades": True}, ["watch_trades", "watch_trades"]),
    ],
)
def test_subscribes_together_where_the_venue_can(has: dict[str, bool], calls: list[str]) -> None:
    async def story() -> list[object]:
        client = Client(has_candles=True)
        client.exchange.has = has
        async with ear_of(client, "A/USD", "B/USD"):
            await asyncio.sleep(0)
            return [call[0] for call in client.calls]

    assert asyncio.run(story()) == calls
