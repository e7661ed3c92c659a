"""The rules say what ccxt really does."""

from __future__ import annotations

import ccxt
import pytest

from heliograph.config.settings import CERTIFIED
from heliograph.core.calendars import GRIDS, grid
from heliograph.core.errors import ConfigError
from heliograph.core.market import Kind
from heliograph.core.timeframe import DAY_MS, TIMEFRAMES, parse
from heliograph.sources import catalog


def test_unknown_venue_names_those_spelled_alike() -> None:
    with pytest.raises(ConfigError, match="use kraken"):
        catalog.rules("karken")
    with pytest.raises(ConfigError, match=r"binance or .* or okx"):
        catalog.rules("zzz")


def test_kind_that_a_venue_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="bitstamp has no swap markets"):
        catalog.rules("bitstamp", "swap")


def test_settings_name_the_certified_venues() -> None:
    assert sorted(catalog.DIALECTS) == sorted(CERTIFIED)


@pytest.mark.parametrize(("venue", "kind"), catalog.RULES)
def test_every_timeframe_is_one_of_ours_and_of_the_venue(venue: str, kind: Kind) -> None:
    rules = catalog.rules(venue, kind)
    native = getattr(ccxt, venue)().timeframes
    assert (rules.venue, rules.kind) == (venue, kind)
    assert rules.pool.partition(":")[0] == venue
    assert set(rules.timeframes) <= set(TIMEFRAMES) & set(native)
    assert list(rules.timeframes) == sorted(rules.timeframes, key=lambda n: TIMEFRAMES[n].ms)
    assert rules.weight_per_page <= rules.weight_limit


def test_bars_that_are_not_right_are_left_out() -> None:
    assert "3d" not in catalog.rules("binance").timeframes
    assert "8h" not in catalog.rules("okx").timeframes
    assert "1w" not in catalog.rules("bitstamp").timeframes, "ccxt asks it for three days"


def test_weeks_of_the_epoch_open_on_thursday_and_days_of_hong_kong_at_16_utc() -> None:
    assert grid("hyperliquid", "1w").floor(10 * DAY_MS) == 7 * DAY_MS
    assert grid("htx", "1d").floor(DAY_MS) == DAY_MS - 8 * 3_600_000
    assert grid("htx", "1M").next(-8 * 3_600_000) == 31 * DAY_MS - 8 * 3_600_000
    assert grid("binance", "1d") is parse("1d")
    assert all(name in TIMEFRAMES for _, name in GRIDS)


def test_any_other_exchange_of_ccxt_is_known_but_not_certified() -> None:
    rules = catalog.rules("bitvavo")
    assert not rules.is_certified
    assert not rules.seeks_first
    assert "1m" in rules.timeframes
    assert "3d" not in rules.timeframes


def test_exchange_without_candles_is_refused() -> None:
    without = next(v for v in ccxt.exchanges if not getattr(ccxt, v)().has.get("fetchOHLCV"))
    with pytest.raises(ConfigError, match="gives no candles"):
        catalog.rules(without)
