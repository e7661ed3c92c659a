"""What a venue gives beside candles, as columns: trades, and points that are known later than they happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of one market as columns of equal length n, ascending by time; of one moment, in the venue's order.

    Attributes:
        ts_ms: int64[n], when they happened, UTC epoch ms.
        price: float64[n], quote units.
        qty: float64[n], base units unless the venue says otherwise.
        is_buy: bool[n], True where the taker bought.
        ids: object[n] of str, the venue's own name of each; "" where it gives none.
    """

    ts_ms: IntArray
    price: FloatArray
    qty: FloatArray
    is_buy: BoolArray
    ids: TextArray

    def __len__(self) -> int:
        return int(self.ts_ms.size)

    @classmethod
    def empty(cls) -> Self:
        """No trades."""
        none = np.empty(0)
        return cls(none.astype(np.int64), none, none.copy(), none.astype(np.bool_), none.astype(np.object_))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """One frame out of several, sorted by time; a trade whose id stands in two parts counts once (the later's).

        >>> one = Trades(np.array([5]), np.array([1.0]), np.array([2.0]), np.array([True]), np.array(["a"], object))
        >>> len(Trades.concat([one, one]))
        1
        """
        if not parts:
            return cls.empty()
        whole = cls(*_columns(parts))
        ids = whole.ids.astype(np.str_)
        _, last_from_end = np.unique(ids[::-1], return_index=True)
        is_kept = ids == ""
        is_kept[len(ids) - 1 - last_from_end] = True
        kept = np.flatnonzero(is_kept)
        return whole.take(kept[np.argsort(whole.ts_ms[kept], kind="stable")])

    def take(self, where: slice | BoolArray | npt.NDArray[np.intp]) -> Self:
        """The rows selected by a slice, mask or index."""
        return type(self)(*(getattr(self, f.name)[where] for f in fields(self)))

    def between(self, start_ms: int, end_ms: int) -> Self:
        """Trades that happened in ``[start_ms, end_ms)``."""
        low, high = np.searchsorted(self.ts_ms, [start_ms, end_ms])
        return self.take(slice(int(low), int(high)))


@dataclass(frozen=True, slots=True)
class Points:
    """A number that a venue publishes now and then (funding rate, open interest), ascending by event, each once.

    Attributes:
        event_ts_ms: int64[n], the moment that the number is about, UTC epoch ms.
        known_ts_ms: int64[n], when it could first be known; nothing may use it before.
        value: float64[n]; the unit is the venue's.
    """

    event_ts_ms: IntArray
    known_ts_ms: IntArray
    value: FloatArray

    def __len__(self) -> int:
        return int(self.event_ts_ms.size)

    @classmethod
    def empty(cls) -> Self:
        """No points."""
        none = np.empty(0)
        return cls(none.astype(np.int64), none.astype(np.int64), none)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """One frame out of several, sorted by event; an event that stands in two parts counts once (the later's).

        >>> early, late = (Points(np.array([8]), np.array([9]), np.array([v])) for v in (0.1, 0.2))
        >>> Points.concat([early, late]).value.tolist()
        [0.2]
        """
        if not parts:
            return cls.empty()
        whole = cls(*_columns(parts))
        order = np.argsort(whole.event_ts_ms, kind="stable")
        ts = whole.event_ts_ms[order]
        return whole.take(order[np.append(np.diff(ts) > 0, True)] if ts.size else order)

    def take(self, where: slice | BoolArray | npt.NDArray[np.intp]) -> Self:
        """The rows selected by a slice, mask or index."""
        return type(self)(*(getattr(self, f.name)[where] for f in fields(self)))

    def between(self, start_ms: int, end_ms: int) -> Self:
        """Points about moments in ``[start_ms, end_ms)``."""
        low, high = np.searchsorted(self.event_ts_ms, [start_ms, end_ms])
        return self.take(slice(int(low), int(high)))


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """One answer of an endpoint of trades or points; the fields are those of `heliograph.core.ports.Page`.

    Attributes:
        rows: what is in it, ascending, within the interval that was asked for.
        endpoint: URL without its query.
        query: the query or body as sent.
        sha256: of the raw response body, hex.
        fetched_ts_ms: when it came.
        checksum: ``verified``, ``none published``, or empty where the answer is no file.
    """

    rows: Trades | Points
    endpoint: str
    query: str
    sha256: str
    fetched_ts_ms: int
    checksum: str = ""


def _columns(parts: Sequence[Any]) -> list[Any]:
    return [np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(parts[0])]
