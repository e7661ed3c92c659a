"""How a bulk archive is laid out: what its files cover, how they are named, and what stands in their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from heliograph.core.calendars import grid
from heliograph.core.market import Kind, Market
from heliograph.core.timeframe import Timeframe, parse

Period = Literal["month", "day"]

_PERIODS: dict[Period, Timeframe] = {"month": parse("1M"), "day": parse("1d")}


@dataclass(frozen=True, slots=True)
class Offer:
    """One timeframe of an archive.

    Attributes:
        spelled: the archive's name of it.
        periods: what one file covers, the longest first; a shorter one fills what a longer one lacks.
    """

    spelled: str
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of one market.

    Attributes:
        timeframe: of the candles that come out of it, on the venue's own grid.
        start_ms, end_ms: its rows lie in ``[start_ms, end_ms)``.
    """

    url: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One archive of one venue and kind of market, as data.

    Attributes:
        origin: scheme and host of every file.
        market: how paths name a market; fields ``{base}``, ``{quote}`` and ``{settle}`` (lower case).
        paths: of a file, by period; beside the market's fields ``{id}``, ``{tf}``, ``{y}``, ``{m}``, ``{d}``, and the
            month's last day ``{last}``.
        offers: by timeframe.
        columns: positions of open time, open, high, low, close and volume; of time, price and size where it has trades.
        first_ms, last_ms: nothing lies before the one or from the other on.
        delay_ms: how long after the end of a period its file is asked for.
        header: the names of those columns; a file with a header row that lacks one of them is refused.
        packing: of a file.
        digest: what the ``.CHECKSUM`` beside a file holds; None where there is none.
        is_trades: candles are made of the trades in it.
        clock_ms: how much later than UTC its clock reads; its days and months begin by that clock.
        times: numbers since the epoch (seconds, milliseconds or microseconds), or ``2024.01.31 23:59``.
    """

    venue: str
    kind: Kind
    origin: str
    market: str
    paths: Mapping[Period, str]
    offers: Mapping[str, Offer]
    columns: tuple[int, ...]
    first_ms: int
    delay_ms: Mapping[Period, int]
    header: tuple[str, ...] = ()
    last_ms: int = 2**62
    packing: Literal["zip", "gzip"] = "zip"
    digest: Literal["sha256", "md5"] | None = None
    is_trades: bool = False
    clock_ms: int = 0
    times: Literal["epoch", "text"] = "epoch"

    def files(self, market: Market, timeframe: str, period: Period, start_ms: int, end_ms: int) -> list[ArchiveFile]:
        """Every file that could hold something of ``[start_ms, end_ms)``, ascending.

        Returns:
            Nothing where the archive has no such timeframe, or not by this period.
        """
        offer = self.offers.get(timeframe)
        if offer is None or period not in offer.periods:
            return []
        drawn, inside = grid(self.venue, timeframe), (max(start_ms, self.first_ms), min(end_ms, self.last_ms))
        return [
            ArchiveFile(self._url(market, offer.spelled, period, first_ms), drawn, first_ms, after_ms)
            for first_ms, after_ms in spans(period, *inside, clock_ms=self.clock_ms)
        ]

    def _url(self, market: Market, spelled: str, period: Period, first_ms: int) -> str:
        [(_, month_end_ms)] = spans("month", first_ms, first_ms + 1, clock_ms=self.clock_ms)
        day, last = (datetime.fromtimestamp((t + self.clock_ms) / 1000, tz=UTC) for t in (first_ms, month_end_ms - 1))
        settle = market.symbol.partition(":")[2].lower()
        own = {"base": market.base, "quote": market.quote, "settle": settle}
        dates = {"y": f"{day:%Y}", "m": f"{day:%m}", "d": f"{day:%d}", "last": f"{last:%d}"}
        path = self.paths[period].format(id=self.market.format(**own), tf=spelled, **own, **dates)
        return f"{self.origin}/{quote(path)}"


def spans(period: Period, start_ms: int, end_ms: int, *, clock_ms: int = 0) -> list[tuple[int, int]]:
    """Whole periods that overlap ``[start_ms, end_ms)``, ascending, as half-open intervals.

    Args:
        clock_ms: how much later than UTC the clock reads that they begin by.

    >>> [(a // 86_400_000, b // 86_400_000) for a, b in spans("month", 40 * 86_400_000, 60 * 86_400_000)]
    [(31, 59), (59, 90)]
    """
    drawn = replace(_PERIODS[period], offset_ms=-clock_ms)
    found, first_ms = [], drawn.floor(start_ms)
    while first_ms < end_ms and start_ms < end_ms:
        found.append((first_ms, drawn.next(first_ms)))
        first_ms = found[-1][1]
    return found
