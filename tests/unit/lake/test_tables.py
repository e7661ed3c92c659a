"""Trades, funding and open interest: the same engine, the same guarantees, a coverage of their own; new columns."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Schema

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.schema import CANDLES
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.lake import audit, coverage, read, tables
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.testing import lakes

KINDS = (("trades", "tick"), ("funding", "tick"), ("open_interest", "1h"))


@pytest.fixture
def lake(tmp_path: Path) -> LakeSettings:
    return LakeSettings(uri=str(tmp_path / "lake"))


def _read(lake: LakeSettings, table: str, timeframe: str, **interval: int) -> object:
    if table == "trades":
        return read.trades(lake, "fake", "BTC/USDT", **interval)
    return read.points(lake, table, "fake", "BTC/USDT", timeframe, **interval)


def _same(left: object, right: object) -> bool:
    return all(np.array_equal(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))  # type: ignore[arg-type]


@pytest.mark.parametrize(("table", "timeframe"), KINDS)
def test_series_are_committed_once_and_read_back(lake: LakeSettings, table: str, timeframe: str) -> None:
    store = open_store(lake)
    shards = [lakes.shard(i * DAY_MS, (i + 1) * DAY_MS, timeframe=timeframe) for i in range(3)]
    rows = [lakes.written_series(store, shard, table) for shard in shards]
    with Committer(lake, store, "t", table=table) as committer:
        assert committer.commit(rows) == 1
        assert committer.commit([rows[1] | {"path": "again"}]) == 1
        assert compact(lake, committer).merged == 3
    whole = _read(lake, table, timeframe)
    expected = lakes.trades(0, 3 * DAY_MS) if table == "trades" else None
    if expected is None:
        expected = lakes.points(0, 3 * DAY_MS, every_ms=HOUR_MS if timeframe == "1h" else 8 * HOUR_MS)  # type: ignore[assignment]
    assert _same(whole, expected)
    assert _same(
        _read(lake, table, timeframe, start_ms=DAY_MS, end_ms=DAY_MS + 9 * HOUR_MS),
        expected.between(DAY_MS, DAY_MS + 9 * HOUR_MS),  # type: ignore[union-attr]
    )
    key = ("fake", timeframe, "BTC/USDT")
    assert coverage.index(coverage.read(lake, table)) == {key: [(0, 3 * DAY_MS)]}
    assert coverage.read(lake).num_rows == 0
    assert audit.verify(lake, table=table) == []


def test_tables_of_one_lake_do_not_hinder_each_other(lake: LakeSettings) -> None:
    store = open_store(lake)
    with Committer(lake, store, "a") as candles, Committer(lake, store, "b", table="trades") as trades:
        candles.commit([lakes.written(store, lakes.shard(0, DAY_MS))])
        trades.commit([lakes.written_series(store, lakes.shard(0, DAY_MS, timeframe="tick"), "trades")])
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h")) == 24
    assert len(read.trades(lake, "fake", "BTC/USDT")) == 2 * 1_440


def test_bad_part_of_trades_is_named_with_its_table(lake: LakeSettings) -> None:
    store = open_store(lake)
    row = lakes.written_series(store, lakes.shard(0, DAY_MS, timeframe="tick"), "trades")
    with Committer(lake, store, "t", table="trades") as committer:
        committer.commit([row])
    file = Path(lake.uri) / "trades" / row["path"]
    file.write_bytes(file.read_bytes()[:-1])
    [bad] = audit.verify(lake, table="trades")
    assert (bad.table, bad.symbol, bad.start_ms, bad.end_ms) == ("trades", "BTC/USDT", 0, DAY_MS - 60_000 + 1)


def test_unknown_table_names_those_that_exist(lake: LakeSettings) -> None:
    with pytest.raises(ConfigError, match="candles, trades, funding, open_interest"):
        Committer(lake, open_store(lake), "t", table="books")
    with pytest.raises(ConfigError, match="funding or open_interest"):
        read.points(lake, "candles", "fake", "BTC/USDT")
    with pytest.raises(ConfigError, match="no funding in"):
        read.points(lake, "funding", "fake", "BTC/USDT")


class TestSchemaEvolution:
    """A release that knows one more, nullable column meets a lake that an older one wrote, and the other way round."""

    WIDER = pa.schema([*CANDLES, pa.field("trades", pa.int64(), nullable=True)])

    def _widened(self, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> lakes.Row:
        """An old part, then a table that has the new column, then a part that carries it."""
        store = open_store(lake)
        with Committer(lake, store, "old") as committer:
            committer.commit([lakes.written(store, lakes.shard(0, DAY_MS))])
        spec = replace(tables.TABLES["candles"], schema=self.WIDER)
        with monkeypatch.context() as newer:
            newer.setitem(tables.TABLES, "candles", spec)
            row = lakes.written(store, lakes.shard(DAY_MS, 2 * DAY_MS))
            with Committer(lake, store, "new") as committer:
                committer.commit([self._counted(Path(lake.uri), row)])
        return row

    def _counted(self, root: Path, row: lakes.Row) -> lakes.Row:
        """The part with a count of trades in each row, as a newer release would write it."""
        file = root / "candles" / row["path"]
        table = pq.ParquetFile(file).read()
        wider = table.append_column(self.WIDER.field("trades"), pa.array(range(24), pa.int64()))
        sink = pa.BufferOutputStream()
        pq.write_table(wider, sink)
        body = sink.getvalue().to_pybytes()
        path = row["path"].replace(row["sha256"], hashlib.sha256(body).hexdigest())
        (root / "candles" / path).write_bytes(body)
        return row | {"path": path, "size_bytes": len(body)}

    def test_old_parts_read_null_in_the_new_column(self, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        self._widened(lake, monkeypatch)
        uri = f"{lake.uri}/candles"
        for frame in (
            pl.scan_delta(uri).select("open_ts_ms", "trades").collect(),
            pl.from_arrow(DeltaTable(uri).to_pyarrow_table(columns=["open_ts_ms", "trades"])),
        ):
            assert isinstance(frame, pl.DataFrame)
            counts = frame.sort("open_ts_ms")["trades"].to_list()
            assert counts == [None] * 24 + list(range(24))

    def test_old_reader_and_old_writer_go_on(self, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        self._widened(lake, monkeypatch)
        assert read.scan(lake).collect().height == 48
        assert DeltaTable(f"{lake.uri}/candles").to_pyarrow_table(columns=["open_ts_ms"]).num_rows == 48
        store = open_store(lake)
        with Committer(lake, store, "old again") as committer:
            committer.commit([lakes.written(store, lakes.shard(2 * DAY_MS, 3 * DAY_MS))])
        assert read.scan(lake).collect().height == 72
        assert len(read.candles(lake, "fake", "BTC/USDT", "1h", start_ms=2 * DAY_MS)) == 24

    def test_part_with_an_unknown_column_is_read_and_left_alone(
        self, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Compacting it here would lose the column."""
        self._widened(lake, monkeypatch)
        with Committer(lake, open_store(lake), "old") as committer:
            told = compact(lake, committer)
        assert told.merged == 0
        assert "has trades: compact with the release that wrote it" in told.skipped[0]
        assert _same(read.candles(lake, "fake", "BTC/USDT", "1h"), lakes.candles(0, 2 * DAY_MS))

    def test_column_is_added_once(self, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        self._widened(lake, monkeypatch)
        monkeypatch.setitem(tables.TABLES, "candles", replace(tables.TABLES["candles"], schema=self.WIDER))
        before = read.version(lake)
        with Committer(lake, open_store(lake), "t"):
            pass
        assert read.version(lake) == before


def test_lake_of_an_older_form_is_refused_with_a_way_out(lake: LakeSettings) -> None:
    older = pa.schema([f for f in CANDLES if not f.name.endswith("_wick_ticks")])
    DeltaTable.create(f"{lake.uri}/candles", Schema.from_arrow(older), partition_by=["venue", "timeframe", "symbol"])
    for opening in (lambda: read.version(lake), lambda: Committer(lake, open_store(lake), "t").__enter__()):
        with pytest.raises(ConfigError, match=r"no upper_wick_ticks, lower_wick_ticks.*set lake\.uri to a new place"):
            opening()
