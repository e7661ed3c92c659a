"""What Gate really sent in April 2021: its list of pairs, read by unmodified ccxt, and half a minute of its sockets."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest

from heliograph.core.market import Market
from heliograph.sources import catalog
from heliograph.sources.rest import market_of


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[dict[str, Any]]:
    with (shared_data / "recorded" / "GATEIO.0").open() as lines:
        found: list[dict[str, Any]] = orjson.loads(next(lines).partition(" -> ")[2].partition(": ")[2])
    return found


@pytest.fixture(scope="module")
def markets(pairs: list[dict[str, Any]]) -> dict[str, Market]:
    """By the venue's own name: ccxt has other names for a few coins."""

    async def story() -> dict[str, Market]:
        exchange = ccxt.gate({"options": dict(catalog.dialect("gate").options["spot"])})

        async def answer(url: str, *_: object) -> Any:
            return pairs if url.endswith("/spot/currency_pairs") else []

        exchange.fetch = answer
        try:
            listed = (await exchange.load_markets()).values()
            rules, mode = catalog.rules("gate"), exchange.precisionMode
            return {raw["id"]: market for raw in listed if (market := market_of(rules, raw, mode))}
        finally:
            await exchange.close()

    return asyncio.run(story())


@pytest.fixture(scope="module")
def pushes(shared_data: Path) -> list[dict[str, Any]]:
    lines = (shared_data / "recorded" / "GATEIO.ws.1.0").read_text().splitlines()
    return [orjson.loads(line.partition(": ")[2]) for line in lines if '"event":"update"' in line]


def test_every_recorded_pair_is_a_market_with_exact_steps(
    pairs: list[dict[str, Any]], markets: dict[str, Market]
) -> None:
    assert len(markets) == len({m.symbol for m in markets.values()}) == len(pairs) == 1_458
    for pair in pairs:
        market = markets[pair["id"]]
        assert market.price_tick == Decimal(1).scaleb(-pair["precision"])
        assert market.qty_step == Decimal(1).scaleb(-pair["amount_precision"])
        assert market.min_notional_quote == Decimal(pair.get("min_quote_amount", "0"))
        assert market.is_active == (pair["trade_status"] == "tradable")
    assert not all(market.is_active for market in markets.values())


def test_v_of_a_pushed_candle_is_its_turnover(pushes: list[dict[str, Any]]) -> None:
    """NEO/BTC traded twice in the minute, before the candle was pushed: quantity times price is what ``v`` says."""
    candle = next(p["result"] for p in pushes[::-1] if p["result"].get("n") == "1m_NEO_BTC")
    trades = [
        p["result"] for p in pushes if p["channel"] == "spot.trades" and p["result"]["currency_pair"] == "NEO_BTC"
    ]
    turnover = sum(Decimal(t["amount"]) * Decimal(t["price"]) for t in trades[:2])
    assert Decimal(candle["v"]) == turnover == Decimal("0.002943321")


def test_minute_without_a_trade_is_pushed_flat(pushes: list[dict[str, Any]]) -> None:
    quiet = [p["result"] for p in pushes if p["channel"] == "spot.candlesticks" and p["result"]["v"] == "0"]
    assert len(quiet) == 8
    assert all(len({candle[key] for key in "ohlc"}) == 1 for candle in quiet)
    assert catalog.rules("gate").fills_quiet
