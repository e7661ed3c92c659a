"""Vacuum: nothing goes that a kept version or a living writer needs; all else goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.lake import read, retention
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import Vacuuming, vacuum
from heliograph.testing import lakes
from heliograph.testing.fakes import ManualClock


class _Lake:
    def __init__(self, folder: Path) -> None:
        self.settings = LakeSettings(uri=str(folder), lease_s=60)
        self.store = open_store(self.settings)
        self.clock = ManualClock(60_000 * DAY_MS)

    def committer(self) -> Committer:
        return Committer(self.settings, self.store, "t", clock=self.clock, sleep=self.clock.sleep)

    def written(self, slot: int, *, fetched_ts_ms: int = 0) -> lakes.Row:
        shard = lakes.shard(slot * 10 * HOUR_MS, (slot + 1) * 10 * HOUR_MS)
        return lakes.written(self.store, shard, fetched_ts_ms=fetched_ts_ms)

    def commit(self, *slots: int) -> None:
        for slot in slots:
            row = self.written(slot)
            with self.committer() as committer:
                committer.commit([row])

    def vacuum(self, *, retention_ms: int = DAY_MS, grace_ms: int = HOUR_MS) -> Vacuuming:
        with self.committer() as committer:
            return vacuum(self.settings, committer, retention_ms=retention_ms, grace_ms=grace_ms)

    def compact(self) -> None:
        with self.committer() as committer:
            compact(self.settings, committer)

    def files(self) -> int:
        return len([key for key in self.store.list("candles/venue=") if key.endswith(".parquet")])


@pytest.fixture
def lake(tmp_path: Path) -> _Lake:
    return _Lake(tmp_path / "lake")


def test_replaced_files_go_when_the_retention_is_over(lake: _Lake) -> None:
    lake.commit(0, 1, 2)
    lake.compact()
    assert (lake.vacuum().retired, lake.files()) == (0, 4)
    lake.clock.sleep(23 * 3_600)
    assert lake.vacuum().retired == 0
    assert len(read.candles(lake.settings, "fake", "BTC/USDT", "1h", as_of=3)) == 30
    lake.clock.sleep(2 * 3_600)
    told = lake.vacuum()
    assert (told.retired, told.oldest_kept, lake.files()) == (3, 4, 1)
    assert len(read.candles(lake.settings, "fake", "BTC/USDT", "1h")) == 30
    assert lake.vacuum() == Vacuuming(0, 0, 0, 4)


def test_version_whose_files_are_all_in_use_is_still_read(lake: _Lake) -> None:
    """Version 2 is older than the retention, but nothing of it was ever replaced."""
    lake.commit(0, 1, 2)
    lake.clock.sleep(48 * 3_600)
    assert lake.vacuum().oldest_kept == 3
    assert len(read.candles(lake.settings, "fake", "BTC/USDT", "1h", as_of=2)) == 20
    assert read.scan(lake.settings, as_of=2).collect().height == 20


def test_version_that_is_gone_is_told_from_a_part_that_is_lost(lake: _Lake) -> None:
    lake.commit(0, 1)
    lake.compact()
    lake.clock.sleep(48 * 3_600)
    lake.vacuum()
    with pytest.raises(ConfigError, match="as_of=3 or newer"):
        read.candles(lake.settings, "fake", "BTC/USDT", "1h", as_of=1)
    with pytest.raises(ConfigError, match="as_of=3 or newer"):
        read.scan(lake.settings, as_of=1)
    [part] = read.parts(lake.settings, "fake", "BTC/USDT", "1h")
    lake.store.delete(f"candles/{part}")
    with pytest.raises(CorruptPart, match="is missing"):
        read.candles(lake.settings, "fake", "BTC/USDT", "1h", as_of=3)


def test_orphan_goes_a_grace_time_after_it_was_first_seen(lake: _Lake) -> None:
    lake.commit(0)
    lake.written(1)
    assert lake.vacuum().waiting == 1
    lake.clock.sleep(1_800)
    assert (lake.vacuum().waiting, lake.files()) == (1, 2)
    lake.clock.sleep(1_900)
    assert (lake.vacuum().orphans, lake.files()) == (1, 1)


def test_part_that_waits_for_its_commit_is_kept_when_it_comes(lake: _Lake) -> None:
    lake.commit(0)
    waiting = lake.written(1)
    lake.vacuum()
    lake.clock.sleep(2 * 3_600)
    with lake.committer() as committer:
        committer.commit([waiting])
        assert vacuum(lake.settings, committer, retention_ms=0, grace_ms=0).orphans == 0
    assert len(read.candles(lake.settings, "fake", "BTC/USDT", "1h")) == 20


def test_dying_while_it_deletes_is_finished_by_the_next(lake: _Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever asks for what is half gone is told already."""
    lake.commit(0, 1, 2)
    lake.compact()
    lake.clock.sleep(48 * 3_600)
    gone: list[str] = []

    def delete(key: str) -> None:
        if gone:
            raise KeyboardInterrupt
        gone.append(key)
        (Path(lake.settings.uri) / key).unlink()

    with lake.committer() as committer, monkeypatch.context() as dying:
        dying.setattr(committer.store, "delete", delete)
        with pytest.raises(KeyboardInterrupt):
            vacuum(lake.settings, committer, retention_ms=DAY_MS)
    assert lake.files() == 3
    with pytest.raises(ConfigError, match="oldest kept version is 4"):
        read.candles(lake.settings, "fake", "BTC/USDT", "1h", as_of=3)
    assert (lake.vacuum().retired, lake.files()) == (2, 1)


def test_temporary_files_of_killed_writers_go(lake: _Lake) -> None:
    lake.commit(0)
    staged = Path(lake.settings.uri) / ".heliograph"
    for name, age_s in (("staged-old", 100_000), ("staged-new", -100_000)):
        (staged / name).write_bytes(b"half")
        at = lake.clock.now_ms() / 1_000 - age_s
        os.utime(staged / name, (at, at))
    lake.vacuum()
    assert {p.name for p in staged.glob("staged-*")} == {"staged-new"}


def test_log_leases_and_coverage_stay(lake: _Lake) -> None:
    lake.commit(0, 1)
    before = {key for key in lake.store.list("") if not key.startswith("leases/")}
    lake.clock.sleep(100 * 86_400)
    for _ in range(2):
        lake.vacuum(retention_ms=0, grace_ms=0)
    assert {key for key in lake.store.list("") if not key.startswith(("leases/", "retention/"))} == before


def test_negative_times_are_refused(lake: _Lake) -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        lake.vacuum(retention_ms=-1)


def test_two_vacuums_at_once_do_not_overwrite_each_other(lake: _Lake) -> None:
    lake.commit(0)
    notes, tag = retention.read(lake.store, "candles")
    retention.write(lake.store, "candles", notes, tag)
    with pytest.raises(Exception, match="run it again"):
        retention.write(lake.store, "candles", retention.Retention(oldest_kept=1), tag)
