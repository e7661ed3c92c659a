"""Idempotence: committing twice, or being killed in it and doing it again, leaves what doing it once leaves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings
from heliograph.core.timeframe import parse
from heliograph.lake import audit, coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

HOUR = parse("1h")
KEY = ("fake", "1h", "BTC/USDT")

intervals = st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda t: (t[0] * HOUR.ms, (t[0] + t[1]) * HOUR.ms))
batches = st.lists(st.lists(st.tuples(intervals, st.booleans()), max_size=4), max_size=4)


@settings(max_examples=12)
@given(batches)
def test_any_batches_in_any_overlap_double_nothing(batches: list[list[tuple[tuple[int, int], bool]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = LakeSettings(uri=folder)
        store = open_store(lake)
        for batch in batches:
            shards = [(lakes.shard(*interval), came) for interval, came in batch]
            rows = [lakes.written(store, row) if came else lakes.failed(row) for row, came in shards]
            with Committer(lake, store, "t") as committer:
                version = committer.commit(rows)
                assert committer.commit(rows) == version
        with Committer(lake, store, "t"):
            pass
        table = coverage.read(lake)
        have = coverage.index(table, ("have",)).get(KEY, [])
        candles = read.candles(lake, *KEY[::2], KEY[1])
        scanned = read.scan(lake, venue="fake", timeframe="1h").collect()
        assert scanned.height == len(candles) == sum((end - start) // HOUR.ms for start, end in have)
        assert table.num_rows == len({tuple(r.values()) for r in table.to_pylist()})
        assert audit.gaps(candles, HOUR, have) == []


WRITER = """
import sys
from heliograph.config.settings import LakeSettings
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

uri, first, last, attempt = sys.argv[1], *map(int, sys.argv[2:])
settings = LakeSettings(uri=uri, lease_s=0.2)
store = open_store(settings)
shards = [lakes.shard(i * 36_000_000, (i + 1) * 36_000_000) for i in range(first, last)]
rows = [lakes.written(store, s, fetched_ts_ms=attempt) for s in shards]
with Committer(settings, store, "writer") as committer:
    print(first, flush=True)
    for i, row in enumerate(rows):
        committer.commit([row])
        print(first + i + 1, flush=True)
"""


@pytest.mark.e2e
def test_committer_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Ten kills, each at a moment among the commits that the seed chooses; every writer does its forerunner's last
    shards again, from another fetch."""
    kills, shards, rng = 10, 40, random.Random(7)
    lake = LakeSettings(uri=str(tmp_path / "lake"), lease_s=0.2)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed_at: list[int] = []
    told = 0
    for attempt in range(kills + 1):
        last = min(told + 8, shards) if attempt < kills else shards
        arguments = [str(max(0, told - 3)), str(last), str(attempt)]
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, lake.uri, *arguments], stdout=subprocess.PIPE, env=environment
        ) as writer:
            assert writer.stdout is not None
            told = max(told, int(writer.stdout.readline()))
            if attempt < kills:
                for _ in range(rng.randint(0, 3)):
                    told = max(told, int(writer.stdout.readline()))
                Event().wait(rng.uniform(0.0, 0.05))
                writer.send_signal(signal.SIGKILL)
            told = max(told, *(int(line) for line in writer.stdout.read().split()), 0)
            killed_at.append(told)
    assert writer.returncode == 0
    assert len(set(killed_at)) >= kills / 2, "the kills must fall among the commits"
    candles = read.candles(lake, "fake", "BTC/USDT", "1h")
    assert len(candles) == read.scan(lake, venue="fake", timeframe="1h").collect().height == shards * 10
    table = coverage.read(lake)
    assert table.num_rows == shards
    assert coverage.index(table) == {KEY: [(0, shards * 10 * HOUR.ms)]}
    assert audit.verify(lake) == []


KEEPER = """
import sys
from heliograph.config.settings import LakeSettings
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import vacuum
from heliograph.testing import lakes

settings = LakeSettings(uri=sys.argv[1], lease_s=0.2)
store = open_store(settings)
print("ready", flush=True)
with Committer(settings, store, "keeper") as committer:
    for round in range(int(sys.argv[2]), 40):
        first = round * 3
        shards = [lakes.shard(i * 36_000_000, (i + 1) * 36_000_000) for i in range(first, first + 3)]
        committer.commit([lakes.written(store, shard) for shard in shards])
        compact(settings, committer, max_rows=200, min_parts=2)
        vacuum(settings, committer, retention_ms=0, grace_ms=0)
        print(round + 1, flush=True)
"""


@pytest.mark.e2e
def test_lake_that_is_compacted_and_cleaned_under_kills_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Ten kills, each anywhere in commit, compaction or vacuum; the next goes on a round before."""
    rng = random.Random(11)
    lake = LakeSettings(uri=str(tmp_path / "lake"), lease_s=0.2)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = 0
    for attempt in range(11):
        command = [sys.executable, "-c", KEEPER, lake.uri, str(max(0, done - 1) if attempt < 10 else 0)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as keeper:
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == b"ready\n"
            if attempt < 10:
                for _ in range(rng.randint(1, 3)):
                    done = max(done, int(keeper.stdout.readline() or done))
                Event().wait(rng.uniform(0.0, 0.25))
                keeper.send_signal(signal.SIGKILL)
            done = max([done, *(int(line) for line in keeper.stdout.read().split())])
            if attempt < 10 and done:
                last = read.candles(lake, "fake", "BTC/USDT", "1h")
                assert len(last) >= done * 30
                assert audit.gaps(last, HOUR, [(0, int(last.open_ts_ms[-1]) + HOUR.ms)]) == []
    assert keeper.returncode == 0
    held = read.candles(lake, "fake", "BTC/USDT", "1h")
    assert len(held) == read.scan(lake).collect().height == 40 * 30
    assert held.close.tolist() == lakes.candles(0, 40 * 30 * HOUR.ms).close.tolist()
    table = coverage.read(lake)
    assert coverage.index(table) == {KEY: [(0, 40 * 30 * HOUR.ms)]}
    assert table.num_rows == len({tuple(row.values()) for row in table.to_pylist()})
    assert audit.verify(lake) == []
    stored = {key.removeprefix("candles/") for key in open_store(lake).list("candles/venue=")}
    assert stored == {part["path"] for part in read.live_parts(lake)}
