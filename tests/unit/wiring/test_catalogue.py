"""The listings that a backtest trades by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.trading import makes

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.wiring import catalogue


def test_a_market_that_has_closed_since_is_open_in_the_backtest(tmp_path: Path):
    lake, market = LakeSettings(uri=str(tmp_path)), makes.market(makes.BTC)
    catalogue.write(lake, market.venue, [replace(market, is_active=False)])
    assert catalogue.backtested(lake, [makes.BTC]) == {makes.BTC: market}


def test_a_market_that_no_listing_has_is_named(tmp_path: Path):
    lake, market = LakeSettings(uri=str(tmp_path)), makes.market(makes.BTC)
    catalogue.write(lake, market.venue, [market])
    with pytest.raises(ConfigError, match=r"no listing of GONE/USDT on binance.*leave it out of train\.symbols"):
        catalogue.backtested(lake, [makes.BTC, ("binance", "GONE/USDT")])
