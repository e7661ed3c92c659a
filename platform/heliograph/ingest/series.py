"""Fetch one shard of trades, funding rates or open interest: the same contract as for candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import pyarrow as pa

from heliograph.config.settings import Selection
from heliograph.core.errors import HeliographError, Permanent, Retryable, SchemaMismatch, SymbolGone
from heliograph.core.market import Market, VenueRules
from heliograph.core.ports import ObjectStore
from heliograph.core.schema import PLAN, TICK
from heliograph.core.series import Points, SeriesPage, Trades
from heliograph.core.timeframe import DAY_MS
from heliograph.ingest.page import Patience
from heliograph.ingest.select import _fits as fits
from heliograph.lake import coverage as known
from heliograph.lake.write import Row, manifest, write_part
from heliograph.sources.dialect import Data, SeriesRules
from heliograph.sources.series import OPEN_INTEREST_TIMEFRAME

KINDS_OF_DATA: tuple[Data, ...] = get_args(Data)
_PAGES_PER_SHARD = 20
_SHORTEST_MS = 60_000
_SETTLING_MS = 600_000  # a venue may publish its newest rows this late
_TRADES_SHARD_MS = DAY_MS


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


def plan(
    rules: Mapping[Data, SeriesRules],
    markets: Sequence[Market],
    covered: Mapping[Data, pa.Table],
    selections: Sequence[Selection],
    *,
    now_ms: int,
) -> dict[Data, pa.Table]:
    """PLAN rows of what one venue's selected markets lack, by data; nothing of the venue's future or past its horizon.

    Args:
        covered: COVERAGE of each data's own table.
    """
    planned: dict[Data, pa.Table] = {}
    for data, series in rules.items():
        index, rows = known.index(covered[data]), list[dict[str, Any]]()
        wanted = [s for s in selections if data in s.data]
        for market in markets:
            key = (market.venue, timeframe_of(data), market.symbol)
            spans = [
                _span(s, market, series, now_ms)
                for s in wanted
                if fits(market.venue, s.venues) and fits(market.symbol, s.symbols)
            ]
            for span in known.merge(spans):
                for gap in known.subtract(span, index.get(key, [])):
                    rows += _cut(key, gap, series, data)
        planned[data] = pa.Table.from_pylist(rows, schema=PLAN)
    return planned


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
    """Fetch what a PLAN row of `plan` asks for; MANIFEST rows as `heliograph.ingest.shard.fetch_shard` answers them."""
    told = await _walk(source, data, market, (row["start_ms"], row["end_ms"]), now_ms=now_ms, patience=patience)
    rows: list[Row] = []
    came = {**row, "end_ms": told.reached_ms, "pages": len(told.pages)}
    everything = _joined(data, [page.rows for page in told.pages])
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
    at_ms, end_ms = interval
    span_ms = widest_ms = source.rules_of(data).span_ms
    pages, requests, tries = list[SeriesPage](), 0, 0
    while at_ms < end_ms:
        requests += 1
        tries += 1
        try:
            page, reached_ms = await source.fetch_page(data, market, at_ms, min(at_ms + span_ms, end_ms), now_ms)
        except Retryable as e:
            if tries == patience.attempts:
                return Told(tuple(pages), at_ms, requests, e)
            await patience.sleep(patience.wait_s(tries, e))
            continue
        except (Permanent, SchemaMismatch) as e:
            return Told(tuple(pages), at_ms, requests, e)
        tries = 0
        if reached_ms <= at_ms:
            if span_ms <= _SHORTEST_MS:
                crowd = SchemaMismatch(f"{market.symbol} has more {data} within a minute of {at_ms} than a page holds")
                return Told(tuple(pages), at_ms, requests, crowd)
            span_ms //= 2
            continue
        pages += [page] if len(page.rows) else []
        at_ms, span_ms = reached_ms, min(span_ms * 2, widest_ms)
    return Told(tuple(pages), end_ms, requests, None)


def _joined(data: Data, parts: Sequence[Any]) -> Trades | Points:
    return Trades.concat(parts) if data == "trades" else Points.concat(parts)


def _span(selection: Selection, market: Market, series: SeriesRules, now_ms: int) -> known.Interval:
    oldest_ms = 0 if series.horizon_ms is None else now_ms - series.horizon_ms
    start_ms = max(selection.start_ms, market.listed_ts_ms or 0, oldest_ms)
    settled_ms = now_ms - _SETTLING_MS
    return start_ms, settled_ms if selection.end_ms is None else min(selection.end_ms, settled_ms)


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
