"""Bars made of a stream's trades, exact to the last decimal, for venues that stream no candles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from heliograph.core.errors import SchemaMismatch
from heliograph.core.timeframe import Timeframe
from heliograph.sources.tail import Row

_REMEMBERED = 1_000  # ids: a repeated subscription tells the newest trades once more


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade as ccxt reads it; None where the venue's message lacks something."""

    id: str | None
    ts_ms: int | None
    price: float | None
    qty_base: float | None


@dataclass(slots=True)
class _Bar:
    opened: float
    high: float
    low: float
    closed: float
    volume: Decimal

    def add(self, price: float, qty_base: Decimal) -> None:
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.closed = price
        self.volume += qty_base


class TradeBars:
    """What one symbol's trades on one unbroken connection say about its bars.

    A bar is known only if a trade from before its open was heard, so that none of its own can have been missed; and it
    has closed only when a trade from after it was. Both hold because a connection tells trades in their order.
    """

    def __init__(self, timeframe: Timeframe) -> None:
        self._timeframe = timeframe
        self._heard_from_ms: int | None = None
        self._bars: dict[int, _Bar] = {}
        self._closed_before_ms = 0
        self._ids: dict[str, None] = {}

    def add(self, trades: Iterable[Traded]) -> None:
        """More trades; those heard before count once.

        Raises:
            SchemaMismatch: a trade has no time, price or quantity.
        """
        for trade in trades:
            if trade.ts_ms is None or trade.price is None or trade.qty_base is None:
                raise SchemaMismatch(f"the venue told a trade without time, price or quantity: {trade}")
            if trade.id is None or not self._is_known(trade.id):
                self._count(trade.ts_ms, trade.price, Decimal(repr(trade.qty_base)))

    def take(self) -> tuple[list[Row], int]:
        """The bars that are known and were not taken as closed before, ascending, then the open of the newest bar of all.

        The newest bar is as it stands now; those before it have closed, and come no more.
        """
        assert self._heard_from_ms is not None, "nothing was heard"
        newest_ms = max(self._bars)
        rows = [
            (opened_ms, bar.opened, bar.high, bar.low, bar.closed, float(bar.volume))
            for opened_ms, bar in sorted(self._bars.items())
            if opened_ms > self._heard_from_ms
        ]
        self._bars = {newest_ms: self._bars[newest_ms]}
        self._closed_before_ms = newest_ms
        return rows, newest_ms

    def _is_known(self, trade_id: str) -> bool:
        if trade_id in self._ids:
            return True
        self._ids[trade_id] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return False

    def _count(self, ts_ms: int, price: float, qty_base: Decimal) -> None:
        if self._heard_from_ms is None:
            self._heard_from_ms = ts_ms
        opened_ms = self._timeframe.floor(ts_ms)
        if opened_ms < self._closed_before_ms:
            return  # its bar was given away: such a trade came out of order
        if bar := self._bars.get(opened_ms):
            bar.add(price, qty_base)
        else:
            self._bars[opened_ms] = _Bar(price, price, price, price, qty_base)
