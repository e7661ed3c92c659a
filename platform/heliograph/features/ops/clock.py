"""What the clock says at the open of a bar: cycles, calendar, exchange hours, expiries; and the bars that are missing.

Everything follows from the UTC time of the open, whatever the timeframe. Exchange hours are local: summer time follows
the rules in force in the European Union since 1996 and in the United States since 2007. Holidays are not known.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from heliograph.features.engine import compiled
from heliograph.features.graph import Series, kernel, node
from heliograph.features.market import BAR_NUMBER, OPEN_TS_MS, STEPS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_HOUR_MS = 3_600_000.0
_DAY_MS = 24.0 * _HOUR_MS
_WEEK_MS = 7.0 * _DAY_MS
_MONDAY_MS = 4.0 * _DAY_MS  # 1970-01-01 was a Thursday
_EXPIRY_MS = _DAY_MS + 8.0 * _HOUR_MS  # a Friday, 08:00
_TWO_PI = 2.0 * math.pi

_TOKYO = (9.0, 9.0, 15.5)  # hours that the clock is ahead of UTC, open, close
_LONDON = (0.0, 8.0, 16.5)
_NEW_YORK = (-5.0, 9.5, 16.0)


def cycles() -> tuple[Series, Series, Series, Series]:
    """Sine and cosine of the hour in the UTC day, then of the time in the week from Monday."""
    made = node(_cycles, OPEN_TS_MS, outputs=4)
    return made[0], made[1], made[2], made[3]


def calendar() -> tuple[Series, Series, Series, Series, Series, Series, Series]:
    """Sine and cosine of the place in the month, then in the year; share of the month, of the quarter and of the year gone."""
    made = node(_calendar, OPEN_TS_MS, outputs=7)
    return made[0], made[1], made[2], made[3], made[4], made[5], made[6]


def days() -> tuple[Series, Series]:
    """1 on Saturday and Sunday; 1 on the last day and the first three of a month; else 0."""
    made = node(_days, OPEN_TS_MS, outputs=2)
    return made[0], made[1]


def sessions() -> tuple[Series, Series, Series, Series, Series, Series]:
    """1 while Tokyo, London, New York trade shares, else 0; then how much of each one's session is gone, 0 outside.

    Source: trading hours as the exchanges publish them: 9:00–15:30 JST, 8:00–16:30 London, 9:30–16:00 New York.
    """
    made = node(_sessions, OPEN_TS_MS, outputs=6)
    return made[0], made[1], made[2], made[3], made[4], made[5]


def expiries() -> tuple[Series, Series, Series, Series]:
    """How far off the next event is, as a share of the longest wait; 0 where the bar opens on it.

    Funding at 00:00, 08:00 and 16:00 UTC (8 hours); the expiry on Friday 08:00 UTC (7 days), on the month's last Friday
    (35 days), and on that of March, June, September, December (98 days).
    """
    made = node(_expiries, OPEN_TS_MS, outputs=4)
    return made[0], made[1], made[2], made[3]


def bars_missing() -> Series:
    """Log of one more than the bars missing just before this one."""
    return node(_log_steps, STEPS)[0]


def missing_share(bars: int) -> Series:
    """Share of the grid's bars that are missing in the time of the last ``bars`` rows; 0 … 1."""
    return node(_missing_share, BAR_NUMBER, reach=bars, parameters=(bars,), warmup=bars)[0]


@compiled
def month_of(day: int) -> tuple[int, int, int]:
    """Year, month and day of the month of a day since 1970-01-01.

    Source: H. Hinnant, chrono-Compatible Low-Level Date Algorithms, 2013.

    >>> month_of(19_782)
    (2024, 2, 29)
    """
    z = day + 719_468
    era = z // 146_097
    of_era = z - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    place = (5 * of_year + 2) // 153
    month = place + 3 if place < 10 else place - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, of_year - (153 * place + 2) // 5 + 1


@compiled
def day_of(year: int, month: int, day: int) -> int:
    """Inverse of `month_of`; a month beyond 12 counts into the next year.

    >>> day_of(2023, 14, 29)
    19782
    """
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    year -= 1 if month <= 2 else 0
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled
def last_weekday_ms(year: int, month: int, weekday: int) -> float:
    """Start of a month's last such day, Monday 0 … Sunday 6.

    >>> last_weekday_ms(2024, 3, 6) == day_of(2024, 3, 31) * 86_400_000
    True
    """
    last = day_of(year, month + 1, 1) - 1
    found: float = (last - (last + 3 - weekday) % 7) * _DAY_MS
    return found


@compiled
def summer_hours(ts_ms: float, is_new_york: bool) -> float:
    """1 while clocks in London, or in New York, are an hour ahead."""
    year = month_of(int(ts_ms // _DAY_MS))[0]
    if is_new_york:  # second Sunday of March to first of November, 2:00 local
        first, second = day_of(year, 3, 1), day_of(year, 11, 1)
        start = (first + (3 - first) % 7 + 7) * _DAY_MS + 7.0 * _HOUR_MS
        end = (second + (3 - second) % 7) * _DAY_MS + 6.0 * _HOUR_MS
    else:  # last Sundays of March and October, 1:00 UTC
        start = last_weekday_ms(year, 3, 6) + _HOUR_MS
        end = last_weekday_ms(year, 10, 6) + _HOUR_MS
    return 1.0 if start <= ts_ms < end else 0.0


@compiled
def session_gone(ts_ms: float, ahead: float, opens: float, closes: float) -> float:
    """How much of a weekday's session is gone, 0 … 1; −1 outside."""
    local = ts_ms + ahead * _HOUR_MS
    hour = (local % _DAY_MS) / _HOUR_MS
    is_weekday = (local - _MONDAY_MS) % _WEEK_MS < 5.0 * _DAY_MS
    return (hour - opens) / (closes - opens) if is_weekday and opens <= hour < closes else -1.0


@compiled
def wait_ms(ts_ms: float, year: int, month: int, every: int) -> float:
    """Until 08:00 UTC of the last Friday of the next month that ``every`` divides, the given month counted."""
    month += (-month) % every
    expiry: float = last_weekday_ms(year, month, 4) + 8.0 * _HOUR_MS
    if expiry < ts_ms:
        expiry = last_weekday_ms(year, month + every, 4) + 8.0 * _HOUR_MS
    return expiry - ts_ms


@kernel
def _cycles(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    hour_sin, hour_cos, week_sin, week_cos, ts = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        day = _TWO_PI * ((x[ts + t] % _DAY_MS) / _DAY_MS)
        week = _TWO_PI * (((x[ts + t] - _MONDAY_MS) % _WEEK_MS) / _WEEK_MS)
        x[hour_sin + t], x[hour_cos + t] = math.sin(day), math.cos(day)
        x[week_sin + t], x[week_cos + t] = math.sin(week), math.cos(week)


@kernel
def _calendar(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    ts = at[7] + i
    for t in range(n):
        now = x[ts + t] / _DAY_MS
        year, month, _ = month_of(int(now // 1.0))
        first, after = day_of(year, month, 1), day_of(year, month + 1, 1)
        of_month = (now - first) / (after - first)
        first, after = day_of(year, 1, 1), day_of(year + 1, 1, 1)
        of_year = (now - first) / (after - first)
        quarter = month - (month - 1) % 3
        first, after = day_of(year, quarter, 1), day_of(year, quarter + 3, 1)
        x[at[0] + i + t], x[at[1] + i + t] = math.sin(_TWO_PI * of_month), math.cos(_TWO_PI * of_month)
        x[at[2] + i + t], x[at[3] + i + t] = math.sin(_TWO_PI * of_year), math.cos(_TWO_PI * of_year)
        x[at[4] + i + t], x[at[6] + i + t] = of_month, of_year
        x[at[5] + i + t] = (now - first) / (after - first)


@kernel
def _days(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    weekend, turn, ts = at[0] + i, at[1] + i, at[2] + i
    for t in range(n):
        x[weekend + t] = 1.0 if (x[ts + t] - _MONDAY_MS) % _WEEK_MS >= 5.0 * _DAY_MS else 0.0
        today = int(x[ts + t] // _DAY_MS)
        x[turn + t] = 1.0 if month_of(today)[2] <= 3 or month_of(today + 1)[2] == 1 else 0.0


@kernel
def _sessions(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    ts = at[6] + i
    for t in range(n):
        now = x[ts + t]
        tokyo = session_gone(now, _TOKYO[0], _TOKYO[1], _TOKYO[2])
        london = session_gone(now, _LONDON[0] + summer_hours(now, False), _LONDON[1], _LONDON[2])
        new_york = session_gone(now, _NEW_YORK[0] + summer_hours(now, True), _NEW_YORK[1], _NEW_YORK[2])
        x[at[0] + i + t], x[at[3] + i + t] = 1.0 if tokyo >= 0.0 else 0.0, max(tokyo, 0.0)
        x[at[1] + i + t], x[at[4] + i + t] = 1.0 if london >= 0.0 else 0.0, max(london, 0.0)
        x[at[2] + i + t], x[at[5] + i + t] = 1.0 if new_york >= 0.0 else 0.0, max(new_york, 0.0)


@kernel
def _expiries(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    funding, weekly, monthly, quarterly, ts = at[0] + i, at[1] + i, at[2] + i, at[3] + i, at[4] + i
    for t in range(n):
        now = x[ts + t]
        year, month, _ = month_of(int(now // _DAY_MS))
        x[funding + t] = (-now % (8.0 * _HOUR_MS)) / (8.0 * _HOUR_MS)
        x[weekly + t] = ((_EXPIRY_MS - now) % _WEEK_MS) / _WEEK_MS
        x[monthly + t] = wait_ms(now, year, month, 1) / (35.0 * _DAY_MS)
        x[quarterly + t] = wait_ms(now, year, month, 3) / (98.0 * _DAY_MS)


@kernel
def _log_steps(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = math.log(x[a + t])


@kernel
def _missing_share(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a, bars = at[0] + i, at[1] + i, int(p[0])
    for t in range(n):
        x[o + t] = 1.0 - p[0] / (x[a + t] - x[a + t - bars])
