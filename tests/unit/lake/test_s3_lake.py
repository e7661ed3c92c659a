"""The whole lake on a real S3 store, under a prefix: commit, read, scan, coverage, audit, takeover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.config.settings import LakeSettings
from heliograph.lake import audit, coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
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
