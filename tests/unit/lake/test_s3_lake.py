"""The whole lake on a real S3 store, under a prefix: commit, read, scan, coverage, audit, takeover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.lake import audit, coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import vacuum
from heliograph.testing import lakes, seaweed
from heliograph.testing.fakes import ManualClock

HOUR_MS = 3_600_000


@pytest.mark.e2e
def test_lake_lives_on_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweed.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    with seaweed.seaweedfs(tmp_path) as endpoint:
        lake = LakeSettings(uri=f"s3://{seaweed.BUCKET}/a/prefix", s3_endpoint_url=endpoint, lease_s=10)
        store, clock = open_store(lake), ManualClock(1_000_000)
        symbols = ("BTC/USDT", "币安 50%/USDT:USDT")
        batch = [lakes.written(store, lakes.shard(0, 10 * HOUR_MS, symbol=s)) for s in symbols]
        dead = Committer(lake, store, "dead", clock=clock, sleep=clock.sleep).__enter__()
        dead.commit(batch[:1])
        with Committer(lake, store, "next", clock=clock, sleep=clock.sleep) as committer:
            assert committer.epoch == 2
            assert committer.commit(batch) == 2
        assert coverage.index(coverage.read(lake)) == {("fake", "1h", s): [(0, 10 * HOUR_MS)] for s in symbols}
        for symbol in symbols:
            np.testing.assert_array_equal(
                read.candles(lake, "fake", symbol, "1h").close, lakes.candles(0, 10 * HOUR_MS).close
            )
        assert read.scan(lake, venue="fake", timeframe="1h").collect().height == 20
        assert read.scan(lake, venue="fake", timeframe="1h", as_of=1).collect().height == 10
        assert audit.verify(lake) == []


@pytest.mark.e2e
def test_lake_on_s3_is_compacted_and_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under symbols whose names the log and the store write in different ways."""
    for name, value in seaweed.KEYS.items():
        monkeypatch.setenv(name, value)
    with seaweed.seaweedfs(tmp_path) as endpoint:
        lake = LakeSettings(uri=f"s3://{seaweed.BUCKET}/lake", s3_endpoint_url=endpoint, lease_s=600)
        store, clock = open_store(lake), ManualClock(60_000 * 86_400_000)
        symbols = ("BTC/USDT", "币安 50%/USDT:USDT")

        def shards(slot: int) -> list[lakes.Row]:
            return [lakes.shard(slot * 10 * HOUR_MS, (slot + 1) * 10 * HOUR_MS, symbol=s) for s in symbols]

        with Committer(lake, store, "t", clock=clock) as committer:
            for slot in range(3):
                committer.commit([lakes.written(store, shard) for shard in shards(slot)])
            orphans = [lakes.written(store, shard)["path"] for shard in shards(7)]
            told = compact(lake, committer)
            assert (told.merged, told.written) == (6, 2)
            clock.sleep(3_600)
            assert vacuum(lake, committer, retention_ms=7_200_000, grace_ms=0).retired == 0
            assert len(read.candles(lake, "fake", symbols[1], "1h", as_of=2)) == 20
            clock.sleep(7_200)
            assert vacuum(lake, committer, retention_ms=7_200_000).retired == 6
        left = {key.removeprefix("candles/") for key in store.list("candles/venue=")}
        assert left == {part["path"] for part in read.live_parts(lake)}
        assert not left & set(orphans)
        for symbol in symbols:
            held = read.candles(lake, "fake", symbol, "1h")
            np.testing.assert_array_equal(held.close, lakes.candles(0, 30 * HOUR_MS).close)
            with pytest.raises(ConfigError, match="oldest kept version is 4"):
                read.candles(lake, "fake", symbol, "1h", as_of=2)
        assert read.scan(lake).collect().height == 60
        assert audit.verify(lake) == []
