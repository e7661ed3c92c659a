"""Fetch one shard of trades, funding rates or open interest: the same contract as for candles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, get_args

import pyarrow as pa

from heliograph.config.settings import Selection
from heliograph.core.errors import (
    HeliographError,
    InvariantBroken,
    Permanent,
    Retryable,
    SchemaMismatch,
    SymbolGone,
)
from heliograph.core.market import Market, VenueRules
from heliograph.core.ports import ObjectStore
from heliograph.core.schema import COVERAGE, PLAN, TICK
from heliograph.core.series import Points, SeriesPage, Trades
from heliograph.core.timeframe import DAY_MS
from heliograph.ingest.page import Patience
from heliograph.ingest.plan import Outline
from heliograph.ingest.select import fits
from heliograph.lake import coverage as known
from heliograph.lake.write import Row, manifest, write_part
from heliograph.sources import catalog
from heliograph.sources.dialect import OPEN_INTEREST_TIMEFRAME, Data, SeriesRules
from heliograph.sources.series import settled_ms

KINDS_OF_DATA: tuple[Data, ...] = get_args(Data)
_PAGES_PER_SHARD = 20
_SHORTEST_MS = 60_000
_TRADES_SHARD_MS = DAY_MS
_HOLE_MS = DAY_MS  # longer than between two points of anything


class SeriesSource(Protocol):
    """A venue's rows that are no candles; see `heliograph.sources.series.CcxtSeries`."""

    rules: VenueRules

    def rules_of(self, data: Data) -> SeriesRules:
        """How the venue is asked for it."""

    async def fetch_page(
        self, data: Data, market: Market, start_ms: int, end_ms: int, now_ms: int
    ) -> tuple[SeriesPage, int]:
        """The first rows of an interval, and up to where they answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a walk brought.

    Attributes:
        reached_ms: everything before this was answered.
        failure: why the walk ended before its end; None where it did not.
    """

    pages: tuple[SeriesPage, ...]
    reached_ms: int
    requests: int
    failure: HeliographError | None


def timeframe_of(data: Data) -> str:
    """What stands in the timeframe column of the data's table."""
    return OPEN_INTEREST_TIMEFRAME if data == "open_interest" else TICK


@dataclass(frozen=True, slots=True)
class _Wish:
    """An interval of one market's data that the selections want, up to what is settled.

    Attributes:
        first_ms: when the first row ever happened, as far as known.
        oldest_ms: the venue keeps nothing older.
        covered: what is there or known to be absent.
    """

    data: Data
    series: SeriesRules
    market: Market
    interval: known.Interval
    first_ms: int
    oldest_ms: int
    covered: Sequence[known.Interval]

    @property
    def key(self) -> known.Key:
        return self.market.venue, timeframe_of(self.data), self.market.symbol


def plan(
    rules: Mapping[Data, SeriesRules],
    markets: Sequence[Market],
    covered: Mapping[Data, pa.Table],
    selections: Sequence[Selection],
    *,
    now_ms: int,
    begins: Mapping[tuple[Data, str], int] = MappingProxyType({}),
) -> dict[Data, pa.Table]:
    """PLAN rows of what one venue's selected markets lack, by data; nothing of the venue's future or past its horizon.

    Args:
        covered: COVERAGE of each data's own table.
        begins: by symbol, where the first row is known from `find_first`; else the market's listing tells it.
    """
    rows: dict[Data, list[dict[str, Any]]] = {data: [] for data in rules}
    for wish in _wishes(rules, markets, covered, selections, now_ms=now_ms, begins=begins):
        start_ms, end_ms = wish.interval
        for gap in known.subtract((max(start_ms, wish.first_ms, wish.oldest_ms), end_ms), wish.covered):
            rows[wish.data] += _cut(wish.key, gap, wish.series, wish.data)
    return {data: pa.Table.from_pylist(found, schema=PLAN) for data, found in rows.items()}


def reasons(
    rules: Mapping[Data, SeriesRules],
    markets: Sequence[Market],
    covered: Mapping[Data, pa.Table],
    selections: Sequence[Selection],
    *,
    now_ms: int,
    begins: Mapping[tuple[Data, str], int] = MappingProxyType({}),
) -> dict[Data, pa.Table]:
    """COVERAGE rows of what `plan` leaves out and need not be asked for: before the first row, and past the horizon."""
    rows: dict[Data, list[dict[str, Any]]] = {data: [] for data in rules}
    for wish in _wishes(rules, markets, covered, selections, now_ms=now_ms, begins=begins):
        start_ms, end_ms = wish.interval
        begin_ms = min(max(start_ms, wish.first_ms), end_ms)
        for status, piece in (
            ("not_listed", (start_ms, begin_ms)),
            ("beyond_history", (begin_ms, min(wish.oldest_ms, end_ms))),
        ):
            for gap in known.subtract(piece, wish.covered):
                values = (*wish.key, *gap, status, 0, 0, "")
                rows[wish.data].append(dict(zip(COVERAGE.names, values, strict=True)))
    return {data: pa.Table.from_pylist(found, schema=COVERAGE) for data, found in rows.items()}


def unknown_begins(
    rules: Mapping[Data, SeriesRules],
    markets: Sequence[Market],
    covered: Mapping[Data, pa.Table],
    selections: Sequence[Selection],
    *,
    now_ms: int,
) -> list[tuple[Data, str]]:
    """Symbols that `find_first` is worth a request for: neither the listing nor the coverage says where they begin."""
    found: dict[tuple[Data, str], None] = {}
    for wish in _wishes(rules, markets, covered, selections, now_ms=now_ms, begins={}):
        if wish.series.seeks_first and wish.market.listed_ts_ms is None:
            gaps = known.subtract(wish.interval, wish.covered)
            if gaps and gaps[0][0] == wish.interval[0]:
                found[wish.data, wish.market.symbol] = None
    return list(found)


def outline_of(data: Data, rules: VenueRules, shards: pa.Table, *, scale: float) -> Outline:
    """What fetching a venue's shards takes.

    Args:
        scale: share of the venue's limit that may be used.
    """
    pages, symbols = sum(shards.column("pages").to_pylist()), shards.column("symbol").unique()
    weight = max(rules.weight_per_page, catalog.dialect(rules.venue).series[data].weight)
    seconds = pages * weight / (rules.weight_per_s * scale)
    count = len(symbols)
    return Outline(rules.venue, rules.kind, count, count, shards.num_rows, pages, 0, seconds, 0, data)


async def find_first(
    source: SeriesSource, data: Data, market: Market, *, now_ms: int, patience: Patience
) -> int | None:
    """When the first row ever happened; None where there is none, 0 where the venue can't seek it. One request.

    Raises:
        Retryable: no answer after all attempts.
        Permanent: the venue refuses.
    """
    if not source.rules_of(data).seeks_first:
        return 0
    answer, _, failure = await _ask(source, data, market, (0, settled_ms(data, now_ms)), now_ms, patience)
    if answer is None:
        raise failure or InvariantBroken(f"{market.venue} neither answered nor failed")
    return _first_ms(answer[0].rows)


async def fetch_series_shard(
    source: SeriesSource,
    store: ObjectStore,
    row: Mapping[str, Any],
    *,
    data: Data,
    market: Market,
    now_ms: int,
    patience: Patience,
) -> list[Row]:
    """Fetch what a PLAN row of `plan` asks for; MANIFEST rows as `heliograph.ingest.shard.fetch_shard` answers them.

    What the venue keeps no more (its answers begin more than a day late) is ``beyond_history``.

    Args:
        now_ms: a moment that the venue's clock has passed; nothing later is asked for.
    """
    told = await _walk(source, data, market, (row["start_ms"], row["end_ms"]), now_ms=now_ms, patience=patience)
    rows: list[Row] = []
    came = {**row, "end_ms": told.reached_ms, "pages": len(told.pages)}
    everything = _joined(data, [page.rows for page in told.pages])
    first_ms = _first_ms(everything)
    if first_ms is not None and _is_cut(source.rules_of(data), first_ms - row["start_ms"]):
        lost = {**row, "end_ms": first_ms, "pages": 1}
        rows.append(manifest(lost, "beyond_history", detail="the venue's answers begin after it"))
        came["start_ms"] = first_ms
    try:
        if len(everything):
            rows.append(write_part(store, came, told.pages, everything, requests=told.requests, table=data))
        elif told.reached_ms > row["start_ms"]:
            rows.append(manifest(came, "no_trades", requests=told.requests))
    except SchemaMismatch as e:
        return [manifest(row, "fetch_failed", requests=told.requests, detail=f"{type(e).__name__}: {e}")]
    if told.failure is not None:
        is_gone = isinstance(told.failure, SymbolGone) and not market.is_active
        failed = {**row, "start_ms": told.reached_ms, "pages": 1}
        detail = f"{type(told.failure).__name__}: {told.failure}"
        status = "delisted" if is_gone else "fetch_failed"
        rows.append(manifest(failed, status, requests=0 if rows else told.requests, detail=detail))
    return rows


async def _walk(
    source: SeriesSource,
    data: Data,
    market: Market,
    interval: known.Interval,
    *,
    now_ms: int,
    patience: Patience,
) -> Told:
    """Page by page from the start; a page that overflows is asked for again with half of its interval."""
    rules = source.rules_of(data)
    at_ms, end_ms = interval[0], min(interval[1], now_ms)
    span_ms = end_ms - at_ms if rules.seeks_first else rules.span_ms
    pages, requests = list[SeriesPage](), 0
    while at_ms < end_ms:
        asked = (at_ms, min(at_ms + span_ms, end_ms))
        answer, tries, failure = await _ask(source, data, market, asked, now_ms, patience)
        requests += tries
        if answer is None:
            return Told(tuple(pages), at_ms, requests, failure)
        page, reached_ms = answer
        if reached_ms <= at_ms:
            span_ms = (asked[1] - at_ms) // 2
            if span_ms < _SHORTEST_MS:
                crowd = SchemaMismatch(f"{market.symbol} has more {data} within a minute of {at_ms} than a page holds")
                return Told(tuple(pages), at_ms, requests, crowd)
            continue
        if len(page.rows):
            pages.append(page)
        if 2 * len(page.rows) < rules.page_limit:
            span_ms = max(span_ms, min(2 * span_ms, rules.span_ms))
        at_ms = reached_ms
    return Told(tuple(pages), at_ms, requests, None)


async def _ask(
    source: SeriesSource, data: Data, market: Market, interval: known.Interval, now_ms: int, patience: Patience
) -> tuple[tuple[SeriesPage, int] | None, int, HeliographError | None]:
    """One answer; else None and why. And how many calls it took."""
    tries = 0
    while True:
        tries += 1
        try:
            return await source.fetch_page(data, market, *interval, now_ms), tries, None
        except Retryable as e:
            if tries == patience.attempts:
                return None, tries, e
            await patience.sleep(patience.wait_s(tries, e))
        except (Permanent, SchemaMismatch) as e:
            return None, tries, e


def _is_cut(rules: SeriesRules, hole_ms: int) -> bool:
    return rules.horizon_ms is not None and hole_ms > _HOLE_MS


def _first_ms(rows: Trades | Points) -> int | None:
    times = rows.ts_ms if isinstance(rows, Trades) else rows.event_ts_ms
    return int(times[0]) if times.size else None


def _joined(data: Data, parts: Sequence[Any]) -> Trades | Points:
    return Trades.concat(parts) if data == "trades" else Points.concat(parts)


def _wishes(
    rules: Mapping[Data, SeriesRules],
    markets: Sequence[Market],
    covered: Mapping[Data, pa.Table],
    selections: Sequence[Selection],
    *,
    now_ms: int,
    begins: Mapping[tuple[Data, str], int],
) -> Iterator[_Wish]:
    for data, series in rules.items():
        index, wanted = known.index(covered[data]), [s for s in selections if data in s.data]
        oldest_ms = 0 if series.horizon_ms is None else now_ms - series.horizon_ms
        for market in markets:
            first_ms = max(market.listed_ts_ms or 0, begins.get((data, market.symbol), 0))
            held = index.get((market.venue, timeframe_of(data), market.symbol), [])
            fitting = (s for s in wanted if fits(market.venue, s.venues) and fits(market.symbol, s.symbols))
            for span in known.merge(_span(s, settled_ms(data, now_ms)) for s in fitting):
                yield _Wish(data, series, market, span, first_ms, oldest_ms, held)


def _span(selection: Selection, settled_ms: int) -> known.Interval:
    end_ms = settled_ms if selection.end_ms is None else min(selection.end_ms, settled_ms)
    return selection.start_ms, end_ms


def _cut(key: known.Key, gap: known.Interval, series: SeriesRules, data: Data) -> list[dict[str, Any]]:
    """Shards of whole pages; of trades, whose number nobody knows, of days."""
    width_ms = _TRADES_SHARD_MS if data == "trades" else series.span_ms * _PAGES_PER_SHARD
    venue, timeframe, symbol = key
    rows = []
    for start_ms in range(gap[0], gap[1], width_ms):
        end_ms = min(start_ms + width_ms, gap[1])
        pages = 1 if data == "trades" else -(-(end_ms - start_ms) // series.span_ms)
        rows.append(
            {
                "venue": venue,
                "timeframe": timeframe,
                "symbol": symbol,
                "start_ms": start_ms,
                "end_ms": end_ms,
                "pages": pages,
            }
        )
    return rows
