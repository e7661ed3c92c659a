"""The last word before an order leaves: each control has a reject code and one boundary."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from heliograph.config.settings import RiskSettings
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.core.market import Market
from heliograph.core.timeframe import parse
from heliograph.trading.ledger import EXACT, ZERO
from heliograph.trading.orders import worst_case_base
from heliograph.trading.targets import Trade

_PRICES = (1e-18, 1e18)
_LARGEST_LOG_RETURN = 10.0  # a factor of 22,000 within a horizon is a fault, not a forecast


class Code(StrEnum):
    """Why something was not traded on."""

    UNSOUND = "unsound"
    STALE_DATA = "stale_data"
    NO_PRICE = "no_price"
    INACTIVE_MARKET = "inactive_market"
    HALTED = "halted"
    OPEN_ORDER = "open_order"
    ALREADY_DECIDED = "already_decided"
    MAX_ORDER_NOTIONAL = "max_order_notional"
    OFF_STEP = "off_step"
    MIN_NOTIONAL = "min_notional"
    REDUCE_ONLY = "reduce_only"
    SHORT_NOT_ALLOWED = "short_not_allowed"
    MAX_LEVERAGE = "max_leverage"
    UNKNOWN_ORDER = "unknown_order"


def refuse_candle(candle: CandleClosed) -> Code | None:
    """A candle whose close is no price marks nothing."""
    return None if _PRICES[0] < candle.close < _PRICES[1] else Code.UNSOUND


def refuse_forecast(forecast: ForecastMade, marked_ts_ms: int | None, now_ms: int, limits: RiskSettings) -> Code | None:
    """Whether a forecast may be acted on.

    Args:
        marked_ts_ms: when the market's newest candle became known; None where there was none.
        now_ms: newest time that the engine has seen on any market; a forecast, or the candle under it, that is more
            than ``stale_after_bars`` bars older is stale.
    """
    if not _is_sound(forecast):
        return Code.UNSOUND
    if marked_ts_ms is None:
        return Code.NO_PRICE
    oldest = min(forecast.known_ts_ms, marked_ts_ms)
    if now_ms - oldest > limits.stale_after_bars * parse(forecast.timeframe).ms:
        return Code.STALE_DATA
    return None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order that wants to leave, and what it would leave behind; it knows nothing of how the order was sized.

    Attributes:
        price: the market's mark, quote units.
        others_quote: worst-case gross value of all other markets, open orders counted as if filled.
    """

    trade: Trade
    market: Market
    price: Decimal
    position_base: Decimal
    others_quote: Decimal
    equity_quote: Decimal

    @property
    def notional_quote(self) -> Decimal:
        """Value of the order at the mark."""
        return self.trade.qty_base * self.price

    @property
    def signed_base(self) -> Decimal:
        """Quantity, negative for a sale."""
        return self.trade.qty_base if self.trade.side == "buy" else -self.trade.qty_base

    @property
    def after_base(self) -> Decimal:
        """The position once the order is filled."""
        return self.position_base + self.signed_base

    @property
    def worst_quote(self) -> Decimal:
        """Gross value of all markets in the worst case."""
        return self.others_quote + worst_case_base(self.position_base, self.signed_base) * self.price

    @property
    def grows(self) -> bool:
        """Whether the position would be larger than before, on either side."""
        return abs(self.after_base) > abs(self.position_base)


Control = Callable[[Proposal, RiskSettings], bool]

CONTROLS: Mapping[Code, Control] = {
    Code.UNSOUND: lambda p, _: not all(x.is_finite() and x > ZERO for x in (p.trade.qty_base, p.price)),
    Code.INACTIVE_MARKET: lambda p, _: not p.market.is_active,
    Code.OFF_STEP: lambda p, _: p.trade.qty_base % p.market.qty_step != ZERO,
    Code.MAX_ORDER_NOTIONAL: lambda p, limits: p.notional_quote > Decimal(repr(limits.max_order_notional_quote)),
    Code.MIN_NOTIONAL: lambda p, _: (
        p.notional_quote < p.market.min_notional_quote and not (p.trade.reduce_only and p.market.kind == "swap")
    ),
    Code.REDUCE_ONLY: lambda p, _: p.trade.reduce_only and (p.grows or p.after_base * p.position_base < ZERO),
    Code.SHORT_NOT_ALLOWED: lambda p, limits: not limits.allow_short and p.after_base < min(ZERO, p.position_base),
    Code.MAX_LEVERAGE: lambda p, limits: (
        p.grows and p.worst_quote > Decimal(repr(limits.max_leverage)) * p.equity_quote
    ),
}
"""Every pre-trade control, in the order in which they are asked; true means refused."""


def refuse_order(proposal: Proposal, limits: RiskSettings) -> Code | None:
    """The first control that refuses the order; None when it may leave."""
    return next((code for code, refuses in CONTROLS.items() if refuses(proposal, limits)), None)


def drawdown(equity_quote: Decimal, peak_quote: Decimal) -> float:
    """Share of its peak that equity has lost; 0 at the peak, over 1 in debt."""
    return float(1 - equity_quote / peak_quote)


def breach(equity_quote: Decimal, peak_quote: Decimal, limits: RiskSettings) -> str | None:
    """Why trading must halt: equity at or below the hard drawdown from its peak; None while it need not."""
    floor = peak_quote * (1 - Decimal(repr(limits.hard_drawdown)))
    if equity_quote > floor:
        return None
    return f"hard_drawdown: equity {equity_quote:.2f} fell from {peak_quote:.2f} to or below {floor:.2f}"


def gross_quote(exposures: Iterable[tuple[Decimal, Decimal, Decimal]]) -> Decimal:
    """Worst-case gross value of ``(position_base, left_base, price)`` of several markets; exact, so in any order."""
    total = ZERO
    for position, left, price in exposures:
        total = EXACT.add(total, EXACT.multiply(worst_case_base(position, left), price))
    return total


def _is_sound(forecast: ForecastMade) -> bool:
    """Every number that sizing reads is finite and within reason, quantiles never decrease, confidence lies in [0, 1]."""
    for row in forecast.quantile_HQ:
        if not all(abs(q) < _LARGEST_LOG_RETURN for q in row) or any(a > b for a, b in itertools.pairwise(row)):
            return False
    return all(0.0 <= c <= 1.0 for c in forecast.confidence_H)
