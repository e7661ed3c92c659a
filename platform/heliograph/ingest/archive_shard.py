"""Fetch one shard from bulk archives first: what they lack, and what REST tells otherwise, comes over REST."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from heliograph.core.calendars import grid
from heliograph.core.errors import HeliographError, Retryable, SchemaMismatch, SymbolGone
from heliograph.core.market import Candles, Market
from heliograph.core.ports import CandleSource, ObjectStore, Page
from heliograph.core.timeframe import Timeframe
from heliograph.ingest.archive import Archive, Haul, awaited, haul, seam
from heliograph.ingest.page import Patience, Sleep, ask, walk
from heliograph.ingest.plan import least_pages
from heliograph.ingest.shard import fetch_shard
from heliograph.lake.coverage import Interval, merge, subtract
from heliograph.lake.write import Row, manifest, write_part
from heliograph.sources.archive.layout import Layout


@dataclass(frozen=True, slots=True)
class _Task:
    """What one shard is about.

    Attributes:
        now_ms: the venue's clock.
        oldest_ms: REST has nothing before this.
    """

    source: CandleSource
    row: Mapping[str, Any]
    market: Market
    timeframe: Timeframe
    patience: Patience
    now_ms: int
    oldest_ms: int

    @property
    def interval(self) -> Interval:
        return self.row["start_ms"], self.row["end_ms"]

    def part_of(self, interval: Interval) -> Row:
        pages = least_pages(self.timeframe, *interval, page_limit=self.source.rules.page_limit)
        return {**self.row, "start_ms": interval[0], "end_ms": interval[1], "pages": pages}


async def fetch_archive_shard(
    archives: Sequence[Archive],
    source: CandleSource,
    store: ObjectStore,
    row: Mapping[str, Any],
    *,
    market: Market,
    now_ms: int,
    attempts: int,
    sleep: Sleep = asyncio.sleep,
) -> list[Row]:
    """`heliograph.ingest.shard.fetch_shard`, with the archives asked before the venue.

    The last page of what the archives bring is asked for over REST as well. Where REST tells another story, its own
    candles are taken as far back as it reaches, and the MANIFEST row says so. Where it tells the same or can't tell (the
    symbol is gone, its history ends later), the archives' candles stand.

    Args:
        archives: of the venue and the market's kind, the best first; none is fine.
        now_ms: the venue's clock; it decides which files are out.

    Returns:
        MANIFEST rows as of `fetch_shard`, and ``beyond_history`` where no file has what REST has no more. What a file
        may still bring is in no row's interval.

    Raises:
        ConfigError: an archive's certificate is not trusted.
    """
    timeframe = grid(row["venue"], row["timeframe"])
    patience = Patience(attempts, _generator(row), sleep)
    task = _Task(source, row, market, timeframe, patience, now_ms, _oldest_ms(source, timeframe, now_ms))
    found = await haul(
        archives,
        market,
        timeframe,
        task.interval,
        now_ms=now_ms,
        fills_quiet=source.rules.fills_quiet,
        patience=patience,
    )
    proved, findings, requests, failure = await _proved(task, found)
    requests += found.downloads
    if failure is not None:
        return [manifest(row, "fetch_failed", requests=requests, detail=_told(failure))]
    rows, asked = await _composed(task, proved, store, [archive.layout for archive in archives])
    requests += asked
    rows = rows or [manifest(task.part_of((row["start_ms"], row["start_ms"])), "no_trades")]  # asked, still open
    detail = "; ".join([*findings, *([rows[0]["detail"]] if rows[0]["detail"] else [])])
    return [{**rows[0], "detail": detail, "requests": rows[0]["requests"] + requests}, *rows[1:]]


async def _proved(task: _Task, found: Haul) -> tuple[Haul, list[str], int, HeliographError | None]:
    """What of the haul may be stored; what to tell about it, and how many requests it took to know.

    A venue that can't answer now is a failure: nothing is stored unproved that could be proved a little later.
    """
    findings = list(found.findings)
    if not found.served:
        return found, findings, 0, None
    end_ms = found.served[-1][1]
    start_ms = max(end_ms - task.source.rules.page_limit * task.timeframe.ms, found.served[0][0], task.oldest_ms)
    if start_ms >= end_ms:
        return found, findings, 0, None
    page, tries, failure = await ask(task.source, task.market, task.timeframe, (start_ms, end_ms), task.patience)
    if isinstance(failure, Retryable):
        return found, findings, tries, failure
    if page is None or not len(page.candles):
        why = "REST has no candle there" if failure is None else _told(failure)
        findings.append(f"the archive's candles before {end_ms} could not be compared: {why}")
        return found, findings, tries, None
    told = page.candles.open_ts_ms
    both = (int(told[0]), task.timeframe.next(int(told[-1])))
    rest = Candles.concat([page.candles.between(*interval) for interval in found.served])
    differ = seam(_candles(found.pages).between(*both), rest)
    if not differ:
        return found, findings, tries, None
    findings.append(
        f"REST differs from the archive in {len(differ)} of {len(rest)} bars before {end_ms}, first at {differ[0]}:"
        " REST was taken"
    )
    return _before(found, task.oldest_ms), findings, tries, None


def _before(found: Haul, stop_ms: int) -> Haul:
    """Only what REST has no more."""
    served = merge((lo, min(hi, stop_ms)) for lo, hi in found.served)
    pages = (replace(page, candles=page.candles.between(0, stop_ms)) for page in found.pages)
    left = merge([*found.left, *((max(lo, stop_ms), hi) for lo, hi in found.served)])
    return replace(found, pages=tuple(p for p in pages if len(p.candles)), served=tuple(served), left=tuple(left))


async def _composed(task: _Task, found: Haul, store: ObjectStore, layouts: Sequence[Layout]) -> tuple[list[Row], int]:
    """The rows of a shard, ascending: what the archives serve, and the rest as far as REST reaches.

    Returns:
        Also the requests that are counted in none of the rows.
    """
    served_end_ms = found.served[-1][1] if found.served else task.interval[0]
    within_reach = [(max(lo, task.oldest_ms), hi) for lo, hi in found.left if hi > task.oldest_ms]
    tail = [i for i in within_reach if i[1] == task.interval[1] and i[0] >= served_end_ms]
    rows = _beyond(task, found.left, layouts)
    pages, answered, requests = list(found.pages), list(found.served), 0
    for group in _grouped([i for i in within_reach if i not in tail], task):
        done = await walk(task.source, task.market, task.timeframe, group[0][0], group[-1][1], patience=task.patience)
        pages += [
            replace(p, candles=p.candles.between(lo, min(hi, done.reached_ms))) for p in done.pages for lo, hi in group
        ]
        requests += done.requests
        answered += [(lo, min(hi, done.reached_ms)) for lo, hi in group]
        if done.failure is not None:
            is_gone = isinstance(done.failure, SymbolGone) and not task.market.is_active
            status, detail = "delisted" if is_gone else "fetch_failed", _told(done.failure)
            lost = (task.part_of((max(lo, done.reached_ms), hi)) for lo, hi in group if hi > done.reached_ms)
            rows += [manifest(part, status, detail=detail) for part in lost]
    rows += [_stored(task, store, pages, run) for run in merge(answered)]
    for interval in tail:
        rows += await fetch_shard(
            task.source,
            store,
            task.part_of(interval),
            market=task.market,
            attempts=task.patience.attempts,
            sleep=task.patience.sleep,
        )
    return sorted(rows, key=lambda r: int(r["start_ms"])), requests


def _beyond(task: _Task, left: Sequence[Interval], layouts: Sequence[Layout]) -> list[Row]:
    """Rows of what neither has; none where a file may still come, so that the next run asks again."""
    horizon = task.source.rules.horizon_candles
    detail = f"no archive has it, and the venue gives its newest {horizon} candles"
    lost = merge((lo, min(hi, task.oldest_ms)) for lo, hi in left)
    hoped = merge(i for layout in layouts for i in awaited(layout, task.timeframe, task.interval, now_ms=task.now_ms))
    pieces = (piece for interval in lost for piece in subtract(interval, hoped))
    return [manifest(task.part_of(piece), "beyond_history", detail=detail) for piece in pieces]


def _grouped(intervals: Sequence[Interval], task: _Task) -> list[list[Interval]]:
    """Gaps that one page of the venue spans stand together."""
    page_ms, groups = task.source.rules.page_limit * task.timeframe.ms, list[list[Interval]]()
    for interval in intervals:
        if groups and interval[1] - groups[-1][0][0] <= page_ms:
            groups[-1].append(interval)
        else:
            groups.append([interval])
    return groups


def _stored(task: _Task, store: ObjectStore, pages: Sequence[Page], run: Interval) -> Row:
    """The row of one stretch that was answered without a break."""
    inside = [replace(page, candles=page.candles.between(*run)) for page in pages]
    kept = sorted((p for p in inside if len(p.candles)), key=lambda p: int(p.candles.open_ts_ms[0]))
    part = task.part_of(run)
    if not kept:
        return manifest(part, "no_trades")
    try:
        return write_part(store, part, kept, _candles(kept), requests=0)
    except SchemaMismatch as e:
        return manifest(part, "fetch_failed", detail=_told(e))


def _candles(pages: Sequence[Page]) -> Candles:
    return Candles.concat([page.candles for page in pages])


def _oldest_ms(source: CandleSource, timeframe: Timeframe, now_ms: int) -> int:
    """Open of the oldest bar that REST still gives; 0 where it gives all."""
    horizon = source.rules.horizon_candles
    return 0 if horizon is None else timeframe.floor(now_ms - source.rules.close_delay_ms) - horizon * timeframe.ms


def _told(error: HeliographError) -> str:
    return f"{type(error).__name__}: {error}"


def _generator(row: Mapping[str, Any]) -> np.random.Generator:
    """The same shard waits the same; two shards do not wait in step."""
    name = "|".join(str(row[k]) for k in ("venue", "timeframe", "symbol", "start_ms"))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
