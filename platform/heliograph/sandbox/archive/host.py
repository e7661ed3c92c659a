"""The hosts of every venue's archive: files out of the tape, the check sums beside them, and what goes wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import ClassVar, Literal

from heliograph.core.market import kind_of
from heliograph.core.timeframe import Timeframe
from heliograph.sandbox.archive.style import STYLES, Style
from heliograph.sandbox.book import Book
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar

Damage = Literal["wrong_checksum", "truncated", "missing", "stale", "lacking"]
"""A check sum of other bytes; half a file; no file; a wrong number, or a third of the rows absent, with a right check sum."""

_KEPT = 64  # rendered files
_XML = {"Content-Type": "application/xml"}
_NOT_FOUND = Reply(404, b"<Error><Code>NoSuchKey</Code></Error>", _XML)


@dataclass(frozen=True, slots=True)
class _File:
    """What a path names."""

    style: Style
    book: Book
    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    out_ms: int


class Archive:
    """The archives of all venues, by their true hosts. Nothing limits how often they are asked.

    Attributes:
        domains: the hosts.

    Args:
        books: of the venues, by name, all on one clock; a venue without one has no archive.
    """

    name: ClassVar[str] = "archive"

    def __init__(self, books: Mapping[str, Book]) -> None:
        self._clock = next(iter(books.values())).clock
        self._styles = [(style, books[style.venue]) for style in STYLES if style.venue in books]
        self.domains = tuple({style.host: None for style, _ in self._styles})
        self._damage: dict[str, Damage] = {}
        self._changed_ms: dict[str, int] = {}
        self._rendered: dict[tuple[str, Damage | None], bytes] = {}

    def spoil(self, url: str, damage: Damage) -> None:
        """Publish a file with a fault from now on."""
        self._damage[url] = damage

    def mend(self, url: str) -> None:
        """Re-issue a file as it should have been, dated now."""
        self._damage.pop(url, None)
        self._changed_ms[url] = self._clock.now_ms()

    def charge(self, request: Request) -> Charge:  # noqa: ARG002 - nothing costs anything
        """Nothing."""
        return Charge("archive", 0.0, limit=1.0, window_s=1.0)

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - there is one refusal only
        """Object stores ask to slow down with a 503."""
        headers = _XML | {"Retry-After": str(max(int(retry_after_s), 1))}
        return Reply(503, b"<Error><Code>SlowDown</Code></Error>", headers)

    def answer(self, request: Request) -> Reply:
        """A file, the check sum beside it, or 404."""
        host, path = request.host.partition(":")[0], request.path.removesuffix(".CHECKSUM")
        url = f"https://{host}{path}"
        file, damage = self._file(host, path), self._damage.get(url)
        is_file = path == request.path
        if file is None or damage == "missing" or not (is_file or file.style.digest):
            return _NOT_FOUND
        whole = self._body(url, file, damage if damage in ("stale", "lacking") else None)
        if not whole:
            return _NOT_FOUND
        changed = datetime.fromtimestamp(self._changed_ms.get(url, file.out_ms) / 1000, tz=UTC)
        body = whole[: len(whole) // 2] if damage == "truncated" else whole
        if not is_file:
            told = hashlib.new(str(file.style.digest), whole + b"x" * (damage == "wrong_checksum")).hexdigest()
            body = f"{told}  {path.rpartition('/')[2]}\n".encode()
        headers = {
            "Content-Type": "binary/octet-stream",
            "ETag": f'"{hashlib.md5(body).hexdigest()}"',
            "Last-Modified": format_datetime(changed, usegmt=True),
        }
        return Reply(200, body, headers)

    def _file(self, host: str, path: str) -> _File | None:
        for style, book in self._styles:
            found = style.path.fullmatch(path) if host == style.host else None
            if found and (file := _named(style, book, found.groupdict())) and file.out_ms <= book.clock.now_ms():
                return file
        return None

    def _body(self, url: str, file: _File, damage: Damage | None) -> bytes:
        """The file, packed; empty where it would hold no row."""
        key = (url, damage)
        if key not in self._rendered:
            if len(self._rendered) >= _KEPT:
                del self._rendered[next(iter(self._rendered))]
            bars = _bars(file)
            if damage == "lacking":
                bars = bars[: len(bars) * 2 // 3]
            if damage == "stale" and bars:
                bars[0] = replace(bars[0], volume=bars[0].volume + 1)
            lines = "\n".join(file.style.rows(file.book.listing(file.symbol), file.timeframe, bars))
            self._rendered[key] = _packed(url.rpartition("/")[2], f"{lines}\n".encode()) if bars else b""
        return self._rendered[key]


def _named(style: Style, book: Book, told: Mapping[str, str | None]) -> _File | None:
    symbols = {style.market(book.listing(s)): s for s in book.symbols if kind_of(s) == style.kind}
    timeframe = style.timeframes.get(told.get("tf") or "")
    if timeframe is None or told["id"] not in symbols:
        return None
    day = told.get("d")
    try:
        first = datetime(int(told["y"] or 0), int(told["m"] or 0), int(day or 1), tzinfo=UTC)
    except ValueError:
        return None
    after = first + timedelta(days=1) if day else (first + timedelta(days=31)).replace(day=1)
    start_ms, end_ms = (int(t.timestamp()) * 1000 - style.clock_ms for t in (first, after))
    out_ms = end_ms + style.delay_ms[1 if day else 0]
    is_misnamed = told.get("last") not in (None, f"{after - timedelta(days=1):%d}")
    if is_misnamed or end_ms > style.stop_ms:
        return None
    return _File(style, book, symbols[str(told["id"])], timeframe, start_ms, end_ms, out_ms)


def _bars(file: _File) -> list[Bar]:
    series = file.book.series(file.symbol, file.timeframe)
    candles = series.candles.between(file.start_ms, file.end_ms)
    if not len(candles):
        return []
    if file.style.is_trades:
        trades = file.book.trades(file.symbol, file.start_ms, file.end_ms)
        return [Bar(t.ts_ms, t.price, t.price, t.price, t.price, t.qty if t.is_buy else -t.qty) for t in trades]
    columns = (candles.open_ts_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [Bar(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _packed(name: str, text: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(text, compresslevel=6, mtime=0)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo(f"{name.removesuffix('.zip')}.csv"), text, zipfile.ZIP_DEFLATED)
    return sink.getvalue()
