"""Entries as canonical JSON."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import get_args

import numpy as np
import pytest
from tests.unit.trading.makes import candle, fill, forecast, order

from heliograph.core.commands import Command
from heliograph.core.errors import InvariantBroken
from heliograph.core.events import Event
from heliograph.live import codec


def test_every_event_and_command_has_a_place():
    assert set(codec._KINDS) == {kind.__name__ for kind in (*get_args(Event), *get_args(Command))}


def test_decimals_keep_their_trailing_zeros():
    back = codec.decode(codec.encode(fill(order(qty="1.500"))))
    assert str(back.qty_base) == "1.500"


def test_tuples_come_back_as_tuples():
    made = forecast(0, 0.01)
    back = codec.decode(codec.encode(made))
    assert back == made
    assert isinstance(back.quantile_HQ[0], tuple)


def test_text_is_the_same_whatever_made_it():
    one = order()
    assert codec.encode(one) == codec.encode(replace(one, qty_base=Decimal("1")))


def test_foreign_types_are_refused():
    with pytest.raises(TypeError, match="int64 has no place"):
        codec.encode(replace(candle(0, 1.0), open_ts_ms=np.int64(1)))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"type":"Nothing"}', '{"type":"Halt"}', '{"type":"Halt","reason":"a","ts_ms":1,"more":2}']
)
def test_text_that_is_no_entry_is_told(text):
    with pytest.raises(InvariantBroken, match="can't be read"):
        codec.decode(text)
