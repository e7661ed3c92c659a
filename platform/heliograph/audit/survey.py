"""The state of a whole lake: of every market and month which bars are there, why the others are not, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np
import pyarrow as pa

from heliograph.audit import derived, gather, reasons, truth
from heliograph.audit.derived import Difference
from heliograph.audit.finding import Finding
from heliograph.audit.reasons import CODES, Explained, Held
from heliograph.config.settings import LakeSettings
from heliograph.core.calendars import grid
from heliograph.core.market import IntArray, Kind, kind_of, unslug
from heliograph.core.schema import HAVE, REASONS
from heliograph.core.timeframe import Timeframe, parse
from heliograph.lake import coverage as known
from heliograph.lake import read
from heliograph.lake.coverage import Index, Interval, Key
from heliograph.telemetry.progress import Bar

STATES = (HAVE, *REASONS, "unexplained")
"""What a bar of a market can be, in the order of the counts."""

LASTING = ("venue_outage", "delisted")
"""Reasons told as intervals; of quiet bars there can be millions, and they are counted only."""

_EXPLAINED = np.asarray([STATES.index(status or "unexplained") for status, _ in CODES])
_KEPT_SERIES = 16  # in memory; peers and siblings are asked for again and again
_MONTH = parse("1M")
_NO_BARS: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series to audit: globs, each of which one must match."""

    venues: tuple[str, ...] = ("*",)
    symbols: tuple[str, ...] = ("*",)
    timeframes: tuple[str, ...] = ("*",)

    def holds(self, key: Key) -> bool:
        """Whether a series is in it."""
        globs = (self.venues, self.timeframes, self.symbols)
        return all(any(fnmatchcase(name, g) for g in some) for name, some in zip(key, globs, strict=True))


EVERYTHING = Scope()
"""The whole lake."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One venue and timeframe: S symbols over M months.

    Attributes:
        symbols: unified, sorted; S of them.
        months_ms: int64[M + 1], opens of the months and the end of the last.
        bars: int64[S, M, len(STATES)], bars of each state that open in the month.
    """

    venue: str
    timeframe: str
    symbols: tuple[str, ...]
    months_ms: IntArray
    bars: IntArray

    def total(self, state: str) -> int:
        """Bars of a state."""
        return int(self.bars[:, :, STATES.index(state)].sum())


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A native timeframe of a market beside what a finer one adds up to.

    Attributes:
        compared: bars that both hold whole.
        differences: those that differ, ascending.
    """

    venue: str
    symbol: str
    timeframe: str
    finer: str
    compared: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found; sheets by venue and length of timeframe, the rest by venue, timeframe and symbol.

    Attributes:
        reasons: COVERAGE rows of absent bars with a LASTING reason.
        bars_checked: candles that were asked whether they are true; 0 where nobody asked.
    """

    sheets: tuple[Sheet, ...]
    findings: tuple[Finding, ...]
    mismatches: tuple[Mismatch, ...]
    reasons: pa.Table
    bars_checked: int


def audit(
    settings: LakeSettings,
    fills_quiet: Mapping[tuple[str, Kind], bool],
    shown: Bar,
    *,
    scope: Scope = EVERYTHING,
    is_quick: bool = False,
) -> Audit:
    """Audit a lake.

    Args:
        fills_quiet: of each venue and kind of market, whether it sends flat bars where nothing was traded; one that is
            not named is taken to leave them out.
        scope: series to audit; peers are taken from the whole lake.
        is_quick: leave out whether the candles are true, which costs a second for every million of them.

    Raises:
        ConfigError: the lake is empty.
        CorruptPart: a part is not what was written; `helio verify` names all of them.
    """
    covered = known.read(settings)
    held = [(venue, name, unslug(symbol)) for venue, name, symbol in read.series(settings)]
    load = lru_cache(_KEPT_SERIES)(lambda key: read.candles(settings, key[0], key[2], key[1]))
    indexes = {status: known.index(covered, (status,)) for status in STATES[:-1]}
    keys = sorted(key for key in {*held, *known.index(covered, STATES)} if scope.holds(key))
    sheets, rows = [], [covered.slice(0, 0)]
    for venue, name in sorted({key[:2] for key in keys}, key=lambda pair: (pair[0], grid(*pair).ms)):
        mine = [key for key in keys if key[:2] == (venue, name)]
        opens = {key: load(key).open_ts_ms if indexes[HAVE].get(key) else _NO_BARS for key in mine}
        explained = _explained(mine, opens, indexes, fills_quiet)
        rows.append(reasons.coverage(venue, grid(venue, name), explained, LASTING))
        sheets.append(_sheet(mine, opens, indexes, explained))
        shown.reach(0.3 * (keys.index(mine[-1]) + 1) / len(keys), f"{venue} {name}")
    mine = [key for key in held if scope.holds(key)]
    findings = [] if is_quick else _findings(mine, held, load, shown)
    return Audit(
        sheets=tuple(sheets),
        findings=tuple(sorted(findings, key=lambda f: (f.venue, f.timeframe, f.symbol, f.start_ms))),
        mismatches=tuple(_mismatches(mine, load, indexes[HAVE])),
        reasons=pa.concat_tables(rows),
        bars_checked=0 if is_quick else sum(sheet.total(HAVE) for sheet in sheets),
    )


def _explained(
    keys: Sequence[Key],
    opens: Mapping[Key, IntArray],
    indexes: Mapping[str, Index],
    fills_quiet: Mapping[tuple[str, Kind], bool],
) -> dict[str, Explained]:
    """Absent bars of one venue and timeframe by symbol; spot and swaps do not speak for each other."""
    venue, name = keys[0][:2]
    found: dict[str, Explained] = {}
    for kind in sorted({kind_of(key[2]) for key in keys}):
        mine = [key for key in keys if kind_of(key[2]) == kind]
        markets = {
            key[2]: Held(opens[key], tuple(_fetched(key, indexes)), is_active=key not in indexes["delisted"])
            for key in mine
            if _fetched(key, indexes)
        }
        found |= reasons.explain(markets, grid(venue, name), fills_quiet=fills_quiet.get((venue, kind), False))
    return found


def _fetched(key: Key, indexes: Mapping[str, Index]) -> list[Interval]:
    """Intervals that the venue was asked for and answered, also those where it had nothing."""
    return known.merge([*indexes[HAVE].get(key, []), *indexes["no_trades"].get(key, [])])


def _sheet(
    keys: Sequence[Key], opens: Mapping[Key, IntArray], indexes: Mapping[str, Index], explained: Mapping[str, Explained]
) -> Sheet:
    """Counts of one venue and timeframe."""
    venue, name = keys[0][:2]
    frame, months_ms = grid(venue, name), _months(keys, indexes)
    bars = np.zeros((len(keys), months_ms.size - 1, len(STATES)), dtype=np.int64)
    for row, key in zip(bars, keys, strict=True):
        row[:, 0] = np.diff(np.searchsorted(opens[key], months_ms))
        if key[2] in explained:
            absent = explained[key[2]]
            month = np.searchsorted(months_ms, absent.opens, side="right") - 1
            inside = (month >= 0) & (month < row.shape[0])
            np.add.at(row, (month[inside], _EXPLAINED[absent.codes[inside]]), 1)
        covered = _fetched(key, indexes)
        for status in (*(r for r in REASONS if r not in ("no_trades", "fetch_failed")), "fetch_failed"):
            rest = [gap for interval in indexes[status].get(key, []) for gap in known.subtract(interval, covered)]
            row[:, STATES.index(status)] += _count(rest, months_ms, frame)
            covered = known.merge([*covered, *rest])
    return Sheet(venue, name, tuple(key[2] for key in keys), months_ms, bars)


def _months(keys: Sequence[Key], indexes: Mapping[str, Index]) -> IntArray:
    """Month edges from the first bar that any market has to the last that anything is known of.

    What is known to be absent can reach back to 1970 and is shown from there on only where nothing else is known.
    """
    have = [interval for key in keys for interval in indexes[HAVE].get(key, [])]
    spans = have or [interval for index in indexes.values() for key in keys for interval in index.get(key, [])]
    last = max(b for index in indexes.values() for key in keys for _, b in index.get(key, [(0, 1)]))
    first = min((a for a, _ in spans), default=0) if have else max((a for a, _ in spans), default=0)
    edges = _MONTH.opens(_MONTH.floor(first), last)
    return np.append(edges, _MONTH.next(int(edges[-1])))


def _count(intervals: Sequence[Interval], edges_ms: IntArray, frame: Timeframe) -> IntArray:
    """Bars that open in the intervals, by the month that they open in; int64[M]."""
    count = np.zeros(edges_ms.size - 1, dtype=np.int64)
    for start, end in intervals:
        lo, hi = np.clip(edges_ms[:-1], start, end), np.clip(edges_ms[1:], start, end)
        if frame.is_calendar:
            count += [frame.count(int(a), int(b)) for a, b in zip(lo, hi, strict=True)]
        else:
            count += (lo - frame.offset_ms) // -frame.ms - (hi - frame.offset_ms) // -frame.ms
    return count


def _findings(keys: Sequence[Key], held: Sequence[Key], load: gather.Load, shown: Bar) -> list[Finding]:
    """What is not true in each series; its own other timeframes are compared apart, with what coverage knows."""
    found: list[Finding] = []
    beside_peers = sorted(keys, key=lambda key: (key[1], gather.asset(key[2]), key[0]))  # a peer is read once
    for i, key in enumerate(beside_peers, start=1):
        venue, name, symbol = key
        evidence = gather.evidence(key, held, load, only_peers=True)
        told = truth.check((venue, symbol), grid(venue, name), load(key), evidence)
        found += [f for f in told if f.kind != "missing"]  # what is absent is in the counts, by coverage
        shown.reach(0.3 + 0.6 * i / len(keys), f"{venue} {name} {symbol}")
    return found


def _mismatches(keys: Sequence[Key], load: gather.Load, have: Index) -> Iterator[Mismatch]:
    """Every native timeframe beside the market's 1m candles, or the shortest that there are."""
    for key in keys:
        venue, name, symbol = key
        frame = grid(venue, name)
        finer = [k for k in keys if k[0] == venue and k[2] == symbol and k != key]
        frames = sorted((f.ms, k, f) for k in finer if gather.divides(f := grid(*k[:2]), frame))
        if frames:
            _, fine, fine_frame = frames[0]
            compared = derived.compare(load(key), load(fine), frame, fine_frame, covered=have.get(fine, []))
            differences = tuple(compared.differences())
            yield Mismatch(venue, symbol, name, fine[1], compared.open_ts_ms.size, differences)
