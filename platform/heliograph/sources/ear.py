"""Listening to a venue with ccxt.pro: every change of a bar, and on which connection it was heard.

Where a venue streams candles, these are its own; elsewhere they are made of its trades.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheByTimestamp

from heliograph.core.errors import HeliographError, Retryable
from heliograph.core.market import Candles, kind_of
from heliograph.core.timeframe import Timeframe
from heliograph.sources.client import CcxtClient
from heliograph.sources.patience import rows_of, wait_s
from heliograph.sources.tail import Row
from heliograph.sources.trade_bars import TradeBars, Traded

_BASE_VOLUMES = {("gate", "spot"): "a"}
"""The field of a streamed candle that holds its volume, where ccxt takes another: here ``v`` is the turnover."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Bars that changed since the last time, ascending for each symbol.

    Attributes:
        connection: see `Ear.connection`; what was heard on an older one may be half a bar.
        begun: by symbol, open of a bar that has begun, where the rows don't say.
    """

    connection: int
    rows: Mapping[str, list[Row]]
    begun: Mapping[str, int] = field(default_factory=dict)


class Ear:
    """Keeps subscriptions alive and takes every candle or trade at the moment at which ccxt has read it.

    The answers of ccxt's ``watch`` calls only keep the subscriptions: of several symbols that change at once a call
    tells one, and its caches forget all but the newest. So the caches that ccxt writes into are put there beforehand,
    and pass on what they get.

    Attributes:
        connection: counts the sockets opened and lost so far.
    """

    def __init__(self, client: CcxtClient, symbols: Sequence[str], timeframe: Timeframe) -> None:
        self._client = client
        self._symbols = list(symbols)
        self._timeframe = timeframe
        self._has_candles = bool(client.exchange.has.get("watchOHLCV"))
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._failure: HeliographError | None = None
        self.connection = 0
        self._candles: defaultdict[str, dict[object, Sequence[object]]] = defaultdict(dict)
        self._trades: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self._bars: dict[str, TradeBars] = {}
        client.exchange.on_connected = self._on_connected
        if self._symbols and (client.venue, kind_of(self._symbols[0])) in _BASE_VOLUMES:
            client.exchange.parse_ohlcv = self._parsed

    @property
    def is_deaf(self) -> bool:
        """True where a subscription has ended without being told to."""
        return any(task.done() for task in self._tasks)

    def listen(self) -> None:
        """Subscribe to every symbol."""
        together = "watchOHLCVForSymbols" if self._has_candles else "watchTradesForSymbols"
        size = self._client.dialect.symbols_per_watch if self._client.exchange.has.get(together) else 1
        chunks = [self._symbols[i : i + size] for i in range(0, len(self._symbols), size)]
        self._tasks = [asyncio.create_task(self._subscribe(chunk)) for chunk in chunks]

    async def heard(self) -> Heard:
        """Wait for the next change.

        Raises:
            SymbolGone, Permanent: the venue refuses a subscription for good.
            SchemaMismatch: the venue sent a bar off the grid, a price that is no number, or a trade that lacks one.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._failure:
                raise self._failure
            if self._candles:
                rows = {symbol: self._sound(list(news.values())) for symbol, news in self._candles.items()}
                self._candles.clear()
                return Heard(self.connection, rows)
            if self._trades:
                return self._built()

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
            except (Retryable, aiohttp.ClientError, OSError):  # ccxt lets the last two through when it writes
                self._forget()
                failures += 1
                await asyncio.sleep(wait_s(failures))
            except HeliographError as e:
                self._failure = e
                self._changed.set()
                return

    async def _watch(self, symbols: list[str]) -> None:
        name, is_one = self._timeframe.name, len(symbols) == 1
        match self._has_candles, is_one:
            case True, True:
                await self._client.call("watch_ohlcv", symbols[0], name)
            case True, False:
                await self._client.call("watch_ohlcv_for_symbols", [[symbol, name] for symbol in symbols])
            case False, True:
                await self._client.call("watch_trades", symbols[0])
            case _:
                await self._client.call("watch_trades_for_symbols", symbols)

    def _sound(self, rows: list[Any]) -> list[Row]:
        candles = Candles.concat([Candles.of(rows)])
        candles.require_sound(self._timeframe)
        return rows_of(candles)

    def _built(self) -> Heard:
        rows, begun = {}, {}
        for symbol, trades in self._trades.items():
            bars = self._bars[symbol]
            bars.add(Traded(t["id"], t["timestamp"], t["price"], t["amount"]) for t in trades)
            rows[symbol], begun[symbol] = bars.take()
        self._trades.clear()
        return Heard(self.connection, rows, begun)

    def _on_connected(self, socket: Any, message: object = None) -> None:
        """A new socket starts with nothing: bars half heard on the old one must not mix with its updates."""
        exchange, name = self._client.exchange, self._timeframe.name
        type(exchange).on_connected(exchange, socket, message)
        self._forget()
        if self._has_candles:
            exchange.ohlcvs = {s: {name: _CandleTap(partial(self._on_candle, s))} for s in self._symbols}
        else:
            exchange.trades = {
                told: _TradeTap(partial(self._on_trade, symbols)) for told, symbols in self._told_as().items()
            }

    def _forget(self) -> None:
        self.connection += 1
        self._candles.clear()
        self._trades.clear()
        self._bars = {symbol: TradeBars(self._timeframe) for symbol in self._symbols}

    def _parsed(self, told: Any, market: object = None) -> list[object]:
        """A candle as ccxt reads it, with its volume in base units."""
        exchange = self._client.exchange
        row: list[object] = type(exchange).parse_ohlcv(exchange, told, market)
        name = _BASE_VOLUMES[self._client.venue, kind_of(self._symbols[0])]
        return [*row[:5], exchange.safe_number(told, name)]

    def _told_as(self) -> dict[str, list[str]]:
        """The symbols under which trades are told, and for which of ours: coinbase's BTC/USDC is an alias of BTC/USD."""
        markets = self._client.exchange.markets
        aliases = {market.get("alias"): symbol for symbol, market in markets.items()}
        names: defaultdict[str, list[str]] = defaultdict(list)
        for symbol in self._symbols:
            names[symbol].append(symbol)
            if whole := aliases.get(markets.get(symbol, {}).get("id", "")):
                names[whole].append(symbol)
        return names

    def _on_candle(self, symbol: str, row: Sequence[object]) -> None:
        self._candles[symbol][row[0]] = tuple(row[:6])  # a copy, as ccxt writes into its own
        self._changed.set()

    def _on_trade(self, symbols: Sequence[str], trade: Mapping[str, Any]) -> None:
        for symbol in symbols:
            self._trades[symbol].append(trade)
        self._changed.set()


class _CandleTap(ArrayCacheByTimestamp):  # type: ignore[misc]
    """A cache of ccxt's that remembers one candle and passes on all."""

    def __init__(self, hear: Callable[[Sequence[object]], None]) -> None:
        super().__init__(1)
        self._hear = hear

    def append(self, item: list[object]) -> None:
        super().append(item)
        self._hear(item)


class _TradeTap(ArrayCache):  # type: ignore[misc]
    """A cache of ccxt's that remembers one trade and passes on all."""

    def __init__(self, hear: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__(1)
        self._hear = hear

    def append(self, item: dict[str, Any]) -> None:
        super().append(item)
        self._hear(item)
