"""The live edge of one symbol: updates of open bars in, closed bars out, in order, each once, without a hole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph.core.timeframe import Timeframe

Row = tuple[int, float, float, float, float, float]  # open_ts_ms, open, high, low, close, volume


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that open in ``[start_ms, end_ms)`` are closed, and must be fetched.

    Attributes:
        is_quiet: the stream was listened to all the while, and told of no bar: there may be none.
    """

    start_ms: int
    end_ms: int
    is_quiet: bool = False


class Tail:
    """What is known of a symbol's newest bars.

    A bar is closed once a later bar has been seen, or once the venue's clock has passed its close. What the stream said
    about it counts only if it was heard on one unbroken connection until a later bar came; everything else is a gap.

    Args:
        since_ms: the first bar to come out is the first that opens at or after this.
    """

    def __init__(self, timeframe: Timeframe, since_ms: int) -> None:
        self._timeframe = timeframe
        self._due_ms = timeframe.ceil(since_ms)
        self._closed_before_ms = self._due_ms  # bars that open before this one have closed
        self._heard_ms = self._due_ms  # the newest bar heard on this connection
        self._listened_ms: int | None = None  # bars that open from here on were listened to from their beginning
        self._rows: dict[int, Row] = {}
        self._filling = False

    @property
    def due_ms(self) -> int:
        """Open of the next bar to come out."""
        return self._due_ms

    def update(self, rows: Iterable[Row], begun_ms: int = 0) -> None:
        """The stream sent bars; the last word on a bar counts.

        Args:
            begun_ms: open of a bar that has begun, though nothing may be known of it.
        """
        self._heard_ms = max(self._heard_ms, begun_ms)
        for row in rows:
            if row[0] >= self._due_ms:
                self._rows[row[0]] = row
                self._heard_ms = max(self._heard_ms, row[0])
        self._closed_before_ms = max(self._closed_before_ms, self._heard_ms)
        if self._listened_ms is None:
            self._listened_ms = self._timeframe.next(self._heard_ms)

    def lose(self) -> None:
        """The connection broke: what was heard of any bar may not be its end."""
        self._rows.clear()
        self._heard_ms = self._due_ms
        self._listened_ms = None

    def prove(self, now_ms: int) -> None:
        """The venue's clock stands at ``now_ms``: bars that closed by then and were not outlived in the stream are a gap."""
        self._closed_before_ms = max(self._closed_before_ms, self._timeframe.floor(now_ms))

    def fill(self, gap: Gap, rows: Iterable[Row]) -> list[Row]:
        """The venue's history of the gap has come: the bars to hand out now. A bar that is not in it does not exist."""
        self._filling = False
        self._due_ms = gap.end_ms
        self._rows = {ts: row for ts, row in self._rows.items() if ts >= self._due_ms}
        return [*rows, *self.take()]

    def take(self) -> list[Row]:
        """The bars that are due, closed and known."""
        found = []
        while not self._filling and self._is_known():
            found.append(self._rows.pop(self._due_ms))
            self._due_ms = self._timeframe.next(self._due_ms)
        return found

    def gap(self) -> Gap | None:
        """The next closed bars that the stream did not give, told once; the caller answers with `fill`."""
        if self._filling or self._due_ms >= self._closed_before_ms or self._is_known():
            return None
        self._filling = True
        known = (ts for ts in self._rows if self._due_ms < ts < self._heard_ms)
        end_ms = min(known, default=self._closed_before_ms)
        was_listened = self._listened_ms is not None and self._listened_ms <= self._due_ms
        return Gap(self._due_ms, end_ms, was_listened and not any(ts < end_ms for ts in self._rows))

    def _is_known(self) -> bool:
        return self._due_ms < self._heard_ms and self._due_ms in self._rows
