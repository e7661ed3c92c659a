"""No room: a process that may write no large file stands for a full disk; nothing is lost, and it goes on later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.timeframe import HOUR_MS
from heliograph.lake import audit, coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

CRAMPED = """
import resource, sys
from heliograph.config.settings import LakeSettings
from heliograph.core.errors import HeliographError
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

settings = LakeSettings(uri=sys.argv[1])
store = open_store(settings)
shards = [lakes.shard(i * 36_000_000, (i + 1) * 36_000_000) for i in range(20)]
rows = [lakes.written(store, shard) for shard in shards]
with Committer(settings, store, "cramped") as committer:
    committer.commit(rows[:1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        if sys.argv[3] == "part":
            lakes.written(store, lakes.shard(0, 36_000_000_000))
        else:
            committer.commit(rows[1:])
    except HeliographError as e:
        print(type(e).__name__, e)
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("step", "limit_bytes", "told"), [("part", 4_000, "ConfigError no room"), ("commit", 4_000, "ConfigError no room")]
)
def test_disk_that_fills_up_loses_nothing(tmp_path: Path, step: str, limit_bytes: int, told: str) -> None:
    lake = LakeSettings(uri=str(tmp_path / "lake"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, lake.uri, str(limit_bytes), step],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(told), done.stdout + done.stderr
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h")) == 10
    files = [p for p in Path(lake.uri).rglob("*") if p.is_file() and p.suffix == ".parquet"]
    assert all(p.stat().st_size != limit_bytes for p in files), "a file that was cut off stands under its name"
    assert list(Path(lake.uri).glob(".heliograph/staged-*")) == []
    store = open_store(lake)
    shards = [lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS) for i in range(20)]
    with Committer(lake, store, "roomy") as committer:
        committer.commit([lakes.written(store, shard) for shard in shards])
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h")) == 200
    assert coverage.index(coverage.read(lake)) == {("fake", "1h", "BTC/USDT"): [(0, 200 * HOUR_MS)]}
    assert audit.verify(lake) == []
