"""The life of an order as a table, and the book of all orders.

    SUBMITTED → ACCEPTED → PARTIALLY_FILLED → FILLED
        │           │              └────────→ CANCELLED (late fills are still booked)
        └───────────┴→ REJECTED

SUBMITTED means that the order was sent, or was about to be: its outcome is unknown until the venue speaks, however long
that takes. Nothing here turns silence into a refusal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from heliograph.core.commands import SubmitOrder
from heliograph.core.errors import InvariantBroken
from heliograph.core.events import OrderAccepted, OrderCancelled, OrderFilled, OrderRejected
from heliograph.trading.ledger import EXACT, ZERO, Key
from heliograph.trading.persistent import ShardedMap

OrderEvent = OrderAccepted | OrderRejected | OrderCancelled | OrderFilled


class Phase(StrEnum):
    """Where an order stands."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


OPEN = frozenset({Phase.SUBMITTED, Phase.ACCEPTED, Phase.PARTIALLY_FILLED})

TABLE: Mapping[tuple[Phase, type[OrderEvent]], Phase] = {
    (Phase.SUBMITTED, OrderAccepted): Phase.ACCEPTED,
    (Phase.SUBMITTED, OrderRejected): Phase.REJECTED,
    (Phase.SUBMITTED, OrderCancelled): Phase.CANCELLED,
    (Phase.SUBMITTED, OrderFilled): Phase.PARTIALLY_FILLED,
    (Phase.ACCEPTED, OrderAccepted): Phase.ACCEPTED,
    (Phase.ACCEPTED, OrderRejected): Phase.REJECTED,
    (Phase.ACCEPTED, OrderCancelled): Phase.CANCELLED,
    (Phase.ACCEPTED, OrderFilled): Phase.PARTIALLY_FILLED,
    (Phase.PARTIALLY_FILLED, OrderAccepted): Phase.PARTIALLY_FILLED,
    (Phase.PARTIALLY_FILLED, OrderCancelled): Phase.CANCELLED,
    (Phase.PARTIALLY_FILLED, OrderFilled): Phase.PARTIALLY_FILLED,
    (Phase.FILLED, OrderAccepted): Phase.FILLED,
    (Phase.FILLED, OrderCancelled): Phase.FILLED,
    (Phase.CANCELLED, OrderAccepted): Phase.CANCELLED,
    (Phase.CANCELLED, OrderCancelled): Phase.CANCELLED,
    (Phase.CANCELLED, OrderRejected): Phase.CANCELLED,
    (Phase.CANCELLED, OrderFilled): Phase.CANCELLED,
    (Phase.REJECTED, OrderAccepted): Phase.REJECTED,
    (Phase.REJECTED, OrderRejected): Phase.REJECTED,
    (Phase.REJECTED, OrderCancelled): Phase.REJECTED,
}
"""Every legal step. A fill that completes the quantity ends in FILLED whatever the table says. News may come late and in
any order, so an acknowledgement, a cancellation or a refusal after the end changes nothing. What is not in it are fills
of a refused order, refusals of a filled one, and fills beyond the quantity: they contradict what the venue said before."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order and all that is known of it.

    Attributes:
        story: its events in the order in which they came, each once.
    """

    intent: SubmitOrder
    phase: Phase = Phase.SUBMITTED
    filled_base: Decimal = ZERO
    story: tuple[OrderEvent, ...] = ()

    @property
    def left_base(self) -> Decimal:
        """What may still be executed, signed: positive for a buy; zero once the order is over."""
        if self.phase not in OPEN:
            return ZERO
        left = EXACT.subtract(self.intent.qty_base, self.filled_base)
        return left if self.intent.side == "buy" else EXACT.minus(left)


@dataclass(frozen=True, slots=True)
class OrderBook:
    """All orders of one engine.

    Attributes:
        orders: by client id.
        open_ids: the one open order of each market that has one.
        decided_ms: when the newest intent of each market was made; no market gets two in one bar.
        foreign: fills of orders that this engine never sent, by client id and trade id.
    """

    orders: ShardedMap[Order] = field(default_factory=ShardedMap)
    open_ids: Mapping[Key, str] = field(default_factory=dict)
    decided_ms: Mapping[Key, int] = field(default_factory=dict)
    foreign: Mapping[tuple[str, str], OrderFilled] = field(default_factory=dict)

    def open_order(self, key: Key) -> Order | None:
        """The market's open order."""
        client_id = self.open_ids.get(key)
        return None if client_id is None else self.orders[client_id]


def client_id(epoch: int, venue: str, symbol: str, ts_ms: int, number: int = 0) -> str:
    """The id of an intent: 32 lower-case letters and digits, valid on Binance (≤ 36) and OKX (≤ 32, alphanumeric).

    Args:
        epoch: of the lease under which the intent is made.
        ts_ms: when the bar that it answers became known.
        number: of the intent within the bar.

    >>> client_id(1, "binance", "BTC/USDT", 0) == client_id(1, "binance", "BTC/USDT", 0)
    True
    """
    text = f"{epoch}|{venue}|{symbol}|{ts_ms}|{number}"
    return "h" + hashlib.sha256(text.encode()).hexdigest()[:31]


def submitted(book: OrderBook, intent: SubmitOrder) -> OrderBook:
    """The book after an intent; the same intent again changes nothing.

    Raises:
        InvariantBroken: the market has an open order, or the id stands for another intent.
    """
    key = (intent.venue, intent.symbol)
    known = book.orders.get(intent.client_id)
    if known is not None:
        if known.intent != intent:
            raise InvariantBroken(f"one client id, two intents: {known.intent} and {intent}")
        return book
    if (rival := book.open_order(key)) is not None:
        raise InvariantBroken(f"{intent} while another order is open; its story: {tell(rival)}")
    return OrderBook(
        book.orders.set(intent.client_id, Order(intent)),
        {**book.open_ids, key: intent.client_id},
        {**book.decided_ms, key: intent.ts_ms},
        book.foreign,
    )


def is_new(book: OrderBook, event: OrderEvent) -> bool:
    """False for news that is already in the book; a fill is told by its trade id.

    Raises:
        InvariantBroken: the same trade id with another quantity, price or side.
    """
    order = book.orders.get(event.client_id)
    if not isinstance(event, OrderFilled):
        return order is None or event not in order.story
    if order is None:
        before = book.foreign.get((event.client_id, event.trade_id))
    else:
        fills = (e for e in order.story if isinstance(e, OrderFilled))
        before = next((e for e in fills if e.trade_id == event.trade_id), None)
    if before is None:
        return True
    if (before.side, before.qty_base, before.price) != (event.side, event.qty_base, event.price):
        raise InvariantBroken(f"one trade id, two fills: {before} and {event}")
    return False


def advanced(book: OrderBook, event: OrderEvent) -> OrderBook:
    """The book after news of one of its orders, which must be new (`is_new`).

    Raises:
        InvariantBroken: the news contradicts the order's story, which the message tells.
    """
    order = book.orders[event.client_id]
    intent, filled, phase = order.intent, order.filled_base, TABLE.get((order.phase, type(event)))
    if phase is None:
        raise InvariantBroken(f"{event} cannot follow; the order's story: {tell(order)}")
    if isinstance(event, OrderFilled):
        if (event.venue, event.symbol, event.side) != (intent.venue, intent.symbol, intent.side):
            raise InvariantBroken(f"{event} is of another market or side; the order's story: {tell(order)}")
        filled = EXACT.add(filled, event.qty_base)
        if filled > intent.qty_base:
            raise InvariantBroken(f"{event} fills more than was ordered; the order's story: {tell(order)}")
        phase = Phase.FILLED if filled == intent.qty_base else phase
    moved = Order(intent, phase, filled, (*order.story, event))
    open_ids = book.open_ids
    if phase not in OPEN and open_ids.get((intent.venue, intent.symbol)) == intent.client_id:
        open_ids = {key: of for key, of in open_ids.items() if of != intent.client_id}
    return replace(book, orders=book.orders.set(intent.client_id, moved), open_ids=open_ids)


def foreign_fill(book: OrderBook, fill: OrderFilled) -> OrderBook:
    """The book after a fill of an order that it does not know."""
    return replace(book, foreign={**book.foreign, (fill.client_id, fill.trade_id): fill})


def worst_case_base(position_base: Decimal, left_base: Decimal) -> Decimal:
    """Largest absolute position that can come of a position and what is left of its open order.

    >>> worst_case_base(Decimal(3), Decimal(-5)), worst_case_base(Decimal(3), Decimal(2))
    (Decimal('3'), Decimal('5'))
    """
    return max(abs(position_base), abs(position_base + left_base))


def tell(order: Order) -> str:
    """The order's story in one line."""
    return " → ".join([f"{order.phase}, {order.filled_base} filled", repr(order.intent), *map(repr, order.story)])
