"""The committer: batches are whole, nothing is doubled, a dead one is finished by the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import Permanent, Retryable
from heliograph.lake import coverage, delta, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes
from heliograph.testing.fakes import ManualClock

HOUR_MS = 3_600_000


@pytest.fixture
def lake(tmp_path: Path) -> LakeSettings:
    return LakeSettings(uri=str(tmp_path / "lake"), lease_s=10)


def _commit(lake: LakeSettings, rows: list[lakes.Row], holder: str = "one") -> int:
    with Committer(lake, open_store(lake), holder) as committer:
        return committer.commit(rows)


def _rows(lake: LakeSettings) -> int:
    return read.scan(lake, venue="fake", timeframe="1h").collect().height


def test_batch_is_one_version_and_reads_back(lake: LakeSettings) -> None:
    store = open_store(lake)
    shards = [lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS) for i in range(3)]
    version = _commit(lake, [lakes.written(store, s) for s in shards])
    assert version == read.version(lake) == 1
    candles = read.candles(lake, "fake", "BTC/USDT", "1h")
    np.testing.assert_array_equal(candles.close, lakes.candles(0, 30 * HOUR_MS).close)
    assert coverage.index(coverage.read(lake)) == {("fake", "1h", "BTC/USDT"): [(0, 30 * HOUR_MS)]}


def test_committing_again_changes_nothing(lake: LakeSettings) -> None:
    store = open_store(lake)
    batch = [lakes.written(store, lakes.shard(0, 10 * HOUR_MS)), lakes.failed(lakes.shard(10 * HOUR_MS, 20 * HOUR_MS))]
    assert _commit(lake, batch) == _commit(lake, batch) == 1
    assert coverage.read(lake).num_rows == 2


def test_overlapping_shards_of_one_batch_are_not_doubled(lake: LakeSettings) -> None:
    store = open_store(lake)
    first, second = lakes.shard(0, 10 * HOUR_MS), lakes.shard(5 * HOUR_MS, 15 * HOUR_MS)
    _commit(
        lake, [lakes.written(store, first), lakes.written(store, second), lakes.written(store, first, fetched_ts_ms=9)]
    )
    assert _rows(lake) == 10
    key = ("fake", "1h", "BTC/USDT")
    assert coverage.missing(coverage.read(lake), key, [(0, 15 * HOUR_MS)]) == [(10 * HOUR_MS, 15 * HOUR_MS)]


def test_failed_shard_stays_missing_until_it_comes(lake: LakeSettings) -> None:
    store, key, interval = open_store(lake), ("fake", "1h", "BTC/USDT"), (0, 10 * HOUR_MS)
    _commit(lake, [lakes.failed(lakes.shard(*interval))])
    assert coverage.missing(coverage.read(lake), key, [interval]) == [interval]
    _commit(lake, [lakes.written(store, lakes.shard(*interval))])
    assert coverage.missing(coverage.read(lake), key, [interval]) == []


def test_reasons_need_no_part(lake: LakeSettings) -> None:
    row = lakes.failed(lakes.shard(0, HOUR_MS)) | {"status": "not_listed", "detail": ""}
    with Committer(lake, open_store(lake), "one") as committer:
        assert committer.commit([], [row]) == 1
        assert committer.commit([], [row]) == 1
    assert coverage.index(coverage.read(lake), ("not_listed",)) == {("fake", "1h", "BTC/USDT"): [(0, HOUR_MS)]}


def test_odd_symbols_are_read_back(lake: LakeSettings) -> None:
    store, symbol = open_store(lake), "币安 50%/USDT:USDT"
    _commit(lake, [lakes.written(store, lakes.shard(0, 10 * HOUR_MS, symbol=symbol))])
    assert len(read.candles(lake, "fake", symbol, "1h")) == 10
    assert read.scan(lake, venue="fake", timeframe="1h", symbols=(symbol,)).collect()["symbol"].unique().to_list() == [
        symbol
    ]


def test_death_between_candles_and_coverage_is_healed(lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader sees the coverage at once, and the next committer writes it down, once."""
    store, late = open_store(lake), lakes.shard(10 * HOUR_MS, 20 * HOUR_MS)
    with Committer(lake, store, "one") as committer:
        committer.commit([lakes.written(store, lakes.shard(0, 10 * HOUR_MS))])
        monkeypatch.setattr(committer, "_project", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            committer.commit([lakes.written(store, late)])
    table = delta.open_table(lake, "coverage")
    assert table is not None
    assert table.version() == 1
    assert coverage.read(lake).num_rows == 2
    assert _commit(lake, [lakes.written(store, late, fetched_ts_ms=5)]) == 2
    table.update_incremental()
    assert table.version() == 2
    assert coverage.read(lake).num_rows == 2
    assert _rows(lake) == 20


def test_second_committer_is_refused_while_the_first_lives(lake: LakeSettings) -> None:
    store, clock = open_store(lake), ManualClock(1_000_000)
    with Committer(lake, store, "one", clock=clock, sleep=clock.sleep) as first:

        def sleep(seconds: float) -> None:
            clock.sleep(seconds / 2)
            first.renew()
            clock.sleep(seconds / 2)

        with pytest.raises(Retryable, match="'one' is committing"):
            Committer(lake, store, "two", clock=clock, sleep=sleep).__enter__()


def test_silent_committer_is_replaced_and_can_commit_no_more(lake: LakeSettings) -> None:
    store, clock = open_store(lake), ManualClock(1_000_000)
    batch = [lakes.written(store, lakes.shard(0, 10 * HOUR_MS))]
    first = Committer(lake, store, "one", clock=clock, sleep=clock.sleep).__enter__()
    with Committer(lake, store, "two", clock=clock, sleep=clock.sleep) as second:
        assert (first.epoch, second.epoch) == (1, 2)
        with pytest.raises(Permanent, match="took over"):
            first.commit(batch)
        second.commit(batch)
    assert _rows(lake) == 10


def test_commit_that_missed_its_fencing_still_cannot_land(lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A committer that hangs between its lease check and its write: the table has moved on, so the write fails."""
    store, clock = open_store(lake), ManualClock(1_000_000)
    batch = [lakes.written(store, lakes.shard(0, 10 * HOUR_MS))]
    first = Committer(lake, store, "one", clock=clock, sleep=clock.sleep).__enter__()
    with Committer(lake, store, "two", clock=clock, sleep=clock.sleep) as second:
        second.commit(batch)
    monkeypatch.setattr(first, "renew", lambda: None)
    monkeypatch.setattr(first._lease, "renew", lambda: None)
    with pytest.raises(Permanent, match="another writer"):
        first.commit([lakes.written(store, lakes.shard(0, 10 * HOUR_MS), fetched_ts_ms=3)])
    assert _rows(lake) == 10


def test_lost_answer_to_a_commit_is_found_out(lake: LakeSettings) -> None:
    """The commit stands and its answer is lost: the same batch name in the log tells so."""
    with Committer(lake, open_store(lake), "one"):
        pass
    table, late = delta.open_table(lake, "candles"), delta.open_table(lake, "candles")
    assert table is not None
    assert late is not None
    delta.append(table, [], {delta.ROWS_KEY: []}, batch="b1")
    delta.append(late, [], {delta.ROWS_KEY: []}, batch="b1")
    assert late.version() == table.version() == 1


def test_bad_part_is_replaced_in_one_version(lake: LakeSettings) -> None:
    store, row = open_store(lake), lakes.shard(0, 10 * HOUR_MS)
    _commit(lake, [lakes.written(store, row)])
    [bad] = read.live_parts(lake)
    with Committer(lake, store, "one") as committer:
        with pytest.raises(Retryable, match="did not come again"):
            committer.replace(bad, [lakes.failed(row)])
        committer.replace(bad, [lakes.written(store, row, fetched_ts_ms=9)])
    [good] = read.live_parts(lake)
    assert good["path"] != bad["path"]
    assert _rows(lake) == 10
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h", as_of=1)) == 10
    assert coverage.read(lake).num_rows == 1
