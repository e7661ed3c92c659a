"""Listening to a venue's candle channels with ccxt.pro: every change of a bar, and on which connection it was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.core.errors import HeliographError, Retryable
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.sources.client import CcxtClient
from heliograph.sources.patience import wait_s
from heliograph.sources.tail import Row

_SYMBOLS_PER_WATCH = 100


@dataclass(frozen=True, slots=True)
class Heard:
    """Bars that changed since the last time, ascending for each symbol.

    Attributes:
        connection: counts the sockets opened so far; what was heard on an older one may be half a bar.
    """

    connection: int
    rows: dict[str, list[Row]]


class Ear:
    """Keeps subscriptions alive and reads ccxt's candle caches whenever one has changed.

    The answers of ccxt's ``watch`` calls only keep the subscriptions: of several symbols that change at once a call
    tells one, and the others not before their next change. The caches hold all.
    """

    def __init__(self, client: CcxtClient, symbols: Sequence[str], timeframe: Timeframe) -> None:
        self._client = client
        self._symbols = list(symbols)
        self._timeframe = timeframe
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._failure: HeliographError | None = None
        self._connection = 0
        self._newest: dict[str, Row] = {}
        client.exchange.on_connected = self._on_connected
        client.exchange.handle_ohlcv = self._on_candle

    @property
    def is_deaf(self) -> bool:
        """True where a subscription has ended without being told to."""
        return any(task.done() for task in self._tasks)

    def listen(self) -> None:
        """Subscribe to every symbol."""
        size = _SYMBOLS_PER_WATCH if self._client.exchange.has.get("watchOHLCVForSymbols") else 1
        chunks = [self._symbols[i : i + size] for i in range(0, len(self._symbols), size)]
        self._tasks = [asyncio.create_task(self._subscribe(chunk)) for chunk in chunks]

    async def heard(self) -> Heard:
        """Wait for the next change.

        Raises:
            SymbolGone, Permanent: the venue refuses a subscription for good.
            SchemaMismatch: the venue sent a bar off the grid or a price that is no number.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._failure:
                raise self._failure
            if rows := self._sweep():
                return Heard(self._connection, rows)

    async def reconnect(self) -> None:
        """Close the sockets and subscribe again."""
        await self.close()
        self.listen()

    async def close(self) -> None:
        """End the subscriptions and close the sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._client.close()

    async def _subscribe(self, symbols: list[str]) -> None:
        failures = 0
        while True:
            try:
                await self._client.load()
                await self._watch(symbols)
                failures = 0
            except Retryable:
                failures += 1
                await asyncio.sleep(wait_s(failures))
            except HeliographError as e:
                self._failure = e
                self._changed.set()
                return

    async def _watch(self, symbols: list[str]) -> None:
        name = self._timeframe.name
        if len(symbols) == 1:
            await self._client.call("watch_ohlcv", symbols[0], name)
        else:
            await self._client.call("watch_ohlcv_for_symbols", [[symbol, name] for symbol in symbols])

    def _sweep(self) -> dict[str, list[Row]]:
        caches = self._client.exchange.ohlcvs
        found = {}
        for symbol in self._symbols:
            cache = caches.get(symbol, {}).get(self._timeframe.name, ())
            if rows := _changed(cache, self._newest.get(symbol)):
                Candles.of(rows).require_sound(self._timeframe)
                found[symbol] = rows
                self._newest[symbol] = rows[-1]
        return found

    def _on_connected(self, socket: Any, message: object = None) -> None:
        """A new socket starts with empty caches: bars half heard on the old one must not mix with its updates."""
        exchange = self._client.exchange
        type(exchange).on_connected(exchange, socket, message)
        exchange.ohlcvs.clear()
        self._newest.clear()
        self._connection += 1

    def _on_candle(self, socket: Any, message: Any) -> None:
        exchange = self._client.exchange
        type(exchange).handle_ohlcv(exchange, socket, message)
        self._changed.set()


def _changed(cache: Sequence[Sequence[float]], newest: Row | None) -> list[Row]:
    """The cache's rows that are new or differ, given the newest row that is known; copied, as ccxt writes into them.

    >>> _changed([[0, 1.0, 1.0, 1.0, 1.0, 2.0], [60, 1.0, 1.0, 1.0, 1.0, 3.0]], (0, 1.0, 1.0, 1.0, 1.0, 2.0))
    [(0, 1.0, 1.0, 1.0, 1.0, 2.0), (60, 1.0, 1.0, 1.0, 1.0, 3.0)]
    """
    rows: list[Row] = []
    for i in range(len(cache) - 1, -1, -1):
        ts, opened, high, low, close, volume = cache[i]
        if newest and ts < newest[0]:
            break
        rows.append((int(ts), float(opened), float(high), float(low), float(close), float(volume)))
    rows.reverse()
    return [] if rows == [newest] else rows
