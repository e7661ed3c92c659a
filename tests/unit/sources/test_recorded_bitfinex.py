"""What Bitfinex really sent: its names of 2021, read by unmodified ccxt, and its candles of 2018."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import numpy as np
import orjson
import polars as pl
import pytest

from heliograph.core.market import Market
from heliograph.core.money import to_ticks
from heliograph.sources import catalog
from heliograph.sources.rest import market_of

SIZES = [None, None, None, "0.02", "5000.0", None, None, None, None, None, None, None]


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> dict[str, Any]:
    """The lists of its configuration, by label."""
    lines = (shared_data / "recorded" / "BITFINEX.0").read_text().splitlines()
    calls = (line.partition(" -> ") for line in lines if line.startswith("https:"))
    return {url.rpartition("/")[2]: orjson.loads(rest.partition(": ")[2])[0] for url, _, rest in calls}


@pytest.fixture(scope="module")
def listed(recorded: dict[str, Any]) -> list[dict[str, Any]]:
    """ccxt's markets of the recorded names; sizes, which were recorded nowhere, are the documented sample's."""
    lists = {
        "pub:info:pair": [[name, SIZES] for name in recorded["pub:list:pair:exchange"]],
        "pub:info:pair:futures": [[name, SIZES] for name in recorded["pub:list:pair:future"]],
        "pub:list:currency": recorded["pub:list:currency"],
    }

    async def story() -> list[dict[str, Any]]:
        exchange = ccxt.bitfinex()

        async def answer(url: str, *_: object, **__: object) -> Any:
            return [lists.get(label, []) for label in url.rpartition("/")[2].split(",")]

        exchange.fetch = answer
        try:
            return list((await exchange.load_markets()).values())
        finally:
            await exchange.close()

    return asyncio.run(story())


def markets(listed: list[dict[str, Any]], kind: Any) -> list[Market]:
    rules = catalog.rules("bitfinex", kind)
    found = (market_of(rules, raw, ccxt.bitfinex().precisionMode) for raw in listed if raw[kind])
    return [market for market in found if market is not None]


def test_every_recorded_name_is_a_market_of_its_kind(recorded: dict[str, Any], listed: list[dict[str, Any]]) -> None:
    spot, swaps = (markets(listed, kind) for kind in ("spot", "swap"))
    assert len(spot) == len(recorded["pub:list:pair:exchange"]) > 200
    assert len(swaps) == len(recorded["pub:list:pair:future"]) > 30
    assert {m.symbol for m in spot} >= {"BTC/USD", "BTC/USDT", "AAVE/USDT"}
    assert {m.symbol for m in swaps} >= {"BTC/USDT:USDT", "ETH/BTC:BTC"}
    assert len({m.symbol for m in spot + swaps}) == len(spot) + len(swaps)
    assert {m.price_tick for m in spot + swaps} == {Decimal("1E-8")}


@pytest.mark.parametrize(("symbol", "absent_pct"), [("BTC-USD", 1.1), ("ETH-USD", 3.4), ("XRP-USD", 7.1)])
def test_quiet_minutes_are_absent_from_its_candles(shared_data: Path, symbol: str, absent_pct: float) -> None:
    table = pl.read_parquet(shared_data / "candles" / "bitfinex" / symbol / "1m.parquet", columns=["ts", "volume"])
    minutes = int(table["ts"][-1] - table["ts"][0]) // 60_000 + 1
    assert round(100 * (1 - len(table) / minutes), 1) == absent_pct
    assert not (table["volume"] == 0).any()
    assert not catalog.rules("bitfinex").fills_quiet


def test_prices_have_up_to_8_decimals_whatever_the_market(shared_data: Path) -> None:
    """Orders have five significant digits; trades need not, so no coarser tick holds for candles."""
    table = pl.read_parquet(shared_data / "candles" / "bitfinex" / "BTC-USD" / "1m.parquet", columns=["high"])
    assert to_ticks(np.asarray(table["high"]))[1] == 8
