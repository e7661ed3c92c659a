"""Purged and embargoed splits by label intervals: walk-forward, and combinatorial (CPCV).

A train sample is left out where its label's interval touches that of a test sample, widened by the embargo; both ends
count. Nothing else is left out. (M. López de Prado, Advances in Financial Machine Learning, 2018, ch. 7 and 12.)

Shapes: N samples, G groups, P paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.windows.intervals import Intervals

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to fit on and rows to score, int64, ascending.

    Attributes:
        index: its number among the splits of its kind, from 0.
    """

    index: int
    train: IntArray
    test: IntArray


def purged(intervals: Intervals, is_test_N: BoolArray, *, before_ms: int = 0, after_ms: int = 0) -> BoolArray:
    """Which samples may be trained on beside these test samples; bool[N], in O(N log N) time.

    Args:
        before_ms, after_ms: the embargo; each test interval counts as that much longer at its start and its end.

    >>> labels = Intervals(np.arange(6) * 10, np.arange(6) * 10 + 15)
    >>> purged(labels, np.array([False, False, True, False, False, False])).tolist()
    [True, False, False, False, True, True]
    """
    starts, ends = intervals.start_ts_ms_N, intervals.end_ts_ms_N
    reach = np.maximum.accumulate(np.where(is_test_N, ends + after_ms, _NEVER))
    begun = np.searchsorted(starts, ends + before_ms, side="right")
    free: BoolArray = ~is_test_N & (np.concatenate([[_NEVER], reach])[begun] < starts)
    return free


def walk_forward(
    intervals: Intervals, *, count: int, test_ms: int, train_ms: int | None = None, embargo_ms: int = 0
) -> tuple[Split, ...]:
    """Splits whose test slices tile the end of the history, each trained only on what came before it.

    Args:
        count: of test slices; the last one ends with the last sample.
        test_ms: length of each test slice, by the samples' starts.
        train_ms: how far before its test slice training reaches back (rolling); None: to the first sample (expanding).
        embargo_ms: this long before a test slice's first sample no train label may be open.

    Raises:
        ConfigError: a setting is out of range, or a slice has no sample; the message names it and says what to do.

    >>> hourly = Intervals(np.arange(10), np.arange(10) + 2)
    >>> [(s.train.tolist(), s.test.tolist()) for s in walk_forward(hourly, count=2, test_ms=3, train_ms=5)]
    [([0, 1], [4, 5, 6]), ([2, 3, 4], [7, 8, 9])]
    """
    _require_at_least(1, count=count, test_ms=test_ms, train_ms=1 if train_ms is None else train_ms)
    _require_at_least(0, embargo_ms=embargo_ms)
    starts = _starts_of(intervals)
    first_ms, end_ms = int(starts[0]), int(starts[-1]) + 1
    if count * test_ms >= end_ms - first_ms:
        raise ConfigError(
            f"{count} test slices of {test_ms} ms leave nothing to train on: the samples span {end_ms - first_ms} ms; "
            "fetch a longer history, or lower count or test_ms"
        )
    made = []
    for k in range(count):
        from_ms = end_ms - (count - k) * test_ms
        is_test_N = (starts >= from_ms) & (starts < from_ms + test_ms)
        is_train_N = purged(intervals, is_test_N, before_ms=embargo_ms) & (starts < from_ms)
        if train_ms is not None:
            is_train_N &= starts >= from_ms - train_ms
        made.append(_split(k, is_train_N, is_test_N, wider="test_ms"))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Combinatorial:
    """Every choice of test groups out of all, and the paths that they make together.

    Attributes:
        edges_ms: int64[G + 1], group g holds the samples that start in ``[edges_ms[g], edges_ms[g + 1])``.
        tests: the groups that each split tests, in lexicographic order; their number is ``comb(G, test_groups)``.
        path_PG: int64[P, G], which split tests group g on path p; P is ``comb(G - 1, test_groups - 1)``.
    """

    intervals: Intervals
    edges_ms: IntArray
    tests: tuple[tuple[int, ...], ...]
    path_PG: IntArray
    embargo_ms: int

    def __len__(self) -> int:
        return len(self.tests)

    def __iter__(self) -> Iterator[Split]:
        return (self.split(index) for index in range(len(self)))

    def groups(self) -> IntArray:
        """The group of each sample, int64[N]."""
        group_N: IntArray = np.searchsorted(self.edges_ms, self.intervals.start_ts_ms_N, side="right") - 1
        return group_N

    def split(self, index: int) -> Split:
        """Rows of one split; made when asked for, because all of them together hold each row often.

        Raises:
            ConfigError: purging leaves nothing to train on.
        """
        is_test_N = np.isin(self.groups(), self.tests[index])
        is_train_N = purged(self.intervals, is_test_N, after_ms=self.embargo_ms)
        return _split(index, is_train_N, is_test_N, wider="groups")


def combinatorial(intervals: Intervals, *, groups: int, test_groups: int, embargo_ms: int = 0) -> Combinatorial:
    """Combinatorial purged cross-validation: each split tests some groups and trains on the others.

    Groups follow each other in time and hold about equally many moments; samples of one moment stay together.

    Args:
        embargo_ms: this long after the end of a test label no train label may start.

    Raises:
        ConfigError: a setting is out of range, or there are fewer moments than groups.

    >>> made = combinatorial(Intervals(np.arange(12), np.arange(12) + 1), groups=4, test_groups=2)
    >>> len(made), made.path_PG.tolist()
    (6, [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]])
    >>> made.split(1).train.tolist(), made.split(1).test.tolist()
    ([4, 10, 11], [0, 1, 2, 6, 7, 8])
    """
    _require_at_least(2, groups=groups)
    _require_at_least(1, test_groups=test_groups)
    _require_at_least(0, embargo_ms=embargo_ms)
    if test_groups >= groups:
        raise ConfigError(f"test_groups is {test_groups} of {groups} groups: lower it, or nothing is left to train on")
    moments = np.unique(_starts_of(intervals))
    if moments.size < groups:
        raise ConfigError(
            f"{groups} groups need as many moments and the samples have {moments.size}: fetch a longer history, or "
            "lower groups"
        )
    edges_ms = np.append(moments[np.arange(groups) * moments.size // groups], moments[-1] + 1)
    tests = tuple(combinations(range(groups), test_groups))
    path_PG = np.empty((comb(groups - 1, test_groups - 1), groups), dtype=np.int64)
    for group in range(groups):
        path_PG[:, group] = [index for index, chosen in enumerate(tests) if group in chosen]
    return Combinatorial(intervals, edges_ms, tests, path_PG, embargo_ms)


def _split(index: int, is_train_N: BoolArray, is_test_N: BoolArray, *, wider: str) -> Split:
    for name, chosen, advice in (
        ("test", is_test_N, f"fetch the missing history, or raise {wider}"),
        ("train", is_train_N, "fetch a longer history, or lower embargo_ms, the label horizons or the test slices"),
    ):
        if not chosen.any():
            raise ConfigError(f"split {index} has no {name} sample after purging and embargo: {advice}")
    return Split(index, np.flatnonzero(is_train_N), np.flatnonzero(is_test_N))


def _starts_of(intervals: Intervals) -> IntArray:
    if not len(intervals):
        raise ConfigError(
            "there is no sample with a known label: fetch a longer history, or shorten labels.horizons_bars"
        )
    return intervals.start_ts_ms_N


def _require_at_least(least: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < least:
            raise ConfigError(f"{name} is {value}: give {least} or more")
