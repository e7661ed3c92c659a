"""Costs are always against us."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.sim.costs import fee_quote, slipped_price


def test_fee_is_rounded_up():
    assert fee_quote(Decimal("0.00001"), 5.0) == Decimal("0.00000001")
    assert fee_quote(Decimal(1000), 0.0) == 0


@pytest.mark.parametrize(("side", "price"), [("buy", "100.03"), ("sell", "99.97")])
def test_slippage_is_rounded_away_from_us(side, price):
    assert slipped_price(Decimal(100), side, 2.5, Decimal("0.01")) == Decimal(price)


@given(
    st.integers(1, 10**9).map(lambda n: Decimal(n) / 10**4),
    st.sampled_from(["buy", "sell"]),
    st.floats(0, 1000),
    st.sampled_from([Decimal("0.0001"), Decimal("0.01"), Decimal("0.5"), Decimal(10)]),
)
def test_price_is_never_better_than_the_open_and_always_on_the_tick(price, side, bps, tick):
    got = slipped_price(price, side, bps, tick)
    assert got % tick == 0
    assert got >= price if side == "buy" else got <= max(price, tick)
    assert got > 0
