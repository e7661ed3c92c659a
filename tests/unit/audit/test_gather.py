"""What a series is held against."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.audit.makes import HOUR, MINUTE, path, quoted

from heliograph.audit import derived, gather
from heliograph.core.calendars import grid
from heliograph.core.market import Candles
from heliograph.core.timeframe import parse
from heliograph.lake.coverage import Key

MINUTES = quoted(path(1_200), 1)
HOURS = derived.summed(MINUTES, HOUR)
HELD: dict[Key, Candles] = {
    ("binance", "1m", "BTC/USDT"): MINUTES,
    ("binance", "1h", "BTC/USDT"): HOURS,
    ("binance", "1h", "ETH/USDT"): HOURS,
    ("okx", "1h", "BTC/USDT:USDT"): HOURS,
    ("kraken", "1m", "BTC/USD"): MINUTES,
    ("kraken", "5m", "BTC/USD"): derived.summed(MINUTES, parse("5m")),
    ("kraken", "1h", "BTC/EUR"): HOURS,
    ("kraken", "1h", "ETH/BTC"): HOURS,
}


def found(key: Key, **options: bool) -> tuple[gather.Evidence, list[Key]]:
    asked: list[Key] = []

    def load(wanted: Key) -> Candles:
        asked.append(wanted)
        return HELD[wanted]

    return gather.evidence(key, HELD, load, **options), asked


def test_peers_are_the_same_asset_in_any_dollar_on_other_venues():
    evidence, asked = found(("binance", "1h", "BTC/USDT"))
    assert {k for k in asked if k[0] != "binance"} == {("okx", "1h", "BTC/USDT:USDT"), ("kraken", "5m", "BTC/USD")}
    assert len(evidence.peers) == 2


def test_a_peer_without_the_timeframe_is_resampled_from_its_longest_that_fits_less_the_cut_ends():
    evidence, _ = found(("binance", "1h", "BTC/USDT"))
    assert np.array_equal(evidence.peers[1].open_ts_ms, HOURS.open_ts_ms[1:-1])


def test_siblings_and_other_timeframes_are_the_venues_own():
    evidence, asked = found(("binance", "1h", "BTC/USDT"))
    assert ("binance", "1h", "ETH/USDT") in asked
    assert len(evidence.siblings) == 1
    assert [frame for frame, _ in evidence.others] == [MINUTE]


def test_only_peers_loads_nothing_of_the_venue_itself():
    evidence, asked = found(("binance", "1h", "BTC/USDT"), only_peers=True)
    assert {k[0] for k in asked} == {"okx", "kraken"}
    assert (evidence.siblings, evidence.others) == ([], [])


@pytest.mark.parametrize(
    ("finer", "frame", "fits"),
    [
        (("x", "1h"), ("htx", "1d"), True),
        (("x", "1d"), ("htx", "1d"), False),
        (("x", "1d"), ("x", "1w"), True),
        (("x", "1d"), ("x", "1M"), True),
        (("x", "3d"), ("x", "1w"), False),
        (("x", "1w"), ("kucoin", "1w"), False),
        (("x", "1d"), ("x", "1h"), False),
        (("x", "1M"), ("x", "1w"), False),
    ],
)
def test_a_timeframe_divides_another_only_on_the_same_grid(finer: tuple[str, str], frame: tuple[str, str], fits: bool):
    assert gather.divides(grid(*finer), grid(*frame)) is fits
