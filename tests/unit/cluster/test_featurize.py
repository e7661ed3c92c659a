"""Features over Ray: every market once, at one version, and only what the cache lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.cluster import featurize
from heliograph.config.learning import TrainSettings
from heliograph.config.settings import FeatureSettings, LakeSettings, Settings
from heliograph.core.timeframe import HOUR_MS
from heliograph.features import table
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.telemetry.progress import Bar, Quiet
from heliograph.testing import lakes
from heliograph.train import dataset

SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
TILE_MS = 8_192 * HOUR_MS


class Reached(Quiet):
    def __init__(self) -> None:
        self.notes: list[tuple[float, str]] = []

    def reach(self, fraction: float, note: str = "") -> None:
        self.notes.append((fraction, note))


def write(lake: LakeSettings, start_ms: int, end_ms: int) -> None:
    store = open_store(lake)
    with Committer(lake, store, "t") as committer:
        shards = [lakes.shard(start_ms, end_ms, symbol=symbol, venue="binance") for symbol in SYMBOLS]
        committer.commit([lakes.written(store, shard) for shard in shards])


@pytest.mark.e2e
def test_a_run_computes_each_market_once_and_a_later_one_only_its_new_tiles(tmp_path: Path, ray_session: None) -> None:
    settings = Settings(
        lake=LakeSettings(uri=str(tmp_path / "lake")),
        features=FeatureSettings(timeframe="1h", context_timeframes=("4h",), names=(table.SIGMA,)),
        train=TrainSettings(venue="binance", symbols=("*/USDT",)),
    )
    width = len(table.names(settings.features))
    write(settings.lake, 0, TILE_MS + 100 * HOUR_MS)
    shown: Bar = Reached()
    first = featurize.run(settings, shown)
    assert (first.tables, first.reused, first.features) == (3, 0, width)
    assert (first.computed_columns, first.reused_columns) == (3 * 2 * width, 0)
    assert isinstance(shown, Reached)
    assert shown.notes[-1][0] == 1.0
    assert {note for _, note in shown.notes} == set(SYMBOLS)
    second = featurize.run(settings, Quiet())
    assert (second.reused, second.computed_columns, second.reused_columns) == (3, 0, 3 * 2 * width)
    write(settings.lake, TILE_MS + 100 * HOUR_MS, TILE_MS + 124 * HOUR_MS)
    third = featurize.run(settings, Quiet())
    assert (third.computed_columns, third.reused_columns) == (3 * width, 3 * width)
    assert third.rows == first.rows + 3 * 24
    assert third.version == read.version(settings.lake)
    (data,) = dataset.read_symbols(settings, ["ETH/USDT"])
    candles = read.candles(settings.lake, "binance", "ETH/USDT", "1h")
    fresh = table.compute(candles, settings.features)
    np.testing.assert_array_equal(data.x_NF, fresh.values.astype(np.float32))
