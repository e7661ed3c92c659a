"""What a simulated trade costs: fee and slippage, always against us."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from heliograph.core.events import Side

_BPS = Decimal("1e-4")
_FEE_STEP = Decimal("1e-8")


def fee_quote(notional_quote: Decimal, fee_bps: float) -> Decimal:
    """Fee on a traded value, rounded up to 1e-8 quote units.

    >>> fee_quote(Decimal("1000"), 5.0)
    Decimal('0.50000000')
    """
    return (notional_quote * Decimal(repr(fee_bps)) * _BPS).quantize(_FEE_STEP, rounding=ROUND_CEILING)


def slipped_price(price: Decimal, side: Side, slippage_bps: float, tick: Decimal) -> Decimal:
    """``price`` worse by the slippage and rounded to the tick away from us; at least one tick.

    >>> slipped_price(Decimal("100"), "buy", 2.0, Decimal("0.1")), slipped_price(Decimal("100"), "sell", 2.0, Decimal("0.1"))
    (Decimal('100.1'), Decimal('99.9'))
    """
    share = Decimal(repr(slippage_bps)) * _BPS
    worse = price * (1 + share if side == "buy" else 1 - share)
    rounding = ROUND_CEILING if side == "buy" else ROUND_FLOOR
    return max(tick, (worse / tick).to_integral_value(rounding=rounding) * tick)
