"""What Binance's perpetuals really sent in July 2021: their list, read by unmodified ccxt, and their klines."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest
from ccxt import pro

from heliograph.core.market import Market
from heliograph.sources import catalog
from heliograph.sources.rest import market_of


@pytest.fixture(scope="module")
def listing(shared_data: Path) -> dict[str, Any]:
    with (shared_data / "recorded" / "BINANCE_FUTURES.0").open() as lines:
        found: dict[str, Any] = orjson.loads(next(lines).partition(" -> ")[2].partition(": ")[2])
    return found


async def load(exchange: Any, listing: dict[str, Any]) -> list[Any]:
    async def answer(url: str, *_: object) -> Any:
        assert url.endswith("/fapi/v1/exchangeInfo")
        return listing

    exchange.fetch = answer
    return list((await exchange.load_markets()).values())


def test_every_recorded_perpetual_is_a_market(listing: dict[str, Any]) -> None:
    """Of 122 symbols two are quarterly futures, and one, not opened yet, has no type."""

    async def story() -> list[Market]:
        exchange = ccxt.binanceusdm()
        try:
            listed, rules = await load(exchange, listing), catalog.rules("binanceusdm", "swap")
            found = (market_of(rules, raw, exchange.precisionMode) for raw in listed if raw["swap"])
            return [market for market in found if market is not None]
        finally:
            await exchange.close()

    found = {market.symbol: market for market in asyncio.run(story())}
    perpetual = [s for s in listing["symbols"] if s["contractType"] == "PERPETUAL"]
    assert set(found) >= {f"{s['baseAsset']}/{s['quoteAsset']}:{s['marginAsset']}" for s in perpetual}
    assert (len(listing["symbols"]), len(perpetual), len(found)) == (122, 119, len(found))
    assert len(found) - len(perpetual) <= 1
    bitcoin = found["BTC/USDT:USDT"]
    assert (bitcoin.price_tick, bitcoin.qty_step) == (Decimal("0.01"), Decimal("0.001"))
    assert (bitcoin.min_notional_quote, bitcoin.listed_ts_ms) == (Decimal(5), 1_569_398_400_000)


def test_recorded_klines_are_heard_as_they_stand(shared_data: Path, listing: dict[str, Any]) -> None:
    lines = (shared_data / "recorded" / "BINANCE_FUTURES.ws.1.0").read_text().splitlines()
    events = [orjson.loads(line.partition(": ")[2])["data"] for line in lines if '"e":"kline"' in line]

    async def story() -> dict[str, Any]:
        exchange = pro.binanceusdm()
        try:
            await load(exchange, listing)
            socket = exchange.client("wss://fstream.binance.com/ws/0")
            for event in events:
                exchange.handle_message(socket, event)
            return {symbol: caches["1m"] for symbol, caches in exchange.ohlcvs.items()}
        finally:
            await exchange.close()

    heard = asyncio.run(story())
    assert len(events) == 67
    assert set(heard) == {f"{base}/USDT:USDT" for base in ("SUSHI", "AKRO", "KEEP", "CTK")}
    for event in events:
        newest = {(e["s"], e["k"]["t"]): e["k"] for e in events}[event["s"], event["k"]["t"]]
        symbol = event["s"].removesuffix("USDT") + "/USDT:USDT"
        row = next(row for row in heard[symbol] if row[0] == newest["t"])
        assert row[1:] == [float(newest[key]) for key in ("o", "h", "l", "c", "v")]
