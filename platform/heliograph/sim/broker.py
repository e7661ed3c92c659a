"""A broker that fills market orders at the next candle's open: for the backtest and for paper trading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heliograph.config.settings import CostSettings
from heliograph.core.commands import CancelOrder, Command, SubmitOrder
from heliograph.core.errors import ConfigError
from heliograph.core.events import (
    CandleClosed,
    Event,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
)
from heliograph.core.market import Market
from heliograph.sim import fills

Key = tuple[str, str]


class SimBroker:
    """Takes market orders, lets them rest, and fills each at the open of the first candle that opens after it was sent.

    It follows the Broker port: the same client id twice is one order. What it holds can be had back from a journal.

    Args:
        costs: fee and slippage.
        markets: by (venue, symbol); prices are rounded to their ticks.
    """

    def __init__(self, costs: CostSettings, markets: Mapping[Key, Market]) -> None:
        self._costs = costs
        self._markets = markets
        self._resting: dict[Key, dict[str, SubmitOrder]] = {}
        self._answers: dict[str, Event] = {}

    @property
    def client_ids(self) -> tuple[str, ...]:
        """Every order ever taken, in the order of arrival."""
        return tuple(self._answers)

    def submit(self, order: SubmitOrder) -> list[Event]:
        """Take an order in; for an id that is known already, tell what became of it.

        Raises:
            ConfigError: the broker has no such market.
        """
        if (known := self._answers.get(order.client_id)) is not None:
            return [known]
        key = (order.venue, order.symbol)
        if key not in self._markets:
            raise ConfigError(
                f"the simulated broker has no market {order.venue} {order.symbol}; give it the engine's markets"
            )
        accepted = OrderAccepted(order.client_id, order.ts_ms)
        self._answers[order.client_id] = accepted
        self._resting.setdefault(key, {})[order.client_id] = order
        return [accepted]

    def cancel(self, order: CancelOrder) -> list[Event]:
        """Take a resting order back; for one that is over, or never came, tell so."""
        known = self._answers.get(order.client_id)
        if known is not None and not isinstance(known, OrderAccepted):
            return [known]
        cancelled = OrderCancelled(order.client_id, order.ts_ms)
        self._resting.get((order.venue, order.symbol), {}).pop(order.client_id, None)
        self._answers[order.client_id] = cancelled
        return [cancelled]

    def on_candle(self, candle: CandleClosed) -> list[Event]:
        """Fill what was resting when the candle opened, oldest first."""
        key = (candle.venue, candle.symbol)
        resting = self._resting.get(key)
        if not resting:
            return []
        tick = self._markets[key].price_tick
        due = [order for order in resting.values() if fills.is_due(order, candle)]
        events: list[Event] = []
        for order in due:
            fill = fills.fill_at_open(order, candle, self._costs, tick)
            del resting[order.client_id]
            self._answers[order.client_id] = fill
            events.append(fill)
        return events

    def restore(self, entries: Iterable[Event | Command]) -> None:
        """Take in a journal, so that this broker stands where the one that wrote it stood.

        An intent whose answer is not in the journal was perhaps never sent; it is left out, for the desk to send again.
        """
        sent: dict[str, SubmitOrder] = {}
        for entry in entries:
            if isinstance(entry, SubmitOrder):
                sent[entry.client_id] = entry
            elif isinstance(entry, OrderAccepted) and entry.client_id in sent:
                self.submit(sent[entry.client_id])
            elif isinstance(entry, OrderFilled | OrderCancelled | OrderRejected):
                self._answers[entry.client_id] = entry
                for resting in self._resting.values():
                    resting.pop(entry.client_id, None)
