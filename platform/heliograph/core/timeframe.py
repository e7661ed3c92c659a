"""Candle timeframes on UTC epoch milliseconds: which bar a moment belongs to, and when it closes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
_MONDAY_OFFSET_MS = 4 * DAY_MS  # 1970-01-01 was a Thursday; ISO weeks open on Monday

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Timeframe:
    """One candle length.

    Attributes:
        name: the field's usual name, ``1m`` … ``1M``.
        ms: length in milliseconds; for ``1M`` the mean month, good for estimates only.
        offset_ms: where the grid starts, relative to the epoch.
    """

    name: str
    ms: int
    offset_ms: int = 0

    @property
    def is_calendar(self) -> bool:
        """True where bars differ in length (months)."""
        return self.name == "1M"

    def floor(self, ts_ms: int) -> int:
        """Open of the bar that holds ``ts_ms``.

        >>> parse("1h").floor(3_600_001)
        3600000
        """
        if self.is_calendar:
            t = datetime.fromtimestamp((ts_ms - self.offset_ms) / 1000, tz=UTC)
            return _month_open_ms(t.year, t.month) + self.offset_ms
        return (ts_ms - self.offset_ms) // self.ms * self.ms + self.offset_ms

    def next(self, open_ts_ms: int) -> int:
        """Open of the bar after the one that opens at ``open_ts_ms``; the same as its close."""
        if self.is_calendar:
            t = datetime.fromtimestamp((open_ts_ms - self.offset_ms) / 1000, tz=UTC)
            return _month_open_ms(t.year + t.month // 12, t.month % 12 + 1) + self.offset_ms
        return open_ts_ms + self.ms

    def close_ms(self, open_ts_ms: int) -> int:
        """First millisecond at which the bar can be known: its close."""
        return self.next(open_ts_ms)

    def ceil(self, ts_ms: int) -> int:
        """First bar open at or after ``ts_ms``."""
        opened = self.floor(ts_ms)
        return opened if opened == ts_ms else self.next(opened)

    def count(self, start_ms: int, end_ms: int) -> int:
        """How many bars open in ``[start_ms, end_ms)``."""
        return int(self.opens(start_ms, end_ms).size)

    def opens(self, start_ms: int, end_ms: int) -> IntArray:
        """Every bar open in ``[start_ms, end_ms)``, ascending; int64[n]."""
        first = self.ceil(start_ms)
        if not self.is_calendar:
            return np.arange(first, end_ms, self.ms, dtype=np.int64)
        opens = []
        while first < end_ms:
            opens.append(first)
            first = self.next(first)
        return np.asarray(opens, dtype=np.int64)

    def floor_array(self, ts_ms: IntArray) -> IntArray:
        """`floor` of every element; int64[n] in, int64[n] out."""
        if self.is_calendar:
            months = (ts_ms - self.offset_ms).astype("datetime64[ms]").astype("datetime64[M]")
            return months.astype("datetime64[ms]").astype(np.int64) + self.offset_ms
        return (ts_ms - self.offset_ms) // self.ms * self.ms + self.offset_ms

    def __str__(self) -> str:
        return self.name


def _month_open_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


TIMEFRAMES: dict[str, Timeframe] = {
    t.name: t
    for t in (
        Timeframe("1m", MINUTE_MS),
        Timeframe("3m", 3 * MINUTE_MS),
        Timeframe("5m", 5 * MINUTE_MS),
        Timeframe("15m", 15 * MINUTE_MS),
        Timeframe("30m", 30 * MINUTE_MS),
        Timeframe("1h", HOUR_MS),
        Timeframe("2h", 2 * HOUR_MS),
        Timeframe("4h", 4 * HOUR_MS),
        Timeframe("6h", 6 * HOUR_MS),
        Timeframe("8h", 8 * HOUR_MS),
        Timeframe("12h", 12 * HOUR_MS),
        Timeframe("1d", DAY_MS),
        Timeframe("3d", 3 * DAY_MS),
        Timeframe("1w", WEEK_MS, _MONDAY_OFFSET_MS),
        Timeframe("1M", 30 * DAY_MS + 10 * HOUR_MS + 30 * MINUTE_MS),
    )
}


def parse(name: str) -> Timeframe:
    """The timeframe called ``name``.

    Raises:
        ConfigError: there is no such timeframe; the message lists those that exist.
    """
    try:
        return TIMEFRAMES[name]
    except KeyError:
        raise ConfigError(f"unknown timeframe {name!r}: use one of {', '.join(TIMEFRAMES)}") from None
