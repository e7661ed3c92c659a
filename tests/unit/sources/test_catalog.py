"""The rules say what ccxt really does."""

from __future__ import annotations

import asyncio

import ccxt.async_support
import pytest

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import TIMEFRAMES
from heliograph.sources import catalog


def test_unknown_venue_names_those_spelled_alike() -> None:
    with pytest.raises(ConfigError, match="use kraken"):
        catalog.rules("karken")
    with pytest.raises(ConfigError, match="binance or kraken or okx"):
        catalog.rules("zzz")


@pytest.mark.parametrize("venue", catalog.RULES)
def test_every_timeframe_is_one_of_ours_and_of_the_venue(venue: str) -> None:
    rules = catalog.rules(venue)
    native = getattr(ccxt.async_support, venue)().timeframes
    assert rules.venue == venue
    assert set(rules.timeframes) <= set(TIMEFRAMES) & set(native)
    assert list(rules.timeframes) == sorted(rules.timeframes, key=lambda n: TIMEFRAMES[n].ms)


def test_bars_that_are_not_on_our_grid_are_left_out() -> None:
    assert "3d" not in catalog.rules("binance").timeframes
    assert "1w" not in catalog.rules("kraken").timeframes
    assert "8h" not in catalog.rules("okx").timeframes


@pytest.mark.parametrize("venue", catalog.RULES)
def test_weight_of_a_page_is_what_ccxt_tells_the_throttle(venue: str) -> None:
    """Nothing is sent: the throttle itself ends the call."""

    class Told(Exception):
        pass

    async def story() -> float:
        exchange = getattr(ccxt.async_support, venue)({"enableRateLimit": True})
        costs: list[float] = []

        async def throttle(cost: float) -> None:
            costs.append(cost)
            raise Told

        exchange.throttle = throttle
        market = {
            "id": "X",
            "symbol": "X/Y",
            "spot": True,
            "option": False,
            "linear": None,
            "inverse": None,
            "type": "spot",
        }
        exchange.markets = exchange.markets_by_id = {"X/Y": market}
        exchange.market = lambda _: market
        with pytest.raises(Told):
            await exchange.fetch_ohlcv("X/Y", "1h", 0, catalog.rules(venue).page_limit)
        await exchange.close()
        return costs[0]

    assert asyncio.run(story()) == catalog.rules(venue).weight_per_page
