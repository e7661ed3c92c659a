"""The clock against Python's own calendar and the zones' published rules."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import market
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.features.graph import Series
from heliograph.features.ops import clock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALL: list[Series] = [
    *clock.cycles(),
    *clock.calendar(),
    *clock.days(),
    *clock.sessions(),
    *clock.expiries(),
    clock.bars_missing(),
    clock.missing_share(24),
]
DAYS = st.integers(10_957, 25_567)  # 2000 to 2039


def _at(times: list[datetime]) -> Candles:
    ts = np.array([int((time - EPOCH) / timedelta(milliseconds=1)) for time in times], dtype=np.int64)
    one = np.ones(ts.size)
    return Candles(ts, one, one, one, one, one)


def _one(series: tuple[Series, ...], time: datetime) -> list[float]:
    return [float(value) for value in values(list(series), _at([time]))[0]]


@given(day=DAYS)
def test_calendar_is_pythons(day: int) -> None:
    date = (EPOCH + timedelta(days=day)).date()
    assert clock.month_of(day) == (date.year, date.month, date.day)
    assert clock.day_of(date.year, date.month, date.day) == day


@given(year=st.integers(2000, 2039), month=st.integers(1, 12), weekday=st.integers(0, 6))
def test_last_weekday_is_the_calendars(year: int, month: int, weekday: int) -> None:
    found = (EPOCH + timedelta(milliseconds=clock.last_weekday_ms(year, month, weekday))).date()
    days = calendar.monthrange(year, month)[1]
    assert (found.year, found.month, found.weekday()) == (year, month, weekday)
    assert days - found.day < 7


@settings(max_examples=200)
@given(hour=st.integers(8_760 * 37, 8_760 * 68))
def test_summer_time_is_the_zones(hour: int) -> None:
    """Against the tz database, from 2007 on."""
    time = EPOCH + timedelta(hours=hour)
    for zone, is_new_york in (("Europe/London", False), ("America/New_York", True)):
        shift = time.astimezone(ZoneInfo(zone)).dst() or timedelta()
        assert clock.summer_hours(float(hour) * 3.6e6, is_new_york) == shift / timedelta(hours=1), zone


@settings(max_examples=60, deadline=None)
@given(quarters=st.lists(st.integers(35_040 * 37, 35_040 * 68), min_size=1, max_size=20, unique=True).map(sorted))
def test_sessions_are_weekday_hours_of_the_exchange(quarters: list[int]) -> None:
    times = [EPOCH + timedelta(minutes=15 * quarter) for quarter in quarters]
    found = values(list(clock.sessions()), _at(times))
    hours = (("Asia/Tokyo", 9, 15.5), ("Europe/London", 8, 16.5), ("America/New_York", 9.5, 16))
    for k, (zone, opens, closes) in enumerate(hours):
        for row, time in zip(found, times, strict=True):
            local = time.astimezone(ZoneInfo(zone))
            hour = local.hour + local.minute / 60
            is_open = local.weekday() < 5 and opens <= hour < closes
            assert row[k] == is_open, (zone, local)
            assert row[3 + k] == pytest.approx((hour - opens) / (closes - opens) if is_open else 0.0, abs=1e-12)


def test_cycles_turn_once_a_day_and_once_a_week() -> None:
    monday = datetime(2024, 7, 1, tzinfo=UTC)
    assert _one(clock.cycles(), monday) == pytest.approx([0.0, 1.0, 0.0, 1.0])
    six = 2 * math.pi * 0.25
    assert _one(clock.cycles(), monday + timedelta(hours=6))[:2] == pytest.approx([math.sin(six), math.cos(six)])
    assert _one(clock.cycles(), monday + timedelta(days=3.5))[2:] == pytest.approx([0.0, -1.0], abs=1e-12)


@pytest.mark.parametrize("year", [2023, 2024])
def test_calendar_shares_run_from_the_first_to_the_last_of_each_period(year: int) -> None:
    middle = datetime(year, 2, 15, 12, tzinfo=UTC)
    of_year = (middle - datetime(year, 1, 1, tzinfo=UTC)).total_seconds() / 86_400
    in_february, in_year = 28 + (year == 2024), 365 + (year == 2024)
    found = _one(clock.calendar(), middle)
    assert found[4:] == pytest.approx([14.5 / in_february, of_year / (59 + 31 + (year == 2024)), of_year / in_year])
    for k, share in ((0, found[4]), (2, found[6])):
        assert found[k : k + 2] == pytest.approx([math.sin(2 * math.pi * share), math.cos(2 * math.pi * share)])
    assert _one(clock.calendar(), datetime(year, 1, 1, tzinfo=UTC)) == [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_weekend_and_turn_of_month_are_masks() -> None:
    days = [datetime(2024, 2, 24, tzinfo=UTC) + timedelta(days=k) for k in range(10)]  # a Saturday, before the 29th
    weekend, turn = values(list(clock.days()), _at(days)).T
    assert weekend.tolist() == [float(day.weekday() >= 5) for day in days]
    assert turn.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0]


@settings(max_examples=60, deadline=None)
@given(hours=st.lists(st.integers(8_760 * 40, 8_760 * 68), min_size=1, max_size=20, unique=True).map(sorted))
def test_expiries_are_the_next_of_their_kind(hours: list[int]) -> None:
    """By stepping forward hour by hour until the calendar says so."""
    times = [EPOCH + timedelta(hours=hour) for hour in hours]
    found = values(list(clock.expiries()), _at(times))
    for row, time in zip(found, times, strict=True):
        friday = next(t for t in (time + timedelta(hours=k) for k in range(24 * 8)) if (t.weekday(), t.hour) == (4, 8))
        fridays = [friday + timedelta(weeks=k) for k in range(30)]
        monthly = next(t for t in fridays if (t + timedelta(weeks=1)).month != t.month)
        quarterly = next(t for t in fridays if (t + timedelta(weeks=1)).month != t.month and t.month % 3 == 0)
        waits = [(t - time).total_seconds() / 86_400 for t in (friday, monthly, quarterly)]
        assert row[0] == pytest.approx((-time.hour % 8) / 8)
        assert row[1:] == pytest.approx([waits[0] / 7, waits[1] / 35, waits[2] / 98])
        assert (row >= 0).all()
        assert (row <= 1).all()


def test_missing_bars_are_counted_on_the_grid() -> None:
    whole = market(100, seed=1)
    candles = whole.take(~np.isin(np.arange(100), [50, 51, 52, 70]))
    before, share = values([clock.bars_missing(), clock.missing_share(24)], candles).T
    row = np.searchsorted(candles.open_ts_ms, whole.open_ts_ms[[49, 53, 71]])
    np.testing.assert_allclose(before[row], np.log([1, 4, 2]))
    assert share[row[0]] == 0.0
    assert share[row[1]] == pytest.approx(3 / 27)
    assert share[row[2]] == pytest.approx(4 / 28)


def test_agree_however_cut() -> None:
    assert_laws(ALL, market(400, seed=3, missing=0.1))


@pytest.mark.parametrize("step_ms", [60_000, 900_000, 86_400_000, 604_800_000])
def test_any_timeframe_is_known_from_the_lookback_on(step_ms: int) -> None:
    found = values(ALL, market(60, seed=3, step_ms=step_ms), step_ms=step_ms)
    for series, column in zip(ALL, found.T, strict=True):
        assert np.isnan(column[: series.node.lookback_bars - 1]).all()
        assert np.isfinite(column[series.node.lookback_bars - 1 :]).all()
