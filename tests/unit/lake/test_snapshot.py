"""A copied version is the version: the same rows under the same number, whatever the lake becomes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import DAY_MS
from heliograph.lake import log, read, snapshot
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import vacuum
from heliograph.telemetry.progress import Quiet
from heliograph.testing import lakes

DAYS = 6


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LakeSettings:
    """Versions 1 to 6: a day more in each, and a checkpoint every other version."""
    made = LakeSettings(uri=str(tmp_path_factory.mktemp("lake")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "CHECKPOINT_EVERY", 2)
        for day in range(DAYS):
            grow(made, day)
    return made


def grow(made: LakeSettings, day: int) -> None:
    store = open_store(made)
    with Committer(made, store, "t") as committer:
        rows = [lakes.shard(day * DAY_MS, (day + 1) * DAY_MS, symbol=s) for s in ("BTC/USDT", "ETH/USDT")]
        committer.commit([lakes.written(store, row) for row in rows])


def same(lake: LakeSettings, copied: LakeSettings, version: int) -> None:
    then = read.candles(lake, "fake", "BTC/USDT", "1h", as_of=version)
    now = read.candles(copied, "fake", "BTC/USDT", "1h")
    for column in fields(then):
        np.testing.assert_array_equal(getattr(now, column.name), getattr(then, column.name))


@settings(max_examples=DAYS)
@given(version=st.integers(1, DAYS))
def test_copy_of_any_version_reads_as_that_version(lake, tmp_path_factory, version: int):
    copied = LakeSettings(uri=str(tmp_path_factory.mktemp("copy")))
    parts = snapshot.copy(
        lake, copied, table="candles", as_of=version, wanted=lambda part: part["symbol"] == "BTC-USDT"
    )
    assert parts == version
    assert read.version(copied) == version
    assert read.series(copied) == read.series(lake, as_of=version)
    same(lake, copied, version)


def test_copy_outlives_compaction_and_vacuum_and_the_lost_version_is_told(tmp_path: Path):
    lake = LakeSettings(uri=str(tmp_path / "lake"), retention_days=0)
    for day in range(3):
        grow(lake, day)
    before = LakeSettings(uri=str(tmp_path / "before"))
    snapshot.copy(lake, before, table="candles", as_of=3, wanted=lambda _: True)
    with Committer(lake, open_store(lake), "t") as committer:
        compact(lake, committer, Quiet())
        vacuum(lake, committer)
    after = LakeSettings(uri=str(tmp_path / "after"))
    with pytest.raises(ConfigError, match="version 3 of candles is no longer whole"):
        snapshot.copy(lake, after, table="candles", as_of=3, wanted=lambda _: True)
    same(before, before, 3)


def test_version_that_never_was_and_place_that_is_taken_are_told(lake: LakeSettings, tmp_path: Path):
    copied = LakeSettings(uri=str(tmp_path))
    with pytest.raises(ConfigError, match="version 99"):
        snapshot.copy(lake, copied, table="candles", as_of=99, wanted=lambda _: True)
    snapshot.copy(lake, copied, table="candles", as_of=1, wanted=lambda _: True)
    with pytest.raises(ConfigError, match="empty place"):
        snapshot.copy(lake, copied, table="candles", as_of=1, wanted=lambda _: True)
