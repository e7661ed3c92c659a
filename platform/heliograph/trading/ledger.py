"""Double-entry bookkeeping of fills: exact decimals, average-cost positions, long or short.

Every booking is a list of ``(account, amount)`` in the quote currency, debits positive and credits negative, whose sum
is exactly zero. Accounts: ``cash``, ``fees``, ``realised_pnl``, ``capital``, and one inventory account a market that
carries the position at cost (negative for a short).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

from heliograph.core.errors import InvariantBroken
from heliograph.core.events import OrderFilled

Key = tuple[str, str]
Account = str | Key

CASH, FEES, REALISED, CAPITAL = "cash", "fees", "realised_pnl", "capital"

ZERO = Decimal(0)
EXACT = Context(prec=200, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
"""Arithmetic that raises rather than rounds."""

_ROUNDED = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_COST_SCALE = Decimal("1e-18")  # released cost is rounded here once, then booked on both sides


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is owned and where it came from.

    Attributes:
        balance_quote: of every account, debit positive.
        qty_base: signed positions; a flat market has no entry.
        debit_quote, credit_quote: sums of all that was ever booked on either side.
        fills: how many fills were booked.
    """

    balance_quote: Mapping[Account, Decimal]
    qty_base: Mapping[Key, Decimal]
    debit_quote: Decimal
    credit_quote: Decimal
    fills: int = 0

    @property
    def cash_quote(self) -> Decimal:
        """Cash; negative when borrowed."""
        return self.balance_quote[CASH]

    @property
    def fees_quote(self) -> Decimal:
        """All fees paid, less rebates."""
        return self.balance_quote[FEES]

    @property
    def realised_quote(self) -> Decimal:
        """Profit of closed positions before fees."""
        return EXACT.minus(self.balance_quote[REALISED])


def opened(cash_quote: Decimal) -> Ledger:
    """A ledger whose only asset is cash."""
    empty = Ledger({CASH: ZERO, FEES: ZERO, REALISED: ZERO, CAPITAL: ZERO}, {}, ZERO, ZERO)
    return _booked(empty, ((CASH, cash_quote), (CAPITAL, EXACT.minus(cash_quote))))


def filled(ledger: Ledger, fill: OrderFilled) -> Ledger:
    """The ledger after one fill; the caller sees to it that each fill comes once.

    Closing releases average cost to realised profit; whatever goes beyond flat opens at the fill's price.
    """
    key = (fill.venue, fill.symbol)
    before, cost = position_base(ledger, key), ledger.balance_quote.get(key, ZERO)
    signed = fill.qty_base if fill.side == "buy" else EXACT.minus(fill.qty_base)
    closing = min(abs(before), fill.qty_base) if before * signed < 0 else ZERO
    released = _released(cost, closing, abs(before))
    opening = EXACT.subtract(fill.qty_base, closing).copy_sign(signed)
    value = EXACT.multiply(signed, fill.price)
    opened_cost = EXACT.multiply(opening, fill.price)
    entries: tuple[tuple[Account, Decimal], ...] = (
        (CASH, EXACT.minus(EXACT.add(value, fill.fee_quote))),
        (key, EXACT.subtract(opened_cost, released)),
        (REALISED, EXACT.add(EXACT.subtract(value, opened_cost), released)),
        (FEES, fill.fee_quote),
    )
    after = EXACT.add(before, signed)
    qty = {**ledger.qty_base, key: after}
    if not after:
        del qty[key]
    booked = _booked(ledger, entries)
    return Ledger(booked.balance_quote, qty, booked.debit_quote, booked.credit_quote, ledger.fills + 1)


def position_base(ledger: Ledger, key: Key) -> Decimal:
    """Signed position of a market, base units; zero when flat."""
    return ledger.qty_base.get(key, ZERO)


def average_price(ledger: Ledger, key: Key) -> Decimal | None:
    """Average price that the open position was entered at; None when flat."""
    qty = position_base(ledger, key)
    return _ROUNDED.divide(ledger.balance_quote[key], qty) if qty else None


def equity_quote(ledger: Ledger, mark_quote: Mapping[Key, Decimal]) -> Decimal:
    """Cash plus every position at its mark."""
    equity = ledger.cash_quote
    for key, qty in ledger.qty_base.items():
        equity = EXACT.add(equity, EXACT.multiply(qty, mark_quote[key]))
    return equity


def is_balanced(ledger: Ledger) -> bool:
    """Whether debits equal credits, all balances sum to zero, and no flat market carries a cost; exactly."""
    total = ZERO
    for amount in ledger.balance_quote.values():
        total = EXACT.add(total, amount)
    flat = all(
        not ledger.balance_quote[a] for a in ledger.balance_quote if isinstance(a, tuple) and a not in ledger.qty_base
    )
    return not total and flat and ledger.debit_quote == ledger.credit_quote


def _released(cost: Decimal, closing: Decimal, held: Decimal) -> Decimal:
    """The share of the position's cost that leaves with ``closing`` of ``held`` units."""
    if closing == held:
        return cost if closing else ZERO
    return _ROUNDED.quantize(_ROUNDED.divide(_ROUNDED.multiply(cost, closing), held), _COST_SCALE)


def _booked(ledger: Ledger, entries: tuple[tuple[Account, Decimal], ...]) -> Ledger:
    balances, debit, credit = dict(ledger.balance_quote), ZERO, ZERO
    for account, amount in entries:
        balances[account] = EXACT.add(balances.get(account, ZERO), amount)
        if amount > 0:
            debit = EXACT.add(debit, amount)
        else:
            credit = EXACT.subtract(credit, amount)
    if debit != credit:
        raise InvariantBroken(f"a booking does not balance: debit {debit}, credit {credit}, entries {entries}")
    return Ledger(
        balances,
        ledger.qty_base,
        EXACT.add(ledger.debit_quote, debit),
        EXACT.add(ledger.credit_quote, credit),
        ledger.fills,
    )
