"""What to fetch: catalogue − coverage, as shards; and what is known to be absent without asking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from heliograph.config.settings import Selection
from heliograph.core.market import IntArray, Kind, Market, VenueRules, kind_of
from heliograph.core.schema import COVERAGE, PLAN
from heliograph.core.timeframe import TIMEFRAMES, Timeframe
from heliograph.ingest.select import matches
from heliograph.lake import coverage as known
from heliograph.lake.coverage import Index, Interval, Key

BYTES_PER_CANDLE = 9.0
"""In the lake, as measured on a year of minutes; see `heliograph.lake.part`."""

Lane = tuple[str, Kind]
"""A venue, and a kind of its markets."""

_END_OF_TIME_MS = 2**62


@dataclass(frozen=True, slots=True)
class History:
    """What a venue answered about how far one market's candles reach.

    Attributes:
        first_ms: open of the first candle ever; None where there is none.
        end_ms: after the last candle ever, for a market that trades no more; None where it trades on.
        failure: why the venue could not be asked; the rest is then unknown.
    """

    first_ms: int | None
    end_ms: int | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One venue as the planner sees it.

    Attributes:
        now_ms: the venue's own clock.
        history: by (symbol, timeframe), where the venue had to be asked.
    """

    rules: VenueRules
    markets: tuple[Market, ...]
    now_ms: int
    history: Mapping[tuple[str, str], History] = field(default_factory=dict)

    def closed_end_ms(self, timeframe: Timeframe) -> int:
        """Bars that open before this are closed and final."""
        return timeframe.floor(self.now_ms - self.rules.close_delay_ms)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run has to do.

    Attributes:
        shards: PLAN rows, in no interval that the lake covers, no two overlapping.
        reasons: COVERAGE rows of what need not be asked for.
    """

    shards: pa.Table
    reasons: pa.Table


def plan(
    catalogues: Sequence[Catalogue], coverage: pa.Table, selections: Sequence[Selection], *, pages_per_shard: int
) -> Plan:
    """Cut what is wanted, and neither there nor known to be absent, into shards.

    Only closed bars are planned, from the market's first candle (or the venue's horizon) on. Names that mean nothing
    are passed over: `heliograph.ingest.select.require_matches` tells them.
    """
    covered = known.index(coverage)
    ends = {status: known.index(coverage, (status,)) for status in ("not_listed", "delisted", "have")}
    shards = _Shards(pages_per_shard)
    reasons: list[tuple[object, ...]] = []
    for catalogue, market, timeframe, selection in _series(catalogues, selections):
        key = (market.venue, timeframe.name, market.symbol)
        for piece, status, detail in _pieces(catalogue, market, timeframe, selection, ends):
            for gap in known.subtract(piece, covered.get(key, [])):
                if status:
                    reasons.append((*key, *gap, status, 0, 0, detail))
                else:
                    shards.cut(key, gap, timeframe, catalogue.rules.page_limit)
            covered[key] = known.merge([*covered.get(key, []), piece])
    return Plan(shards=shards.table(), reasons=_table(reasons, COVERAGE))


@dataclass(frozen=True, slots=True)
class Outline:
    """What a plan means for one venue and kind, before anything is fetched.

    Attributes:
        series: pairs of symbol and timeframe.
        requests: candle pages, the fewest possible.
        candles: bars of the intervals to ask for; what was not traded will not come.
        seconds: that the venue's limit alone takes, from one address.
        size_bytes: in the lake, about.
        what: is fetched.
    """

    venue: str
    kind: Kind
    symbols: int
    series: int
    shards: int
    requests: int
    candles: int
    seconds: float
    size_bytes: int
    what: str = "candles"


def outline(plan: Plan, rules: Mapping[Lane, VenueRules], *, scales: Mapping[str, float]) -> list[Outline]:
    """What fetching a plan takes, by venue and kind, the longest first.

    Args:
        rules: of every venue and kind in the plan.
        scales: by venue, the share of its limit that may be used.
    """
    lanes = lanes_of(plan.shards)
    columns = {name: np.asarray(plan.shards.column(name)) for name in PLAN.names}
    spans = columns["end_ms"] - columns["start_ms"]
    found = []
    for lane, rows in lanes.items():
        names = list(zip(columns["symbol"][rows], columns["timeframe"][rows], strict=True))
        lengths_ms = np.asarray([TIMEFRAMES[name].ms for _, name in names])
        pages, candles = int(columns["pages"][rows].sum()), int((spans[rows] / lengths_ms).sum())
        said = rules[lane]
        found.append(
            Outline(
                *lane,
                symbols=len({symbol for symbol, _ in names}),
                series=len(set(names)),
                shards=len(rows),
                requests=pages,
                candles=candles,
                seconds=pages * said.weight_per_page / (said.weight_per_s * scales[lane[0]]),
                size_bytes=round(candles * BYTES_PER_CANDLE),
            )
        )
    return sorted(found, key=lambda row: -row.seconds)


def lanes_of(shards: pa.Table) -> dict[Lane, IntArray]:
    """Rows of a PLAN table by venue and kind, in the table's order."""
    venues, symbols = (shards.column(name).to_pylist() for name in ("venue", "symbol"))
    rows: dict[Lane, list[int]] = {}
    for row, (venue, symbol) in enumerate(zip(venues, symbols, strict=True)):
        rows.setdefault((venue, kind_of(symbol)), []).append(row)
    return {lane: np.asarray(found, dtype=np.int64) for lane, found in rows.items()}


def _series(
    catalogues: Sequence[Catalogue], selections: Sequence[Selection]
) -> Iterator[tuple[Catalogue, Market, Timeframe, Selection]]:
    for selection in selections:
        for catalogue in catalogues:
            for market, timeframe in matches(catalogue.rules, catalogue.markets, selection):
                yield catalogue, market, timeframe, selection


def wanted(catalogue: Catalogue, timeframe: Timeframe, selection: Selection) -> Interval:
    """The selection's interval on the timeframe's grid, cut at the venue's last closed bar; may be empty."""
    end_ms = catalogue.closed_end_ms(timeframe)
    if selection.end_ms is not None:
        end_ms = min(end_ms, timeframe.ceil(selection.end_ms))
    return timeframe.ceil(selection.start_ms), end_ms


def _pieces(
    catalogue: Catalogue, market: Market, timeframe: Timeframe, selection: Selection, ends: Mapping[str, Index]
) -> Iterator[tuple[Interval, str, str]]:
    """The wanted interval in pieces: (interval, status, detail); status "" where the venue must be asked."""
    start, end = wanted(catalogue, timeframe, selection)
    history = catalogue.history.get((market.symbol, timeframe.name))
    if history and history.failure:
        yield (start, end), "fetch_failed", history.failure
        return
    key = (market.venue, timeframe.name, market.symbol)
    first, last = _reach(market, timeframe, history, ends, key)
    horizon = catalogue.rules.horizon_candles
    oldest = 0 if horizon is None else _back(timeframe, catalogue.closed_end_ms(timeframe), horizon)
    begin = min(max(start, first), end)
    asked = min(max(begin, oldest), end)
    stop = max(min(last, end), asked)
    yield (start, begin), "not_listed", ""
    yield (begin, asked), "beyond_history", f"the venue gives its newest {horizon} candles"
    yield (asked, stop), "", ""
    yield (stop, end), "delisted", ""


def _reach(
    market: Market, timeframe: Timeframe, history: History | None, ends: Mapping[str, Index], key: Key
) -> Interval:
    """Open of the first candle ever and the end after the last one, as far as known."""
    first = 0 if market.listed_ts_ms is None else timeframe.floor(market.listed_ts_ms)
    if not_listed := ends["not_listed"].get(key):
        first = max(first, not_listed[-1][1])
    last = _END_OF_TIME_MS
    delisted, have = ends["delisted"].get(key), ends["have"].get(key)
    if not market.is_active and delisted and not (have and have[-1][1] > delisted[-1][0]):
        last = delisted[-1][0]
    if history is not None:
        first = _END_OF_TIME_MS if history.first_ms is None else max(first, history.first_ms)
        last = min(last, _END_OF_TIME_MS if history.end_ms is None else history.end_ms)
    return first, last


class _Shards:
    """PLAN rows under way, as columns."""

    def __init__(self, pages_per_shard: int) -> None:
        self._pages_per_shard = pages_per_shard
        self._keys: list[Key] = []
        self._cuts: list[tuple[IntArray, IntArray, IntArray]] = []

    def cut(self, key: Key, interval: Interval, timeframe: Timeframe, page_limit: int) -> None:
        """Add the interval, bounds on the grid, as shards of whole pages."""
        if timeframe.is_calendar:
            starts = timeframe.opens(*interval)[:: page_limit * self._pages_per_shard]
        else:
            starts = np.arange(*interval, timeframe.ms * page_limit * self._pages_per_shard, dtype=np.int64)
        ends = np.append(starts[1:], interval[1])
        if timeframe.is_calendar:
            bars = np.asarray([timeframe.count(*bounds) for bounds in zip(starts, ends, strict=True)], dtype=np.int64)
        else:
            bars = -(-(ends - starts) // timeframe.ms)
        self._keys.append(key)
        self._cuts.append((starts, ends, -(-bars // page_limit)))

    def table(self) -> pa.Table:
        """All of it, as PLAN."""
        if not self._keys:
            return PLAN.empty_table()
        where = np.repeat(np.arange(len(self._keys)), [len(starts) for starts, _, _ in self._cuts])
        names = [pa.array(column).take(pa.array(where)) for column in zip(*self._keys, strict=True)]
        numbers = [pa.array(np.concatenate(column)) for column in zip(*self._cuts, strict=True)]
        return pa.table([*names, *numbers], schema=PLAN)


def least_pages(timeframe: Timeframe, start_ms: int, end_ms: int, *, page_limit: int) -> int:
    """Fewest requests that can bring every bar of ``[start_ms, end_ms)``.

    >>> from heliograph.core.timeframe import parse
    >>> least_pages(parse("1h"), 0, 1_001 * 3_600_000, page_limit=1_000)
    2
    """
    if timeframe.is_calendar:
        return -(-timeframe.count(start_ms, end_ms) // page_limit)
    bars = max(0, -(-(end_ms - timeframe.ceil(start_ms)) // timeframe.ms))
    return -(-bars // page_limit)


def forward(timeframe: Timeframe, open_ts_ms: int, bars: int) -> int:
    """Open of the bar that comes ``bars`` later."""
    if not timeframe.is_calendar:
        return open_ts_ms + bars * timeframe.ms
    for _ in range(bars):
        open_ts_ms = timeframe.next(open_ts_ms)
    return open_ts_ms


def _back(timeframe: Timeframe, open_ts_ms: int, bars: int) -> int:
    if not timeframe.is_calendar:
        return max(0, open_ts_ms - bars * timeframe.ms)
    for _ in range(bars):
        open_ts_ms = timeframe.floor(open_ts_ms - 1)
    return max(0, open_ts_ms)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table([pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)], schema=schema)
