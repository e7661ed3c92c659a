"""Trades, funding rates and open interest over REST, through the same client, budget and errors as candles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, overload

import numpy as np

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Kind, Market
from heliograph.core.ports import Budget
from heliograph.core.series import Points, SeriesPage, Trades
from heliograph.core.timeframe import HOUR_MS
from heliograph.sources import catalog
from heliograph.sources.client import CcxtClient
from heliograph.sources.clock import VenueClock
from heliograph.sources.dialect import OPEN_INTEREST_TIMEFRAME, Data, SeriesRules

_SETTLING_MS = 600_000  # a venue may publish its newest rows this late
_KNOWN_AFTER_MS: Mapping[Data, int] = {"open_interest": HOUR_MS}  # okx tells an hour's by its beginning
_OPEN_INTEREST = (
    "baseVolume",
    "openInterestAmount",
    "openInterestValue",
)  # coins where told: okx's amount is contracts

# a call spends in its own context, so that calls under way at the same time keep their prices apart
_least_weight: ContextVar[float] = ContextVar("_least_weight", default=0.0)


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
        self._dialect = catalog.dialect(venue)
        self._client = CcxtClient(
            venue, settings, _Raised(budget), kind=kind, now_ms=self.clock.guess_ms, listing=listing
        )

    def rules_of(self, data: Data) -> SeriesRules:
        """How the venue is asked for it.

        Raises:
            ConfigError: it is not known to give any.
        """
        if data not in self._dialect.series:
            raise ConfigError(f"no {data.replace('_', ' ')} is known to be had from {self.rules.venue}: leave it out")
        return self._dialect.series[data]

    async def now_ms(self) -> int:
        """The venue's own clock, read now; one request."""
        told, answer = await self._client.call(self._dialect.clock)
        date = "" if answer is None else answer.headers.get("date", "")
        now_ms = told if isinstance(told, int) else int(parsedate_to_datetime(date).timestamp() * 1_000)
        self.clock.read(now_ms)
        return now_ms

    async def fetch_page(
        self, data: Data, market: Market, start_ms: int, end_ms: int, now_ms: int
    ) -> tuple[SeriesPage, int]:
        """The first rows of ``[start_ms, end_ms)``; one request, and before the first one those for markets and time.

        Args:
            now_ms: a moment that the venue's clock has passed; nothing later is asked for.

        Returns:
            The page, and up to where it answers: all rows before that moment are in it. That moment is ``start_ms`` where
            the page overflowed and says nothing: ask for less.

        Raises:
            Retryable, SymbolGone, Permanent: see `heliograph.sources.errors`.
            SchemaMismatch: the venue sent a number that is none, or more rows of one moment than a page holds.
        """
        rules, end_ms = self.rules_of(data), min(end_ms, now_ms)
        await self._client.load()
        if self.clock.at_least_ms is None:
            await self.now_ms()
        least = _least_weight.set(rules.weight)
        try:
            told, answer = await self._client.call(*_call(data, rules, market, start_ms, end_ms))
        finally:
            _least_weight.reset(least)
        if answer is None:
            raise SchemaMismatch(f"{self.rules.venue} gave {data} of {market.symbol} without an HTTP answer")
        rows = _trades(told) if data == "trades" else _points(told, data)
        sure, reached_ms = first_rows(rows, rules, start_ms, end_ms, is_full=len(told) >= rules.page_limit)
        came_ms = self.clock.guess_ms() or now_ms
        return SeriesPage(sure, answer.url, answer.query, answer.sha256, came_ms), reached_ms

    async def close(self) -> None:
        """Free the connections."""
        await self._client.close()


@dataclass(frozen=True, slots=True)
class _Raised:
    """A budget for calls that take more than ccxt says."""

    budget: Budget

    async def __call__(self, weight: float) -> None:
        await self.budget(max(weight, _least_weight.get()))

    def pause(self, seconds: float) -> None:
        self.budget.pause(seconds)

    def used(self, weight: float) -> None:
        self.budget.used(weight)


def settled_ms(data: Data, now_ms: int) -> int:
    """Rows about moments before this can't change any more and are all published, at the venue's ``now_ms``."""
    return now_ms - _SETTLING_MS - _KNOWN_AFTER_MS.get(data, 0)


@overload
def first_rows(
    rows: Trades, rules: SeriesRules, start_ms: int, end_ms: int, *, is_full: bool
) -> tuple[Trades, int]: ...


@overload
def first_rows(
    rows: Points, rules: SeriesRules, start_ms: int, end_ms: int, *, is_full: bool
) -> tuple[Points, int]: ...


def first_rows(
    rows: Trades | Points, rules: SeriesRules, start_ms: int, end_ms: int, *, is_full: bool
) -> tuple[Trades | Points, int]:
    """What an answer to ``[start_ms, end_ms)`` surely holds whole, and up to where.

    The last moment of a full page may be cut; a full page of a venue that answers with the last rows says nothing.

    Raises:
        SchemaMismatch: one moment alone fills a page.
    """
    if not is_full:
        return rows.between(start_ms, end_ms), end_ms
    if not rules.seeks_first:
        return rows.take(slice(0, 0)), start_ms
    last_ms = int((rows.ts_ms if isinstance(rows, Trades) else rows.event_ts_ms)[-1])
    if last_ms <= start_ms:
        raise SchemaMismatch(
            f"{rules.page_limit} rows or more in one millisecond, at {start_ms}: they can't be told apart"
        )
    reached_ms = min(last_ms, end_ms)
    return rows.between(start_ms, reached_ms), reached_ms


def _call(data: Data, rules: SeriesRules, market: Market, start_ms: int, end_ms: int) -> tuple[Any, ...]:
    """ccxt's method and its arguments; it must not cut a page to what came after a start that is not its own."""
    params = dict(rules.params(start_ms, end_ms))
    bounds = (None if "since" in params else start_ms, rules.page_limit, params)
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
    _require(np.asarray([t["side"] in ("buy", "sell") for t in told], dtype=np.bool_), found.ts_ms, "no side")
    _require(found.price > 0, found.ts_ms, "a price that is not above zero")
    _require(found.qty >= 0, found.ts_ms, "a quantity below zero")
    return Trades.concat([found])


def _points(told: Sequence[Mapping[str, Any]], data: Data) -> Points:
    """A funding rate is known when it is charged; open interest one period after the moment that it is stamped with."""
    names = ("fundingRate",) if data == "funding" else _OPEN_INTEREST
    try:
        event_ts_ms = np.asarray([t["timestamp"] for t in told], dtype=np.int64)
        value = np.asarray([_first_told(t, names) for t in told], dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise SchemaMismatch(f"{data} holds a number that is none: {e}") from e
    _require(np.isfinite(value), event_ts_ms, f"{data} that is no number")
    _require((value >= 0) | (data == "funding"), event_ts_ms, "open interest below zero")
    return Points.concat([Points(event_ts_ms, event_ts_ms + _KNOWN_AFTER_MS.get(data, 0), value)])


def _first_told(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _require(is_right: Any, ts_ms: Any, what: str) -> None:
    if not is_right.all():
        raise SchemaMismatch(f"the row at {int(ts_ms[int(np.argmin(is_right))])} has {what}")
