"""A venue's history over REST: markets, the venue's clock, and candles page by page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import ccxt

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles, Kind, Market, VenueRules
from heliograph.core.ports import Budget, Page
from heliograph.core.timeframe import Timeframe
from heliograph.sources import catalog
from heliograph.sources.client import CcxtClient
from heliograph.sources.clock import VenueClock
from heliograph.sources.dialect import Ask

_LEAST_TICK = Decimal("1E-8")  # where a venue rounds to significant digits, no tick is fixed


class CcxtSource:
    """`CandleSource` over an unmodified, keyless ccxt exchange: one venue's markets of one kind.

    Args:
        kind: of the markets.
        listing: what `listing` of another source of the same venue gave; None asks the venue once it is needed.
        monotonic_s: seconds that never run backwards; they only decide when the venue's clock is read again.

    Raises:
        ConfigError: ccxt has no such venue, it has no such markets, or its CA file can't be read.
    """

    def __init__(
        self,
        venue: str,
        settings: VenueSettings,
        budget: Budget,
        *,
        kind: Kind = "spot",
        listing: Sequence[Mapping[str, object]] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = catalog.rules(venue, kind)
        self.clock = VenueClock(monotonic_s)
        self._dialect = catalog.dialect(venue)
        self._client = CcxtClient(venue, settings, budget, kind=kind, now_ms=self.clock.guess_ms, listing=listing)
        self._reading = asyncio.Lock()

    async def now_ms(self) -> int:
        """The venue's own clock, read now; one request."""
        told, answer = await self._client.call(self._dialect.clock)
        date = "" if answer is None else answer.headers.get("date", "")
        now_ms = told if isinstance(told, int) else int(parsedate_to_datetime(date).timestamp() * 1_000)
        self.clock.read(now_ms)
        return now_ms

    async def markets(self) -> list[Market]:
        """Every market of the kind, delisted ones too; those without a price tick or quantity step (not opened yet) are left out."""
        found = (market_of(self.rules, raw, self._client.exchange.precisionMode) for raw in await self.listing())
        return [m for m in found if m is not None]

    async def listing(self) -> list[dict[str, Any]]:
        """The markets of the kind as ccxt keeps them: plain values that travel to another process."""
        await self._client.load()
        return [raw for raw in self._client.listing() if raw[self.rules.kind]]

    async def fetch_page(self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int) -> Page:
        """At most one page of closed candles that open in ``[start_ms, end_ms)``; one request.

        Where ``rules.seeks_first`` holds, these are the first ones in the interval; elsewhere only its first
        ``rules.page_limit`` bars are looked at. On a venue with a horizon, older bars do not come. A bar comes out only
        if the venue's clock, read before the call, had passed its close and the venue's delay.

        Raises:
            ConfigError: the venue has no such timeframe.
            Retryable, SymbolGone, Permanent: see `heliograph.sources.errors`.
            SchemaMismatch: the venue sent a bar off the grid or a price that is no number.
        """
        if timeframe.name not in self.rules.timeframes:
            raise ConfigError(
                f"{self.rules.venue} has no right {timeframe} candles of its own: use one of {', '.join(self.rules.timeframes)}"
            )
        await self._client.load()
        now_ms = await self._reading_ms(timeframe, end_ms)
        ask = Ask(
            kind=self.rules.kind,
            timeframe=timeframe,
            start_ms=start_ms,
            end_ms=end_ms,
            limit=self.rules.page_limit,
            now_ms=self.clock.guess_ms() or now_ms,
            listed=self._client.exchange.markets.get(market.symbol, {}),
        )
        call, layout = self._dialect.call(ask), self._dialect.layouts.get(self.rules.kind)
        told, answer = await self._client.call(
            "fetch_ohlcv",
            market.symbol,
            timeframe.name,
            call.since_ms,
            call.limit,
            dict(call.params),
            takes_rows=layout is not None,
        )
        if answer is None:
            raise SchemaMismatch(f"{self.rules.venue} gave candles of {market.symbol} without an HTTP answer")
        came = answer.rows.candles(layout) if layout and answer.rows else Candles.of(told)
        candles = closed(came, timeframe, now_ms - self.rules.close_delay_ms).between(start_ms, end_ms)
        candles.require_sound(timeframe)
        return Page(
            candles=candles,
            endpoint=answer.url,
            query=answer.query,
            sha256=answer.sha256,
            fetched_ts_ms=self.clock.guess_ms() or now_ms,
        )

    async def close(self) -> None:
        """Free the connections."""
        await self._client.close()

    async def _reading_ms(self, timeframe: Timeframe, end_ms: int) -> int:
        """The venue's clock: the last reading, or a new one where bars before ``end_ms`` may have closed since.

        Pages asked for at the same time share a new one.
        """
        async with self._reading:
            at_least, guess, delay = self.clock.at_least_ms, self.clock.guess_ms(), self.rules.close_delay_ms
            if at_least is None or guess is None:
                return await self.now_ms()
            open_bar = timeframe.floor(at_least - delay)
            if end_ms > open_bar and timeframe.floor(guess - delay) > open_bar:
                return await self.now_ms()
            return at_least


def closed(candles: Candles, timeframe: Timeframe, now_ms: int) -> Candles:
    """Candles in order, each open once, without those that close after ``now_ms``.

    >>> minute = Timeframe("1m", 60_000)
    >>> closed(Candles.of([[60_000, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]]), minute, 60_001).open_ts_ms.tolist()
    [0]
    """
    ordered = Candles.concat([candles])
    count = len(ordered)
    while count and timeframe.close_ms(int(ordered.open_ts_ms[count - 1])) > now_ms:
        count -= 1
    return ordered.take(slice(0, count))


def market_of(rules: VenueRules, raw: Mapping[str, Any], precision_mode: int) -> Market | None:
    """A market from ccxt's; None where the venue gives no price tick or quantity step."""
    tick, step = (_tick(raw["precision"][name], precision_mode) for name in ("price", "amount"))
    if tick is None or step is None:
        return None
    least = raw["limits"]["cost"]["min"]
    return Market(
        venue=rules.venue,
        symbol=raw["symbol"],
        kind=rules.kind,
        base=raw["base"],
        quote=raw["quote"],
        price_tick=tick,
        qty_step=step,
        min_notional_quote=Decimal(0) if least is None else Decimal(str(least)),
        is_active=raw["active"] is not False,
        listed_ts_ms=raw["created"],
    )


def _tick(precision: float | None, mode: int) -> Decimal | None:
    """An increment from ccxt's precision, which is one, or a number of decimals or of significant digits."""
    if precision is None:
        return None
    if mode == ccxt.TICK_SIZE:
        return Decimal(str(precision))
    return Decimal(1).scaleb(-int(precision)) if mode == ccxt.DECIMAL_PLACES else _LEAST_TICK
