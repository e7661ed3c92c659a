"""What KuCoin really sent in April 2021: its list of pairs, read by unmodified ccxt, and candles of its sockets."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest

from heliograph.core.market import Market
from heliograph.core.timeframe import parse
from heliograph.sources import catalog
from heliograph.sources.rest import market_of
from heliograph.sources.rows import find

DIALECT = catalog.dialect("kucoin")


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> dict[str, Any]:
    with (shared_data / "recorded" / "KUCOIN.0").open() as lines:
        found: dict[str, Any] = orjson.loads(next(lines).partition(" -> ")[2].partition(": ")[2])
    return found


@pytest.fixture(scope="module")
def markets(pairs: dict[str, Any]) -> dict[str, Market]:
    """By the venue's own name: ccxt has other names for a few coins."""

    async def story() -> dict[str, Market]:
        exchange = ccxt.kucoin({"options": dict(DIALECT.options["spot"])})

        async def answer(url: str, *_: object) -> Any:
            return pairs if url.endswith("/symbols") else {"code": "200000", "data": []}

        exchange.fetch = answer
        try:
            listed = (await exchange.load_markets()).values()
            rules, mode = catalog.rules("kucoin"), exchange.precisionMode
            return {raw["id"]: market for raw in listed if (market := market_of(rules, raw, mode))}
        finally:
            await exchange.close()

    return asyncio.run(story())


def test_every_recorded_pair_is_a_market_with_exact_steps(pairs: dict[str, Any], markets: dict[str, Market]) -> None:
    assert len(markets) == len({m.symbol for m in markets.values()}) == len(pairs["data"]) == 634
    for pair in pairs["data"]:
        market = markets[pair["symbol"]]
        assert market.price_tick == Decimal(pair["priceIncrement"])
        assert market.qty_step == Decimal(pair["baseIncrement"])
        assert market.min_notional_quote == Decimal(pair["quoteMinSize"])
        assert market.is_active == pair["enableTrading"]
    assert sum(not market.is_active for market in markets.values()) == 1


def test_pushed_candles_read_as_those_of_the_history(shared_data: Path) -> None:
    """Both have the same columns: seconds, open, close, high, low, volume."""
    lines = (shared_data / "recorded" / "KUCOIN.ws.1.0").read_text().splitlines()
    pushes = [orjson.loads(line.partition(": ")[2]) for line in lines if '"subject":"trade.candles' in line]
    rows = find(orjson.dumps({"data": [push["data"]["candles"] for push in pushes]}).decode())
    assert rows is not None
    candles = rows.candles(DIALECT.layouts["spot"])
    assert len(candles) == len(pushes) == 6
    assert (candles.high >= candles.open).all()
    assert (candles.high >= candles.close).all()
    assert (candles.low <= candles.open).all()
    assert (candles.low <= candles.close).all()
    assert (candles.open_ts_ms % parse("1m").ms == 0).all()
    turnover = [float(push["data"]["candles"][6]) for push in pushes]
    assert (candles.volume * candles.low <= [x * 1.000001 for x in turnover]).all()
    assert (candles.volume * candles.high >= [x * 0.999999 for x in turnover]).all()
