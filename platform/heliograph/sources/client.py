"""One unmodified ccxt instance: how it is built, limited, listened to and closed. Foreign errors end here."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ccxt

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, RateLimited, Retryable
from heliograph.sources.errors import translate

Acquire = Callable[[float], Awaitable[None]]

_OPTIONS: dict[str, dict[str, object]] = {
    "binance": {"fetchMarkets": {"types": ["spot"]}},
    "okx": {"fetchMarkets": {"types": ["spot"]}},
    "kraken": {"ws": {"cost": 0.2}},  # it subscribes symbol by symbol: five a second, not one
}
# ccxt subscribes okx's bars from 6h up by their UTC+8 names, while its REST call asks for the UTC ones
_STREAM_TIMEFRAMES: dict[str, dict[str, str]] = {
    "okx": {"6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc", "1M": "1Mutc"},
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, as it came.

    Attributes:
        url: without its query.
        query: the query, or the body that was sent where there is none.
        status: of HTTP; None where no answer came.
        headers: names in lower case.
    """

    url: str
    query: str
    status: int | None
    headers: Mapping[str, str]
    body: str

    @property
    def sha256(self) -> str:
        """Of the body's bytes, hex."""
        return hashlib.sha256(self.body.encode()).hexdigest()


# each call listens in its own context, so that calls under way at the same time never see each other's answers
_heard: ContextVar[list[Answer] | None] = ContextVar("_heard", default=None)


class CcxtClient:
    """A keyless ccxt exchange behind a budget.

    Args:
        acquire: waits until the given weight (ccxt's cost) may be spent.
        now_ms: the venue's now as far as it is known; it turns the end of a ban into a wait.
        streams: take the class that has WebSockets.

    Raises:
        ConfigError: the CA file can't be read.
    """

    def __init__(
        self,
        venue: str,
        settings: VenueSettings,
        acquire: Acquire,
        *,
        now_ms: Callable[[], int | None] = lambda: None,
        streams: bool = False,
    ) -> None:
        self.venue = venue
        self._acquire = acquire
        self._now_ms = now_ms
        self._quiet_until_s = 0.0
        self._loading = asyncio.Lock()
        module = importlib.import_module("ccxt.pro" if streams else "ccxt.async_support")
        self.exchange: Any = getattr(module, venue)(_config(venue, settings, streams=streams))
        self.exchange.throttle = self._throttle
        self.exchange.on_rest_response = self._on_answer

    async def call(self, name: str, *args: object, **kwargs: object) -> tuple[Any, Answer | None]:
        """Call a method of ccxt; also its last HTTP answer, if it got one.

        Raises:
            HeliographError: see `heliograph.sources.errors`.
        """
        answers: list[Answer] = []
        token = _heard.set(answers)
        try:
            result = await getattr(self.exchange, name)(*args, **kwargs)
        except ccxt.BaseError as e:
            raise self.translated(e, answers[-1] if answers else None) from e
        finally:
            _heard.reset(token)
        return result, answers[-1] if answers else None

    def translated(self, error: Exception, answer: Answer | None = None) -> Exception:
        """Our error for ccxt's; one that asks to slow down also holds back every later call of this client."""
        said = answer or Answer("", "", None, {}, "")
        ours = translate(
            self.venue, error, status=said.status, headers=said.headers, body=said.body, now_ms=self._now_ms()
        )
        if isinstance(ours, RateLimited):
            self._quiet_until_s = max(self._quiet_until_s, asyncio.get_running_loop().time() + ours.retry_after_s)
        return ours

    async def load(self) -> None:
        """Load the markets once, however many ask at the same time."""
        async with self._loading:
            if not self.exchange.markets:
                await self.call("load_markets")

    async def close(self) -> None:
        """Close every connection."""
        await self.exchange.close()

    async def _throttle(self, cost: float | None = None) -> None:
        wait_s = self._quiet_until_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await self._acquire(1.0 if cost is None else cost)

    def _on_answer(
        self,
        code: int,
        _reason: str,
        url: str,
        _method: str,
        headers: Mapping[str, str],
        body: str,
        _sent: object,
        sent: str | None,
    ) -> str:
        endpoint, _, query = url.partition("?")
        answer = Answer(endpoint, query or sent or "", code, {k.lower(): v for k, v in headers.items()}, body)
        if (answers := _heard.get()) is not None:
            answers.append(answer)
        text = body.strip()
        if code < 400 and (text[:1], text[-1:]) not in (("{", "}"), ("[", "]")):
            raise Retryable(f"{self.venue} answered {endpoint} with something that is not JSON: {text[:100]!r}")
        return text


def _config(venue: str, settings: VenueSettings, *, streams: bool) -> dict[str, object]:
    config: dict[str, object] = {
        "enableRateLimit": True,
        "timeout": int(settings.timeout_s * 1000),
        "options": _OPTIONS.get(venue, {}),
    }
    if streams and venue in _STREAM_TIMEFRAMES:
        config["timeframes"] = _STREAM_TIMEFRAMES[venue]
    if settings.http_proxy:
        config["httpsProxy"] = settings.http_proxy
    if settings.ws_proxy:
        config["wssProxy"] = settings.ws_proxy
    if settings.ca_file:
        if not Path(settings.ca_file).is_file():
            raise ConfigError(f"fetch.venues.{venue}.ca_file: there is no file {settings.ca_file}")
        config["cafile"] = settings.ca_file
    return config
