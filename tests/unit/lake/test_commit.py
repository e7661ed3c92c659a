"""The committer: batches are whole, nothing is doubled, a dead one is finished by the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import Permanent, Retryable
from heliograph.lake import coverage, delta, log, read
from heliograph.lake.commit import Committer
from heliograph.lake.local_store import LocalStore
from heliograph.lake.store import open_store
from heliograph.lake.tables import named
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


class DeafStore(LocalStore):
    """A store that carries a commit out and loses the answer, or refuses it."""

    def __init__(self, root: Path, *, does_write: bool) -> None:
        super().__init__(root)
        self.does_write = does_write

    def put_if_absent(self, key: str, body: bytes) -> bool:
        if "_delta_log" not in key:
            return super().put_if_absent(key, body)
        if self.does_write:
            super().put_if_absent(key, body)
        raise Retryable("no answer")


def test_lost_answer_to_a_commit_is_found_out(lake: LakeSettings) -> None:
    """The commit stands and its answer is lost: the batch's name in the log tells so."""
    log.commit(DeafStore(Path(lake.uri), does_write=True), "candles", 0, [], {}, batch="b1", now_ms=5)
    log.commit(LocalStore(Path(lake.uri)), "candles", 0, [], {}, batch="b1", now_ms=5)
    with pytest.raises(Permanent, match="another writer"):
        log.commit(LocalStore(Path(lake.uri)), "candles", 0, [], {}, batch="b2", now_ms=5)


def test_commit_that_did_not_land_can_be_made_again(lake: LakeSettings) -> None:
    with pytest.raises(Retryable, match=r"the commit to .* failed: no answer"):
        log.commit(DeafStore(Path(lake.uri), does_write=False), "candles", 0, [], {}, batch="b1", now_ms=5)
    log.commit(LocalStore(Path(lake.uri)), "candles", 0, [], {}, batch="b1", now_ms=5)


def test_other_writers_and_readers_understand_the_log(lake: LakeSettings) -> None:
    """deltalake itself commits after us, and we after it; a checkpoint sums up what we wrote."""
    store = open_store(lake)
    rows = [lakes.written(store, lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS)) for i in range(4)]
    _commit(lake, rows[:1])
    table = DeltaTable(f"{lake.uri}/candles")
    table.create_checkpoint()
    theirs = log.add_part(rows[1], 7, named("candles"))["add"]
    values, stats = theirs["partitionValues"], theirs["stats"]
    add = AddAction(rows[1]["path"], rows[1]["size_bytes"], values, 7, True, stats)
    table.create_write_transaction([add], "append", table.schema(), ["venue", "timeframe", "symbol"])
    assert read.version(lake) == 2
    assert _commit(lake, rows[2:3]) == 3
    DeltaTable(f"{lake.uri}/candles").create_checkpoint()
    assert _commit(lake, rows[3:]) == 4
    assert DeltaTable(f"{lake.uri}/candles").to_pyarrow_table().num_rows == _rows(lake) == 40
    assert [entry["operation"] for entry in DeltaTable(f"{lake.uri}/candles").history()] == ["WRITE"] * 4 + [
        "CREATE TABLE"
    ]


def test_log_is_summed_up_now_and_then(lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "CHECKPOINT_EVERY", 3)
    store = open_store(lake)
    for i in range(7):
        _commit(lake, [lakes.written(store, lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS))])
    found = sorted(p.name for p in (Path(lake.uri) / "candles" / "_delta_log").glob("*.checkpoint.parquet"))
    assert [int(name.partition(".")[0]) for name in found] == [3, 6]
    assert _rows(lake) == 70


def test_version_says_what_commits_up_to_it_said(lake: LakeSettings) -> None:
    """deltalake counts its history from the log's newest commit, whatever version the table holds."""
    store = open_store(lake)
    for i in range(5):
        _commit(lake, [lakes.written(store, lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS))])
    table = delta.open_table(lake, "candles", 3)
    assert table is not None
    for count, expected in ((2, [3, 2]), (99, [3, 2, 1, 0])):
        entries = delta.commits(table, count)
        assert [entry["version"] for entry in entries] == expected
        assert [entry[delta.ROWS_KEY][0][3] // (10 * HOUR_MS) for entry in entries if delta.ROWS_KEY in entry] == [
            version - 1 for version in expected if version
        ]


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


def test_part_that_comes_again_to_the_byte_is_healed_in_place(lake: LakeSettings) -> None:
    store, row = open_store(lake), lakes.shard(0, 10 * HOUR_MS)
    _commit(lake, [lakes.written(store, row)])
    [bad] = read.live_parts(lake)
    (Path(lake.uri) / "candles" / bad["path"]).write_bytes(b"rotten")
    with Committer(lake, store, "one") as committer:
        assert committer.replace(bad, [lakes.written(store, row)]) == 1
    assert read.live_parts(lake) == [bad]
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h")) == 10
