"""Why bars are absent that we asked for and the venue did not send: nobody traded, the venue was down, or we can't tell.

A reason is given on evidence only, and the evidence is the venue's other markets in the same bars:

* The venue was silent: no market that we hold has the bar (of fifty markets or more, one in fifty may). It was an
  **outage** if that silence is no chance: two or more markets were liquid on both sides of it (had nine bars of ten, both
  of the next 64 and of the next 500), and the chance that all of them were quiet at once is below one in a million; or
  two had every other bar, and the chance is below 1e-15. On a venue that fills quiet bars each market has every bar, so
  two that are silent at once suffice.
* The venue was up, and leaves quiet bars out: **no trades**, if the run of absent bars is no longer than this market's own
  share of quiet bars near it makes likely (one in a million). A longer one looks like a page cut short.
* The venue was up, and fills quiet bars: the bar existed. We lack it, and don't know why.
* After the last candle of a market that trades no more: **delisted**.
* Nothing else of the venue is held: quiet bars are told by the market's own habit, an outage is never told.

What none of these explains gets no reason. It is told as unexplained, and worth another fetch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from heliograph.audit import robust
from heliograph.audit.finding import BoolArray, runs
from heliograph.audit.span import ends, follows
from heliograph.core.market import FloatArray, IntArray
from heliograph.core.schema import COVERAGE, REASONS
from heliograph.core.timeframe import Timeframe
from heliograph.lake.coverage import Interval

UNEXPLAINED = ""
"""Status of bars whose absence nothing explains."""

_NEAR, _WIDE = 64, 500  # bars of the venue's trading time on either side that tell how liquid a market is
_WITNESSES = 2
_SURE = 6.0  # decimal exponent of a chance that is none
_SILENCES = ((0.9, _SURE), (0.5, 15.0))  # share of bars that makes a witness, and how sure such witnesses must be
_LEAST_QUIET = 1e-3  # no market is taken to be quiet more rarely
_STRAYS = 0.02  # share of many markets that may have a bar within an outage


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one market.

    Attributes:
        opens: int64[n], its candles' opens, ascending, each once.
        have: intervals that were fetched in full, sorted, not touching.
        is_active: False where it trades no more.
    """

    opens: IntArray
    have: tuple[Interval, ...]
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Absence:
    """A run of absent bars of one market.

    Attributes:
        start_ms, end_ms: half-open, on the grid.
        status: no_trades, venue_outage or delisted; UNEXPLAINED where nothing is sure.
        bars: how many.
        detail: the evidence.
    """

    start_ms: int
    end_ms: int
    status: str
    bars: int
    detail: str


@dataclass(frozen=True, slots=True)
class Explained:
    """Absent bars of one market, k of them.

    Attributes:
        opens: int64[k], ascending.
        codes: int64[k], of each the index in CODES.
    """

    opens: IntArray
    codes: IntArray

    def runs(self, timeframe: Timeframe) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Runs of one status of bar after bar, ascending: starts, ends, codes, bars; int64[r] each."""
        if not self.opens.size:
            return self.opens, self.opens, self.codes, self.codes
        breaks = np.flatnonzero(~follows(self.opens, timeframe)[1:] | (np.diff(self.codes) != 0)) + 1
        first, after = np.append(0, breaks), np.append(breaks, self.opens.size)
        return self.opens[first], ends(self.opens[after - 1], timeframe), self.codes[first], after - first

    def absences(self, timeframe: Timeframe) -> Iterator[Absence]:
        """The same as rows."""
        for start, end, code, bars in zip(*(column.tolist() for column in self.runs(timeframe)), strict=True):
            status, detail = CODES[code]
            yield Absence(start, end, status, bars, detail)


CODES: tuple[tuple[str, str], ...] = (
    (UNEXPLAINED, "the market has more bars than this at other times; fetch it again"),
    ("no_trades", "the venue leaves out bars without a trade, and this market often has none"),
    ("venue_outage", "no market of the venue has these bars"),
    ("delisted", "after the last candle of a market that trades no more"),
)
"""Status and evidence, by code."""

_OPEN, _NO_TRADES, _OUTAGE, _DELISTED = range(4)


def explain(markets: Mapping[str, Held], timeframe: Timeframe, *, fills_quiet: bool) -> dict[str, Explained]:
    """Every absent bar inside the fetched intervals of one venue's markets, with its reason.

    Args:
        markets: by symbol; the more of the venue, the surer the reasons.
        timeframe: on the venue's own grid.
        fills_quiet: the venue sends a flat bar where nothing was traded.

    Returns:
        By symbol; one that lacks nothing has no bars.
    """
    spans = [interval for held in markets.values() for interval in held.have]
    if not spans:
        return {}
    grid = timeframe.opens(min(a for a, _ in spans), max(b for _, b in spans))
    views = {symbol: _View.of(held, grid) for symbol, held in markets.items()}
    covering = _count([v.covered for v in views.values()])
    silent = _silent(list(views.values()), covering)
    is_outage = _outages(list(views.values()), silent, covering, fills_quiet=fills_quiet)
    return {s: _explained(v, grid, is_outage, markets[s].is_active, fills_quiet) for s, v in views.items()}


def coverage(
    venue: str, timeframe: Timeframe, explained: Mapping[str, Explained], statuses: Sequence[str] = REASONS
) -> pa.Table:
    """Runs of absent bars with one of ``statuses`` as COVERAGE rows: no candles, no requests.

    A quiet market of a venue that leaves quiet bars out has a row for every few of its bars.
    """
    parts = [COVERAGE.empty_table()]
    for symbol, bars in explained.items():
        start, end, code, _ = bars.runs(timeframe)
        wanted = np.isin(code, [i for i, (status, _) in enumerate(CODES) if status in statuses])
        status, detail = (np.asarray(words, dtype=np.object_)[code[wanted]] for words in zip(*CODES, strict=True))
        num = int(wanted.sum())
        none = np.zeros(num, dtype=np.int64)
        name = [[told] * num for told in (venue, str(timeframe), symbol)]
        columns = (*name, start[wanted], end[wanted], status, none, none, detail)
        arrays = [pa.array(column, f.type) for column, f in zip(columns, COVERAGE, strict=True)]
        parts.append(pa.table(arrays, schema=COVERAGE))
    return pa.concat_tables(parts)


@dataclass(frozen=True, slots=True)
class _View:
    """One market over t bars of its venue's grid: which it has, and which were fetched."""

    present: BoolArray
    covered: BoolArray

    @classmethod
    def of(cls, held: Held, grid: IntArray) -> Self:
        covered = np.zeros(grid.size, dtype=np.bool_)
        for start, end in held.have:
            lo, hi = np.searchsorted(grid, [start, end])
            covered[lo:hi] = True
        present = np.zeros(grid.size, dtype=np.bool_)
        at = np.searchsorted(grid, held.opens)
        inside = at < grid.size
        inside[inside] = grid[at[inside]] == held.opens[inside]
        present[at[inside]] = True
        return cls(present & covered, covered)


@dataclass(frozen=True, slots=True)
class _Share:
    """How many of a market's bars it has, near any moment; bars that are left out count neither way."""

    at: IntArray
    had: FloatArray  # running count, one longer

    @classmethod
    def of(cls, view: _View, left_out: BoolArray) -> Self:
        at = np.flatnonzero(view.covered & ~left_out)
        return cls(at, np.concatenate([[0.0], np.cumsum(view.present[at], dtype=np.float64)]))

    def least(self, first: IntArray, last: IntArray) -> FloatArray:
        """The least share on either side of each span of bars, near and wide; 0 where nothing is known."""
        least, known = np.ones(first.size), np.zeros(first.size, dtype=np.bool_)
        for reach in (_NEAR, _WIDE):
            before, after = self._sides(first, last, reach)
            for num, had in (before, after):
                known |= num > 0
                least = np.where(num > 0, np.minimum(least, had / np.maximum(num, 1)), least)
        return np.where(known, least, 0.0)

    def around(self, first: IntArray, last: IntArray) -> FloatArray:
        """The lesser of the near and the wide share of both sides together; 1 where nothing is known."""
        least = np.ones(first.size)
        for reach in (_NEAR, _WIDE):
            (num_a, had_a), (num_b, had_b) = self._sides(first, last, reach)
            num = num_a + num_b
            least = np.where(num > 0, np.minimum(least, (had_a + had_b) / np.maximum(num, 1)), least)
        return least

    def _sides(
        self, first: IntArray, last: IntArray, reach: int
    ) -> tuple[tuple[IntArray, FloatArray], tuple[IntArray, FloatArray]]:
        """Number of bars, and of those that it has, before and after."""
        before = np.searchsorted(self.at, first)
        after = np.searchsorted(self.at, last, side="right")
        low, high = np.maximum(before - reach, 0), np.minimum(after + reach, self.at.size)
        return (before - low, self.had[before] - self.had[low]), (high - after, self.had[high] - self.had[after])


def _count(where: Sequence[BoolArray]) -> IntArray:
    """How many of the markets each bar holds for; int64[t]."""
    count = np.zeros(where[0].size, dtype=np.int64)
    for one in where:
        count += one
    return count


def _silent(views: Sequence[_View], covering: IntArray) -> BoolArray:
    """Bars that were fetched of some market and that none has; of fifty or more, next to none."""
    count = _count([v.present for v in views])
    usual = robust.around(count.astype(np.float64), 64, 5)
    silent: BoolArray = (covering > 0) & ((count == 0) | ((usual >= 50) & (count <= _STRAYS * usual)))
    return silent


def _outages(views: Sequence[_View], silent: BoolArray, covering: IntArray, *, fills_quiet: bool) -> BoolArray:
    """Silent runs that are no chance.

    A witness is a market that was fetched through all of the run and was liquid on both sides of it.
    """
    is_outage = np.zeros(silent.size, dtype=np.bool_)
    spans = runs(silent)
    if not spans:
        return is_outage
    first, last = (np.asarray(edge, dtype=np.int64) for edge in zip(*spans, strict=True))
    length = last - first + 1
    shares = np.zeros((len(views), first.size))
    for share, view in zip(shares, views, strict=True):
        through = np.concatenate([[0], np.cumsum(view.covered)])
        whole = through[last + 1] - through[first] == length
        share[whole] = _Share.of(view, silent).least(first[whole], last[whole])
    unlikely = -length * np.log10(np.maximum(1.0 - shares, _LEAST_QUIET))
    proved = np.zeros(first.size, dtype=np.bool_)
    for least, sure in _SILENCES:
        witness = shares >= least
        proved |= (witness.sum(axis=0) >= _WITNESSES) & ((unlikely * witness).sum(axis=0) > sure)
    if fills_quiet:
        proved = np.minimum.reduceat(covering[silent], np.cumsum(length) - length) >= 2
    is_outage[silent] = np.repeat(proved, length)
    return is_outage


def _explained(view: _View, grid: IntArray, is_outage: BoolArray, is_active: bool, fills_quiet: bool) -> Explained:
    absent = view.covered & ~view.present
    codes = np.full(grid.size, _OPEN)
    spans = runs(absent)
    if spans and view.present.any():
        first, last = (np.asarray(edge, dtype=np.int64) for edge in zip(*spans, strict=True))
        if not fills_quiet:
            up = np.concatenate([[0], np.cumsum(absent & ~is_outage)])
            quiet_bars = up[last + 1] - up[first]
            quiet_share = np.maximum(1.0 - _Share.of(view, is_outage).around(first, last), _LEAST_QUIET)
            usual = quiet_bars * -np.log10(quiet_share) <= _SURE
            codes[absent] = np.where(np.repeat(usual, last - first + 1), _NO_TRADES, _OPEN)
    codes[is_outage] = _OUTAGE
    if not is_active and view.present.any():
        codes[int(np.flatnonzero(view.present)[-1]) + 1 :] = _DELISTED
    return Explained(grid[absent], codes[absent])
