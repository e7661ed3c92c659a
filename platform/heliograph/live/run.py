"""The live driver: each closed candle → forecast → decision → order, with the journal as the only memory.

What goes into the journal, in order: candles (they mark positions and move the equity's peak), news of orders, kill
switches, and every command before it is carried out. Forecasts stay out: all that they leave behind are commands.
Killed at any point and started again, the driver ends where it would have ended: a candle that the journal ends with is
taken again, then the broker is asked about every open order; fills are told by their trade ids, and an intent keeps its client id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from heliograph.core.commands import CancelOrder, Command, Halt, SubmitOrder
from heliograph.core.events import CandleClosed, Event, ForecastMade
from heliograph.core.ports import Journal
from heliograph.desk.step import BarBroker, Decides, Record, settle, trade_bar
from heliograph.live.guard import Guard
from heliograph.live.reconcile import Recovery, resolve
from heliograph.trading import engine
from heliograph.trading.ledger import is_balanced

OnBar = Callable[[CandleClosed, ForecastMade | None, engine.State], None]


class LiveDesk(Decides, Protocol):
    """The part of the desk that the driver needs."""

    @property
    def state(self) -> engine.State:
        """The engine's state after the last event."""

    def seed(self, candles: Iterable[CandleClosed]) -> None:
        """Take bars into features and windows; nothing is decided."""

    def forecast(self, candle: CandleClosed) -> ForecastMade | None:
        """Take one bar in and forecast from its close."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The account when a run ends.

    Attributes:
        positions_base: signed, of every market that is not flat.
        fees_quote: all fees paid since the journal began; so are the counts of orders and fills.
        candles: how many this run traded on.
        halted: why trading stopped; empty while it goes on.
    """

    cash_quote: Decimal
    positions_base: Mapping[tuple[str, str], Decimal]
    equity_quote: Decimal
    realised_quote: Decimal
    fees_quote: Decimal
    orders: int
    fills: int
    candles: int
    is_balanced: bool
    halted: str


async def run(
    stream: AsyncIterator[CandleClosed],
    desk: LiveDesk,
    broker: BarBroker,
    journal: Journal,
    *,
    recovery: Recovery,
    guard: Guard,
    max_candles: int | None,
    on_bar: OnBar | None,
) -> Closing:
    """Trade until the stream ends, ``max_candles`` were traded on, or the task is cancelled.

    Args:
        stream: closed candles of all markets, each once and each market's in order, from `Recovery.since_ms` or earlier
            on; those that the journal has already only feed the desk's features.
        desk: holding `Recovery.state`, its features seeded with the bars of each market before the stream's first, and
            with none from `Recovery.since_ms` on.
        broker: the same venue as before a restart; a simulated one restored from the journal.
        on_bar: told of every bar after it was traded on; it must not raise.

    A cancellation arrives between two bars, when the journal is whole; `closing` of the desk's state then tells what
    this function would have returned.
    """
    driver = _Driver(desk, broker, _recorder(journal, recovery), guard)
    unasked = recovery.is_undecided
    if not unasked:
        driver.ask(recovery)
    candles = 0
    async for candle in stream:
        again = recovery.is_undecided and recovery.is_last(candle)
        if recovery.is_done(candle) and not again:
            desk.seed((candle,))
            continue
        if unasked and not again:
            driver.ask(recovery)
        forecast = driver.take(candle)
        if unasked and again:
            driver.ask(recovery)
        unasked = False
        candles += not again  # the journal counts it already
        if on_bar is not None:
            on_bar(candle, forecast, desk.state)
        if candles == max_candles:
            break
        await asyncio.sleep(0)  # a stream with candles in hand would never let a cancellation in
    return closing(desk.state, candles)


@dataclass(frozen=True, slots=True)
class _Driver:
    """One bar after the other, the guard asked first."""

    desk: LiveDesk
    broker: BarBroker
    record: Record
    guard: Guard

    def take(self, candle: CandleClosed) -> ForecastMade | None:
        """Trade on one bar and tell what was forecast."""
        if not self.desk.state.halted and (stop := self.guard.stop()) is not None:
            settle(self.desk, stop, self.broker, self.record)
        forecast = self.desk.forecast(candle)
        tradable = None if self.guard.is_stale(candle) else forecast
        trade_bar(self.desk, candle, tradable, self.broker, self.record)
        return forecast

    def ask(self, recovery: Recovery) -> None:
        """Ask the broker about the orders that a restart found open; stale ones are cancelled."""
        resend = recovery.last is None or not self.guard.is_stale(recovery.last)
        resolve(self.desk.state, self.desk, self.broker, self.record, resend=resend)


def closing(state: engine.State, candles: int) -> Closing:
    """The account as it stands."""
    ledger = state.ledger
    return Closing(
        cash_quote=ledger.cash_quote,
        positions_base=ledger.qty_base,
        equity_quote=state.equity_quote,
        realised_quote=ledger.realised_quote,
        fees_quote=ledger.fees_quote,
        orders=len(state.book.orders),
        fills=ledger.fills,
        candles=candles,
        is_balanced=is_balanced(ledger),
        halted=state.halted,
    )


def _recorder(journal: Journal, recovery: Recovery) -> Record:
    """Journal what a replay needs: commands on disk before they are carried out, a candle that is taken again once."""

    def record(entry: Event | Command, _: bool) -> None:
        if not isinstance(entry, ForecastMade) and entry != recovery.last:
            journal.append(entry, durable=isinstance(entry, SubmitOrder | CancelOrder | Halt))

    return record
