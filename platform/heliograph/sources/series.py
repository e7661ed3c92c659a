"""Trades, funding rates and open interest over REST, through the same client, budget and errors as candles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Kind, Market
from heliograph.core.ports import Budget
from heliograph.core.series import Points, SeriesPage, Trades
from heliograph.core.timeframe import HOUR_MS
from heliograph.sources import catalog
from heliograph.sources.client import Answer, CcxtClient
from heliograph.sources.clock import VenueClock
from heliograph.sources.dialect import Data, SeriesRules

OPEN_INTEREST_TIMEFRAME = "1h"


class CcxtSeries:
    """What one venue gives beside candles, of its markets of one kind.

    The arguments are those of `heliograph.sources.rest.CcxtSource`.

    Raises:
        ConfigError: ccxt has no such venue, it has no such markets, or its CA file can't be read.
    """

    def __init__(
        self,
        venue: str,
        settings: VenueSettings,
        budget: Budget,
        *,
        kind: Kind = "swap",
        listing: Sequence[Mapping[str, object]] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = catalog.rules(venue, kind)
        self.clock = VenueClock(monotonic_s)
        self._series = catalog.dialect(venue).series
        self._client = CcxtClient(venue, settings, budget, kind=kind, now_ms=self.clock.guess_ms, listing=listing)

    def rules_of(self, data: Data) -> SeriesRules:
        """How the venue is asked for it.

        Raises:
            ConfigError: it is not known to give any.
        """
        if data not in self._series:
            raise ConfigError(f"no {data.replace('_', ' ')} is known to be had from {self.rules.venue}: leave it out")
        return self._series[data]

    async def fetch_page(
        self, data: Data, market: Market, start_ms: int, end_ms: int, now_ms: int
    ) -> tuple[SeriesPage, int]:
        """The first rows of ``[start_ms, end_ms)``; one request.

        Args:
            now_ms: a reading of the venue's clock; nothing that could still change at it comes out.

        Returns:
            The page, and up to where it answers: all rows before that moment are in it. That moment is ``start_ms`` where
            the page overflowed and says nothing: ask for less.

        Raises:
            Retryable, SymbolGone, Permanent: see `heliograph.sources.errors`.
            SchemaMismatch: the venue sent a number that is none, or more rows of one moment than a page holds.
        """
        rules = self.rules_of(data)
        await self._client.load()
        end_ms = min(end_ms, now_ms)
        told, answer = await self._client.call(*_call(data, rules, market, start_ms, end_ms))
        if answer is None:
            raise SchemaMismatch(f"{self.rules.venue} gave {data} of {market.symbol} without an HTTP answer")
        if data == "trades":
            rows, reached_ms = _first_trades(_trades(told), rules.page_limit, start_ms, end_ms)
            return self._page(rows, answer, now_ms), reached_ms
        is_full = len(told) >= rules.page_limit
        points = _points(told, data).between(start_ms, end_ms)
        return self._page(Points.empty() if is_full else points, answer, now_ms), start_ms if is_full else end_ms

    async def close(self) -> None:
        """Free the connections."""
        await self._client.close()

    def _page(self, rows: Trades | Points, answer: Answer, now_ms: int) -> SeriesPage:
        return SeriesPage(rows, answer.url, answer.query, answer.sha256, self.clock.guess_ms() or now_ms)


def _call(data: Data, rules: SeriesRules, market: Market, start_ms: int, end_ms: int) -> tuple[Any, ...]:
    """ccxt's method and its arguments."""
    bounds = (start_ms, rules.page_limit, dict(rules.params(start_ms, end_ms)))
    match data:
        case "trades":
            return "fetch_trades", market.symbol, *bounds
        case "funding":
            return "fetch_funding_rate_history", market.symbol, *bounds
        case "open_interest":
            return "fetch_open_interest_history", market.symbol, OPEN_INTEREST_TIMEFRAME, *bounds


def _trades(told: Sequence[Mapping[str, Any]]) -> Trades:
    try:
        found = Trades(
            ts_ms=np.asarray([t["timestamp"] for t in told], dtype=np.int64),
            price=np.asarray([t["price"] for t in told], dtype=np.float64),
            qty=np.asarray([t["amount"] for t in told], dtype=np.float64),
            is_buy=np.asarray([t["side"] == "buy" for t in told], dtype=np.bool_),
            ids=np.asarray([str(t["id"] or "") for t in told], dtype=np.object_),
        )
    except (TypeError, ValueError) as e:
        raise SchemaMismatch(f"a trade lacks its time, price or quantity: {e}") from e
    _require(found.price > 0, found.ts_ms, "a price that is not above zero")
    _require(found.qty >= 0, found.ts_ms, "a quantity below zero")
    return Trades.concat([found])


def _first_trades(trades: Trades, page_limit: int, start_ms: int, end_ms: int) -> tuple[Trades, int]:
    """Trades that are surely all of their moments, and up to where: the last moment of a full page may be cut."""
    if len(trades) < page_limit:
        return trades.between(start_ms, end_ms), end_ms
    last_ms = int(trades.ts_ms[-1])
    if last_ms <= start_ms:
        raise SchemaMismatch(
            f"more than {page_limit} trades in one millisecond, at {start_ms}: they can't be told apart"
        )
    reached_ms = min(last_ms, end_ms)
    return trades.between(start_ms, reached_ms), reached_ms


def _points(told: Sequence[Mapping[str, Any]], data: Data) -> Points:
    """A funding rate is known when it is charged; open interest one period after the moment that it is stamped with."""
    event_ts_ms = np.asarray([t["timestamp"] for t in told], dtype=np.int64)
    if data == "funding":
        values, delay_ms = [t["fundingRate"] for t in told], 0
    else:
        values = [
            t["openInterestAmount"] if t["openInterestAmount"] is not None else t["openInterestValue"] for t in told
        ]
        delay_ms = HOUR_MS
    try:
        value = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise SchemaMismatch(f"{data} holds a number that is none: {e}") from e
    _require(np.isfinite(value), event_ts_ms, "a number that is not finite")
    return Points.concat([Points(event_ts_ms, event_ts_ms + delay_ms, value)])


def _require(is_right: Any, ts_ms: Any, what: str) -> None:
    if not is_right.all():
        raise SchemaMismatch(f"the row at {int(ts_ms[int(np.argmin(is_right))])} has {what}")
