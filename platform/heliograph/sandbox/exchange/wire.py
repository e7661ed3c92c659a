"""What every venue adapter takes and gives, free of any network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

from heliograph.core.ports import Clock
from heliograph.core.timeframe import Timeframe
from heliograph.sandbox.book import Book
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Tape, Trade

Refusal = Literal["rate_limit", "ban", "server_error", "maintenance"]


@dataclass(frozen=True, slots=True)
class Request:
    """One REST call.

    Attributes:
        body: as sent; JSON where a venue asks by POST.
        is_cut: answer with half of the candles only, as a venue in trouble does.
    """

    host: str
    path: str
    query: Mapping[str, str]
    is_cut: bool = False
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the venue answers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Frame = str | bytes
"""What goes over a socket: text, or bytes where the venue packs its frames."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One subscription of one socket.

    Attributes:
        name: what the venue calls the stream.
    """

    name: str
    symbol: str
    timeframe: Timeframe


@dataclass(frozen=True, slots=True)
class TradeTopic:
    """A subscription of trades.

    Attributes:
        tell: the frame that carries some.
    """

    name: str
    symbol: str
    tell: Callable[[Sequence[Trade]], Frame]


@dataclass(frozen=True, slots=True)
class Talk:
    """What follows from a frame that came in: frames to send back, and subscriptions begun and ended."""

    replies: tuple[Frame, ...] = ()
    begun: tuple[Topic | TradeTopic, ...] = ()
    ended: tuple[Topic | TradeTopic, ...] = ()


class Host(Protocol):
    """Whoever answers calls.

    Attributes:
        name: ccxt's id of a venue.
        domains: every host that ends in one of these is its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def domains(self) -> tuple[str, ...]: ...

    def charge(self, request: Request) -> Charge:
        """What the call costs."""

    def answer(self, request: Request) -> Reply:
        """The answer to a call within the budget."""

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """The answer when it won't."""


class Venue(Protocol):
    """One exchange on the wire: a `Host` with a book and sockets."""

    name: ClassVar[str]
    domains: ClassVar[tuple[str, ...]]
    book: Book

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""

    def charge(self, request: Request) -> Charge:
        """What the call costs."""

    def answer(self, request: Request) -> Reply:
        """The venue's answer to a call within the budget."""

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """The venue's answer when it won't."""

    def greet(self) -> tuple[Frame, ...]:
        """Frames that a new socket gets at once."""

    def hear(self, text: str) -> Talk:
        """Answer a frame of a socket."""

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> Frame:
        """The frame that carries a bar."""


@runtime_checkable
class Routed(Protocol):
    """A venue whose sockets differ by the path that they were opened at."""

    def at(self, path: str) -> Venue:
        """The venue as it speaks there."""


def printed(scale: int, width: int | None = None) -> str:
    """How a number with ``scale`` decimals is printed, as a ``%`` format.

    Args:
        scale: decimals of the tape's number; printing just these gives back what the venue once printed.
        width: decimals on the wire; the rest are zeros, which the double itself could not print.

    >>> printed(1, 8) % 181415061.9
    '181415061.90000000'
    """
    return f"%.{scale}f" + ("." * (scale == 0) + "0" * (width - scale) if width else "")


def integer(query: Mapping[str, str], name: str) -> int | None:
    """An integer parameter; None where it is absent.

    Raises:
        ValueError: it is no integer.
    """
    return int(query[name]) if query.get(name) else None
