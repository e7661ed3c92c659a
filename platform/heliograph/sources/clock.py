"""The venue's own time, known by its readings and guessed in between."""

from __future__ import annotations

from collections.abc import Callable


class VenueClock:
    """Last reading of a venue's clock, and how long ago it was taken.

    A bar counts as closed only by a *reading* taken before the bar was asked for; the guess only says when a new
    reading is worth a request. So neither a wrong wall clock nor a venue that stands still can close a bar early.

    Args:
        monotonic_s: seconds that never run backwards.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._read_ms: int | None = None
        self._read_at_s = 0.0

    def read(self, now_ms: int) -> None:
        """Take a reading that has just arrived; it is a lower bound of the venue's now, as is any larger one before it."""
        if self._read_ms is None or now_ms >= self._read_ms:
            self._read_ms = now_ms
            self._read_at_s = self._monotonic_s()

    @property
    def at_least_ms(self) -> int | None:
        """The last reading; None before the first."""
        return self._read_ms

    def guess_ms(self) -> int | None:
        """The last reading plus the time since; None before the first."""
        if self._read_ms is None:
            return None
        return self._read_ms + int((self._monotonic_s() - self._read_at_s) * 1000)
