"""One archive over HTTP: its files as pages, check sums proved, damage refused, re-issues noticed."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, Permanent, RateLimited, Retryable, SchemaMismatch, VenueTimeout
from heliograph.core.ports import Page
from heliograph.sources.archive.layout import ArchiveFile, Layout
from heliograph.sources.archive.read import read

MOST_BYTES = 2**28
VERIFIED, UNPUBLISHED = "verified", "none published"
_LONGEST = 30  # times ``timeout_s`` that a file may take which keeps coming
_CHUNK_BYTES = 2**18
_MISSING = 404
_QUIET_S = 30.0  # where an archive asks to wait and does not say how long


@dataclass(frozen=True, slots=True)
class Known:
    """A file that a part was made of.

    Attributes:
        sha256: of the file as it was then, hex.
        fetched_ts_ms: when that was.
        start_ms, end_ms: the interval that the part took from it.
    """

    url: str
    sha256: str
    fetched_ts_ms: int
    start_ms: int
    end_ms: int


class ArchiveClient:
    """The files of one layout.

    Args:
        settings: how the venue is reached; its archive is reached in the same way.
        now_ms: the time, UTC epoch ms, for provenance.
        in_flight: downloads at the same time.
        most_bytes: a larger file is refused.

    Raises:
        ConfigError: the CA file can't be read.
    """

    def __init__(
        self,
        layout: Layout,
        settings: VenueSettings,
        *,
        now_ms: Callable[[], int],
        in_flight: int = 8,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.layout = layout
        self._settings = settings
        self._now_ms = now_ms
        self._most_bytes = most_bytes
        self._places = asyncio.Semaphore(in_flight)
        self._trust = _trust(layout.venue, settings)
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, file: ArchiveFile) -> Page | None:
        """A file's candles; None where the archive has no such file (yet).

        A file that is cut, or is not what its check sum says, is loaded once more before it is refused.

        Raises:
            Retryable: the archive can't answer now; `RateLimited` and `VenueTimeout` among others.
            SchemaMismatch: the file is damaged, or not what its name promises.
            Permanent: the archive refuses, or the file is larger than ``most_bytes``.
            ConfigError: the archive's certificate is not trusted.
        """
        try:
            return await self._page(file)
        except SchemaMismatch:  # torn on the way, or re-issued between its check sum and itself
            return await self._page(file)

    async def is_reissued(self, known: Known) -> bool:
        """Whether the archive now holds other bytes under the name; False where it holds none.

        The check sum tells where it is of the kind that parts keep. Elsewhere the file's date does; where that is newer
        than the fetch, the file is loaded and compared.

        Raises:
            Retryable, Permanent, ConfigError: as `fetch`.
            SchemaMismatch: the check sum is no check sum.
        """
        if self.layout.digest == "sha256":
            published = await self._published(known.url)
            return published not in (None, known.sha256)
        answer = await self._ask("HEAD", known.url)
        if answer is None:
            return False
        modified = answer.headers.get("last-modified")
        if modified and parsedate_to_datetime(modified).timestamp() * 1000 <= known.fetched_ts_ms:
            return False
        again = await self._ask("GET", known.url)
        return again is not None and hashlib.sha256(again.body).hexdigest() != known.sha256

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _page(self, file: ArchiveFile) -> Page | None:
        checksum, promised = UNPUBLISHED, None
        if self.layout.digest is not None:
            promised = await self._published(file.url)
            if promised is None:
                return None  # its check sum is published with it
            checksum = VERIFIED
        answer = await self._ask("GET", file.url)
        if answer is None:
            return None
        fetched_ts_ms = self._now_ms()
        if promised is not None and hashlib.new(str(self.layout.digest), answer.body).hexdigest() != promised:
            raise SchemaMismatch(f"{file.url} is not what its .CHECKSUM says ({self.layout.digest} {promised})")
        candles = await asyncio.to_thread(read, self.layout, file, answer.body)
        return Page(
            candles=candles,
            endpoint=file.url,
            query="",
            sha256=hashlib.sha256(answer.body).hexdigest(),
            fetched_ts_ms=fetched_ts_ms,
            checksum=checksum,
        )

    async def _published(self, url: str) -> str | None:
        """The check sum beside a file, hex; None where there is none."""
        answer = await self._ask("GET", f"{url}.CHECKSUM")
        if answer is None:
            return None
        words = answer.body[:1_000].decode(errors="replace").split()
        length = hashlib.new(str(self.layout.digest)).digest_size * 2
        if not words or len(words[0]) != length or set(words[0].lower()) - set("0123456789abcdef"):
            raise SchemaMismatch(f"{url}.CHECKSUM holds {answer.body[:80]!r}, not {self.layout.digest} and a name")
        return words[0].lower()

    async def _ask(self, method: str, url: str) -> _Answer | None:
        """One request; None for 404."""
        async with self._places:
            try:
                answer = await self._answer(method, url)
            except TimeoutError as e:
                raise VenueTimeout(f"{url} did not come within {self._settings.timeout_s} s") from e
            except (aiohttp.ClientSSLError, ssl.SSLError) as e:
                raise ConfigError(
                    f"the certificate of {self.layout.origin} is not trusted: {e}; set fetch.venues.{self.layout.venue}.ca_file"
                    " to the PEM file of the authority that signed it, or remove the proxy that replaces it"
                ) from e
            except (aiohttp.ClientError, OSError) as e:
                raise Retryable(f"{url} can't be reached: {type(e).__name__}: {e}") from e
        if answer.status == _MISSING:
            return None
        _require_ok(url, answer)
        return answer

    async def _answer(self, method: str, url: str) -> _Answer:
        if self._session is None:
            limit = self._settings.timeout_s
            timeout = aiohttp.ClientTimeout(total=limit * _LONGEST, sock_connect=limit, sock_read=limit)
            # a packed file must arrive as it lies there, not unpacked on the way
            self._session = aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, headers={"Accept-Encoding": "identity"}
            )
        request = self._session.request(method, url, proxy=self._settings.http_proxy, ssl=self._trust)
        async with request as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._most_bytes:
                    raise Permanent(f"{url} is larger than {self._most_bytes} bytes")
            return _Answer(response.status, headers, bytes(body))


@dataclass(frozen=True, slots=True)
class _Answer:
    """Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _require_ok(url: str, answer: _Answer) -> None:
    status = answer.status
    if status < 300:
        return
    if status in (429, 503):
        told = answer.headers.get("retry-after", "")
        wait_s = float(told) if told.isdigit() else _QUIET_S
        raise RateLimited(f"{url} asks to wait {wait_s:.0f} s (HTTP {status})", retry_after_s=wait_s)
    said = f"{url} answers HTTP {status}: {answer.body[:200]!r}"
    raise Retryable(said) if status >= 500 else Permanent(said)


def _trust(venue: str, settings: VenueSettings) -> ssl.SSLContext | bool:
    if not settings.ca_file:
        return True
    if not Path(settings.ca_file).is_file():
        raise ConfigError(f"fetch.venues.{venue}.ca_file: there is no file {settings.ca_file}")
    return ssl.create_default_context(cafile=settings.ca_file)
