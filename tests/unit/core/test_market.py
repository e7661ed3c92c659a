"""Candles as columns: sorted, each once, and refused when they are not."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from heliograph.core.errors import RateLimited, SchemaMismatch
from heliograph.core.market import Candles, slug, unslug
from heliograph.core.timeframe import parse

HOUR_MS = 3_600_000


def bars(*opens: int, close: float = 1.0) -> Candles:
    return Candles.of([[ts * HOUR_MS, 1.0, 2.0, 0.5, close, 3.0] for ts in opens])


def test_concat_sorts_and_the_later_part_wins_where_two_hold_the_same_bar():
    joined = Candles.concat([bars(3, 4), bars(1, 3, close=9.0)])
    assert (joined.open_ts_ms // HOUR_MS).tolist() == [1, 3, 4]
    assert joined.close.tolist() == [9.0, 9.0, 1.0]


def test_between_is_half_open():
    assert (bars(1, 2, 3, 4).between(2 * HOUR_MS, 4 * HOUR_MS).open_ts_ms // HOUR_MS).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (bars(2, 1), "is not after the bar before it"),
        (bars(1, 1), "is not after the bar before it"),
        (Candles.of([[HOUR_MS + 1, 1, 2, 0.5, 1, 3]]), "is off the 1h grid"),
        (bars(1, close=np.nan), "has a number that is not finite"),
    ],
)
def test_unsound_pages_are_refused_by_their_first_bad_bar(wrong: Candles, why: str):
    with pytest.raises(SchemaMismatch, match=why):
        wrong.require_sound(parse("1h"))


def test_empty_is_sound():
    Candles.empty().require_sound(parse("1m"))
    assert len(Candles.concat([])) == 0


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "1000SHIB/USDT:USDT"])
def test_slug_has_no_slash_and_comes_back(symbol: str):
    assert "/" not in slug(symbol)
    assert unslug(slug(symbol)) == symbol


def test_rate_limited_keeps_its_wait_across_processes():
    error = pickle.loads(pickle.dumps(RateLimited("slow down", retry_after_s=7.5)))
    assert (str(error), error.retry_after_s) == ("slow down", 7.5)
