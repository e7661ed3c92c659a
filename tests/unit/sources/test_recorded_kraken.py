"""What Kraken really sent: its pairs of 2021, read by unmodified ccxt."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.kraken import Kraken
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape
from heliograph.sources import catalog
from heliograph.sources.rest import market_of


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> dict[str, dict[str, Any]]:
    lines = (shared_data / "recorded" / "KRAKEN.0").read_text().splitlines()
    (call,) = (line for line in lines if "/0/public/AssetPairs ->" in line)
    found: dict[str, dict[str, Any]] = orjson.loads(call.partition(": ")[2])["result"]
    return {name: pair for name, pair in found.items() if not name.endswith(".d")}  # dark pools, which are no more


async def listed(pairs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """ccxt's markets of the recorded pairs; names of assets were not recorded."""
    exchange = ccxt.kraken()

    async def answer(url: str, *_: object, **__: object) -> Any:
        return {"error": [], "result": pairs if url.endswith("AssetPairs") else {}}

    exchange.fetch = answer
    try:
        return list((await exchange.load_markets()).values())
    finally:
        await exchange.close()


def test_every_recorded_pair_is_a_spot_market_with_its_ticks(pairs: dict[str, dict[str, Any]]) -> None:
    raw = asyncio.run(listed(pairs))
    markets = [market_of(catalog.rules("kraken"), each, ccxt.kraken().precisionMode) for each in raw]
    found = {m.symbol: m for m in markets if m is not None}
    assert len(pairs) - len(found) == 4, "two tokens called REP, each against four others, share their names in ccxt"
    assert len(found) > 250
    assert {"BTC/USD", "ETH/EUR", "DOGE/USD"} <= set(found)
    assert found["BTC/USD"].price_tick == Decimal("0.1")
    assert found["BTC/USD"].qty_step == Decimal("1E-8")


def test_local_pair_has_the_fields_of_a_recorded_one(pairs: dict[str, dict[str, Any]]) -> None:
    hours = Candles.of([[i * HOUR_MS, 1.5, 2.5, 0.5, 1.25, 3.125] for i in range(5)])
    venue = Kraken.of(Tape({"BTC/USDT": {"1h": hours}}, origin=""), VirtualClock(4 * HOUR_MS, 5 * HOUR_MS))
    body = orjson.loads(venue.answer(Request("api.kraken.com", "/0/public/AssetPairs", {})).body)
    (pair,) = body["result"].values()
    recorded = pairs["XBTUSDT"]
    assert set(recorded) <= set(pair)
    assert {name: type(value) for name, value in recorded.items()} == {name: type(pair[name]) for name in recorded}
