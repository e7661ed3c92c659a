"""Markets that training can learn little from are told by name."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from tests.unit.train import makes

from heliograph.train import dataset
from heliograph.windows.sample import SymbolData


def newest(data: SymbolData, bars: int) -> SymbolData:
    arrays = {f.name: getattr(data, f.name)[-bars:] for f in fields(data) if f.name not in ("venue", "symbol")}
    return replace(data, **arrays)


def test_markets_that_move_raise_no_doubt():
    assert dataset.doubts(makes.world("volatility"), makes.spec()) == ()


def test_market_of_a_few_bars_is_told_and_those_beside_it_are_not():
    first, second = makes.world("walk")
    (told,) = dataset.doubts([first, newest(second, makes.MODEL.window_bars - 1)], makes.spec())
    assert told.startswith(f"{second.symbol} has 7 bars and no window of 8 with a value of every feature: nothing is")


def test_market_whose_feature_has_no_value_is_told():
    first, second = makes.world("walk")
    second.x_NF[:, 1] = np.nan
    (told,) = dataset.doubts([first, second], makes.spec())
    assert told.startswith(f"{second.symbol} has 4000 bars and no window")


def test_market_that_stands_still_is_told():
    first, second = makes.world("walk")
    second.x_NF[:, 0] *= 1e-7
    (told,) = dataset.doubts([first, second], makes.spec())
    assert told.startswith(f"the price of {second.symbol} stands still at most of its windows")
