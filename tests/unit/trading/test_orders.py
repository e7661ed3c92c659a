"""The life of an order as a table."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from tests.unit.trading.makes import BTC, accepted, fill, order

from heliograph.core.errors import InvariantBroken
from heliograph.core.events import OrderAccepted, OrderCancelled, OrderFilled, OrderRejected
from heliograph.trading import orders
from heliograph.trading.orders import Order, OrderBook, Phase

INTENT = order(qty="2")
NEWS = {
    OrderAccepted: accepted(INTENT),
    OrderRejected: OrderRejected(INTENT.client_id, 1, "no"),
    OrderCancelled: OrderCancelled(INTENT.client_id, 1),
    OrderFilled: fill(INTENT, "1", trade="new"),
}
PAIRS = list(product(Phase, NEWS))


def in_phase(phase):
    filled = {Phase.PARTIALLY_FILLED: Decimal(1), Phase.FILLED: Decimal(2), Phase.CANCELLED: Decimal(1)}.get(
        phase, Decimal(0)
    )
    book = orders.submitted(OrderBook(), INTENT)
    held = Order(INTENT, phase, filled)
    open_ids = book.open_ids if phase in orders.OPEN else {}
    return OrderBook(book.orders.set(INTENT.client_id, held), open_ids, book.decided_ms, {})


@pytest.mark.parametrize(("phase", "kind"), [p for p in PAIRS if p in orders.TABLE])
def test_legal_step_ends_where_the_table_says_or_filled(phase, kind):
    after = orders.advanced(in_phase(phase), NEWS[kind]).orders[INTENT.client_id]
    complete = kind is OrderFilled and after.filled_base == INTENT.qty_base
    assert after.phase == (Phase.FILLED if complete else orders.TABLE[(phase, kind)])
    assert after.story[-1] == NEWS[kind]


@pytest.mark.parametrize(("phase", "kind"), [p for p in PAIRS if p not in orders.TABLE])
def test_illegal_step_raises_with_the_orders_story(phase, kind):
    with pytest.raises(InvariantBroken, match=f"story: {phase}.*{INTENT.client_id}"):
        orders.advanced(in_phase(phase), NEWS[kind])


def test_only_contradictions_are_illegal():
    illegal = {p for p in PAIRS if p not in orders.TABLE}
    assert illegal == {
        (Phase.PARTIALLY_FILLED, OrderRejected),
        (Phase.FILLED, OrderRejected),
        (Phase.FILLED, OrderFilled),
        (Phase.REJECTED, OrderFilled),
    }


def test_silence_never_ends_an_order():
    book = orders.submitted(OrderBook(), INTENT)
    assert book.open_order(BTC).phase is Phase.SUBMITTED
    assert book.open_order(BTC).left_base == Decimal(2)


def test_late_fill_of_a_cancelled_order_is_booked_and_does_not_reopen_it():
    book = orders.advanced(orders.submitted(OrderBook(), INTENT), NEWS[OrderCancelled])
    book = orders.advanced(book, NEWS[OrderFilled])
    held = book.orders[INTENT.client_id]
    assert (held.phase, held.filled_base, held.left_base) == (Phase.CANCELLED, Decimal(1), Decimal(0))
    assert book.open_order(BTC) is None


def test_the_fill_that_completes_frees_the_market():
    book = orders.advanced(orders.submitted(OrderBook(), INTENT), fill(INTENT))
    assert book.open_ids == {}
    assert book.orders[INTENT.client_id].phase is Phase.FILLED


def test_overfill_raises():
    book = orders.submitted(OrderBook(), INTENT)
    orders.advanced(book, fill(INTENT, "2"))
    with pytest.raises(InvariantBroken, match="more than was ordered"):
        orders.advanced(book, fill(INTENT, "2.00001"))


def test_fill_of_another_side_raises():
    book = orders.submitted(OrderBook(), INTENT)
    wrong = fill(order("sell", "1", client_id=INTENT.client_id))
    with pytest.raises(InvariantBroken, match="another market or side"):
        orders.advanced(book, wrong)


def test_same_trade_id_is_the_same_fill():
    book = orders.advanced(orders.submitted(OrderBook(), INTENT), fill(INTENT, "1"))
    assert not orders.is_new(book, fill(INTENT, "1"))
    assert orders.is_new(book, fill(INTENT, "1", trade="2"))
    with pytest.raises(InvariantBroken, match="one trade id, two fills"):
        orders.is_new(book, fill(INTENT, "1", price="101"))


def test_same_intent_again_changes_nothing():
    book = orders.submitted(OrderBook(), INTENT)
    assert orders.submitted(book, INTENT) is book
    with pytest.raises(InvariantBroken, match="two intents"):
        orders.submitted(book, order(qty="3"))


def test_a_market_has_one_open_order_at_most():
    book = orders.submitted(OrderBook(), INTENT)
    with pytest.raises(InvariantBroken, match="another order is open"):
        orders.submitted(book, order(bar=1))


def test_client_id_is_valid_on_every_venue_and_says_who_when_and_what():
    ids = {
        orders.client_id(epoch, venue, symbol, ts, number)
        for epoch, venue, symbol, ts, number in product((1, 2), ("a", "b"), ("X/Y", "Z/Y"), (1, 2), (0, 1))
    }
    assert len(ids) == 32
    assert all(len(i) == 32 and i.isascii() and i.isalnum() and i[0].isalpha() for i in ids)


def test_client_id_never_changes_between_releases():
    assert orders.client_id(1, "binance", "BTC/USDT", 0) == "h380b7680d058cca043a2844c05c8428"


@pytest.mark.parametrize(
    ("position", "left", "worst"),
    [("0", "0", "0"), ("3", "2", "5"), ("3", "-2", "3"), ("3", "-7", "4"), ("-3", "-2", "5")],
)
def test_worst_case_counts_the_open_order_only_where_it_makes_things_worse(position, left, worst):
    assert orders.worst_case_base(Decimal(position), Decimal(left)) == Decimal(worst)
