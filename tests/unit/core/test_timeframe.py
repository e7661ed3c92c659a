"""Bars cover time without holes or overlaps, on every timeframe, months and weeks too."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError

EVERY = sorted(timeframes.TIMEFRAMES)
MOMENTS = st.integers(0, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000)


@pytest.mark.parametrize("name", EVERY)
@given(ts_ms=MOMENTS)
def test_every_moment_lies_in_exactly_the_bar_that_floor_names(name: str, ts_ms: int):
    tf = timeframes.parse(name)
    opened = tf.floor(ts_ms)
    assert opened <= ts_ms < tf.next(opened)
    assert tf.floor(opened) == opened
    assert tf.floor(tf.next(opened)) == tf.next(opened)


@pytest.mark.parametrize("name", EVERY)
@given(ts_ms=st.lists(MOMENTS, min_size=1, max_size=20))
def test_floor_of_an_array_is_the_floor_of_each(name: str, ts_ms: list[int]):
    tf = timeframes.parse(name)
    assert tf.floor_array(np.asarray(ts_ms)).tolist() == [tf.floor(t) for t in ts_ms]


@pytest.mark.parametrize("name", EVERY)
@given(start_ms=MOMENTS, bars=st.integers(0, 30))
def test_opens_follow_each_other_and_are_counted(name: str, start_ms: int, bars: int):
    tf = timeframes.parse(name)
    end_ms = first = tf.ceil(start_ms)
    for _ in range(bars):
        end_ms = tf.next(end_ms)
    opens = tf.opens(start_ms, end_ms).tolist()
    assert len(opens) == bars == tf.count(start_ms, end_ms)
    assert opens == [] or opens[0] == first
    assert all(tf.next(a) == b for a, b in itertools.pairwise(opens))


def test_weeks_open_on_monday_and_months_on_the_first():
    moment = int(datetime(2024, 2, 29, 13, 5, tzinfo=UTC).timestamp()) * 1000
    week = datetime.fromtimestamp(timeframes.parse("1w").floor(moment) / 1000, tz=UTC)
    month = timeframes.parse("1M")
    opened = month.floor(moment)
    assert (week.weekday(), week.hour) == (0, 0)
    assert datetime.fromtimestamp(opened / 1000, tz=UTC) == datetime(2024, 2, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(month.close_ms(opened) / 1000, tz=UTC) == datetime(2024, 3, 1, tzinfo=UTC)


def test_unknown_timeframe_lists_those_that_exist():
    with pytest.raises(ConfigError, match=r"unknown timeframe '7m': use one of 1m, 3m"):
        timeframes.parse("7m")
