"""The time of the local world: it stands still until somebody moves it."""

from __future__ import annotations

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import Timeframe


class VirtualClock:
    """UTC epoch milliseconds that only move forward, and never past the end of the tape."""

    def __init__(self, now_ms: int, end_ms: int) -> None:
        self._now_ms = now_ms
        self.end_ms = end_ms

    @classmethod
    def before_end(cls, first_ms: int, end_ms: int, timeframe: Timeframe, bars: int) -> VirtualClock:
        """A clock that stands at a bar's open, ``bars`` whole bars before the tape ends.

        Raises:
            ConfigError: the tape, from ``first_ms`` to ``end_ms``, is not longer than that.

        >>> from heliograph.core.timeframe import parse
        >>> VirtualClock.before_end(0, 10 * 3_600_000 + 5, parse("1h"), 4).now_ms() // 3_600_000
        6
        """
        start_ms = timeframe.floor(end_ms)
        for _ in range(bars):
            start_ms = timeframe.floor(start_ms - 1)
        if start_ms <= first_ms:
            raise ConfigError(f"the tape is not longer than {bars} bars of {timeframe}; play fewer bars live")
        return cls(start_ms, end_ms)

    def now_ms(self) -> int:
        """Now."""
        return self._now_ms

    def move_to(self, now_ms: int) -> None:
        """Set the time.

        Raises:
            ConfigError: the time lies in the past, or after the end of the tape.
        """
        if not self._now_ms <= now_ms <= self.end_ms:
            raise ConfigError(
                f"the clock can't move from {self._now_ms} to {now_ms}: the tape ends at {self.end_ms}; play fewer bars"
            )
        self._now_ms = now_ms
