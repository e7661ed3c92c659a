"""What venues have listed, and what a backtest trades by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.trading import makes

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.wiring import catalogue


def test_a_market_that_is_listed_no_more_is_kept_as_closed(tmp_path: Path):
    lake, (btc, eth) = LakeSettings(uri=str(tmp_path)), map(makes.market, (makes.BTC, makes.ETH))
    catalogue.write(lake, "binance", [btc, eth])
    catalogue.write(lake, "binance", [eth])
    known = catalogue.read(lake, "binance")
    assert (known[makes.BTC], known[makes.ETH]) == (replace(btc, is_active=False), eth)
    catalogue.write(lake, "binance", [btc, eth])
    assert catalogue.read(lake, "binance") == {makes.BTC: btc, makes.ETH: eth}


def test_the_perpetuals_of_a_venue_leave_its_spot_markets_as_they_were(tmp_path: Path):
    lake, spot = LakeSettings(uri=str(tmp_path)), replace(makes.market(makes.BTC), venue="okx")
    perpetual = replace(spot, symbol="BTC/USDT:USDT", kind="swap")
    catalogue.write(lake, "okx", [spot])
    catalogue.write(lake, "okx", [perpetual])
    assert set(catalogue.read(lake, "okx").values()) == {spot, perpetual}


def test_a_market_that_has_closed_since_is_open_in_the_backtest(tmp_path: Path):
    lake, market = LakeSettings(uri=str(tmp_path)), makes.market(makes.BTC)
    catalogue.write(lake, market.venue, [replace(market, is_active=False)])
    assert catalogue.backtested(lake, [makes.BTC]) == {makes.BTC: market}


def test_a_market_that_no_listing_has_is_named(tmp_path: Path):
    lake, market = LakeSettings(uri=str(tmp_path)), makes.market(makes.BTC)
    catalogue.write(lake, market.venue, [market])
    with pytest.raises(ConfigError, match=r"no listing of GONE/USDT on binance.*leave it out of train\.symbols"):
        catalogue.backtested(lake, [makes.BTC, ("binance", "GONE/USDT")])
