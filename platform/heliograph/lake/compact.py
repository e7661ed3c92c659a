"""Rewrite a market's small parts as few large ones: a month's, then a year's; for sparse markets wider spans."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import CorruptPart, InvariantBroken, SchemaMismatch
from heliograph.core.market import unslug
from heliograph.core.ports import ObjectStore
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.coverage import Index, Key
from heliograph.lake.part import columns_of, decode_rows, read_provenance
from heliograph.lake.tables import Rows, Table
from heliograph.lake.write import Row, origin, put_part
from heliograph.telemetry.progress import Bar

MAX_ROWS = 1_000_000
"""A merged part holds no more: a year of minutes (527,040) fits, and is read in 30 ms."""

MIN_PARTS = 8
"""In the month that is still being written, parts are merged when there are so many; each time rewrites the month."""

MIN_COVERAGE_FILES = 32
"""Files of the coverage table, one a commit, that are merged into one."""

_SPANS_MONTHS = (1, 12, 120, 1_200)
_EPOCH_MONTHS = 1970 * 12
_READERS = 8


@dataclass(frozen=True, slots=True)
class Compaction:
    """What one run did.

    Attributes:
        merged: small parts that became ``written`` large ones.
        bytes_before, bytes_after: of those.
        coverage_files: of the coverage table that became one.
        skipped: markets of which something is left as it is, each with the reason.
        version: of the table, after it.
    """

    merged: int
    written: int
    rows: int
    bytes_before: int
    bytes_after: int
    coverage_files: int
    skipped: tuple[str, ...]
    version: int


def compact(
    settings: LakeSettings,
    committer: Committer,
    shown: Bar | None = None,
    *,
    max_rows: int = MAX_ROWS,
    min_parts: int = MIN_PARTS,
) -> Compaction:
    """Merge what `plan` says, of every market; each commit swaps parts for a part of the same rows.

    Killed at any point it leaves files that no log names, which `vacuum` removes; coverage and every older version
    stay as they are.

    Args:
        committer: entered, of the table that shall be compacted.
        shown: told how much of it is done.
    """
    table = committer.table
    parts = read.live_parts(settings, table=table.name)
    now_ms = committer.clock.now_ms()
    merges = plan(parts, committer.have, now_ms=now_ms, max_rows=max_rows, min_parts=min_parts)
    done: list[tuple[Sequence[Row], Row]] = []
    skipped: list[str] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for batch in _batches(merges, settings.parts_per_commit):
            ready = []
            for merge in batch:
                try:
                    ready.append((merge, _merge(committer.store, table, merge, pool)))
                except (CorruptPart, SchemaMismatch) as e:
                    skipped.append(f"{' '.join(_market(merge[0]))}: {e}")
                committer.renew()
            if ready:
                committer.rewrite([part for merge, _ in ready for part in merge], [row for _, row in ready])
            done += ready
            if shown is not None:
                shown.reach((len(done) + len(skipped)) / len(merges), _market(batch[-1][0])[2])
    coverage_files = committer.merge_coverage(min_files=MIN_COVERAGE_FILES)
    return Compaction(
        merged=sum(len(merge) for merge, _ in done),
        written=len(done),
        rows=sum(row["candles"] for _, row in done),
        bytes_before=sum(part["size_bytes"] for merge, _ in done for part in merge),
        bytes_after=sum(row["size_bytes"] for _, row in done),
        coverage_files=coverage_files,
        skipped=tuple(skipped),
        version=read.version(settings, table=table.name),
    )


def plan(
    parts: Sequence[Row], have: Index, *, now_ms: int, max_rows: int = MAX_ROWS, min_parts: int = MIN_PARTS
) -> list[list[Row]]:
    """Groups of neighbouring parts that shall become one.

    A market has two spans: the two widest of month, year, decade and century that hold at most ``max_rows`` of its
    rows (month and year for minutes). The parts that begin in a wide span that is over become one; else those in a
    narrow span that is over; in the one that is not over, when there are ``min_parts``. Parts are joined, never cut,
    so that a part counts where it begins. They are never joined over a hole in the coverage, so that no part can ever
    come to lie inside another. Doing it again plans nothing.

    Args:
        parts: rows of `read.live_parts`, of any markets.
        have: intervals whose coverage is ``have``.
        now_ms: what ends after this is not over.
    """
    merges: list[list[Row]] = []
    for (venue, timeframe, symbol), held in groupby(sorted(parts, key=_order), key=_market):
        market = list(held)
        runs = [start for start, _ in have.get((venue, timeframe, unslug(symbol)), ())]
        spans = _spans(market, max_rows)
        for _, near in groupby(market, key=partial(_place, runs=runs, months=spans[1])):
            merges += _groups(list(near), spans, now_ms, min_parts)
    chunks = (chunk for merge in merges for chunk in _chunks(merge, max_rows))
    return [chunk for chunk in chunks if len(chunk) > 1]


def _groups(parts: list[Row], spans: tuple[int, int], now_ms: int, min_parts: int) -> Iterator[list[Row]]:
    """The groups among parts without a hole between them that begin in one wide span."""
    narrow, wide = spans
    if _end_ms(parts[0]["first_ts_ms"], wide) <= now_ms:
        yield parts
        return
    for _, held in groupby(parts, key=partial(_place, runs=(), months=narrow)):
        month = list(held)
        if _end_ms(month[0]["first_ts_ms"], narrow) <= now_ms or len(month) >= min_parts:
            yield month


def _chunks(parts: list[Row], max_rows: int) -> Iterator[list[Row]]:
    """Runs of parts that hold at most so many rows, or are one part."""
    chunk: list[Row] = []
    rows = 0
    for part in parts:
        if chunk and rows + part["candles"] > max_rows:
            yield chunk
            chunk, rows = [], 0
        chunk.append(part)
        rows += part["candles"]
    yield chunk


def _spans(market: Sequence[Row], max_rows: int) -> tuple[int, int]:
    """The narrow and the wide span, in months, that suit the market's density."""
    rows = sum(part["candles"] for part in market)
    lasts_ms = max(1, market[-1]["last_ts_ms"] - market[0]["first_ts_ms"])
    month_rows = rows / lasts_ms * 30 * 86_400_000
    fit = [months for months in _SPANS_MONTHS if months * month_rows <= max_rows]
    narrow, wide = fit[-2:] if len(fit) > 1 else _SPANS_MONTHS[:2]
    return narrow, wide


def _merge(store: ObjectStore, table: Table, parts: Sequence[Row], pool: ThreadPoolExecutor) -> Row:
    """The MANIFEST row of a part that holds the rows of all of these, in the store.

    Raises:
        CorruptPart: one of them is not what was written.
        SchemaMismatch: one of them has columns that this release does not know.
        InvariantBroken: the new part does not read back as the same rows.
    """
    sources = list(pool.map(lambda part: _source(store, table, part), parts))
    rows = read.joined([source.rows for source in sources], table)
    promised = sum(part["candles"] for part in parts)
    if len(rows) != promised:
        raise CorruptPart(f"{len(parts)} parts from {parts[0]['path']} on hold {len(rows)} rows, {promised} in the log")
    told = [source.told for source in sources]
    venue, timeframe, symbol = _market(parts[0])
    shard = {
        **{"venue": venue, "timeframe": timeframe, "symbol": unslug(symbol)},
        "start_ms": min(source["provenance"]["start_ms"] for source in told),
        "end_ms": max(source["provenance"]["end_ms"] for source in told),
        "pages": 0,
    }
    names = ("venue", "timeframe", "symbol", "start_ms", "end_ms")
    row = put_part(store, shard, rows, origin({name: shard[name] for name in names}, merged=told), table=table.name)
    back = _source(store, table, row)
    if unknown := sorted(set().union(*(source.columns for source in sources)) - back.columns):
        raise SchemaMismatch(f"{parts[0]['path']} has {', '.join(unknown)}: compact with the release that wrote it")
    if not all(np.array_equal(getattr(back.rows, f.name), getattr(rows, f.name)) for f in fields(table.rows)):
        raise InvariantBroken(f"{row['path']} does not hold the rows of the {len(parts)} parts that it was made of")
    return row


@dataclass(frozen=True, slots=True)
class _Source:
    """One part: its rows, the columns of its file, and what a merged part tells of it."""

    rows: Rows
    columns: set[str]
    told: Row


def _source(store: ObjectStore, table: Table, part: Row) -> _Source:
    path = part["path"]
    body = read.part_bytes(store, path, table=table.name)
    rows = decode_rows(body, path, table.name)
    sha256 = path.rpartition("/")[2].removesuffix(".parquet")
    told = {"sha256": sha256, "candles": len(rows), "provenance": read_provenance(body)}
    return _Source(rows, columns_of(body), told)


def _batches(merges: Sequence[list[Row]], parts: int) -> Iterator[list[list[Row]]]:
    """Runs of merges of about so many parts: one commit each."""
    batch: list[list[Row]] = []
    for merge in merges:
        batch.append(merge)
        if sum(map(len, batch)) >= parts:
            yield batch
            batch = []
    if batch:
        yield batch


def _market(part: Row) -> Key:
    return part["venue"], part["timeframe"], part["symbol"]


def _order(part: Row) -> tuple[Any, ...]:
    return (*_market(part), part["first_ts_ms"], part["path"])


def _place(part: Row, runs: Sequence[int], months: int) -> tuple[int, int]:
    """Which run without a hole, and which span, a part begins in."""
    first_ms = part["first_ts_ms"]
    return bisect_right(runs, first_ms), _span(first_ms, months)


def _span(ts_ms: int, months: int) -> int:
    """Which span of so many months, counted from the year 0, a moment lies in."""
    since_epoch = int(np.datetime64(ts_ms, "ms").astype("datetime64[M]").astype(np.int64))
    return (since_epoch + _EPOCH_MONTHS) // months


def _end_ms(ts_ms: int, months: int) -> int:
    """When the span that a moment lies in is over."""
    end = (_span(ts_ms, months) + 1) * months - _EPOCH_MONTHS
    return int(np.datetime64(end, "M").astype("datetime64[ms]").astype(np.int64))
