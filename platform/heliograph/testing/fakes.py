"""Stand-ins that behave like the world and never surprise: a venue in memory, a clock that is told the time, a budget without end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from heliograph.core.market import Candles, Market, VenueRules
from heliograph.core.ports import Page
from heliograph.core.timeframe import Timeframe

Interval = tuple[int, int]
Fault = Callable[[int, str, Interval], Exception | None]
Shorten = Callable[[int, int], int]


class ManualClock:
    """A `Clock` that stands still until it is moved."""

    def __init__(self, now_ms: int = 0) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        """UTC epoch milliseconds."""
        return self.ms

    def sleep(self, seconds: float) -> None:
        """Let time pass; stands in for ``time.sleep``."""
        self.ms += round(seconds * 1000)


class Unlimited:
    """A `Budget` that nobody waits for."""

    async def __call__(self, weight: float) -> None:
        """Take nothing."""

    def pause(self, seconds: float) -> None:
        """Hold nobody back."""

    def used(self, weight: float) -> None:
        """Count nothing."""


def market(symbol: str, *, venue: str = "fake", is_active: bool = True, listed_ts_ms: int | None = None) -> Market:
    """A spot market with ordinary increments."""
    base, _, quote = symbol.partition("/")
    return Market(
        venue=venue,
        symbol=symbol,
        kind="spot",
        base=base,
        quote=quote,
        price_tick=Decimal("0.01"),
        qty_step=Decimal("0.00001"),
        min_notional_quote=Decimal(10),
        is_active=is_active,
        listed_ts_ms=listed_ts_ms,
    )


def rules(
    *,
    venue: str = "fake",
    timeframes: tuple[str, ...] = ("1m", "1h", "1d", "1M"),
    page_limit: int = 10,
    horizon_candles: int | None = None,
    seeks_first: bool = True,
    close_delay_ms: int = 0,
) -> VenueRules:
    """Rules of a venue without a rate limit."""
    return VenueRules(
        venue=venue,
        timeframes=timeframes,
        page_limit=page_limit,
        horizon_candles=horizon_candles,
        weight_per_page=1.0,
        weight_limit=1e9,
        window_s=1.0,
        seeks_first=seeks_first,
        close_delay_ms=close_delay_ms,
    )


class FakeSource:
    """A `CandleSource` over given candles; the same calls in any order get the same answers.

    Attributes:
        requests: every candle call as (symbol, start_ms, end_ms), in order.
        sent: every candle open that was ever answered, by symbol.
    """

    def __init__(
        self,
        candles: Mapping[tuple[str, str], Candles],
        *,
        now_ms: int,
        rules: VenueRules,
        markets: Sequence[Market] | None = None,
        fault: Fault | None = None,
        shorten: Shorten | None = None,
        gives_newest: bool = False,
    ) -> None:
        """A venue.

        Args:
            candles: by (unified symbol, timeframe name).
            fault: called with the request's number from 0, its symbol and interval; what it returns is raised.
            shorten: called with the request's number and the page's size; the page is cut to what it returns.
            gives_newest: a page holds the newest candles of the interval, as some venues do, not the first.
        """
        self.rules = rules
        self.requests: list[tuple[str, int, int]] = []
        self.sent: dict[str, set[int]] = {}
        self._candles = candles
        self._now_ms = now_ms
        self._markets = list(markets or [market(s, venue=rules.venue) for s in sorted({s for s, _ in candles})])
        self._fault = fault
        self._shorten = shorten
        self._gives_newest = gives_newest

    async def now_ms(self) -> int:
        """See `CandleSource`."""
        return self._now_ms

    async def markets(self) -> list[Market]:
        """See `CandleSource`."""
        return list(self._markets)

    async def fetch_page(self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int) -> Page:
        """See `CandleSource`."""
        number = len(self.requests)
        self.requests.append((market.symbol, start_ms, end_ms))
        if self._fault and (error := self._fault(number, market.symbol, (start_ms, end_ms))):
            raise error
        answer = self._answer(self._candles[market.symbol, timeframe.name], timeframe, start_ms, end_ms)
        if self._shorten:
            answer = answer.take(slice(0, self._shorten(number, len(answer))))
        self.sent.setdefault(market.symbol, set()).update(answer.open_ts_ms.tolist())
        return Page(
            candles=answer,
            endpoint=f"https://{self.rules.venue}.example/candles",
            query=f"symbol={market.symbol}&timeframe={timeframe}&start={start_ms}&end={end_ms}",
            sha256=hashlib.sha256(answer.close.tobytes()).hexdigest(),
            fetched_ts_ms=self._now_ms,
        )

    async def close(self) -> None:
        """See `CandleSource`."""

    def _answer(self, candles: Candles, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        limit = self.rules.page_limit
        if not self.rules.seeks_first and not self._gives_newest:
            end_ms = min(end_ms, start_ms + limit * timeframe.ms)
        closed_end_ms = timeframe.floor(self._now_ms - self.rules.close_delay_ms)
        inside = candles.between(start_ms, min(end_ms, closed_end_ms))
        return inside.take(slice(-limit, None) if self._gives_newest else slice(0, limit))
