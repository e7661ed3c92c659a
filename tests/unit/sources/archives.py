"""Small archives for tests: a tape of two winters' weeks, the books that show it, and files made by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles, Market, kind_of
from heliograph.core.ports import Page
from heliograph.core.timeframe import DAY_MS, MINUTE_MS, parse
from heliograph.sandbox.archive.host import Archive
from heliograph.sandbox.book import Book
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape
from heliograph.sources.archive.client import Known
from heliograph.sources.archive.layout import ArchiveFile, Layout, Period
from heliograph.sources.archive.read import read
from heliograph.sources.archive.venues import LAYOUTS

START_MS = int(datetime(2024, 11, 28, tzinfo=UTC).timestamp()) * 1000
DAYS = 40  # to 2025-01-07: microseconds begin in it, the clock of UTC+3 ends in it, and December is whole
END_MS = START_MS + DAYS * DAY_MS
NOW_MS = END_MS + 20 * DAY_MS  # everything is out
OUTAGE = (START_MS + 10 * DAY_MS + 90 * MINUTE_MS, START_MS + 10 * DAY_MS + 150 * MINUTE_MS)
SYMBOL = {"spot": "BTC/USDT", "swap": "BTC/USDT:USDT"}


def minutes(*, seed: int = 1, start_ms: int = START_MS, end_ms: int = END_MS) -> Candles:
    """A decimal candle for every minute but those of the outage; the same minute is the same candle."""
    opens = parse("1m").opens(start_ms, end_ms)
    opens = opens[(opens < OUTAGE[0]) | (opens >= OUTAGE[1])]
    step = opens // MINUTE_MS % 100_003
    close = (9_000_000 + 1_000 * (step % 17) + 37 * (step % 1_009) + seed) / 100
    rise, fall = (step % 13 + 1) / 100, (step % 7 + 1) / 100
    high, low = np.round(close + rise, 2), np.round(close - fall, 2)
    first = np.round(close - (step % 5) / 100, 2)
    return Candles(opens, first, high, np.minimum(low, first), close, (step % 9_973 + 10) / 1_000)


def tape() -> Tape:
    """One symbol in minutes."""
    return Tape({"BTC/USDT": {"1m": minutes()}}, origin="")


def books(shown: Tape, now_ms: int = NOW_MS) -> dict[str, Book]:
    """What every venue with an archive shows of it, spot and swap."""
    clock = VirtualClock(now_ms, now_ms + 400 * DAY_MS)
    names = dict.fromkeys(SYMBOL.values(), "BTC/USDT")
    venues = ("binance", "binanceusdm", "bybit", "gate", "kucoin")
    return {venue: Book(shown, clock, names, is_filled=venue == "bybit") for venue in venues}


def market(layout: Layout, *, is_active: bool = True) -> Market:
    """Bitcoin on the layout's venue."""
    symbol = SYMBOL[layout.kind]
    return Market(
        venue=layout.venue,
        symbol=symbol,
        kind=kind_of(symbol),
        base="BTC",
        quote="USDT",
        price_tick=Decimal("0.01"),
        qty_step=Decimal("0.001"),
        min_notional_quote=Decimal(5),
        is_active=is_active,
    )


def layout(venue: str, kind: str = "spot", *, is_trades: bool = False) -> Layout:
    """A venue's first archive of candles, or of trades."""
    return next(x for x in LAYOUTS if (x.venue, x.kind, x.is_trades) == (venue, kind, is_trades))


def named(layout: Layout) -> str:
    """How a test's id calls a layout."""
    return f"{layout.venue}-{layout.kind}" + "-trades" * layout.is_trades


def file_of(layout: Layout, timeframe: str, at_ms: int, period: Period = "day") -> ArchiveFile:
    """The file that holds a moment."""
    [file] = layout.files(market(layout), timeframe, period, at_ms, at_ms + 1)
    return file


def zipped(text: str, *, members: int = 1) -> bytes:
    """A zip of the same text, once or more."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        for i in range(members):
            packed.writestr(f"{i}.csv", text)
    return sink.getvalue()


def packed(layout: Layout, text: str) -> bytes:
    """The text as the layout's files are packed."""
    return zipped(text) if layout.packing == "zip" else gzip.compress(text.encode())


def same(one: Candles, other: Candles) -> bool:
    """Every column equal to the last bit."""
    names = ("open_ts_ms", "open", "high", "low", "close", "volume")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


class Shelf:
    """An `Archive` of one layout, without a network: the local archive's bytes through the real reader.

    Attributes:
        host: may be spoilt and mended.
        loaded: URL of every file asked for, in order.
        failing: called with the URL; what it returns is raised.
    """

    def __init__(self, told: Layout, host: Archive, now_ms: int = NOW_MS) -> None:
        self.layout = told
        self.host = host
        self.loaded: list[str] = []
        self.failing: Callable[[str], Exception | None] = lambda _: None
        self._now_ms = now_ms

    async def fetch(self, file: ArchiveFile) -> Page | None:
        """See `heliograph.ingest.archive.Archive`."""
        self.loaded.append(file.url)
        if error := self.failing(file.url):
            raise error
        body, promised = self._get(file.url), self._get(f"{file.url}.CHECKSUM")
        if body is None:
            return None
        if (
            promised is not None
            and promised.split()[0].decode() != hashlib.new(str(self.layout.digest), body).hexdigest()
        ):
            raise SchemaMismatch(f"{file.url} is not what its .CHECKSUM says")
        return Page(
            candles=read(self.layout, file, body),
            endpoint=file.url,
            query="",
            sha256=hashlib.sha256(body).hexdigest(),
            fetched_ts_ms=self._now_ms,
            checksum="none published" if promised is None else "verified",
        )

    async def is_reissued(self, known: Known) -> bool:
        """See `heliograph.ingest.archive.Archive`."""
        body = self._get(known.url)
        return body is not None and hashlib.sha256(body).hexdigest() != known.sha256

    def _get(self, url: str) -> bytes | None:
        host, _, path = url.removeprefix("https://").partition("/")
        reply = self.host.answer(Request(host, f"/{path}", {}))
        return reply.body if reply.status == 200 else None
