"""Native beside derived: what counts as covered, and what counts as equal."""

from __future__ import annotations

import numpy as np
from tests.unit.audit.makes import HOUR, MINUTE, START_MS, changed, path, quoted, without

from heliograph.audit import derived
from heliograph.core.calendars import grid
from heliograph.core.timeframe import parse

MINUTES = quoted(path(1_200), 1)
HOURS = derived.summed(MINUTES, HOUR)


def test_equal_series_have_no_difference():
    compared = derived.compare(HOURS, MINUTES, HOUR, MINUTE)
    assert compared.open_ts_ms.size == 20
    assert compared.differences() == []


def test_a_difference_tells_the_bar_the_columns_and_both_values():
    native = changed(changed(HOURS, 3, close=HOURS.close[3] + 0.1), 9, volume=HOURS.volume[9] + 0.001)
    first, second = derived.compare(native, MINUTES, HOUR, MINUTE).differences()
    assert (first.open_ts_ms, first.fields) == (START_MS + 3 * HOUR.ms, ("close",))
    assert first.native[3] == native.close[3]
    assert first.derived[3] == HOURS.close[3]
    assert (second.open_ts_ms, second.fields) == (START_MS + 9 * HOUR.ms, ("volume",))


def test_a_bar_with_a_missing_minute_is_compared_only_where_coverage_says_that_it_is_whole():
    quiet = without(MINUTES, slice(130, 131))
    assert START_MS + 2 * HOUR.ms not in derived.compare(HOURS, quiet, HOUR, MINUTE).open_ts_ms
    had = [(START_MS, START_MS + 5 * HOUR.ms + 1)]
    compared = derived.compare(HOURS, quiet, HOUR, MINUTE, covered=had)
    assert compared.open_ts_ms.tolist() == [START_MS + i * HOUR.ms for i in range(5)]
    assert [d.open_ts_ms for d in compared.differences()] == [START_MS + 2 * HOUR.ms]


def test_nothing_covered_is_nothing_compared():
    assert derived.compare(HOURS, MINUTES, HOUR, MINUTE, covered=[]).open_ts_ms.size == 0


def test_a_native_volume_with_fewer_decimals_is_equal_within_half_of_its_last():
    native = changed(HOURS, slice(None), volume=np.round(HOURS.volume, 1))
    assert derived.compare(native, MINUTES, HOUR, MINUTE).differences() == []
    assert (
        len(derived.compare(changed(native, 4, volume=native.volume[4] + 0.1), MINUTES, HOUR, MINUTE).differences())
        == 1
    )


def test_volumes_with_more_digits_than_a_double_holds_can_be_added_up():
    ragged = changed(MINUTES, slice(None), volume=MINUTES.volume * 1e6 / 7.0)
    native = derived.summed(ragged, HOUR)
    assert derived.compare(native, ragged, HOUR, MINUTE).differences() == []


def test_bars_are_compared_on_the_venues_own_grid():
    """Days of UTC+8 (htx) and weeks from Thursday on (kucoin)."""
    hours = quoted(path(24 * 30), 5, frame=HOUR)
    for frame in (grid("htx", "1d"), grid("kucoin", "1w"), parse("1M")):
        compared = derived.compare(derived.summed(hours, frame), hours, frame, HOUR)
        assert compared.differences() == []
        assert (frame.floor_array(compared.open_ts_ms) == compared.open_ts_ms).all()
    assert (
        derived.compare(derived.summed(hours, grid("htx", "1d")), hours, grid("htx", "1d"), HOUR).open_ts_ms.size == 29
    )


def test_one_huge_volume_does_not_make_the_others_differ():
    """It leaves fewer decimals to add up by; what they lost is allowed for."""
    fine = changed(MINUTES, slice(None), volume=MINUTES.volume + 1e-7)
    native = derived.summed(fine, HOUR)
    huge = changed(fine, 61, volume=7.0e10)
    compared = derived.compare(native, huge, HOUR, MINUTE)
    assert [d.open_ts_ms for d in compared.differences()] == [START_MS + HOUR.ms]
