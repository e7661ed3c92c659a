"""What the engine wants done: the only output of the trading engine."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from heliograph.core.events import Side


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """Send one market order.

    Attributes:
        client_id: deterministic; the same intent always has the same id, so that sending it twice is harmless.
        qty_base: positive, a multiple of the market's step.
        reference_price: last close that the decision saw, quote units.
        reduce_only: the order may shrink a position, never grow or flip it.
    """

    client_id: str
    venue: str
    symbol: str
    side: Side
    qty_base: Decimal
    reference_price: Decimal
    reduce_only: bool
    ts_ms: int


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Take back what is left of an order."""

    client_id: str
    venue: str
    symbol: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop trading until a person looks."""

    reason: str
    ts_ms: int


Command = SubmitOrder | CancelOrder | Halt
