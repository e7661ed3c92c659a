"""From weights to orders that a venue takes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.unit.trading.makes import LIMITS, market

from heliograph.config.settings import RiskSettings
from heliograph.trading.targets import Trade, towards

SPOT = market(qty_step=Decimal("0.1"), min_notional_quote=Decimal(50))
SWAP = market(kind="swap", qty_step=Decimal("0.1"), min_notional_quote=Decimal(50))


def plan(weight, position="0", *, equity="1000", price="100", of=SPOT, limits=LIMITS):
    return towards(weight, Decimal(position), Decimal(equity), Decimal(price), of, limits)


@pytest.mark.parametrize(
    ("weight", "position", "trade"),
    [
        (0.25, "0", Trade("buy", Decimal("2.5"), False)),
        (0.2599, "0", Trade("buy", Decimal("2.5"), False)),
        (-0.2599, "0", Trade("sell", Decimal("2.5"), False)),
        (0.1, "2.5", Trade("sell", Decimal("1.5"), True)),
        (0.0, "2.5", Trade("sell", Decimal("2.5"), True)),
        (0.0, "-2.5", Trade("buy", Decimal("2.5"), True)),
        (-0.25, "2.5", Trade("sell", Decimal("5.0"), False)),
        (0.25, "2.5", None),
    ],
)
def test_order_moves_the_position_to_the_weight(weight, position, trade):
    assert plan(weight, position) == trade


@pytest.mark.parametrize(("weight", "qty"), [(0.0499, None), (0.05, Decimal("0.5")), (0.06, Decimal("0.6"))])
def test_minimum_value_boundary(weight, qty):
    trade = plan(weight)
    assert (trade and trade.qty_base) == qty


def test_reduction_that_would_leave_dust_closes_instead():
    assert plan(0.04, "2.5") == Trade("sell", Decimal("2.5"), True)


def test_reduction_to_exactly_the_minimum_value_stays():
    assert plan(0.05, "2.5") == Trade("sell", Decimal("2.0"), True)


def test_nothing_to_do_is_no_order_even_without_a_minimum():
    assert plan(0.0001, of=market(qty_step=Decimal("0.1"), min_notional_quote=Decimal(0))) is None


def test_dust_can_be_closed_on_a_swap_and_stays_on_spot():
    assert plan(0.0, "0.3", of=SWAP) == Trade("sell", Decimal("0.3"), True)
    assert plan(0.0, "0.3", of=SPOT) is None


@pytest.mark.parametrize(("cap", "qty"), [(249.99, "2.4"), (250.0, "2.5"), (250.01, "2.5")])
def test_large_order_is_cut_to_a_slice(cap, qty):
    limits = RiskSettings(max_order_notional_quote=cap)
    assert plan(0.25, limits=limits) == Trade("buy", Decimal(qty), False)


def test_quantity_off_the_step_is_floored_not_sent():
    assert plan(0.0, "2.55") == Trade("sell", Decimal("2.5"), True)
