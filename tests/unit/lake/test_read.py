"""Reading: exact doubles, pruned, as of a version, and clear words about what is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

HOUR_MS = 3_600_000


@pytest.fixture
def lake(tmp_path: Path) -> LakeSettings:
    settings = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(settings)
    with Committer(settings, store, "t") as committer:
        committer.commit([lakes.written(store, lakes.shard(0, 10 * HOUR_MS))])
        committer.commit(
            [
                lakes.written(store, lakes.shard(10 * HOUR_MS, 20 * HOUR_MS)),
                lakes.written(store, lakes.shard(0, 5 * HOUR_MS, symbol="ETH/USDT")),
            ]
        )
    return settings


def test_scan_gives_the_same_doubles_as_candles(lake: LakeSettings) -> None:
    frame = read.scan(lake, venue="fake", timeframe="1h", symbols=("BTC/USDT",)).sort("open_ts_ms").collect()
    candles = read.candles(lake, "fake", "BTC/USDT", "1h")
    assert frame.columns == ["venue", "timeframe", "symbol", "open_ts_ms", "open", "high", "low", "close", "volume"]
    for name in ("open_ts_ms", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(frame[name].to_numpy(), getattr(candles, name))
    np.testing.assert_array_equal(candles.volume, lakes.candles(0, 20 * HOUR_MS).volume)


def test_interval_is_half_open(lake: LakeSettings) -> None:
    candles = read.candles(lake, "fake", "BTC/USDT", "1h", start_ms=8 * HOUR_MS, end_ms=12 * HOUR_MS)
    assert (candles.open_ts_ms // HOUR_MS).tolist() == [8, 9, 10, 11]
    frame = read.scan(lake, venue="fake", timeframe="1h", start_ms=8 * HOUR_MS, end_ms=12 * HOUR_MS).collect()
    assert frame.height == 4


def test_old_version_is_still_there(lake: LakeSettings) -> None:
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h", as_of=1)) == 10
    assert read.scan(lake, venue="fake", timeframe="1h", as_of=1).collect().height == 10
    assert read.version(lake) == 2
    with pytest.raises(ConfigError, match="as_of"):
        read.candles(lake, "fake", "BTC/USDT", "1h", as_of=99)


def test_series_and_parts_name_what_is_there(lake: LakeSettings) -> None:
    assert read.series(lake) == [("fake", "1h", "BTC-USDT"), ("fake", "1h", "ETH-USDT")]
    assert len(read.parts(lake, "fake", "BTC/USDT", "1h")) == 2
    assert read.parts(lake, "fake", "BTC/USDT", "1d") == []


def test_unknown_market_has_no_candles(lake: LakeSettings) -> None:
    assert len(read.candles(lake, "fake", "XRP/USDT", "1h")) == 0


def test_empty_lake_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="helio fetch"):
        read.version(LakeSettings(uri=str(tmp_path / "none")))


def test_missing_part_is_named(lake: LakeSettings) -> None:
    path = read.parts(lake, "fake", "ETH/USDT", "1h")[0]
    (Path(lake.uri) / "candles" / path).unlink()
    with pytest.raises(CorruptPart, match=path):
        read.candles(lake, "fake", "ETH/USDT", "1h")
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h")) == 20


def test_flipped_byte_is_never_read_as_a_price(lake: LakeSettings) -> None:
    path = read.parts(lake, "fake", "ETH/USDT", "1h")[0]
    file = Path(lake.uri) / "candles" / path
    body = bytearray(file.read_bytes())
    body[len(body) // 3] ^= 0x10
    file.write_bytes(body)
    with pytest.raises(CorruptPart, match=path):
        read.candles(lake, "fake", "ETH/USDT", "1h")
