"""The trading engine: an event and a state in, the next state and commands out. No clock, no network, no log, no chance.

    CandleClosed   marks the market; equity, its peak and the drawdown follow
    ForecastMade   signal → target weight → order, if every control lets it pass
    OrderFilled    books the fill, once for each trade id
    KillSwitched   halts

Once halted, no order leaves any more, not even one that would reduce: a person decides what becomes of the positions.
Open orders are cancelled, and cancels always pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from heliograph.config.settings import CostSettings, RiskSettings
from heliograph.core.commands import CancelOrder, Command, Halt, SubmitOrder
from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.core.events import (
    CandleClosed,
    Event,
    ForecastMade,
    KillSwitched,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
)
from heliograph.core.market import Market
from heliograph.core.timeframe import parse
from heliograph.trading import ledger as books
from heliograph.trading import orders, risk, signals, sizing, targets
from heliograph.trading.ledger import EXACT, ZERO, Key, Ledger
from heliograph.trading.orders import Order, OrderBook, OrderEvent
from heliograph.trading.portfolio import Beside, Together, Volatility

Commands = tuple[Command, ...]

_FRESH = Volatility()


@dataclass(frozen=True, slots=True)
class Mark:
    """Last close of a market.

    Attributes:
        price: quote units, the decimal that the venue printed.
        open_ts_ms, known_ts_ms: of the candle.
        volatility: of its closes so far.
    """

    price: Decimal
    open_ts_ms: int
    known_ts_ms: int
    volatility: Volatility = _FRESH


@dataclass(frozen=True, slots=True)
class State:
    """All that the engine remembers; never changed, only replaced.

    Attributes:
        cost_bps: fee and slippage of one side that decisions assume.
        equity_quote: cash and positions at their marks, exact.
        peak_quote: highest equity ever.
        now_ms: newest time at which a candle became known.
        stopping: why every position is being closed; trading halts once all are. Empty while it goes on.
        halted: why trading stopped; empty while it goes on.
        together: how wide and how alike the markets have moved lately.
        refusals: how often each control refused; a diagnosis that no decision reads, and that a replay does not restore.
    """

    epoch: int
    cost_bps: float
    markets: Mapping[Key, Market]
    ledger: Ledger
    book: OrderBook
    marks: Mapping[Key, Mark]
    equity_quote: Decimal
    peak_quote: Decimal
    now_ms: int
    stopping: str
    halted: str
    together: Together
    refusals: Mapping[risk.Code, int] = field(compare=False)


def initial(limits: RiskSettings, markets: Mapping[Key, Market], epoch: int = 1, *, costs: CostSettings) -> State:
    """The state before the first event.

    Args:
        markets: by (venue, symbol); all quoted in one currency, in which cash and equity are counted.
        epoch: of the lease under which orders are sent; part of every client id.
        costs: what decisions assume that trading costs.

    Raises:
        ConfigError: the markets are quoted in several currencies.
    """
    quotes = sorted({m.quote for m in markets.values()})
    if len(quotes) > 1:
        raise ConfigError(
            f"one account counts in one currency, not in {', '.join(quotes)}: choose symbols such as */{quotes[0]}"
        )
    cash = Decimal(repr(limits.initial_cash_quote))
    return State(
        epoch=epoch,
        cost_bps=costs.fee_bps + costs.slippage_bps,
        markets=markets,
        ledger=books.opened(cash),
        book=OrderBook(),
        marks={},
        equity_quote=cash,
        peak_quote=cash,
        now_ms=0,
        stopping="",
        halted="",
        together=Together(),
        refusals={},
    )


def step(state: State, event: Event, *, limits: RiskSettings) -> tuple[State, Commands]:
    """Answer one event; the only way state changes.

    Candles and fills that were seen before change nothing.

    Raises:
        InvariantBroken: the event contradicts what happened before; the message tells the order's story.
        ConfigError: the event is of a market that the engine was not given.
    """
    return _ANSWERS[type(event)](state, event, limits)


def replay(state: State, entry: Event | Command, *, limits: RiskSettings) -> State:
    """The state after one journal entry, nothing being decided anew.

    All that a forecast leaves behind are the commands that follow it in the journal, so forecasts are passed over.

    Raises:
        InvariantBroken: the entry contradicts those before it.
    """
    if isinstance(entry, SubmitOrder):
        return replace(state, book=orders.submitted(state.book, entry))
    if isinstance(entry, Halt):
        return replace(state, halted=state.halted or entry.reason)
    if isinstance(entry, CancelOrder | ForecastMade):
        return state
    return step(state, entry, limits=limits)[0]


def equity_quote(state: State) -> Decimal:
    """Cash and positions at their marks, exact."""
    return state.equity_quote


def cancels(state: State) -> tuple[CancelOrder, ...]:
    """A cancel for every open order, oldest market name first."""
    intents = [state.book.orders[i].intent for _, i in sorted(state.book.open_ids.items())]
    return tuple(CancelOrder(i.client_id, i.venue, i.symbol, state.now_ms) for i in intents)


def _on_candle(state: State, event: CandleClosed, limits: RiskSettings) -> tuple[State, Commands]:
    key = _market_key(state, event.venue, event.symbol)
    old = state.marks.get(key)
    if old is not None and event.open_ts_ms <= old.open_ts_ms:
        return state, ()
    if code := risk.refuse_candle(event):
        return _refused(state, code), ()
    price = Decimal(repr(event.close))
    equity, qty = state.equity_quote, state.ledger.qty_base.get(key)
    if qty is not None:
        moved = EXACT.subtract(price, _price(state, key))
        equity = EXACT.add(equity, EXACT.multiply(qty, moved))
    mark, together = _moved(state.together, old, price, event, limits)
    marked = State(
        state.epoch,
        state.cost_bps,
        state.markets,
        state.ledger,
        state.book,
        {**state.marks, key: mark},
        equity,
        max(state.peak_quote, equity),
        max(state.now_ms, event.known_ts_ms),
        state.stopping,
        state.halted,
        together,
        state.refusals,
    )
    return _guarded(marked, limits)


def _on_forecast(state: State, event: ForecastMade, limits: RiskSettings) -> tuple[State, Commands]:
    key = _market_key(state, event.venue, event.symbol)
    mark = state.marks.get(key)
    if state.halted:
        return _refused(state, risk.Code.HALTED), ()
    code = risk.refuse_forecast(event, None if mark is None else mark.known_ts_ms, state.now_ms, limits)
    if code is None and state.book.decided_ms.get(key, -1) >= event.known_ts_ms:
        code = risk.Code.ALREADY_DECIDED
    if code is not None or mark is None:
        return _refused(state, code or risk.Code.NO_PRICE), ()
    if (waiting := state.book.open_order(key)) is not None:
        return _refused(state, risk.Code.OPEN_ORDER), _overdue(waiting, event, limits)
    return _decided(state, key, mark.price, event, limits)


def _decided(
    state: State, key: Key, price: Decimal, event: ForecastMade, limits: RiskSettings
) -> tuple[State, Commands]:
    """The order that the forecast calls for, if there is one and every control lets it pass."""
    market, position = state.markets[key], books.position_base(state.ledger, key)
    signal = signals.read(event, limits, state.cost_bps)
    if signal.abstains and not position:
        return state, ()
    equity, others = state.equity_quote, _others_quote(state, key)
    account = sizing.Account(
        held=float(position * price / equity),
        room=max(0.0, limits.max_leverage - float(others / equity)),
        drawdown=1.0 if state.stopping else risk.drawdown(equity, state.peak_quote),
        beside=_beside(state, key),
    )
    weight = sizing.target_weight(signal, account, limits)
    if weight == account.held:
        return state, ()
    trade = targets.towards(weight, position, equity, price, market, limits)
    if trade is None:
        return state, ()
    if code := risk.refuse_order(risk.Proposal(trade, market, price, position, others, equity), limits):
        return _refused(state, code), ()
    intent = SubmitOrder(
        client_id=orders.client_id(state.epoch, *key, event.known_ts_ms),
        venue=event.venue,
        symbol=event.symbol,
        side=trade.side,
        qty_base=trade.qty_base,
        reference_price=price,
        reduce_only=trade.reduce_only,
        ts_ms=event.known_ts_ms,
    )
    return replace(state, book=orders.submitted(state.book, intent)), (intent,)


def _on_order(state: State, event: OrderEvent, limits: RiskSettings) -> tuple[State, Commands]:
    if isinstance(event, OrderFilled):
        return _on_fill(state, event, limits)
    if event.client_id not in state.book.orders:
        return _refused(state, risk.Code.UNKNOWN_ORDER), ()
    if not orders.is_new(state.book, event):
        return state, ()
    return replace(state, book=orders.advanced(state.book, event)), ()


def _on_fill(state: State, event: OrderFilled, limits: RiskSettings) -> tuple[State, Commands]:
    key = _market_key(state, event.venue, event.symbol)
    numbers = (event.qty_base, event.price, event.fee_quote)
    if not all(n.is_finite() for n in numbers) or event.qty_base <= ZERO or event.price <= ZERO:
        raise InvariantBroken(f"a fill must have a finite positive quantity and price: {event}")
    if not orders.is_new(state.book, event):
        return state, ()
    is_ours = event.client_id in state.book.orders
    book = orders.advanced(state.book, event) if is_ours else orders.foreign_fill(state.book, event)
    signed = event.qty_base if event.side == "buy" else EXACT.minus(event.qty_base)
    gained = EXACT.multiply(signed, EXACT.subtract(_price(state, key, event.price), event.price))
    equity = EXACT.add(state.equity_quote, EXACT.subtract(gained, event.fee_quote))
    marks = state.marks if key in state.marks else {**state.marks, key: Mark(event.price, -1, event.ts_ms)}
    booked = replace(
        state,
        book=book,
        marks=marks,
        ledger=books.filled(state.ledger, event),
        equity_quote=equity,
        peak_quote=max(state.peak_quote, equity),
    )
    if not is_ours:
        return _halted(booked, f"fill of an order that this engine never sent: {event}")
    return _guarded(booked, limits)


def _on_kill(state: State, event: KillSwitched, _: RiskSettings) -> tuple[State, Commands]:
    return _halted(state, f"kill switch: {event.reason}")


def _guarded(state: State, limits: RiskSettings) -> tuple[State, Commands]:
    """Stop if equity fell too far: each market's next forecast closes its position, and then trading halts."""
    if state.halted:
        return state, ()
    if not state.stopping:
        reason = risk.breach(state.equity_quote, state.peak_quote, limits)
        if reason is None:
            return state, ()
        state = replace(state, stopping=reason)
    return _halted(state, state.stopping) if _is_flat(state) else (state, ())


def _is_flat(state: State) -> bool:
    """Nothing is open, and no position is worth an order that its venue would take."""
    if state.book.open_ids:
        return False
    worth = ((state.markets[key], abs(qty) * _price(state, key)) for key, qty in state.ledger.qty_base.items())
    return all(value < market.min_notional_quote or not value for market, value in worth)


def _halted(state: State, reason: str) -> tuple[State, Commands]:
    if state.halted:
        return state, cancels(state)
    return replace(state, halted=reason), (*cancels(state), Halt(reason, state.now_ms))


def _overdue(order: Order, event: ForecastMade, limits: RiskSettings) -> Commands:
    """A cancel for an order that is still open when its market's data of ``stale_after_bars`` later has come."""
    intent = order.intent
    if event.known_ts_ms - intent.ts_ms <= limits.stale_after_bars * parse(event.timeframe).ms:
        return ()
    return (CancelOrder(intent.client_id, intent.venue, intent.symbol, event.known_ts_ms),)


def _moved(
    together: Together, old: Mark | None, price: Decimal, event: CandleClosed, limits: RiskSettings
) -> tuple[Mark, Together]:
    """The market's new mark, and the moments with its return since the last one."""
    if old is None or old.open_ts_ms < 0:
        return Mark(price, event.open_ts_ms, event.known_ts_ms), together
    elapsed_ms = event.open_ts_ms - old.open_ts_ms
    z = old.volatility.standard(math.log(event.close / float(old.price)), elapsed_ms)
    mark = Mark(price, event.open_ts_ms, event.known_ts_ms, old.volatility.after(z, elapsed_ms, limits))
    return mark, together.closed(event.open_ts_ms, z, limits)


def _beside(state: State, but: Key) -> Beside:
    """The risk of every market but one, open orders counted as if filled."""
    equity, risks = float(state.equity_quote), []
    for key in state.ledger.qty_base.keys() | state.book.open_ids.keys():
        base = books.position_base(state.ledger, key) + _left(state.book, key)
        if key != but and base and key in state.marks:
            mark = state.marks[key]
            risks.append(float(base * mark.price) / equity * mark.volatility.annual)
    total, squares = math.fsum(risks), math.fsum([x * x for x in risks])  # exact, whatever the order of the markets
    annual_vol = state.marks[but].volatility.annual
    return Beside(state.together, annual_vol, total, squares, len(risks), len(state.marks))


def _others_quote(state: State, but: Key) -> Decimal:
    """Worst-case gross value of every market but one."""
    keys = state.ledger.qty_base.keys() | state.book.open_ids.keys()
    return risk.gross_quote(
        (books.position_base(state.ledger, key), _left(state.book, key), _price(state, key))
        for key in keys
        if key != but
    )


def _left(book: OrderBook, key: Key) -> Decimal:
    order = book.open_order(key)
    return ZERO if order is None else order.left_base


def _price(state: State, key: Key, otherwise: Decimal = ZERO) -> Decimal:
    mark = state.marks.get(key)
    return otherwise if mark is None else mark.price


def _market_key(state: State, venue: str, symbol: str) -> Key:
    key = (venue, symbol)
    if key not in state.markets:
        raise ConfigError(f"the engine was given no market {venue} {symbol}; add it to the markets that it starts with")
    return key


def _refused(state: State, code: risk.Code) -> State:
    return replace(state, refusals={**state.refusals, code: state.refusals.get(code, 0) + 1})


_ANSWERS: Mapping[type[Event], Callable[[State, Any, RiskSettings], tuple[State, Commands]]] = {
    CandleClosed: _on_candle,
    ForecastMade: _on_forecast,
    OrderAccepted: _on_order,
    OrderRejected: _on_order,
    OrderCancelled: _on_order,
    OrderFilled: _on_order,
    KillSwitched: _on_kill,
}
