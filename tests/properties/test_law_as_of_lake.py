"""As of: whatever is repaired, compacted and cleaned later, a kept version reads as it read when it was new."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.lake import audit, coverage, read, retention
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import vacuum
from heliograph.testing import lakes
from heliograph.testing.fakes import ManualClock

SYMBOLS = ("BTC/USDT", "ETH/USDT")
STEP_MS = 10 * HOUR_MS
NOW_MS = 1_000 * DAY_MS
RETENTION_MS = 3 * HOUR_MS
"""An hour passes between two steps."""

commits = st.tuples(st.just("commit"), st.integers(0, 7), st.sampled_from(SYMBOLS))
steps = st.lists(
    st.one_of(commits, commits, st.tuples(st.sampled_from(["replace", "compact", "vacuum"]), st.integers(0, 99))),
    min_size=4,
    max_size=14,
)


def _hash(candles: Candles) -> str:
    return hashlib.sha256(b"".join(getattr(candles, f.name).tobytes() for f in fields(candles))).hexdigest()


def _seen(lake: LakeSettings, version: int | None = None) -> tuple[str, ...]:
    checked = [_hash(read.candles(lake, "fake", symbol, "1h", as_of=version)) for symbol in SYMBOLS]
    frame = read.scan(lake, as_of=version).collect().sort("symbol", "open_ts_ms")
    return (*checked, hashlib.sha256(frame.write_csv().encode()).hexdigest())


class _Lake:
    def __init__(self, folder: str) -> None:
        self.settings = LakeSettings(uri=folder, lease_s=600)
        self.store = open_store(self.settings)
        self.clock = ManualClock(NOW_MS)

    def committer(self) -> Committer:
        return Committer(self.settings, self.store, "t", clock=self.clock, sleep=self.clock.sleep)

    def commit(self, slot: int, symbol: str) -> None:
        shard = lakes.shard(slot * STEP_MS, (slot + 1) * STEP_MS, symbol=symbol)
        with self.committer() as committer:
            committer.commit([lakes.written(self.store, shard, fetched_ts_ms=self.clock.now_ms())])

    def replace(self, choice: int) -> None:
        parts = sorted(read.live_parts(self.settings), key=lambda part: part["path"])
        if not parts:
            return
        part = parts[choice % len(parts)]
        shard = lakes.shard(part["first_ts_ms"], part["last_ts_ms"] + HOUR_MS, symbol=part["symbol"].replace("-", "/"))
        again = lakes.written(self.store, shard, fetched_ts_ms=self.clock.now_ms())
        with self.committer() as committer:
            committer.replace(part, [again])

    def compact(self, choice: int) -> None:
        with self.committer() as committer:
            compact(self.settings, committer, max_rows=(15, 40, 1_000)[choice % 3])
            assert compact(self.settings, committer, max_rows=(15, 40, 1_000)[choice % 3]).merged == 0

    def vacuum(self, choice: int) -> None:
        with self.committer() as committer:
            vacuum(self.settings, committer, retention_ms=RETENTION_MS, grace_ms=0 if choice % 2 else HOUR_MS)


@pytest.mark.e2e
@settings(max_examples=15)
@given(steps)
def test_every_kept_version_reads_the_same_for_ever(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = _Lake(folder)
        lake.commit(0, SYMBOLS[0])
        seen = {read.version(lake.settings): (lake.clock.now_ms(), _seen(lake.settings))}
        for name, *arguments in steps:
            lake.clock.sleep(3_600)
            covered = coverage.index(coverage.read(lake.settings))
            getattr(lake, str(name))(*arguments)
            if name != "commit":
                assert coverage.index(coverage.read(lake.settings)) == covered
            seen.setdefault(read.version(lake.settings), (lake.clock.now_ms(), _seen(lake.settings)))
        newest = read.version(lake.settings)
        oldest = retention.read(lake.store, "candles")[0].oldest_kept
        ends = {version: min((seen[v][0] for v in seen if v > version), default=None) for version in seen}
        for version, (_, words) in seen.items():
            if version >= oldest:
                assert _seen(lake.settings, version) == words
                continue
            ended_ms = ends[version]
            assert ended_ms is not None
            assert ended_ms <= lake.clock.now_ms() - RETENTION_MS, "it was the newest within the retention"
            try:
                assert _seen(lake.settings, version) == words
            except ConfigError as e:
                assert f"oldest kept version is {oldest}" in str(e)  # noqa: PT017
        assert _seen(lake.settings, newest) == _seen(lake.settings)
        assert audit.verify(lake.settings) == []


def test_version_that_was_cleaned_away_names_the_oldest_kept() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = _Lake(folder)
        for slot in range(3):
            lake.commit(slot, SYMBOLS[0])
        lake.compact(2)
        lake.clock.sleep(10 * 3_600)
        lake.vacuum(1)
        for reading in (
            lambda: read.candles(lake.settings, "fake", SYMBOLS[0], "1h", as_of=2),
            lambda: read.scan(lake.settings, as_of=2),
        ):
            with pytest.raises(ConfigError, match="oldest kept version is 4"):
                reading()
        assert len(read.candles(lake.settings, "fake", SYMBOLS[0], "1h", as_of=4)) == 30
