"""One unmodified ccxt instance: how it is built, limited, listened to and closed. Foreign errors end here."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ccxt

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, RateLimited, Retryable
from heliograph.core.market import Kind
from heliograph.core.ports import Budget
from heliograph.sources import catalog
from heliograph.sources.budget import spending
from heliograph.sources.dialect import Dialect
from heliograph.sources.errors import translate
from heliograph.sources.rows import Rows, find


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, as it came.

    Attributes:
        url: without its query.
        query: the query, or the body that was sent where there is none.
        status: of HTTP; None where no answer came.
        headers: names in lower case.
        rows: the candle rows in it, if the caller reads them itself.
    """

    url: str
    query: str
    status: int | None
    headers: Mapping[str, str]
    body: str
    rows: Rows | None = None

    @property
    def sha256(self) -> str:
        """Of the body's bytes, hex."""
        return hashlib.sha256(self.body.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Hearing:
    """What one call hears.

    Attributes:
        takes_rows: candle rows are kept for the caller, and ccxt gets the answer without them.
    """

    takes_rows: bool
    answers: list[Answer] = field(default_factory=list)


# each call listens in its own context, so that calls under way at the same time never see each other's answers
_hearing: ContextVar[_Hearing | None] = ContextVar("_hearing", default=None)


class CcxtClient:
    """A keyless ccxt exchange behind a budget.

    Args:
        now_ms: the venue's now as far as it is known; it turns the end of a ban into a wait.
        streams: take the class that has WebSockets.
        listing: ccxt's markets, as `listing` of another client gave them; None asks the venue once they are needed.

    Raises:
        ConfigError: the CA file can't be read.
    """

    def __init__(
        self,
        venue: str,
        settings: VenueSettings,
        budget: Budget,
        *,
        kind: Kind = "spot",
        now_ms: Callable[[], int | None] = lambda: None,
        streams: bool = False,
        listing: Sequence[Mapping[str, object]] | None = None,
    ) -> None:
        self.venue = venue
        self.dialect = catalog.dialect(venue)
        self._least_weight = catalog.rules(venue, kind).weight_per_page
        self._budget = budget
        self._now_ms = now_ms
        self._loading = asyncio.Lock()
        self._dials: set[asyncio.Task[None]] = set()
        module = importlib.import_module("ccxt.pro" if streams else "ccxt.async_support")
        self.exchange: Any = getattr(module, venue)(_config(venue, settings, self.dialect, kind, streams=streams))
        self.exchange.throttle = self._throttle
        self.exchange.on_rest_response = self._on_answer
        if streams:
            self.exchange.client = self._socket
        if listing is not None:
            self.exchange.set_markets(list(listing))

    async def call(
        self, name: str, *args: object, takes_rows: bool = False, **kwargs: object
    ) -> tuple[Any, Answer | None]:
        """Call a method of ccxt; also its last HTTP answer, if it got one.

        Args:
            takes_rows: the answer's candle rows are left to the caller (`Answer.rows`); ccxt sees an empty page.

        Raises:
            HeliographError: see `heliograph.sources.errors`.
        """
        hearing = _Hearing(takes_rows)
        token = _hearing.set(hearing)
        try:
            with spending():
                result = await getattr(self.exchange, name)(*args, **kwargs)
        except ccxt.BaseError as e:
            raise self.translated(e, hearing.answers[-1] if hearing.answers else None) from e
        finally:
            _hearing.reset(token)
        return result, hearing.answers[-1] if hearing.answers else None

    def translated(self, error: Exception, answer: Answer | None = None) -> Exception:
        """Our error for ccxt's; one that asks to slow down also holds back everybody who shares the budget."""
        said = answer or Answer("", "", None, {}, "")
        ours = translate(
            self.venue,
            error,
            status=said.status,
            headers=said.headers,
            body=said.body,
            now_ms=self._now_ms(),
        )
        if isinstance(ours, RateLimited):
            self._budget.pause(ours.retry_after_s)
        return ours

    def listing(self) -> list[dict[str, Any]]:
        """The venue's markets as ccxt keeps them, plain values that travel to another process; after `load`."""
        return list(self.exchange.markets.values())

    async def load(self) -> None:
        """Load the markets once, however many ask at the same time."""
        async with self._loading:
            if not self.exchange.markets:
                await self.call("load_markets")

    async def close(self) -> None:
        """Close every connection, also those that are still being made.

        ccxt lets go of the latter, and aiohttp never closes a tunnel through a proxy whose connector was closed meanwhile.
        """
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        await self.exchange.close()

    def _socket(self, url: str) -> Any:
        """ccxt's WebSocket client for an address, the one that it has or a new one."""
        socket = type(self.exchange).client(self.exchange, url)
        socket.open = partial(self._dial, socket)
        return socket

    def _dial(self, socket: Any, session: object, backoff_s: float = 0) -> asyncio.Task[None]:
        dial: asyncio.Task[None] = asyncio.create_task(type(socket).open(socket, session, backoff_s))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)
        return dial

    async def _throttle(self, cost: float | None = None) -> None:
        """Spend a call's weight, a page's at least: ccxt's lower ones are a pace, and venues count whole calls."""
        await self._budget(max(cost or 0.0, self._least_weight))

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
        lower = {k.lower(): v for k, v in headers.items()}
        text, hearing = body.strip(), _hearing.get()
        rows = find(text) if hearing is not None and hearing.takes_rows and code < 400 else None
        if hearing is not None:
            hearing.answers.append(Answer(endpoint, query or sent or "", code, lower, body, rows))
        if (used := lower.get(self.dialect.used_weight_header, "")).isdigit():
            self._budget.used(float(used) * self.dialect.used_weight_unit)
        if rows is not None:
            return rows.around
        if code < 400 and (text[:1], text[-1:]) not in (("{", "}"), ("[", "]")):
            raise Retryable(f"{self.venue} answered {endpoint} with something that is not JSON: {text[:100]!r}")
        return text


def _config(venue: str, settings: VenueSettings, dialect: Dialect, kind: Kind, *, streams: bool) -> dict[str, object]:
    config: dict[str, object] = {
        "enableRateLimit": True,
        "timeout": int(settings.timeout_s * 1000),
        "timeout_on_exit": 0,  # its connectors are closed when `close` returns; ccxt would wait another 250 ms
        "options": dict(dialect.options.get(kind, {})),
    }
    if streams and dialect.stream_timeframes:
        config["timeframes"] = dict(dialect.stream_timeframes)
    if settings.http_proxy:
        config["httpsProxy"] = settings.http_proxy
    if settings.ws_proxy:
        config["wssProxy"] = settings.ws_proxy
    if settings.ca_file:
        if not Path(settings.ca_file).is_file():
            raise ConfigError(f"fetch.venues.{venue}.ca_file: there is no file {settings.ca_file}")
        config["cafile"] = settings.ca_file
    return config
