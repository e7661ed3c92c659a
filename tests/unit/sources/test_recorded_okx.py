"""What OKX really listed in May 2022, read by unmodified ccxt."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest

from heliograph.core.market import Kind, Market
from heliograph.sources import catalog
from heliograph.sources.rest import market_of


@pytest.fixture(scope="module")
def listings(shared_data: Path) -> dict[str, Any]:
    """The first recorded answer of each type."""
    found: dict[str, Any] = {}
    with (shared_data / "recorded" / "OKX.0").open() as lines:
        for line in lines:
            url, _, rest = line.partition(" -> ")
            kind = url.rpartition("instType=")[2]
            if kind in ("SPOT", "SWAP") and kind not in found:
                found[kind] = orjson.loads(rest.partition(": ")[2])
    return found


def markets(listings: dict[str, Any], kind: Kind) -> list[Market]:
    async def story() -> list[Market]:
        exchange = ccxt.okx({"options": dict(catalog.dialect("okx").options[kind])})
        asked: list[str] = []

        async def answer(url: str, *_: object) -> Any:
            asked.append(url)
            return listings[url.rpartition("instType=")[2]]

        exchange.fetch = answer
        try:
            listed = (await exchange.load_markets()).values()
            assert len(asked) == 1
            found = (market_of(catalog.rules("okx", kind), raw, exchange.precisionMode) for raw in listed if raw[kind])
            return [market for market in found if market is not None]
        finally:
            await exchange.close()

    return asyncio.run(story())


@pytest.mark.parametrize(("kind", "count"), [("spot", 513), ("swap", 166)])
def test_every_recorded_instrument_is_a_market(listings: dict[str, Any], kind: Kind, count: int) -> None:
    told = listings[kind.upper()]["data"]
    found = markets(listings, kind)
    assert len(found) == len({m.symbol for m in found}) == len(told) == count
    assert {m.kind for m in found} == {kind}
    assert all(m.is_active == (t["state"] == "live") for m, t in zip(found, told, strict=True))
    assert all(m.price_tick == Decimal(t["tickSz"]) for m, t in zip(found, told, strict=True))
    assert all(m.qty_step == Decimal(t["lotSz"]) for m, t in zip(found, told, strict=True))


def test_swaps_are_named_by_what_settles_them(listings: dict[str, Any]) -> None:
    found = {m.symbol: m for m in markets(listings, "swap")}
    assert found["BTC/USDT:USDT"].price_tick == Decimal("0.1")
    assert found["BTC/USDT:USDT"].listed_ts_ms == 1_611_916_828_000
    assert "BTC/USD:BTC" in found
