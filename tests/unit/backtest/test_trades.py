"""Round trips and accounts on hand-made fills."""

from __future__ import annotations

from decimal import Decimal

import pytest

from heliograph.backtest.trades import Book, accounts
from heliograph.core.events import OrderFilled, Side

KEY = ("binance", "BTC/USDT")


def _fill(side: Side, qty: str, price: str, fee: str, ts_ms: int) -> OrderFilled:
    return OrderFilled("id", f"t{ts_ms}", *KEY, side, Decimal(qty), Decimal(price), Decimal(fee), ts_ms)


def test_scaled_in_and_out_long_is_one_trade() -> None:
    book = Book()
    for fill in (
        _fill("buy", "1", "100", "1", 1),
        _fill("buy", "1", "110", "1", 2),
        _fill("sell", "0.5", "120", "1", 3),
        _fill("sell", "1.5", "130", "1", 4),
    ):
        book.take(fill)
    (trade,) = book.trades
    assert trade.pnl_quote == -100 - 110 + 60 + 195 - 4
    assert (trade.direction, trade.opened_ts_ms, trade.closed_ts_ms) == (1, 1, 4)
    assert book.position_base == 0


def test_flip_closes_one_trade_and_opens_the_next_with_its_share_of_the_fee() -> None:
    book = Book()
    for fill in (_fill("buy", "1", "100", "1", 1), _fill("sell", "3", "90", "3", 2), _fill("buy", "2", "80", "2", 3)):
        book.take(fill)
    long, short = book.trades
    assert (long.direction, long.pnl_quote) == (1, -10 - 1 - 1)
    assert (short.direction, short.pnl_quote, short.opened_ts_ms) == (-1, 20 - 2 - 2, 2)
    assert float(book.cash_quote) == long.pnl_quote + short.pnl_quote


def test_open_position_counts_at_the_last_close() -> None:
    book = Book()
    book.take(_fill("buy", "2", "100", "1", 1))
    other = ("binance", "ETH/USDT")
    account, idle = accounts({KEY: book}, [], {KEY: 103.0, other: 7.0}, {KEY: 0.4})
    assert account.pnl_quote == pytest.approx(5.0)
    assert (account.position_base, account.num_trades, account.peak_weight) == (2.0, 0, 0.4)
    assert (idle.pnl_quote, idle.num_fills) == (0.0, 0)
