"""The joints: what a stage needs from the world, said as protocols. `wiring` chooses who answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from heliograph.core.commands import CancelOrder, Command, SubmitOrder
from heliograph.core.events import CandleClosed, Event
from heliograph.core.market import Candles, Market, VenueRules
from heliograph.core.timeframe import Timeframe

FloatArray = npt.NDArray[np.float64]


class Clock(Protocol):
    """The time, as UTC epoch milliseconds."""

    def now_ms(self) -> int:
        """Now."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a candle endpoint.

    Attributes:
        candles: the closed candles in it, ascending, within the interval that was asked for.
        endpoint: URL without its query.
        query: the query or body as sent.
        sha256: of the raw response body, hex.
        fetched_ts_ms: when it came.
        checksum: what became of the checksum that the source publishes beside its file: ``verified``,
            ``none published``, or empty where the answer is no file.
    """

    candles: Candles
    endpoint: str
    query: str
    sha256: str
    fetched_ts_ms: int
    checksum: str = ""


class Budget(Protocol):
    """The right to spend a venue's rate limit."""

    async def __call__(self, weight: float) -> None:
        """Return once ``weight``, in ccxt's cost units, may be spent."""

    def pause(self, seconds: float) -> None:
        """The venue asks everybody at this address to be silent for so long."""

    def used(self, weight: float) -> None:
        """The venue says that this address has used so much within its window."""


class CandleSource(Protocol):
    """A venue's history."""

    rules: VenueRules

    async def now_ms(self) -> int:
        """The venue's own clock."""

    async def markets(self) -> list[Market]:
        """Every market, delisted ones too."""

    async def fetch_page(self, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int) -> Page:
        """At most one page of closed candles that open in ``[start_ms, end_ms)``.

        Raises:
            Retryable: the same call may succeed later.
            SymbolGone: the venue does not know the symbol.
        """

    async def close(self) -> None:
        """Free the connections."""


class CandleStream(Protocol):
    """A venue's live candles, each once, in order, closed ones only."""

    def closed(self, markets: Sequence[Market], timeframe: Timeframe, since_ms: int) -> AsyncIterator[CandleClosed]:
        """Every candle that opens at or after ``since_ms``: the missed ones first, then live, without a hole."""

    async def close(self) -> None:
        """Free the connections."""


@runtime_checkable
class ObjectStore(Protocol):
    """A folder or a bucket. Keys are relative, with ``/``."""

    uri: str

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Write the object unless the key exists; True when this call wrote it. Atomic, checksummed, durable."""

    def get(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: there is no such key.
        """

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and version tag, or None where the key is absent."""

    def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
        """Replace the object if its version is still ``tag`` (None: if it is absent); True when written."""

    def list(self, prefix: str) -> list[str]:
        """Keys under the prefix, sorted."""

    def delete(self, key: str) -> None:
        """Remove the object; harmless where there is none."""


class Broker(Protocol):
    """Carries out commands and answers with events."""

    def submit(self, order: SubmitOrder) -> Iterable[Event]:
        """Send the order; the same ``client_id`` again must not make a second order."""

    def cancel(self, order: CancelOrder) -> Iterable[Event]:
        """Take back what is left of the order."""


class Journal(Protocol):
    """The engine's memory: every event and command, in order, before it takes effect."""

    def append(self, entry: Event | Command, *, durable: bool) -> int:
        """Write one entry and return its sequence number; ``durable`` waits until it is on disk."""

    def replay(self) -> Iterable[Event | Command]:
        """Every entry in order.

        Raises:
            InvariantBroken: the chain of hashes is broken.
        """
