"""Idempotence: committing twice, or being killed in it and doing it again, leaves what doing it once leaves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

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

settings = LakeSettings(uri=sys.argv[1], lease_s=0.3)
store = open_store(settings)
print("ready", flush=True)
with Committer(settings, store, "writer") as committer:
    for batch in range(int(sys.argv[2])):
        first = batch * 3
        shards = [lakes.shard(i * 36_000_000, (i + 1) * 36_000_000) for i in range(first, first + 3)]
        committer.commit([lakes.written(store, s, fetched_ts_ms=int(sys.argv[3])) for s in shards])
        print(first + 3, flush=True)
"""


@pytest.mark.e2e
def test_committer_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Twelve kills at moments that the seed chooses, all along the commits; every shard that was told done is there."""
    batches, rng = 6, random.Random(7)
    lake = LakeSettings(uri=str(tmp_path / "lake"), lease_s=0.3)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    told, kills = 0, 0
    for attempt in range(40):
        arguments = [sys.executable, "-c", WRITER, lake.uri, str(batches), str(attempt)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            if kills < 12:
                try:
                    writer.wait(rng.uniform(0.0, 0.5))
                except subprocess.TimeoutExpired:
                    writer.send_signal(signal.SIGKILL)
                    kills += 1
            told = max([told, *(int(line) for line in writer.stdout.read().split())])
            writer.wait(60)
        if kills == 12 and writer.returncode == 0:
            break
    assert (writer.returncode, told) == (0, batches * 3)
    candles = read.candles(lake, "fake", "BTC/USDT", "1h")
    assert len(candles) == read.scan(lake, venue="fake", timeframe="1h").collect().height == batches * 30
    table = coverage.read(lake)
    assert table.num_rows == batches * 3
    assert coverage.index(table) == {KEY: [(0, batches * 30 * HOUR.ms)]}
    assert audit.verify(lake) == []
