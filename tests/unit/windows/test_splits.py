"""Splits: the published figures, and what is said where they can't be made. The law is in tests/properties."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from tests.unit.features.candles import market

from heliograph.config.learning import LabelSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError, DataError
from heliograph.windows.intervals import Intervals
from heliograph.windows.labels import make
from heliograph.windows.splits import combinatorial, purged, walk_forward


def hourly(n: int, horizon: int = 3) -> Intervals:
    return Intervals(np.arange(n), np.arange(n) + horizon)


def test_ten_groups_two_tested_make_forty_five_splits_and_nine_paths() -> None:
    """López de Prado 2018, ch. 12.3; two libraries say the same."""
    made = combinatorial(hourly(200), groups=10, test_groups=2)
    assert (len(made), made.path_PG.shape) == (45, (9, 10))


def test_six_groups_two_tested_lay_their_paths_as_the_book_does() -> None:
    """Figures 12.1 and 12.2: splits S1 … S15 by column, and which path each test group goes to."""
    made = combinatorial(hourly(60), groups=6, test_groups=2)
    assert made.tests[:6] == ((0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2))
    assert made.path_PG[0].tolist() == [0, 0, 1, 2, 3, 4]
    assert made.path_PG[1].tolist() == [1, 5, 5, 6, 7, 8]


@pytest.mark.parametrize(("groups", "test_groups"), [(2, 1), (5, 1), (6, 3), (10, 2), (7, 6)])
def test_paths_are_as_many_as_the_formula_says(groups: int, test_groups: int) -> None:
    made = combinatorial(hourly(700, 0), groups=groups, test_groups=test_groups)
    assert len(made) == comb(groups, test_groups)
    assert made.path_PG.shape[0] == comb(groups, test_groups) * test_groups // groups


def test_embargo_is_counted_from_the_end_of_the_test_labels() -> None:
    labels, is_test = hourly(12, 2), np.arange(12) == 4
    kept = {embargo: np.flatnonzero(purged(labels, is_test, after_ms=embargo)).tolist() for embargo in (0, 2)}
    assert kept == {0: [0, 1, 7, 8, 9, 10, 11], 2: [0, 1, 9, 10, 11]}
    assert np.flatnonzero(purged(labels, is_test, before_ms=1)).tolist() == [0, 7, 8, 9, 10, 11]


def test_samples_of_one_moment_are_never_parted() -> None:
    moments = np.repeat(np.arange(10), 7)
    made = combinatorial(Intervals(moments, moments), groups=3, test_groups=1)
    for split in made:
        assert not set(moments[split.train]) & set(moments[split.test])
    assert np.bincount(made.groups()).tolist() == [21, 21, 28]


def test_expanding_keeps_all_that_came_before_and_rolling_its_share() -> None:
    expanding = walk_forward(hourly(100, 0), count=3, test_ms=20)
    rolling = walk_forward(hourly(100, 0), count=3, test_ms=20, train_ms=30)
    assert [s.train.size for s in expanding] == [40, 60, 80]
    assert [s.train.size for s in rolling] == [30, 30, 30]
    assert [s.test.tolist() for s in rolling] == [s.test.tolist() for s in expanding]


def test_labels_without_an_end_in_the_data_are_in_no_split() -> None:
    candles = market(300, missing=0.1)
    sigma = np.where(np.arange(len(candles)) < 24, np.nan, 0.006)
    told = make(candles, timeframes.parse("1h"), sigma, LabelSettings(horizons_bars=(1, 8)))
    rows, labels = told.known()
    assert np.isfinite(told.log_return_NH[rows]).all()
    assert rows.size < len(candles) - 32
    assert (labels.end_ts_ms_N <= told.start_ts_ms_N[-1]).all()
    for split in combinatorial(labels, groups=5, test_groups=2, embargo_ms=3_600_000):
        assert np.isfinite(told.log_return_NH[rows[split.train]]).all()


def test_history_too_short_says_which_setting_to_change() -> None:
    with pytest.raises(ConfigError, match=r"3 test slices of 40 ms leave nothing to train on.*lower count or test_ms"):
        walk_forward(hourly(100), count=3, test_ms=40)
    with pytest.raises(ConfigError, match="1 test slices of 1000 ms leave nothing"):
        walk_forward(hourly(100), count=1, test_ms=1_000)
    with pytest.raises(ConfigError, match=r"split 0 has no train sample.*embargo_ms"):
        walk_forward(hourly(100), count=1, test_ms=90, embargo_ms=10)
    with pytest.raises(ConfigError, match=r"split 0 has no train sample.*embargo_ms"):
        combinatorial(hourly(10, 50), groups=5, test_groups=1).split(0)
    with pytest.raises(ConfigError, match="20 groups need as many moments and the samples have 10"):
        combinatorial(hourly(10), groups=20, test_groups=2)
    nothing = np.array([], dtype=np.int64)
    with pytest.raises(ConfigError, match=r"no sample with a known label.*labels\.horizons_bars"):
        walk_forward(Intervals(nothing, nothing), count=1, test_ms=1)


def test_test_slice_in_an_outage_is_refused_and_says_so() -> None:
    starts = np.concatenate([np.arange(50), np.arange(90, 100)])
    with pytest.raises(ConfigError, match=r"split 1 has no test sample.*raise test_ms"):
        walk_forward(Intervals(starts, starts), count=4, test_ms=15)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"count": 0, "test_ms": 5}, "count is 0: give 1 or more"),
        ({"count": 1, "test_ms": 0}, "test_ms is 0"),
        ({"count": 1, "test_ms": 5, "train_ms": 0}, "train_ms is 0"),
        ({"count": 1, "test_ms": 5, "embargo_ms": -1}, "embargo_ms is -1: give 0 or more"),
    ],
)
def test_walk_forward_setting_out_of_range_is_named(settings: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        walk_forward(hourly(100), **settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"groups": 1, "test_groups": 1}, "groups is 1: give 2 or more"),
        ({"groups": 5, "test_groups": 0}, "test_groups is 0"),
        ({"groups": 5, "test_groups": 5}, "test_groups is 5 of 5 groups: lower it"),
        ({"groups": 5, "test_groups": 2, "embargo_ms": -2}, "embargo_ms is -2"),
    ],
)
def test_combinatorial_setting_out_of_range_is_named(settings: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        combinatorial(hourly(100), **settings)


def test_unsorted_or_broken_intervals_are_refused_by_row() -> None:
    with pytest.raises(DataError, match="sample 2 starts at 3, before the one in front of it: sort"):
        Intervals(np.array([0, 5, 3]), np.array([9, 9, 9]))
    with pytest.raises(DataError, match="the label of sample 1 ends at 4, before its start 5"):
        Intervals(np.array([0, 5]), np.array([9, 4]))
    with pytest.raises(DataError, match="one of each per sample"):
        Intervals(np.array([0, 5]), np.array([9]))
