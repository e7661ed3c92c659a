"""The prover of the look-ahead law: change what is known later, and see that nothing known earlier changes.

It takes any computation from inputs to a table: the features of a market, a join of several, a scaler, a pipeline of
somebody else's. What it demands is stated in time alone: of two inputs that agree in everything known at a moment, the
rows that the tables call known at that moment are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, MINUTE_MS, WEEK_MS, Timeframe, parse
from heliograph.features.futures import Inputs, Stream, futures

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

UNCHANGED = "left as it was"


class Table(Protocol):
    """What a computation answers, such as `heliograph.features.table.FeatureTable`.

    Attributes:
        open_ts_ms: int64[n], what each row is about.
        known_ts_ms: int64[n], when the row may be used: this is what is put to the proof.
        names: F columns.
        values: float64[n, F]; NaN equals NaN.
    """

    @property
    def open_ts_ms(self) -> IntArray: ...
    @property
    def known_ts_ms(self) -> IntArray: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def values(self) -> FloatArray: ...


Compute = Callable[[Inputs], Table]


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that was known, and yet depends on what was not.

    Attributes:
        column: of the table; ``open_ts_ms``, ``known_ts_ms`` or ``rows`` where the rows themselves changed.
        row: the first such row among those known at the cut.
        open_ts_ms: of that row.
        cut_ms: what was known then was the same.
        change: what befell the inputs after it.
        inputs: names of those that do it alone; all where only several together do.
    """

    column: str
    row: int
    open_ts_ms: int
    cut_ms: int
    change: str
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        if self.change == UNCHANGED:
            return (
                f"{self.column} at row {self.row} ({_utc(self.open_ts_ms)}) differs from run to run on the same inputs"
            )
        return (
            f"{self.column} at row {self.row} ({_utc(self.open_ts_ms)}) changed when what {', '.join(self.inputs)} told "
            f"after {_utc(self.cut_ms)} was {self.change}"
        )


def look_ahead(
    compute: Compute, inputs: Inputs, cuts_ms: Iterable[int], *, seed: int = 1, rtol: float = 0.0
) -> Iterator[tuple[Violation, ...]]:
    """Put a computation to the proof, cut by cut.

    Args:
        cuts_ms: moments; see `cuts`.
        seed: of the changes.
        rtol: how much a value may move, for computations that are not bit for bit the same on longer arrays. Leaks
            smaller than that stay unseen.

    Yields:
        for each cut what breaks the law: at most one violation for each change and column.
    """
    whole = compute(inputs)
    again = compute(inputs)
    end_ms = int(whole.known_ts_ms.max()) if whole.known_ts_ms.size else 0
    restless = tuple(_violations(whole, again, end_ms, UNCHANGED, (), rtol))
    for cut_ms in cuts_ms:
        found = list(restless)
        for change, others in futures(inputs, cut_ms, seed):
            broken = tuple(_violations(whole, compute(others), cut_ms, change, tuple(inputs), rtol))
            if broken and len(inputs) > 1:
                broken = _blamed(broken, compute, inputs, others, whole, rtol)
            found += broken
        yield tuple(found)


def _blamed(
    broken: tuple[Violation, ...], compute: Compute, inputs: Inputs, others: Inputs, whole: Table, rtol: float
) -> tuple[Violation, ...]:
    """The same violations, each with the inputs that do it alone."""
    cut_ms, change = broken[0].cut_ms, broken[0].change
    does: dict[str, set[str]] = {}
    for name in inputs:
        alone = compute({**inputs, name: others[name]})
        for violation in _violations(whole, alone, cut_ms, change, (name,), rtol):
            does.setdefault(violation.column, set()).add(name)
    return tuple(replace(v, inputs=tuple(sorted(does.get(v.column, inputs)))) for v in broken)


def _violations(
    whole: Table, other: Table, cut_ms: int, change: str, names: tuple[str, ...], rtol: float
) -> Iterator[Violation]:
    rows, theirs = (np.flatnonzero(table.known_ts_ms <= cut_ms) for table in (whole, other))
    for column, row in _differences(whole, other, rows, theirs, rtol):
        yield Violation(column, row, int(whole.open_ts_ms[row]) if whole.open_ts_ms.size else 0, cut_ms, change, names)


def _differences(
    whole: Table, other: Table, rows: IntArray, theirs: IntArray, rtol: float
) -> Iterator[tuple[str, int]]:
    """Columns that differ in the rows that are known, each with its first row in ``whole``."""
    if whole.names != other.names:
        yield "names", 0
        return
    if rows.size != theirs.size:
        size = min(rows.size, theirs.size)
        opens, others = whole.open_ts_ms[rows[:size]], other.open_ts_ms[theirs[:size]]
        first = int(np.argmax(np.append(opens != others, True)))
        yield "rows", int(rows[min(first, rows.size - 1)]) if rows.size else 0
        return
    for name in ("open_ts_ms", "known_ts_ms"):
        yield from _first(name, rows, getattr(whole, name)[rows] != getattr(other, name)[theirs])
    a, b = whole.values[rows], other.values[theirs]
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if rtol > 0.0:
        same |= np.abs(a - b) <= rtol * np.maximum(np.abs(a), np.abs(b))
    for k in np.flatnonzero(~same.all(axis=0)).tolist():
        yield from _first(whole.names[k], rows, ~same[:, k])


def _first(name: str, rows: IntArray, differs: BoolArray) -> Iterator[tuple[str, int]]:
    if differs.any():
        yield name, int(rows[int(np.argmax(differs))])


def cuts(stream: Stream, count: int, *, seed: int = 1) -> tuple[int, ...]:
    """Moments at which leaks show: at the edges of days, weeks and gaps, inside bars, and anywhere.

    Args:
        stream: the candles.
        count: how many; a fifth of them lie in the newest eighth, where everything has warmed up.

    Returns:
        ascending; each once.
    """
    known = np.unique(stream.known_ts_ms)
    if not known.size:
        return ()
    rng = np.random.default_rng(seed)
    step = int(np.median(np.diff(known))) if known.size > 1 else MINUTE_MS
    days = known[known % DAY_MS == 0]
    weeks = known[(known - parse("1w").offset_ms) % WEEK_MS == 0]
    gaps = known[:-1][np.diff(known) > step]
    newest = known[-1 - known.size // 8 :]
    edges = (days + step, days, days - step, weeks, weeks - step, gaps, gaps + step, known - 1, newest, newest)
    picked = [int(rng.choice(edge)) for _ in range(1 + count // len(edges)) for edge in edges if edge.size]
    return tuple(sorted(set(rng.permutation(picked)[:count].tolist())))


def look_ahead_violations(
    compute: Callable[[Candles], Table], candles: Candles, cuts: Iterable[int], *, seed: int = 1
) -> list[str]:
    """What of a table of candles reads the future.

    Args:
        cuts: row numbers; the candle of the row is the last one known.
        seed: of the changes.

    Returns:
        one sentence per cut, change and column that breaks the law; empty where it holds.
    """
    ts = candles.open_ts_ms
    step = int(np.diff(ts).min()) if ts.size > 1 else MINUTE_MS
    stream = Stream.of_candles(candles, Timeframe("grid", step, int(ts[0]) % step if ts.size else 0))
    moments = [int(stream.known_ts_ms[row]) for row in cuts]
    found = look_ahead(lambda inputs: compute(inputs["candles"].candles()), {"candles": stream}, moments, seed=seed)
    return [str(violation) for cut in found for violation in cut]


def _utc(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
