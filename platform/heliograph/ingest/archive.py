"""Bulk archives before REST: which files serve an interval, what they lack, and whether both tell the same story."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from heliograph.core.errors import HeliographError, Permanent, Retryable, SchemaMismatch
from heliograph.core.market import Candles, Market
from heliograph.core.ports import Page
from heliograph.core.timeframe import DAY_MS, Timeframe
from heliograph.ingest.page import Patience
from heliograph.lake.coverage import Interval, merge, subtract
from heliograph.sources.archive.client import Known
from heliograph.sources.archive.layout import ArchiveFile, Layout, Period, spans
from heliograph.sources.archive.read import same

LEAST_BARS = 500
"""A file that would bring fewer is left to REST, which brings as many with one request."""


LATE_MS = 45 * DAY_MS
"""A file that is not there so long after its period's end won't come any more."""


class Archive(Protocol):
    """The files of one layout; `heliograph.sources.archive.client.ArchiveClient` is one."""

    layout: Layout

    async def fetch(self, file: ArchiveFile) -> Page | None:
        """A file's candles, proved; None where there is no such file (yet).

        Raises:
            Retryable, Permanent, SchemaMismatch: it can't be had, or must not be used.
        """

    async def is_reissued(self, known: Known) -> bool:
        """Whether other bytes lie under the name now."""


@dataclass(frozen=True, slots=True)
class Haul:
    """What the archives brought of an interval.

    Attributes:
        pages: one a file and stretch, cut to the stretch that it serves, ascending.
        served: merged intervals that the files answer for; a bar that is absent there was not traded.
        left: the rest of the interval, merged: no file, a refused one, or rows that it lacks.
        downloads: files asked for, again and again ones included.
        findings: what was wrong with files, in words.
    """

    pages: tuple[Page, ...]
    served: tuple[Interval, ...]
    left: tuple[Interval, ...]
    downloads: int = 0
    findings: tuple[str, ...] = ()


def split(
    layout: Layout, market: Market, timeframe: Timeframe, interval: Interval, now_ms: int
) -> tuple[list[ArchiveFile], list[Interval]]:
    """The files that serve an interval, if none is missing, and what is left to REST: the seam and what is too recent.

    Long files come first; short ones fill the stretches whose long one is not published yet or would be mostly thrown
    away.
    """
    chosen, left = list[ArchiveFile](), [interval]
    for period in _periods(layout, timeframe):
        files = choose(layout, market, timeframe, period, left, now_ms=now_ms)
        left = _without(left, [(f.start_ms, f.end_ms) for f in files])
        chosen += files
    return sorted(chosen, key=lambda f: f.start_ms), left


def choose(
    layout: Layout, market: Market, timeframe: Timeframe, period: Period, wanted: Iterable[Interval], *, now_ms: int
) -> list[ArchiveFile]:
    """Published files of one period that bring at least `LEAST_BARS` of what is wanted, ascending.

    A long file must be half wanted where the archive has shorter ones too.
    """
    wanted, is_finest = merge(wanted), _periods(layout, timeframe)[-1:] == (period,)
    found: dict[str, ArchiveFile] = {}
    for start_ms, end_ms in wanted:
        for file in layout.files(market, timeframe.name, period, start_ms, end_ms):
            found[file.url] = file
    chosen = []
    for file in found.values():
        served_ms = sum(hi - lo for lo, hi in _within(wanted, (file.start_ms, file.end_ms)))
        is_out = file.end_ms + layout.delay_ms[period] <= now_ms
        is_worth = served_ms >= LEAST_BARS * timeframe.ms and (
            is_finest or 2 * served_ms >= file.end_ms - file.start_ms
        )
        if is_out and is_worth:
            chosen.append(file)
    return sorted(chosen, key=lambda f: f.start_ms)


def cut(
    layout: Layout, market: Market, timeframe: Timeframe, interval: Interval, *, now_ms: int, most_bars: int
) -> tuple[list[Interval], list[Interval]]:
    """Shards that share no file, and what is left to REST, which is cut as ever.

    Args:
        most_bars: bars in one shard; a month is never cut.
    """
    files, left = split(layout, market, timeframe, interval, now_ms)
    shards: list[Interval] = []
    for start_ms, end_ms in merge(i for f in files for i in _within([interval], (f.start_ms, f.end_ms))):
        open_ms = start_ms
        for _, month_end_ms in spans("month", start_ms, end_ms, clock_ms=layout.clock_ms):
            stop_ms = min(month_end_ms, end_ms)
            after_ms = min(spans("month", stop_ms, stop_ms + 1, clock_ms=layout.clock_ms)[0][1], end_ms)
            if stop_ms == end_ms or after_ms - open_ms > most_bars * timeframe.ms:
                shards.append((open_ms, stop_ms))
                open_ms = stop_ms
    return shards, left


def awaited(layout: Layout, timeframe: Timeframe, interval: Interval, *, now_ms: int) -> list[Interval]:
    """What of an interval a file may still bring that is not there yet; at most one stretch."""
    late_ms = now_ms - LATE_MS
    begun = [spans(p, late_ms, late_ms + 1, clock_ms=layout.clock_ms)[0][0] for p in _periods(layout, timeframe)]
    return _within([interval], (min(begun), layout.last_ms)) if begun else []


async def haul(
    archives: Sequence[Archive],
    market: Market,
    timeframe: Timeframe,
    interval: Interval,
    *,
    now_ms: int,
    fills_quiet: bool,
    patience: Patience,
) -> Haul:
    """Everything that the archives have of an interval; what fails is left, never raised.

    Args:
        archives: of one venue, the best first; each is asked for what the ones before it lack.
        now_ms: the venue's clock.
        fills_quiet: the venue sends flat bars where nothing was traded. There, every bar that a file lacks is left to be
            asked for again; elsewhere only whole days are, for shorter gaps are quiet ones.

    Raises:
        ConfigError: an archive's certificate is not trusted.
    """
    done = Haul((), (), (interval,) if interval[0] < interval[1] else ())
    for archive, period in _rounds(archives, timeframe):
        files = choose(archive.layout, market, timeframe, period, done.left, now_ms=now_ms)
        answers = await asyncio.gather(*(_load(archive, file, patience) for file in files))
        pages, served, findings = list(done.pages), list(done.served), list(done.findings)
        for file, (page, _, failure) in zip(files, answers, strict=True):
            if failure is not None:
                findings.append(f"{file.url} was not used: {type(failure).__name__}: {failure}")
            if page is None:
                continue
            for stretch in _within(done.left, (file.start_ms, file.end_ms)):
                candles = page.candles.between(*stretch)
                served += subtract(stretch, _holes(candles, timeframe, stretch, fills_quiet=fills_quiet))
                pages += [replace(page, candles=candles)] * (len(candles) > 0)
        done = Haul(
            pages=tuple(sorted(pages, key=lambda p: int(p.candles.open_ts_ms[0]))),
            served=tuple(merge(served)),
            left=tuple(_without(done.left, served)),
            downloads=done.downloads + sum(tries for _, tries, _ in answers),
            findings=tuple(findings),
        )
    return done


def seam(archive: Candles, rest: Candles) -> list[int]:
    """Opens of the bars in which two frames of the same interval differ, or that only one of them has; ascending.

    >>> ours, theirs = Candles.of([[0, 1, 1, 1, 1, 5], [60, 1, 1, 1, 1, 5]]), Candles.of([[0, 1, 1, 1, 1, 4]])
    >>> seam(ours, theirs)
    [0, 60]
    """
    both, at_one, at_other = np.intersect1d(
        archive.open_ts_ms, rest.open_ts_ms, assume_unique=True, return_indices=True
    )
    is_same = same(archive.take(at_one), rest.take(at_other))
    lone = np.setxor1d(archive.open_ts_ms, rest.open_ts_ms, assume_unique=True)
    opens: list[int] = np.sort(np.append(both[~is_same], lone)).tolist()
    return opens


def known(provenance: Mapping[str, Any], layouts: Sequence[Layout], market: Market) -> list[Known]:
    """The archive files that a part was made of.

    Args:
        provenance: of the part, see `heliograph.lake.part.read_provenance`; its pages count.
        layouts: of the part's venue.
    """
    start_ms, end_ms, name = provenance["start_ms"], provenance["end_ms"], provenance["timeframe"]
    periods = [(layout, period) for layout in layouts for period in layout.paths]
    files = {f.url: f for layout, period in periods for f in layout.files(market, name, period, start_ms, end_ms)}
    return [
        Known(
            url=page["endpoint"],
            sha256=page["sha256"],
            fetched_ts_ms=page["fetched_ts_ms"],
            start_ms=max(start_ms, files[page["endpoint"]].start_ms),
            end_ms=min(end_ms, files[page["endpoint"]].end_ms),
        )
        for page in provenance.get("pages", ())
        if page["endpoint"] in files
    ]


async def reissued(archive: Archive, files: Iterable[Known]) -> list[Known]:
    """Those that the archive has published anew since; what was taken from them should be fetched again.

    Raises:
        Retryable, Permanent, SchemaMismatch: the archive can't be asked; nothing is known then.
    """
    asked = list(files)
    answers = await asyncio.gather(*(archive.is_reissued(file) for file in asked))
    return [file for file, is_new in zip(asked, answers, strict=True) if is_new]


async def _load(
    archive: Archive, file: ArchiveFile, patience: Patience
) -> tuple[Page | None, int, HeliographError | None]:
    tries = 0
    while True:
        tries += 1
        try:
            return await archive.fetch(file), tries, None
        except Retryable as e:
            if tries == patience.attempts:
                return None, tries, e
            await patience.sleep(patience.wait_s(tries, e))
        except (Permanent, SchemaMismatch) as e:
            return None, tries, e


def _rounds(archives: Sequence[Archive], timeframe: Timeframe) -> Iterator[tuple[Archive, Period]]:
    for archive in archives:
        for period in _periods(archive.layout, timeframe):
            yield archive, period


def _periods(layout: Layout, timeframe: Timeframe) -> tuple[Period, ...]:
    offer = layout.offers.get(timeframe.name)
    return () if offer is None else offer.periods


def _holes(candles: Candles, timeframe: Timeframe, interval: Interval, *, fills_quiet: bool) -> list[Interval]:
    """Runs of bars that a file lacks and that must be asked for again; no timeframe of an archive is a calendar's."""
    edges = np.concatenate([[interval[0] - timeframe.ms], candles.open_ts_ms, [interval[1]]])
    least_ms = 2 * timeframe.ms if fills_quiet else DAY_MS + timeframe.ms
    gaps = np.flatnonzero(np.diff(edges) >= min(least_ms, interval[1] - interval[0] + timeframe.ms))
    return [(int(edges[i]) + timeframe.ms, int(edges[i + 1])) for i in gaps]


def _within(intervals: Iterable[Interval], bounds: Interval) -> list[Interval]:
    cut_to = ((max(lo, bounds[0]), min(hi, bounds[1])) for lo, hi in intervals)
    return [(lo, hi) for lo, hi in cut_to if lo < hi]


def _without(intervals: Iterable[Interval], taken: Iterable[Interval]) -> list[Interval]:
    gone = merge(taken)
    return [left for interval in merge(intervals) for left in subtract(interval, gone)]
