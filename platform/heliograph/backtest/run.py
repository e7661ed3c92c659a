"""Replay bars through the desk's driver and a simulated broker, and keep what the report needs. T grid points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from heliograph.backtest import hindsight, trades
from heliograph.backtest.result import BacktestResult, Fill, StreamKey
from heliograph.config.settings import CostSettings, RiskSettings
from heliograph.core.commands import Command, Halt, SubmitOrder
from heliograph.core.errors import ConfigError, DataError, LookAhead
from heliograph.core.events import CandleClosed, Event, ForecastMade, KillSwitched, OrderFilled, OrderRejected
from heliograph.core.market import Candles, Market
from heliograph.core.timeframe import Timeframe
from heliograph.desk.step import Record, Trader, trade_bar
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine, ledger


def run(
    feed: Iterable[tuple[CandleClosed, ForecastMade | None]],
    *,
    timeframe: Timeframe,
    markets: Mapping[StreamKey, Market],
    limits: RiskSettings,
    costs: CostSettings,
    record: Record | None = None,
) -> BacktestResult:
    """Trade a feed from an account of ``limits.initial_cash_quote``; orders fill at the next bar's open, never earlier.

    Args:
        feed: bars ordered by known_ts_ms, each with the forecast made at its close, if there is one.
        record: given every event and command in order, such as a journal's append; None keeps nothing.

    Raises:
        DataError: the feed is empty.
        ConfigError: the feed has a market that ``markets`` does not.
        LookAhead: an order filled at a moment before it was decided.
    """
    trader = Trader(limits=limits, state=engine.initial(limits, markets, costs=costs))
    broker = SimBroker(costs, markets)
    tape = _Tape(timeframe, record)
    for candle, forecast in feed:
        if (candle.venue, candle.symbol) not in markets:
            raise ConfigError(
                f"the feed has bars of {candle.venue} {candle.symbol}, which is not among the markets to trade"
            )
        tape.begin(candle, forecast, trader)
        trade_bar(trader, candle, forecast, broker, tape.note)
    return tape.result(trader, limits, costs)


class _Tape:
    """Everything that is noted while a feed runs by; nothing that decides reads it."""

    def __init__(self, timeframe: Timeframe, record: Record | None) -> None:
        self._timeframe = timeframe
        self._record = record
        self._bars: dict[StreamKey, list[CandleClosed]] = {}
        self._forecasts: list[tuple[int, ForecastMade]] = []
        self._books: dict[StreamKey, trades.Book] = {}
        self._peaks: dict[StreamKey, float] = {}
        self._orders: dict[str, SubmitOrder] = {}
        self._fills: list[Fill] = []
        self._halts: list[str] = []
        self._rejected = 0
        self._cost_quote = 0.0
        self._close_ms = 0
        self._marks: list[tuple[int, float, float, float, float]] = []

    def begin(self, candle: CandleClosed, forecast: ForecastMade | None, trader: Trader) -> None:
        """Mark the book at the last close if this bar belongs to a later one."""
        close_ms = self._timeframe.close_ms(candle.open_ts_ms)
        if self._close_ms and close_ms > self._close_ms:
            self._mark(trader)
        self._close_ms = max(close_ms, self._close_ms)
        self._bars.setdefault((candle.venue, candle.symbol), []).append(candle)
        if forecast is not None:
            self._forecasts.append((candle.open_ts_ms, forecast))

    def note(self, entry: Event | Command, durable: bool) -> None:
        """Keep orders, fills, refusals and halts."""
        match entry:
            case SubmitOrder():
                self._orders[entry.client_id] = entry
            case OrderFilled():
                self._fill(entry)
            case OrderRejected():
                self._rejected += 1
            case Halt() | KillSwitched():
                self._halts.append(entry.reason)
            case _:
                pass
        if self._record is not None:
            self._record(entry, durable)

    def result(self, trader: Trader, limits: RiskSettings, costs: CostSettings) -> BacktestResult:
        """Close the curve and put everything together."""
        if not self._bars:
            raise DataError("there was no bar to replay; check the symbols and the interval")
        self._mark(trader)
        marks = np.array(self._marks, dtype=np.float64)
        marked_ms = marks[:, 0].astype(np.int64)
        grid_T = self._timeframe.opens(int(marked_ms[0]), int(marked_ms[-1]) + 1)
        row_T = np.searchsorted(marked_ms, grid_T, side="right") - 1
        frames = {key: _frame(self._bars[key]) for key in sorted(self._bars)}
        last_close = {key: float(frame.close[-1]) for key, frame in frames.items()}
        round_trips = [t for book in self._books.values() for t in book.trades]
        return BacktestResult(
            timeframe=self._timeframe.name,
            markets=tuple(frames),
            horizon_bars=limits.horizon_bars,
            initial_cash_quote=limits.initial_cash_quote,
            close_ts_ms=grid_T,
            equity_quote=marks[row_T, 1],
            benchmark_quote=hindsight.buy_and_hold(
                grid_T, frames, self._timeframe, cash_quote=limits.initial_cash_quote, costs=costs
            ),
            gross_exposure=marks[row_T, 2],
            net_exposure=marks[row_T, 3],
            cost_quote=marks[row_T, 4],
            orders=tuple(self._orders.values()),
            fills=tuple(self._fills),
            trades=tuple(sorted(round_trips, key=lambda t: (t.closed_ts_ms, t.venue, t.symbol))),
            accounts=trades.accounts(self._books, self._fills, last_close, self._peaks),
            num_bars=sum(map(len, self._bars.values())),
            num_rejected=self._rejected,
            halts=tuple(self._halts),
            is_balanced=ledger.is_balanced(trader.state.ledger),
            signals=hindsight.signals(self._forecasts, frames, self._timeframe),
        )

    def _fill(self, fill: OrderFilled) -> None:
        key = (fill.venue, fill.symbol)
        order = self._orders[fill.client_id]
        if fill.ts_ms < order.ts_ms:
            raise LookAhead(
                f"order {fill.client_id} was decided at {order.ts_ms} and filled at {fill.ts_ms}, before that"
            )
        self._books.setdefault(key, trades.Book()).take(fill)
        opened = self._bars[key][-1].open
        qty, price = float(fill.qty_base), float(fill.price)
        slippage = (price - opened) * qty * (1 if fill.side == "buy" else -1)
        self._cost_quote += slippage + float(fill.fee_quote)
        self._fills.append(
            Fill(
                client_id=fill.client_id,
                venue=fill.venue,
                symbol=fill.symbol,
                side=fill.side,
                qty_base=qty,
                price=price,
                open=opened,
                notional_quote=qty * price,
                fee_quote=float(fill.fee_quote),
                slippage_quote=slippage,
                ts_ms=fill.ts_ms,
            )
        )

    def _mark(self, trader: Trader) -> None:
        equity = float(engine.equity_quote(trader.state))
        gross = net = 0.0
        for key, book in self._books.items():
            if not book.position_base:
                continue
            weight = float(book.position_base) * self._bars[key][-1].close / equity
            self._peaks[key] = max(self._peaks.get(key, 0.0), abs(weight))
            gross, net = gross + abs(weight), net + weight
        self._marks.append((self._close_ms, equity, gross, net, self._cost_quote))


def _frame(bars: list[CandleClosed]) -> Candles:
    return Candles.of([(c.open_ts_ms, c.open, c.high, c.low, c.close, c.volume) for c in bars])
