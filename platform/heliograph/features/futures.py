"""Other futures for the inputs of a computation: the same up to a moment, and anything at all after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.features.align import closes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One input of a computation, each row with the moment at which it became known.

    Attributes:
        of_ts_ms: int64[n], ascending: what a row is about, such as the open of a bar or the time of an event.
        known_ts_ms: int64[n], the first moment at which the row could be used.
        columns: float64[n] by name.
        grid: where rows stand; None where they come at any time.
        comes_late: what is known later may be about the past: revisions, and events told late. Then ``of_ts_ms`` may
            stand more than once.
    """

    of_ts_ms: IntArray
    known_ts_ms: IntArray
    columns: Mapping[str, FloatArray]
    grid: Timeframe | None = None
    comes_late: bool = False

    def __len__(self) -> int:
        return int(self.of_ts_ms.size)

    @classmethod
    def of_candles(cls, candles: Candles, timeframe: Timeframe, *, close_delay_ms: int = 0) -> Self:
        """Candles, each known at its close plus the venue's delay."""
        columns = {f.name: getattr(candles, f.name) for f in fields(candles) if f.name != "open_ts_ms"}
        ts = candles.open_ts_ms
        return cls(ts, closes(timeframe, ts) + close_delay_ms, columns, timeframe)

    def candles(self) -> Candles:
        """The rows as candles."""
        return Candles(self.of_ts_ms, *(self.columns[name] for name in (*PRICES, "volume")))

    def take(self, where: slice | BoolArray | IntArray) -> Stream:
        """The rows selected by a slice, mask or index."""
        columns = {name: values[where] for name, values in self.columns.items()}
        return replace(self, of_ts_ms=self.of_ts_ms[where], known_ts_ms=self.known_ts_ms[where], columns=columns)

    def known_at(self, ts_ms: IntArray, column: str) -> FloatArray:
        """Of all rows known at each moment the one about the latest time; NaN before the first.

        Args:
            ts_ms: int64[m], ascending.

        Returns:
            float64[m].
        """
        order = np.argsort(self.known_ts_ms, kind="stable")
        about = self.of_ts_ms[order]
        ahead = np.maximum.accumulate(about) if about.size else about
        best = np.maximum.accumulate(np.where(about == ahead, np.arange(about.size), 0)) if about.size else about
        at = np.searchsorted(self.known_ts_ms[order], ts_ms, side="right") - 1
        values = np.append(self.columns[column][order][best], np.nan)
        found: FloatArray = values[np.where(at < 0, about.size, at)]
        return found


Inputs = Mapping[str, Stream]
Change = Callable[[Stream, Stream, int, np.random.Generator], Stream]
"""Past and future of a stream, the moment between them → another future; no row of it is known by then."""


def futures(inputs: Inputs, cut_ms: int, seed: int) -> Iterator[tuple[str, Inputs]]:
    """Inputs that agree in all that is known at ``cut_ms``, each with a word for what befell the rest of them.

    Every stream draws numbers of its own, so that no change of one hides that of another.
    """
    split = {name: _split(stream, cut_ms) for name, stream in inputs.items()}
    for index, (told, change) in enumerate(CHANGES.items()):
        made = {}
        for position, (name, (past, future)) in enumerate(split.items()):
            rng = np.random.default_rng([seed, cut_ms % 2**32, index, position])
            made[name] = _merged(past, change(past, future, cut_ms, rng)) if len(future) else past
        yield told, made


def _split(stream: Stream, cut_ms: int) -> tuple[Stream, Stream]:
    is_known = stream.known_ts_ms <= cut_ms
    return stream.take(is_known), stream.take(~is_known)


def _merged(*parts: Stream) -> Stream:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    of, known = (np.concatenate([getattr(part, name) for part in parts]) for name in ("of_ts_ms", "known_ts_ms"))
    return replace(parts[0], of_ts_ms=of, known_ts_ms=known, columns=columns).take(np.lexsort((known, of)))


def _cut_off(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    return future.take(slice(0))


def _changed(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    return replace(future, columns=_stirred(future.columns, rng))


def _raised(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    """Everything to another order of size, which moves ranks, extremes and signs that small changes leave alone."""
    rise = 40.0 if rng.random() < 0.5 else 1 / 40
    return replace(future, columns={name: values * rise for name, values in future.columns.items()})


def _stilled(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    """Nothing moves and nothing is traded any more."""
    last = (past if len(past) else future).columns
    close = "close" if _is_market(last) else ""
    still = {name: np.full(len(future), last[close if name in PRICES and close else name][-1]) for name in last}
    return replace(future, columns=still | ({"volume": np.zeros(len(future))} if "volume" in still else {}))


def _thinned_out(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    return future.take(rng.random(len(future)) < 0.5)


def _moved_later(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    return future.take(slice(len(future) // 2, None))


def _told_later(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    waits = rng.integers(0, 1 + _span_ms(future), len(future))
    return replace(future, known_ts_ms=future.known_ts_ms + waits)


def _joined_by_more(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    """Rows where none were: in the gaps, beyond the end, and where rows come late also about the past."""
    parts = [future, _newer(past, future, cut_ms, rng)]
    if future.comes_late and len(past):
        revised = past.take(np.sort(rng.integers(0, len(past), 1 + len(past) // 4)))
        waits = rng.integers(0, 1 + _span_ms(future), len(revised))
        known = cut_ms + 1 + waits
        parts.append(replace(revised, known_ts_ms=known, columns=_stirred(revised.columns, rng)))
        if future.grid is None:
            of = np.sort(rng.integers(int(past.of_ts_ms[0]), 1 + int(past.of_ts_ms[-1]), len(revised)))
            parts.append(replace(revised, of_ts_ms=of, known_ts_ms=known, columns=_stirred(revised.columns, rng)))
    return _merged(*parts)


def _newer(past: Stream, future: Stream, cut_ms: int, rng: np.random.Generator) -> Stream:
    first, last = int(future.of_ts_ms.min()), int(future.of_ts_ms.max())
    if future.grid is None:
        of = np.setdiff1d(np.sort(rng.integers(first, last + 1 + _span_ms(future), 8)), future.of_ts_ms)
    else:
        after = int(past.of_ts_ms.max()) + 1 if len(past) else first
        of = np.setdiff1d(future.grid.opens(after, last + 32 * future.grid.ms), future.of_ts_ms)
    like = future.take(np.arange(of.size) % len(future))
    known = of + like.known_ts_ms - like.of_ts_ms
    return replace(like, of_ts_ms=of, known_ts_ms=known, columns=_stirred(like.columns, rng)).take(known > cut_ms)


CHANGES: Mapping[str, Change] = {
    "cut off": _cut_off,
    "changed": _changed,
    "raised": _raised,
    "stilled": _stilled,
    "thinned out": _thinned_out,
    "moved to later": _moved_later,
    "told later": _told_later,
    "joined by more": _joined_by_more,
}


def _span_ms(stream: Stream) -> int:
    return int(np.ptp(stream.known_ts_ms))


def _is_market(columns: Mapping[str, FloatArray]) -> bool:
    return set(PRICES) <= columns.keys()


def _stirred(columns: Mapping[str, FloatArray], rng: np.random.Generator) -> dict[str, FloatArray]:
    """Other values of the same kind: bars stay bars, and what is never negative stays so."""
    size = len(next(iter(columns.values())))
    factor = np.exp(rng.normal(0.0, 0.5, size))
    made = {}
    for name, values in columns.items():
        if name in PRICES and _is_market(columns):
            made[name] = values * factor * {"high": 1.5, "low": 1 / 1.5}.get(name, 1.0)
            continue
        usual = float(np.nanmean(np.abs(values))) if np.isfinite(values).any() else 1.0
        moved = np.nan_to_num(values) * np.exp(rng.normal(0.0, 0.5, size)) + (usual or 1.0) * rng.normal(0.0, 1.0, size)
        made[name] = moved if (values < 0).any() else np.abs(moved)
    return made
