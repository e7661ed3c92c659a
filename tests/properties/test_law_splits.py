"""Law 2, no look-ahead: no train label touches a test label or its embargo, and nothing else is left out.

Ten thousand random layouts, in five parts: gaps, several samples at one moment, labels of any length, also of none.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import comb

import numba
import numpy as np
import pytest

from heliograph.config.learning import FoldSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.windows.folds import walk_forward as walk_forward_folds
from heliograph.windows.intervals import Intervals
from heliograph.windows.splits import combinatorial, purged, walk_forward

PARTS = range(5)
LAYOUTS = 2_000

IntArray = np.ndarray


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def faults(
    start: IntArray, end: IntArray, is_train: IntArray, is_test: IntArray, may_train: IntArray, before: int, after: int
) -> tuple[int, int]:
    """Every pair compared: train samples that touch a test label, and samples left out that touch none."""
    leaks = wasted = 0
    for i in range(start.size):
        touches = False
        for j in range(start.size):
            if is_test[j] and end[i] >= start[j] - before and start[i] <= end[j] + after:
                touches = True
        leaks += is_train[i] and (touches or is_test[i])
        wasted += may_train[i] and not is_test[i] and not touches and not is_train[i]
    return leaks, wasted


def layouts(part: int) -> Iterator[tuple[Intervals, np.random.Generator]]:
    rng = np.random.default_rng([20_250_801, part])
    for _ in range(LAYOUTS):
        n = int(rng.integers(2, 60))
        steps = rng.integers(0 if rng.random() < 0.5 else 1, rng.integers(2, 9), n)
        steps[rng.random(n) < 0.05] += 50
        start = np.cumsum(steps)
        length = rng.integers(0, rng.integers(1, 20), n) if rng.random() < 0.5 else int(rng.integers(0, 20))
        yield Intervals(start, start + length), rng


def mask(rows: IntArray, n: int) -> IntArray:
    chosen = np.zeros(n, dtype=np.bool_)
    chosen[rows] = True
    return chosen


@pytest.mark.parametrize("part", PARTS)
def test_purging_any_choice_of_test_samples_leaves_out_what_touches_and_nothing_else(part: int) -> None:
    for labels, rng in layouts(part):
        is_test = rng.random(len(labels)) < rng.random()
        before, after = (int(ms) for ms in rng.integers(0, 12, 2))
        is_train = purged(labels, is_test, before_ms=before, after_ms=after)
        everyone = np.ones_like(is_test)
        start, end = labels.start_ts_ms_N, labels.end_ts_ms_N
        assert faults(start, end, is_train, is_test, everyone, before, after) == (0, 0)


@pytest.mark.parametrize("part", PARTS)
def test_walk_forward_trains_on_the_past_alone_and_its_test_slices_tile_the_time(part: int) -> None:
    made = 0
    for labels, rng in layouts(part):
        start, end = labels.start_ts_ms_N, labels.end_ts_ms_N
        count, embargo = int(rng.integers(1, 4)), int(rng.integers(0, 12))
        test_ms = max(int((start[-1] - start[0]) * rng.uniform(0.05, 0.3)), 1)
        train_ms = int(rng.integers(1, 100)) if rng.random() < 0.5 else None
        try:
            splits = walk_forward(labels, count=count, test_ms=test_ms, train_ms=train_ms, embargo_ms=embargo)
        except ConfigError:
            continue
        made += 1
        edges = start[-1] + 1 - test_ms * np.arange(count, -1, -1)
        for split, (from_ms, to_ms) in zip(splits, pairwise(edges), strict=True):
            assert split.test.tolist() == np.flatnonzero((start >= from_ms) & (start < to_ms)).tolist()
            assert end[split.train].max() < start[split.test].min() - embargo
            may_train = (start < from_ms) & (start >= from_ms - (train_ms or from_ms))
            is_train, is_test = mask(split.train, len(labels)), mask(split.test, len(labels))
            assert not (is_train & ~may_train).any()
            assert faults(start, end, is_train, is_test, may_train, embargo, 0) == (0, 0)
    assert made > LAYOUTS // 4


@pytest.mark.parametrize("part", PARTS)
def test_combinatorial_splits_leak_nothing_and_every_path_tests_every_sample_once(part: int) -> None:
    made = 0
    for labels, rng in layouts(part):
        start, end = labels.start_ts_ms_N, labels.end_ts_ms_N
        groups = int(rng.integers(2, 8))
        test_groups, embargo = int(rng.integers(1, groups)), int(rng.integers(0, 12))
        if np.unique(start).size < groups:
            continue
        found = combinatorial(labels, groups=groups, test_groups=test_groups, embargo_ms=embargo)
        assert len(found) == comb(groups, test_groups)
        assert found.path_PG.shape == (comb(groups, test_groups) * test_groups // groups, groups)
        places = [(int(split), g) for path in found.path_PG for g, split in enumerate(path)]
        assert sorted(places) == [(index, g) for index, chosen in enumerate(found.tests) for g in chosen]
        assert set(found.groups().tolist()) == set(range(groups))
        index = int(rng.integers(len(found)))
        try:
            split = found.split(index)
        except ConfigError:
            continue
        made += 1
        is_train, is_test = mask(split.train, len(labels)), mask(split.test, len(labels))
        assert split.test.tolist() == np.flatnonzero(np.isin(found.groups(), found.tests[index])).tolist()
        assert not set(start[split.train].tolist()) & set(start[split.test].tolist())
        assert faults(start, end, is_train, is_test, np.ones_like(is_test), 0, embargo) == (0, 0)
    assert made > LAYOUTS // 4


@pytest.mark.parametrize("part", PARTS)
def test_training_folds_hold_exactly_the_samples_that_the_rule_allows(part: int) -> None:
    """Folds are cut by time; without gaps their slices hold every sample whose label ends before the embargo."""
    rng = np.random.default_rng([20_250_802, part])
    hour = timeframes.parse("1h")
    made = 0
    for _ in range(LAYOUTS):
        horizon, embargo, bars = int(rng.integers(1, 60)), int(rng.integers(0, 60)), int(rng.integers(50, 3_000))
        settings = FoldSettings(
            count=int(rng.integers(1, 5)),
            test_bars=int(rng.integers(24, 300)),
            validation_fraction=rng.uniform(0.02, 0.49),
            embargo_bars=embargo,
        )
        try:
            folds = walk_forward_folds(0, (bars - 1) * hour.ms, hour, settings, longest_horizon_bars=horizon)
        except ConfigError:
            continue
        made += 1
        ends = np.arange(bars) + horizon
        assert folds[-1].test[1] == bars * hour.ms
        assert all(a.test[1] == b.test[0] for a, b in pairwise(folds))
        for fold in folds:
            for (_, until_ms), (next_ms, _) in pairwise((fold.train, fold.validation, fold.test)):
                allowed = np.count_nonzero(ends < next_ms // hour.ms - embargo)
                assert until_ms == allowed * hour.ms
            assert fold.validation[0] < fold.validation[1] < fold.test[0]
    assert made > LAYOUTS // 4
