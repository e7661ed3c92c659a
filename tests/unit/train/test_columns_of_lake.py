"""The cache beside a real lake: what counts are the candles, not the parts they lie in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.train.test_columns import ALL, HOUR, counts

from heliograph.config.settings import LakeSettings
from heliograph.core.market import slug
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.features import tiles
from heliograph.features.featurizer import Featurizer
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import vacuum
from heliograph.testing import lakes
from heliograph.testing.fakes import ManualClock
from heliograph.train import columns

SYMBOLS = ("BTC/USDT", "ETH/USDT")
PART_MS = 25 * HOUR_MS


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeSettings:
    monkeypatch.setattr(tiles, "TILE_BARS", 64)
    settings = LakeSettings(uri=str(tmp_path / "lake"))
    fill(settings, 0, 10)
    return settings


def committer(lake: LakeSettings) -> Committer:
    return Committer(lake, open_store(lake), "t", clock=ManualClock(60_000 * DAY_MS))


def fill(lake: LakeSettings, first: int, end: int) -> None:
    with committer(lake) as writer:
        shards = [lakes.shard(i * PART_MS, (i + 1) * PART_MS, symbol=s) for s in SYMBOLS for i in range(first, end)]
        writer.commit([lakes.written(writer.store, shard) for shard in shards])


def done(lake: LakeSettings, *, as_of: int | None = None) -> list[columns.Work]:
    pasts = [columns.history(lake, "fake", symbol, "1h", as_of=as_of) for symbol in SYMBOLS]
    return [columns.fill(open_store(lake), past, ALL) for past in pasts]


def test_compaction_and_vacuum_change_nothing(lake: LakeSettings) -> None:
    assert [counts(work) for work in done(lake)] == [(4 * 4, 0)] * 2
    with committer(lake) as writer:
        assert compact(lake, writer).merged == 20
        vacuum(lake, writer, retention_ms=0, grace_ms=0)
    assert len(read.parts(lake, "fake", "BTC/USDT", "1h")) == 1
    assert [counts(work) for work in done(lake)] == [(0, 4 * 4)] * 2


def test_new_parts_make_only_the_newest_tiles_new(lake: LakeSettings) -> None:
    done(lake)
    fill(lake, 10, 11)
    assert [counts(work) for work in done(lake)] == [(4 * 2, 4 * 3)] * 2


def test_values_are_those_of_the_whole_history(lake: LakeSettings) -> None:
    done(lake)
    fill(lake, 10, 11)
    past = columns.history(lake, "fake", "BTC/USDT", "1h")
    found = columns.table(open_store(lake), past, ALL)
    candles = read.candles(lake, "fake", "BTC/USDT", "1h")
    np.testing.assert_array_equal(found.values, Featurizer(ALL, HOUR).advance(candles))
    np.testing.assert_array_equal(found.open_ts_ms, candles.open_ts_ms)


def test_older_version_has_its_own_newest_tile(lake: LakeSettings) -> None:
    version = read.version(lake)
    fill(lake, 10, 11)
    assert [work.rows for work in done(lake)] == [275, 275]
    assert [work.rows for work in done(lake, as_of=version)] == [250, 250]
    assert [counts(work) for work in done(lake, as_of=version)] == [(0, 4 * 4)] * 2


def test_span_of_a_market_is_the_same_alone_and_among_all(lake: LakeSettings) -> None:
    fill(lake, 10, 11)
    spans = columns.spans(lake, "fake", "1h")
    for symbol in SYMBOLS:
        past = columns.history(lake, "fake", symbol, "1h")
        assert (past.start_ms, past.end_ms) == spans[slug(symbol)] == (0, 274 * HOUR_MS + 1)


def test_unknown_market_has_no_features(lake: LakeSettings) -> None:
    past = columns.history(lake, "fake", "XRP/USDT", "1h")
    assert columns.fill(open_store(lake), past, ALL) == columns.Work(0, 0, 0, 0)
