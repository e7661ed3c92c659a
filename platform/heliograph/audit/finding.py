"""What a check says of candles: marks on bars while it runs, findings with an interval when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.market import Candles, FloatArray
from heliograph.core.timeframe import Timeframe

BoolArray = npt.NDArray[np.bool_]

KINDS: dict[str, str] = {
    "order": "the bar does not open after the bar before it",
    "off_grid": "the open is not on the timeframe's grid",
    "not_finite": "a number is missing or infinite",
    "not_positive": "a price is not above zero, or a volume is below it",
    "range": "open or close lies outside low and high",
    "moved_without_volume": "the price moved in a bar without volume",
    "break": "the open is far from the close before it",
    "shuffled": "every bar undoes the one before it: columns swapped or bars in reverse",
    "spike": "the price left and came back within one bar, farther than this market does",
    "repeated": "the same bars stand elsewhere already",
    "digits": "the prices have other decimals than those around them",
    "straight": "the closes lie on a straight line",
    "nested": "bars of a longer timeframe stand among the others",
    "volume_scale": "the volumes are of another size than those around them",
    "frozen": "the price stood still while it moved elsewhere",
    "off_peers": "the price is not that of other venues",
    "unlike_peers": "the price does not move as on other venues",
    "lagged": "the price moves as on other venues, but not at the same time",
    "missing": "bars are absent while the market was traded",
    "not_derived": "the bar differs from what the bars of another timeframe add up to",
}
"""Every kind of finding, and what it means."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A run of bars that can't be true as they stand.

    Attributes:
        venue, symbol, timeframe: of the series; the symbol is unified.
        start_ms, end_ms: the run, half-open, UTC epoch ms.
        kind: one of KINDS.
        detail: the measure behind it, one sentence.
        bars: how many bars it is about; for ``missing`` those that are absent.
    """

    venue: str
    symbol: str
    timeframe: str
    start_ms: int
    end_ms: int
    kind: str
    detail: str
    bars: int


@dataclass(frozen=True, slots=True)
class Mark:
    """One check's verdict over n candles.

    Attributes:
        kind: one of KINDS.
        where: bool[n], the bars that fail.
        words: the detail of a finding; ``{most}`` is put in as the largest size of its bars.
        size: float64[n], how far each bar is off; empty where the words have no figure.
    """

    kind: str
    where: BoolArray
    words: str
    size: FloatArray


def mark(kind: str, where: BoolArray, words: str = "", size: FloatArray | None = None) -> Mark:
    """A mark; without words it says what its kind means."""
    return Mark(kind, where, words or KINDS[kind], np.empty(0) if size is None else size)


def of_marks(name: tuple[str, str], timeframe: Timeframe, candles: Candles, marks: Iterable[Mark]) -> Iterator[Finding]:
    """One finding for every run of neighbouring rows that a mark holds.

    Args:
        name: venue and unified symbol.
        candles: the rows that the marks are about.
    """
    ts = candles.open_ts_ms
    for m in marks:
        for first, last in runs(m.where):
            most = float(m.size[first : last + 1].max()) if m.size.size else 0.0
            lo, hi = int(ts[first : last + 1].min()), int(ts[first : last + 1].max())
            yield Finding(
                *name, str(timeframe), lo, timeframe.next(hi), m.kind, m.words.format(most=most), last - first + 1
            )


def runs(where: BoolArray) -> list[tuple[int, int]]:
    """First and last index of every run of True.

    >>> runs(np.array([True, False, True, True]))
    [(0, 0), (2, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def flagged(candles: Candles, findings: Iterable[Finding]) -> BoolArray:
    """Which of the candles lie in any finding; bool[n]. The candles ascend."""
    depth = np.zeros(len(candles) + 1, dtype=np.int64)
    for f in findings:
        if f.kind != "missing":
            lo, hi = np.searchsorted(candles.open_ts_ms, [f.start_ms, f.end_ms])
            depth[lo] += 1
            depth[hi] -= 1
    within: BoolArray = np.cumsum(depth[:-1]) > 0
    return within
