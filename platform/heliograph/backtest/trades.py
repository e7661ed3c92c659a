"""Fills → round trips and one symbol's account, exact in decimals until the last line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from heliograph.backtest.result import Account, Fill, StreamKey, Trade
from heliograph.core.events import OrderFilled


@dataclass(slots=True)
class Book:
    """One market's running position; `take` is the only thing that changes it."""

    position_base: Decimal = Decimal(0)
    cash_quote: Decimal = Decimal(0)
    open_cash_quote: Decimal = Decimal(0)
    opened_ts_ms: int = 0
    trades: list[Trade] = field(default_factory=list)

    def take(self, fill: OrderFilled) -> None:
        """Book one fill; a fill that crosses zero closes one round trip and opens the next, its fee shared by quantity."""
        signed = fill.qty_base if fill.side == "buy" else -fill.qty_base
        self.cash_quote -= signed * fill.price + fill.fee_quote
        closing = Decimal(0)
        if self.position_base * signed < 0:
            closing = signed if abs(signed) <= abs(self.position_base) else -self.position_base
        fee_closing = fill.fee_quote * closing / signed
        self.open_cash_quote -= closing * fill.price + fee_closing
        if closing and self.position_base + closing == 0:
            self._close(fill)
        if self.position_base + closing == 0:
            self.opened_ts_ms = fill.ts_ms
        self.open_cash_quote -= (signed - closing) * fill.price + fill.fee_quote - fee_closing
        self.position_base += signed

    def _close(self, fill: OrderFilled) -> None:
        direction = 1 if self.position_base > 0 else -1
        pnl = float(self.open_cash_quote)
        self.trades.append(Trade(fill.venue, fill.symbol, direction, self.opened_ts_ms, fill.ts_ms, pnl))
        self.open_cash_quote = Decimal(0)


def accounts(
    books: Mapping[StreamKey, Book],
    fills: Iterable[Fill],
    last_close: Mapping[StreamKey, float],
    peak_weight: Mapping[StreamKey, float],
) -> tuple[Account, ...]:
    """One account a market, in the order of ``last_close``; markets that never traded have one too."""
    by_market: dict[StreamKey, list[Fill]] = {key: [] for key in last_close}
    for fill in fills:
        by_market[fill.venue, fill.symbol].append(fill)
    out = []
    for key, own in by_market.items():
        book = books.get(key, Book())
        out.append(
            Account(
                venue=key[0],
                symbol=key[1],
                num_fills=len(own),
                num_trades=len(book.trades),
                num_won=sum(t.pnl_quote > 0 for t in book.trades),
                position_base=float(book.position_base),
                pnl_quote=float(book.cash_quote + book.position_base * Decimal(repr(last_close[key]))),
                fees_quote=sum(f.fee_quote for f in own),
                slippage_quote=sum(f.slippage_quote for f in own),
                notional_quote=sum(f.notional_quote for f in own),
                peak_weight=peak_weight.get(key, 0.0),
            )
        )
    return tuple(out)
