"""ccxt's exceptions as Heliograph's: by the venue's own code first, then class and HTTP status.

The class alone is not enough: ccxt reports okx's 50061 (too many requests) and kraken's "Unknown asset pair" as a plain
`ExchangeError`, binance's -1016 (shutting down) as a bad request, and every HTTP 400 or 451 as retryable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp
import ccxt

from heliograph.core.errors import (
    ConfigError,
    HeliographError,
    Permanent,
    RateLimited,
    Retryable,
    SymbolGone,
    VenueTimeout,
)
from heliograph.sources import catalog
from heliograph.sources.dialect import Dialect, Verdict

_CLEAR_CLASSES: tuple[tuple[type[Exception], Verdict], ...] = (
    (ccxt.BadSymbol, "gone"),
    (ccxt.DDoSProtection, "rate"),
    (ccxt.RateLimitExceeded, "rate"),
    (ccxt.RequestTimeout, "timeout"),
    (ccxt.OnMaintenance, "retry"),
)
_STATUSES: dict[int, Verdict] = {408: "timeout", 418: "rate", 425: "retry", 429: "rate", 504: "timeout"}
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")


def codes(dialect: Dialect, body: str) -> tuple[str, ...]:
    """The venue's own error codes in an answer.

    >>> from heliograph.sources.catalog import dialect
    >>> codes(dialect("okx"), '{"code":"51001","msg":"Instrument ID does not exist"}')
    ('51001',)
    >>> codes(dialect("kraken"), '{"error":["EQuery:Unknown asset pair"]}')
    ('EQuery:Unknown asset pair',)
    """
    return tuple(dialect.code_pattern.findall(body))


def verdict(dialect: Dialect, error: Exception, status: int | None, body: str) -> Verdict:
    """What an error means: by the venue's own code, then by the HTTP statuses of its own, then by class and status.

    Args:
        error: what ccxt raised.
        status: HTTP status of the answer; None where no answer came.
        body: the answer; empty where none came.
    """
    for code in codes(dialect, body):
        for start, found in dialect.codes.items():
            if code.startswith(start):
                return found
    if status is not None and (own := dialect.statuses.get(status)):
        return own
    for kind, found in _CLEAR_CLASSES:
        if isinstance(error, kind):
            return found
    if status is not None and status >= 400:
        return _STATUSES.get(status, "retry" if status >= 500 else "permanent")
    if isinstance(error, ccxt.OperationFailed) or isinstance(error.__cause__, aiohttp.ClientError | OSError):
        return "retry"
    return "permanent"


def retry_after_s(dialect: Dialect, headers: Mapping[str, str], body: str, now_ms: int | None) -> float:
    """Seconds to wait: the Retry-After header, else from now to the end of a ban, else a guess for the venue.

    Args:
        headers: of the answer, names in lower case.
        now_ms: the venue's now, if it is known.
    """
    header = headers.get("retry-after", "")
    if header.isdigit():
        return float(header)
    if header and "date" in headers:
        wait = parsedate_to_datetime(header) - parsedate_to_datetime(headers["date"])
        return max(wait.total_seconds(), 0.0)
    if now_ms is not None and (until := _BANNED_UNTIL.search(body)):
        return max((int(until[1]) - now_ms) / 1000, 0.0)
    return dialect.wait_s


def translate(
    venue: str,
    error: Exception,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    now_ms: int | None = None,
) -> HeliographError:
    """The error to raise instead of ccxt's; the arguments are those of `verdict` and `retry_after_s`."""
    dialect = catalog.dialect(venue)
    if isinstance(error.__cause__, aiohttp.ClientSSLError):
        return ConfigError(
            f"{venue}'s certificate is not trusted: {error.__cause__}; set fetch.venues.{venue}.ca_file to the PEM file of the"
            " authority that signed it, or remove the proxy that replaces it"
        )
    said = f"HTTP {status}: {body[:300]}" if status is not None else f"{type(error).__name__}: {str(error)[:300]}"
    kind = verdict(dialect, error, status, body)
    if kind == "rate":
        wait_s = retry_after_s(dialect, headers or {}, body, now_ms)
        return RateLimited(f"{venue} asks to wait {wait_s:.1f} s ({said})", retry_after_s=wait_s)
    if kind == "gone":
        return SymbolGone(f"{venue} does not know the symbol ({said})")
    if kind == "timeout":
        return VenueTimeout(f"{venue} did not answer in time ({said})")
    if kind == "retry":
        return Retryable(f"{venue} can't answer now ({said})")
    return Permanent(f"{venue} refuses the call; the same call will fail again ({said})")
