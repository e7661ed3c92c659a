"""What the settings mean, and what a wrong name is told."""

from __future__ import annotations

import pytest

from heliograph.config.settings import Selection
from heliograph.core.errors import ConfigError
from heliograph.ingest import select
from heliograph.testing import fakes

BINANCE = (
    fakes.rules(venue="binance"),
    [fakes.market(s, venue="binance") for s in ("BTC/USDT", "ETH/USDT", "ETH/BTC")],
)
KRAKEN = (fakes.rules(venue="kraken", timeframes=("1h",)), [fakes.market("BTC/USD", venue="kraken")])
OFFERS = [BINANCE, KRAKEN]


def _names(selection: Selection) -> list[tuple[str, str]]:
    return [(m.symbol, t.name) for m, t in select.matches(*BINANCE, selection)]


def test_globs_choose_symbols_and_timeframes() -> None:
    assert _names(Selection(symbols=("*/USDT",), timeframes=("1h",))) == [("BTC/USDT", "1h"), ("ETH/USDT", "1h")]
    assert _names(Selection(venues=("k*",))) == []
    assert len(_names(Selection(timeframes=("*",)))) == 3 * 4


def test_unknown_symbol_is_told_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"no symbol on binance matches 'BTC/USDX'.*BTC/USDT"):
        select.require_matches(OFFERS, [Selection(venues=("binance",), symbols=("BTC/USDX",))])


def test_unknown_venue_is_told_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"no venue matches 'binnance'.*binance"):
        select.require_matches(OFFERS, [Selection(venues=("binnance",))])


def test_symbol_need_stand_on_one_venue_only() -> None:
    select.require_matches(OFFERS, [Selection(symbols=("BTC/USD",))])


def test_named_venue_must_have_the_timeframe_and_a_glob_need_not() -> None:
    select.require_matches(OFFERS, [Selection(timeframes=("1d",))])
    with pytest.raises(ConfigError, match=r"no timeframe on kraken matches '1d'.*1h"):
        select.require_matches(OFFERS, [Selection(venues=("kraken", "binance"), timeframes=("1d",))])
    with pytest.raises(ConfigError, match="no timeframe matches '3d'"):
        select.require_matches([KRAKEN], [Selection(timeframes=("3d",))])


def test_timeframe_that_is_named_and_not_native_is_fetched_as_its_base() -> None:
    select.require_matches(OFFERS, [Selection(venues=("binance",), timeframes=("3d",))])
    assert _names(Selection(symbols=("BTC/USDT",), timeframes=("3d", "1h"))) == [("BTC/USDT", "1m"), ("BTC/USDT", "1h")]
    assert list(select.matches(*KRAKEN, Selection(timeframes=("3d",)))) == []


def test_timeframes_stand_on_the_venues_own_grid() -> None:
    gate = fakes.rules(venue="gate", timeframes=("1w",))
    ((_, week),) = select.matches(gate, [fakes.market("BTC/USDT", venue="gate")], Selection(timeframes=("1w",)))
    assert week.offset_ms == 0


def test_selection_of_other_data_wants_no_candles() -> None:
    assert _names(Selection(data=("trades",))) == []


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*", ["spot", "swap"]),
        ("*/USDT", ["spot"]),
        ("BTC/USDT", ["spot"]),
        ("*/USDT:USDT", ["swap"]),
        ("BTC/*", ["spot", "swap"]),
        ("*:*", ["swap"]),
        ("[AB]*/USD[TC]", ["spot", "swap"]),
    ],
)
def test_only_kinds_whose_symbols_can_match_are_asked_for(glob: str, expected: list[str]) -> None:
    assert select.kinds("okx", ["spot", "swap"], [Selection(symbols=(glob,))]) == expected
    assert select.kinds("okx", ["spot", "swap"], [Selection(venues=("gate",), symbols=(glob,))]) == []
