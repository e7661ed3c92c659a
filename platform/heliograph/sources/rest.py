"""A venue's history over REST: markets, the venue's clock, and candles page by page."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles, Market
from heliograph.core.ports import Page
from heliograph.core.timeframe import DAY_MS, Timeframe
from heliograph.sources import catalog
from heliograph.sources.client import Acquire, CcxtClient
from heliograph.sources.clock import VenueClock

_OKX_RECENT_BARS = 1_439  # `candles` serves the newest 1,440 bars at half the weight, `history-candles` all others


class CcxtSource:
    """`CandleSource` over an unmodified, keyless ccxt exchange. Spot markets only.

    Args:
        acquire: waits until the given weight, in ccxt's cost units, may be spent.
        monotonic_s: seconds that never run backwards; they only decide when the venue's clock is read again.

    Raises:
        ConfigError: the venue is not in the catalogue, or its CA file can't be read.
    """

    def __init__(
        self,
        venue: str,
        settings: VenueSettings,
        acquire: Acquire,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = catalog.rules(venue)
        self.clock = VenueClock(monotonic_s)
        self._client = CcxtClient(venue, settings, acquire, now_ms=self.clock.guess_ms)

    async def now_ms(self) -> int:
        """The venue's own clock, read now; one request."""
        now_ms, _ = await self._client.call("fetch_time")
        self.clock.read(int(now_ms))
        return int(now_ms)

    async def markets(self) -> list[Market]:
        """Every spot market, delisted ones too; those without a price tick or quantity step (not opened yet) are left out."""
        await self._client.load()
        found = (market_of(self.rules.venue, raw) for raw in self._client.exchange.markets.values() if raw["spot"])
        return [m for m in found if m is not None]

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
        params = _bounds(self.rules.venue, timeframe, (start_ms, end_ms), limit=self.rules.page_limit, now_ms=now_ms)
        rows, answer = await self._client.call(
            "fetch_ohlcv", market.symbol, timeframe.name, start_ms, self.rules.page_limit, params
        )
        if answer is None:
            raise SchemaMismatch(f"{self.rules.venue} gave candles of {market.symbol} without an HTTP answer")
        candles = closed(Candles.of(rows), timeframe, now_ms - self.rules.close_delay_ms).between(start_ms, end_ms)
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
        """The venue's clock: the last reading, or a new one where bars before ``end_ms`` may have closed since."""
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


def shortest_ms(timeframe: Timeframe) -> int:
    """Length of the shortest bar: a window of n times this holds no more than n bars."""
    return 28 * DAY_MS if timeframe.is_calendar else timeframe.ms


def market_of(venue: str, raw: dict[str, Any]) -> Market | None:
    """A market from ccxt's; None where the venue gives no price tick or quantity step."""
    tick, step = raw["precision"]["price"], raw["precision"]["amount"]
    if tick is None or step is None:
        return None
    least = raw["limits"]["cost"]["min"]
    return Market(
        venue=venue,
        symbol=raw["symbol"],
        kind="spot",
        base=raw["base"],
        quote=raw["quote"],
        price_tick=Decimal(str(tick)),
        qty_step=Decimal(str(step)),
        min_notional_quote=Decimal(0) if least is None else Decimal(str(least)),
        is_active=bool(raw["active"]),
        listed_ts_ms=raw["created"],
    )


def _bounds(
    venue: str, timeframe: Timeframe, interval: tuple[int, int], *, limit: int, now_ms: int
) -> dict[str, object]:
    """What to add to ccxt's call so that the page holds the interval's first bars and no others."""
    start_ms, end_ms = interval
    if venue == "binance":
        return {"until": end_ms - 1}  # its end is inclusive
    if venue == "okx":  # it answers with the newest rows before an exclusive end: a wider window would lose the first
        bar_ms = shortest_ms(timeframe)
        recent = start_ms >= now_ms - _OKX_RECENT_BARS * bar_ms
        return {"until": min(end_ms, start_ms + limit * bar_ms), "type": "Candles" if recent else "HistoryCandles"}
    return {}
