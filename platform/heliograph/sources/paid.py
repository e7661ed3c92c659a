"""A paid provider of candles as one more `CandleSource`: asked only for what the venue itself no longer gives.

An example to write others after. What it brings is marked by its endpoint in every part's provenance.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
import orjson

from heliograph.config.settings import FallbackSettings
from heliograph.core.errors import (
    ConfigError,
    Permanent,
    RateLimited,
    Retryable,
    SchemaMismatch,
    SymbolGone,
    VenueTimeout,
)
from heliograph.core.market import Candles, Market, VenueRules
from heliograph.core.ports import Budget, Page
from heliograph.core.timeframe import Timeframe
from heliograph.sources.budget import spending
from heliograph.sources.rest import closed

COINAPI_URL = "https://rest.coinapi.io"
KEY_VARIABLE = "HELIO_COINAPI_KEY"
_PERIODS = {
    **{f"{n}m": f"{n}MIN" for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": f"{n}HRS" for n in (1, 2, 4, 6, 8, 12)},
    "1d": "1DAY",
    "1M": "1MTH",
}
_PAGE = 10_000
_FIELDS = ("price_open", "price_high", "price_low", "price_close", "volume_traded")


class CoinApiSource:
    """`CandleSource` over CoinAPI's history of one venue: https://docs.coinapi.io/market-data/rest-api/ohlcv.

    Only bars in which something was traded come. Weeks and three-day bars are left out: its grid for them is not known.

    Args:
        rules: of the venue whose markets are asked for.
        budget: of the provider, see `rules_of`.
        now_ms: the time; the provider tells none.

    Raises:
        ConfigError: the key is not in the environment (``HELIO_COINAPI_KEY``).
    """

    def __init__(
        self,
        rules: VenueRules,
        settings: FallbackSettings,
        budget: Budget,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 10**6,
    ) -> None:
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            raise ConfigError(
                f"fetch.fallback is coinapi, but {KEY_VARIABLE} is not set: export it, or remove the fallback"
            )
        self.rules = rules_of(rules, settings)
        self._budget = budget
        self._settings = settings
        self._now_ms = now_ms
        self._headers = {"X-CoinAPI-Key": key, "Accept": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def now_ms(self) -> int:
        """This machine's clock."""
        return self._now_ms()

    async def markets(self) -> list[Market]:
        """None of its own: the venue's markets are asked for."""
        return []

    async def fetch_page(self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int) -> Page:
        """See `CandleSource`.

        Raises:
            ConfigError: the provider has no such timeframe.
            Retryable, SymbolGone, Permanent: by the HTTP status of its answer.
            SchemaMismatch: the answer is no array of candles.
        """
        if timeframe.name not in _PERIODS:
            raise ConfigError(f"coinapi has no {timeframe} candles: use one of {', '.join(_PERIODS)}")
        now_ms = self._now_ms()
        query = urlencode(
            {
                "period_id": _PERIODS[timeframe.name],
                "time_start": _iso(start_ms),
                "time_end": _iso(min(end_ms, now_ms)),
                "limit": _PAGE,
            }
        )
        endpoint = f"{self._settings.url}/v1/ohlcv/{symbol_id(market)}/history"
        body = await self._get(f"{endpoint}?{query}")
        candles = closed(_candles(body), timeframe, now_ms).between(start_ms, end_ms)
        candles.require_sound(timeframe)
        return Page(candles, endpoint, query, hashlib.sha256(body).hexdigest(), now_ms)

    async def close(self) -> None:
        """Free the connections."""
        if self._session is not None:
            await self._session.close()

    async def _get(self, url: str) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers, timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s)
            )
        try:
            with spending():
                await self._budget(1.0)
                async with self._session.get(url) as answer:
                    body = await answer.read()
        except TimeoutError as e:
            raise VenueTimeout(f"coinapi did not answer within {self._settings.timeout_s:g} s") from e
        except aiohttp.ClientError as e:
            raise Retryable(f"coinapi can't be reached: {e}") from e
        if answer.status != 200:
            refusal = _refusal(answer.status, answer.headers, body)
            if isinstance(refusal, RateLimited):
                self._budget.pause(refusal.retry_after_s)
            raise refusal
        return body


def rules_of(rules: VenueRules, settings: FallbackSettings) -> VenueRules:
    """What the provider grants for a venue's markets; one budget for all venues."""
    return VenueRules(
        venue=rules.venue,
        kind=rules.kind,
        timeframes=tuple(_PERIODS),
        page_limit=_PAGE,
        horizon_candles=None,
        weight_per_page=1.0,
        weight_limit=settings.requests_per_s,
        window_s=1.0,
        seeks_first=True,
        pool="coinapi",
        is_certified=False,
    )


def symbol_id(market: Market) -> str:
    """CoinAPI's name of a market.

    >>> from decimal import Decimal
    >>> symbol_id(Market("bitstamp", "BTC/USD", "spot", "BTC", "USD", Decimal(1), Decimal(1), Decimal(1)))
    'BITSTAMP_SPOT_BTC_USD'
    """
    kind = "SPOT" if market.kind == "spot" else "PERP"
    return f"{market.venue.upper()}_{kind}_{market.base}_{market.quote}"


def _candles(body: bytes) -> Candles:
    try:
        rows: list[dict[str, Any]] = orjson.loads(body)
        stamps = [row["time_period_start"] for row in rows]
        values = [[row[name] for name in _FIELDS] for row in rows]
    except (orjson.JSONDecodeError, KeyError, TypeError) as e:
        raise SchemaMismatch(f"coinapi's answer holds no candles: {body[:200]!r}") from e
    opens = [int(datetime.fromisoformat(s[:19] + "+00:00").timestamp()) * 1_000 for s in stamps]
    return Candles.of(np.column_stack([opens, np.asarray(values, dtype=np.float64).reshape(-1, 5)]))


def _iso(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> Exception:
    said = f"HTTP {status}: {body[:200]!r}"
    if status == 429:
        wait_s = float(headers.get("Retry-After", "60"))
        return RateLimited(f"coinapi asks to wait {wait_s:g} s ({said})", retry_after_s=wait_s)
    if status == 550:
        return SymbolGone(f"coinapi has no such data ({said})")
    return (Retryable if status >= 500 else Permanent)(f"coinapi refuses ({said})")
