"""ccxt's exceptions as Heliograph's: by the venue's own code first, then class and HTTP status.

The class alone is not enough: ccxt reports okx's 50061 (too many requests) and kraken's "Unknown asset pair" as a plain
`ExchangeError`, binance's -1016 (shutting down) as a bad request, and every HTTP 400 or 451 as retryable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

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

Verdict = Literal["rate", "gone", "timeout", "retry", "permanent"]

# a code matches by its beginning; source: each venue's list of error codes
_CODES: dict[str, dict[str, Verdict]] = {
    "binance": {
        "-1000": "retry",
        "-1001": "retry",
        "-1003": "rate",
        "-1006": "retry",
        "-1007": "timeout",
        "-1008": "retry",
        "-1015": "rate",
        "-1016": "retry",
        "-1021": "retry",
        "-1121": "gone",
    },
    "okx": {
        "50001": "retry",
        "50004": "timeout",
        "50011": "rate",
        "50013": "retry",
        "50026": "retry",
        "50061": "rate",
        "50102": "retry",
        "51001": "gone",
    },
    "kraken": {
        "EAPI:Rate limit": "rate",
        "EOrder:Rate limit": "rate",
        "EGeneral:Too many requests": "rate",
        "EGeneral:Temporary lockout": "rate",
        "EGeneral:Internal error": "retry",
        "EDatabase:": "retry",
        "EService:": "retry",
        "EAPI:Invalid nonce": "retry",
        "EQuery:Unknown asset": "gone",
        "EQuery:Invalid asset pair": "gone",
    },
}
_CLEAR_CLASSES: tuple[tuple[type[Exception], Verdict], ...] = (
    (ccxt.BadSymbol, "gone"),
    (ccxt.DDoSProtection, "rate"),
    (ccxt.RateLimitExceeded, "rate"),
    (ccxt.RequestTimeout, "timeout"),
    (ccxt.OnMaintenance, "retry"),
)
_STATUSES: dict[int, Verdict] = {408: "timeout", 418: "rate", 425: "retry", 429: "rate", 504: "timeout"}
_FIREWALL = {"binance": 403}  # its web firewall answers 403 to an address that asks too much
_WAIT_S = {"binance": 10.0, "okx": 2.0, "kraken": 15.0}  # where the answer does not say how long
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")
_BINANCE_OKX_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_KRAKEN_CODE = re.compile(r'"(E[A-Z][A-Za-z]+:[^"]*)"')


def codes(venue: str, body: str) -> tuple[str, ...]:
    """The venue's own error codes in an answer.

    >>> codes("okx", '{"code":"51001","msg":"Instrument ID does not exist"}')
    ('51001',)
    >>> codes("kraken", '{"error":["EQuery:Unknown asset pair"]}')
    ('EQuery:Unknown asset pair',)
    """
    pattern = _KRAKEN_CODE if venue == "kraken" else _BINANCE_OKX_CODE
    return tuple(pattern.findall(body))


def verdict(venue: str, error: Exception, status: int | None, body: str) -> Verdict:
    """What an error means.

    Args:
        error: what ccxt raised.
        status: HTTP status of the answer; None where no answer came.
        body: the answer; empty where none came.
    """
    for code in codes(venue, body):
        for start, found in _CODES[venue].items():
            if code.startswith(start):
                return found
    for kind, found in _CLEAR_CLASSES:
        if isinstance(error, kind):
            return found
    if status is not None and status >= 400:
        if status == _FIREWALL.get(venue):
            return "rate"
        return _STATUSES.get(status, "retry" if status >= 500 else "permanent")
    if isinstance(error, ccxt.OperationFailed) or isinstance(error.__cause__, aiohttp.ClientError | OSError):
        return "retry"
    return "permanent"


def retry_after_s(venue: str, headers: Mapping[str, str], body: str, now_ms: int | None) -> float:
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
    return _WAIT_S[venue]


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
    if isinstance(error.__cause__, aiohttp.ClientSSLError):
        return ConfigError(
            f"{venue}'s certificate is not trusted: {error.__cause__}; set fetch.venues.{venue}.ca_file to the PEM file of the"
            " authority that signed it, or remove the proxy that replaces it"
        )
    said = f"HTTP {status}: {body[:300]}" if status is not None else f"{type(error).__name__}: {str(error)[:300]}"
    kind = verdict(venue, error, status, body)
    if kind == "rate":
        wait_s = retry_after_s(venue, headers or {}, body, now_ms)
        return RateLimited(f"{venue} asks to wait {wait_s:.1f} s ({said})", retry_after_s=wait_s)
    if kind == "gone":
        return SymbolGone(f"{venue} does not know the symbol ({said})")
    if kind == "timeout":
        return VenueTimeout(f"{venue} did not answer in time ({said})")
    if kind == "retry":
        return Retryable(f"{venue} can't answer now ({said})")
    return Permanent(f"{venue} refuses the call; the same call will fail again ({said})")
