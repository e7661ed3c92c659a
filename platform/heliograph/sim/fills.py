"""When and how a resting market order fills on a candle."""

from __future__ import annotations

from decimal import Decimal

from heliograph.config.settings import CostSettings
from heliograph.core.commands import SubmitOrder
from heliograph.core.events import CandleClosed, OrderFilled
from heliograph.sim.costs import fee_quote, slipped_price


def is_due(order: SubmitOrder, candle: CandleClosed) -> bool:
    """Whether the order was resting before the candle opened, so that the open is a price that it can have got.

    An order is never filled within the candle that it was decided on. Where a venue's candles are known some time
    after their close, the next candle has already opened when the order is made; the one after it fills the order.
    """
    return order.ts_ms <= candle.open_ts_ms


def fill_at_open(order: SubmitOrder, candle: CandleClosed, costs: CostSettings, tick: Decimal) -> OrderFilled:
    """The whole order at the candle's open, slippage and fee against us; the same order always has the same trade id."""
    price = slipped_price(Decimal(repr(candle.open)), order.side, costs.slippage_bps, tick)
    return OrderFilled(
        client_id=order.client_id,
        trade_id=f"{order.client_id}-1",
        venue=order.venue,
        symbol=order.symbol,
        side=order.side,
        qty_base=order.qty_base,
        price=price,
        fee_quote=fee_quote(order.qty_base * price, costs.fee_bps),
        ts_ms=candle.open_ts_ms,
    )
