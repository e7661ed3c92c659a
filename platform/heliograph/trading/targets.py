"""From a target weight to an order that the venue takes: steps, minimum value, slices; exact decimals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from heliograph.config.settings import RiskSettings
from heliograph.core.events import Side
from heliograph.core.market import Market
from heliograph.core.money import floor_to_step
from heliograph.trading.ledger import ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    """An order's side and size.

    Attributes:
        qty_base: positive, a multiple of the market's step.
        reduce_only: it shrinks the position and can't turn it.
    """

    side: Side
    qty_base: Decimal
    reduce_only: bool


def towards(
    weight: float, position_base: Decimal, equity_quote: Decimal, price: Decimal, market: Market, limits: RiskSettings
) -> Trade | None:
    """The order that brings a position to ``weight`` of equity, or None where no order is worth sending.

    - Sizes are cut toward zero to the market's step.
    - A reduction that would leave less than the venue's minimum value closes the position.
    - An order beyond `max_order_notional_quote` is cut to it; the next bar sends the next slice.
    - An order below the minimum value is sent only where venues take it: to reduce a swap. What is left of a spot
      position below the minimum stays.
    """
    wanted = floor_to_step(Decimal(repr(weight)) * equity_quote / price, market.qty_step)
    change = wanted - position_base
    reduce_only = change * position_base < 0 and abs(change) <= abs(position_base)
    if reduce_only and wanted and abs(wanted) * price < market.min_notional_quote:
        change = -position_base
    most = floor_to_step(Decimal(repr(limits.max_order_notional_quote)) / price, market.qty_step)
    qty = min(floor_to_step(abs(change), market.qty_step), most)
    exempt = reduce_only and market.kind == "swap"
    if qty <= ZERO or (qty * price < market.min_notional_quote and not exempt):
        return None
    return Trade("buy" if change > 0 else "sell", qty, reduce_only)
