"""Splits against purgedcv, an independent library, wherever its rules are ours.

Its intervals are half-open and ours closed, so its horizon is padded by the one millisecond between the two. It cuts
groups by rows, so moments are distinct here; it passes over labels of no length, so labels have one.
"""

from __future__ import annotations

import numpy as np
import pytest

from heliograph.core.errors import ConfigError
from heliograph.windows.intervals import Intervals
from heliograph.windows.splits import combinatorial, purged

purgedcv = pytest.importorskip("purgedcv", reason="the dev extra is not installed")


def layouts(count: int) -> list[tuple[Intervals, int]]:
    rng = np.random.default_rng(11)
    made = []
    for _ in range(count):
        n = 6 * int(rng.integers(4, 14))
        start = np.sort(rng.choice(400, n, replace=False))
        made.append((Intervals(start, start + rng.integers(1, 12, n)), int(rng.integers(0, 8))))
    return made


def times(labels: Intervals) -> dict[str, np.ndarray]:
    return {
        "prediction_times": labels.start_ts_ms_N.astype("datetime64[ms]"),
        "evaluation_times": labels.end_ts_ms_N.astype("datetime64[ms]"),
    }


def test_combinatorial_splits_are_the_librarys() -> None:
    compared = 0
    for labels, embargo in layouts(20):
        ours = combinatorial(labels, groups=6, test_groups=2, embargo_ms=embargo)
        theirs = purgedcv.CombinatorialPurgedCV(
            6, 2, **times(labels), purge_horizon=np.timedelta64(1, "ms"), embargo=np.timedelta64(embargo, "ms")
        )
        for index, (train, test) in enumerate(theirs.split(np.zeros((len(labels), 1)))):
            if train.size == 0:
                with pytest.raises(ConfigError):
                    ours.split(index)
                continue
            split = ours.split(index)
            assert (split.train.tolist(), split.test.tolist()) == (train.tolist(), test.tolist())
            compared += 1
    assert compared > 200


def test_paths_are_put_together_as_the_library_does() -> None:
    labels, embargo = layouts(1)[0]
    ours = combinatorial(labels, groups=6, test_groups=2, embargo_ms=embargo)
    theirs = purgedcv.CombinatorialPurgedCV(6, 2, **times(labels))
    told = [np.full(test.size, float(k)) for k, (_, test) in enumerate(theirs.split(np.zeros((len(labels), 1))))]
    np.testing.assert_array_equal(theirs.reconstruct_paths(told), ours.path_PG[:, ours.groups()])


def test_symmetric_purging_of_scattered_test_samples_is_the_librarys() -> None:
    rng = np.random.default_rng(12)
    for labels, pad in layouts(40):
        is_test = rng.random(len(labels)) < 0.2
        theirs = purgedcv.purge(
            np.flatnonzero(~is_test),
            np.flatnonzero(is_test),
            **times(labels),
            purge_horizon=np.timedelta64(pad + 1, "ms"),
        )
        assert np.flatnonzero(purged(labels, is_test, before_ms=pad, after_ms=pad)).tolist() == theirs.tolist()
