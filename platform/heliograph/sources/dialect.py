"""What Heliograph knows of a venue beyond ccxt: how to ask it for candles, read them, and understand its refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from heliograph.core.market import Kind, VenueRules
from heliograph.core.timeframe import DAY_MS, Timeframe

Verdict = Literal["rate", "gone", "timeout", "retry", "permanent"]
Data = Literal["trades", "funding", "open_interest"]
"""What a venue gives beside candles; each has a table of its own in the lake."""

OPEN_INTEREST_TIMEFRAME = "1h"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the numbers of a candle stand in a row of the venue's answer.

    Attributes:
        columns: of open time, open, high, low, close and volume: positions in a row, or the names of its fields.
        unit_ms: of the open time.
    """

    columns: tuple[int, ...] | tuple[str, ...]
    unit_ms: int = 1


@dataclass(frozen=True, slots=True)
class Ask:
    """A page to ask for: at most ``limit`` bars that open in ``[start_ms, end_ms)``.

    Attributes:
        now_ms: a reading of the venue's clock.
        listed: the market as ccxt lists it.
    """

    kind: Kind
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    limit: int
    now_ms: int
    listed: Mapping[str, object] = field(default_factory=dict)

    @property
    def window_end_ms(self) -> int:
        """End of a window that holds no more bars than a page."""
        return min(self.end_ms, self.start_ms + self.limit * shortest_ms(self.timeframe))


@dataclass(frozen=True, slots=True)
class Call:
    """Arguments of ccxt's ``fetch_ohlcv`` that make the venue answer an `Ask` with its first bars and no others."""

    since_ms: int
    limit: int | None
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """How a venue is asked for trades, funding rates or open interest.

    Attributes:
        page_limit: rows in one answer, at most.
        span_ms: the widest interval worth asking for at once: what usually fills a page.
        params: what to add to ccxt's call for an interval, so that it is inclusive at its start and exclusive at its end;
            a ``since`` among them is sent instead of ccxt's own.
        horizon_ms: how far back the venue's history reaches; None: to its beginning.
        seeks_first: a full page holds the interval's first rows, however wide it is; elsewhere, its last.
        weight: least units of ccxt that a call takes, where the endpoint has a limit of its own that ccxt does not count.
    """

    page_limit: int
    span_ms: int
    params: Callable[[int, int], Mapping[str, object]]
    horizon_ms: int | None = None
    seeks_first: bool = False
    weight: float = 0.0


def until_inclusive(_: int, end_ms: int) -> Mapping[str, object]:
    """For venues whose end is inclusive."""
    return {"until": end_ms - 1}


def as_asked(ask: Ask) -> Call:
    """Just what was asked: for a venue that answers with the oldest bars from an inclusive start."""
    return Call(ask.start_ms, ask.limit)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One venue.

    Attributes:
        rules: by the kinds of markets that it has.
        layouts: by kind, where its candle rows are plain enough to be read without ccxt; else ccxt reads them.
        call: how to ask for a page.
        clock: ccxt's method that tells the venue's time; one that gives no number tells it in its Date header.
        options: of the ccxt class, by kind.
        stream_timeframes: ccxt's names of stream intervals, where those of its REST call are wrong.
        series: what the venue gives beside candles.
        symbols_per_watch: how many markets one subscription may name, where it can name several.
        codes: what the venue's own error codes mean; a code matches by its beginning.
        code_pattern: finds the codes in an answer, as its first group.
        statuses: HTTP statuses that mean something else than elsewhere.
        wait_s: how long to wait after a refusal that does not say.
        used_weight_header: says how much of its budget this address has used, in units of ``used_weight_unit``.
    """

    rules: Mapping[Kind, VenueRules]
    layouts: Mapping[Kind, Layout] = field(default_factory=dict)
    call: Callable[[Ask], Call] = as_asked
    clock: str = "fetch_time"
    options: Mapping[Kind, Mapping[str, object]] = field(default_factory=dict)
    stream_timeframes: Mapping[str, str] = field(default_factory=dict)
    series: Mapping[Data, SeriesRules] = field(default_factory=dict)
    symbols_per_watch: int = 100
    codes: Mapping[str, Verdict] = field(default_factory=dict)
    code_pattern: re.Pattern[str] = re.compile(r'"(?:code|retCode|err-code)"\s*:\s*"?(-?[\w.-]+)')
    statuses: Mapping[int, Verdict] = field(default_factory=dict)
    wait_s: float = 10.0
    used_weight_header: str = ""
    used_weight_unit: float = 1.0


def shortest_ms(timeframe: Timeframe) -> int:
    """Length of the shortest bar: a window of n times this holds no more than n bars."""
    return 28 * DAY_MS if timeframe.is_calendar else timeframe.ms
