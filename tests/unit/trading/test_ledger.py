"""Double entry, average cost, exact decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.unit.trading.makes import BTC, fill, order

from heliograph.trading import ledger as books


def booked(*trades):
    ledger = books.opened(Decimal(1000))
    for number, (side, qty, price, fee) in enumerate(trades):
        ledger = books.filled(ledger, fill(order(side, qty), price=price, fee=fee, trade=str(number)))
        assert books.is_balanced(ledger)
    return ledger


def test_buying_turns_cash_into_inventory_at_cost():
    ledger = booked(("buy", "2", "100", "1"))
    assert ledger.cash_quote == Decimal(799)
    assert ledger.balance_quote[BTC] == Decimal(200)
    assert ledger.fees_quote == Decimal(1)
    assert books.average_price(ledger, BTC) == Decimal(100)


def test_average_cost_moves_when_adding_and_stays_when_reducing():
    ledger = booked(("buy", "1", "100", "0"), ("buy", "1", "110", "0"), ("sell", "1", "120", "0"))
    assert books.average_price(ledger, BTC) == Decimal(105)
    assert ledger.realised_quote == Decimal(15)


def test_short_earns_when_the_price_falls():
    ledger = booked(("sell", "2", "100", "0"), ("buy", "1", "90", "0"))
    assert ledger.realised_quote == Decimal(10)
    assert books.position_base(ledger, BTC) == Decimal(-1)
    assert books.average_price(ledger, BTC) == Decimal(100)
    assert books.equity_quote(ledger, {BTC: Decimal(95)}) == Decimal(1000) + 10 + 5


def test_flip_realises_the_old_side_and_opens_the_new_at_the_fill():
    ledger = booked(("buy", "1", "100", "0"), ("sell", "3", "110", "0"))
    assert ledger.realised_quote == Decimal(10)
    assert books.position_base(ledger, BTC) == Decimal(-2)
    assert books.average_price(ledger, BTC) == Decimal(110)


def test_flat_market_carries_no_cost_even_after_thirds():
    ledger = booked(
        ("buy", "3", "100.01", "0"), ("sell", "1", "99", "0"), ("sell", "1", "101", "0"), ("sell", "1", "98", "0")
    )
    assert ledger.balance_quote[BTC] == 0
    assert books.average_price(ledger, BTC) is None
    assert ledger.realised_quote == Decimal("298") - Decimal("300.03")


def test_released_cost_is_rounded_once_and_still_balances():
    ledger = booked(("buy", "3", "100", "0"), ("buy", "4", "33.33", "0"), ("sell", "1", "50", "0"))
    assert ledger.balance_quote[BTC] + Decimal(50) - ledger.realised_quote == Decimal("433.32")


def test_rebate_is_a_negative_fee():
    ledger = booked(("buy", "1", "100", "-0.5"))
    assert ledger.fees_quote == Decimal("-0.5")
    assert ledger.cash_quote == Decimal("900.5")


def test_equity_is_the_capital_plus_profit_less_fees():
    ledger = booked(("buy", "2", "100", "1"), ("sell", "1", "130", "1"))
    assert books.equity_quote(ledger, {BTC: Decimal(120)}) == Decimal(1000) + 30 + 20 - 2


def test_arithmetic_that_would_round_raises_instead():
    with pytest.raises(ArithmeticError):
        booked(("buy", "1." + "1" * 150, "1." + "3" * 150, "0"))


def test_a_ledger_with_a_cost_on_a_flat_market_is_not_balanced():
    ledger = booked(("buy", "1", "100", "0"))
    broken = books.Ledger(ledger.balance_quote, {}, ledger.debit_quote, ledger.credit_quote)
    assert not books.is_balanced(broken)
