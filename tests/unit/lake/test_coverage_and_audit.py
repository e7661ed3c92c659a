"""Intervals, and the audit that names every bad part and no other."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa

from heliograph.config.settings import LakeSettings
from heliograph.core import timeframe
from heliograph.core.schema import COVERAGE
from heliograph.lake import audit, coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes

HOUR_MS = 3_600_000
KEY = ("fake", "1h", "BTC/USDT")


def _table(*rows: tuple[int, int, str]) -> pa.Table:
    full = [
        dict(zip(COVERAGE.names, ("fake", "1h", "BTC/USDT", s, e, status, 0, 0, ""), strict=True))
        for s, e, status in rows
    ]
    return pa.Table.from_pylist(full, schema=COVERAGE)


def test_every_reason_but_a_failure_covers() -> None:
    table = _table(
        (0, 10, "not_listed"), (10, 20, "have"), (20, 30, "fetch_failed"), (30, 40, "no_trades"), (50, 60, "delisted")
    )
    assert coverage.missing(table, KEY, [(0, 60)]) == [(20, 30), (40, 50)]
    assert coverage.missing(table, ("fake", "1h", "ETH/USDT"), [(0, 60)]) == [(0, 60)]


def test_new_lake_has_no_coverage(tmp_path: Path) -> None:
    assert coverage.read(LakeSettings(uri=str(tmp_path))).num_rows == 0


def test_gaps_are_runs_of_bars_within_what_we_have() -> None:
    candles = lakes.candles(0, 10 * HOUR_MS).take(np.array([0, 1, 4, 5, 6, 9]))
    hour = timeframe.parse("1h")
    assert audit.gaps(candles, hour, [(0, 10 * HOUR_MS)]) == [(2 * HOUR_MS, 4 * HOUR_MS), (7 * HOUR_MS, 9 * HOUR_MS)]
    assert audit.gaps(candles, hour, [(4 * HOUR_MS, 8 * HOUR_MS)]) == [(7 * HOUR_MS, 8 * HOUR_MS)]
    assert audit.gaps(candles, hour, []) == []


def test_gaps_follow_months() -> None:
    month = timeframe.parse("1M")
    candles = lakes.candles(0, 300 * 24 * HOUR_MS, "1M")
    lost = [int(t) for t in candles.open_ts_ms[[3, 4]]]
    kept = candles.take(~np.isin(candles.open_ts_ms, lost))
    assert audit.gaps(kept, month, [(0, 300 * 24 * HOUR_MS)]) == [(lost[0], month.next(lost[1]))]


def test_verify_names_exactly_the_bad_parts(tmp_path: Path) -> None:
    lake = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(lake)
    shards = [lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS) for i in range(5)]
    liar = lakes.written(store, shards[4]) | {"candles": 11}
    with Committer(lake, store, "t") as committer:
        committer.commit([*(lakes.written(store, s) for s in shards[:4]), liar])
    parts = {p["first_ts_ms"] // HOUR_MS: p["path"] for p in read.live_parts(lake)}
    folder = Path(lake.uri) / "candles"
    (folder / parts[10]).unlink()
    whole = (folder / parts[20]).read_bytes()
    (folder / parts[20]).write_bytes(whole[:-3])
    bad = audit.verify(lake)
    assert {b.path for b in bad} == {parts[10], parts[20], parts[40]}
    told = {b.path: b for b in bad}
    assert (told[parts[10]].symbol, told[parts[10]].start_ms, told[parts[10]].end_ms) == (
        "BTC/USDT",
        10 * HOUR_MS,
        20 * HOUR_MS,
    )
    assert "is missing" in str(told[parts[10]])
    assert "candles is 10, 11 in the log" in str(told[parts[40]])


def test_one_flipped_byte_among_many_parts_is_named_and_nothing_else(tmp_path: Path) -> None:
    lake = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(lake)
    with Committer(lake, store, "t") as committer:
        committer.commit([lakes.written(store, lakes.shard(i * HOUR_MS, (i + 1) * HOUR_MS)) for i in range(120)])
    rng = random.Random(5)
    for part in rng.sample(read.live_parts(lake), 3):
        file = Path(lake.uri) / "candles" / part["path"]
        whole = file.read_bytes()
        place = rng.randrange(len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        [bad] = audit.verify(lake)
        assert (bad.path, bad.start_ms, bad.end_ms) == (
            part["path"],
            part["first_ts_ms"],
            part["first_ts_ms"] + HOUR_MS,
        )
        file.write_bytes(whole)
    assert audit.verify(lake) == []


def test_whole_lake_has_no_bad_part(tmp_path: Path) -> None:
    lake = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(lake)
    with Committer(lake, store, "t") as committer:
        committer.commit([lakes.written(store, lakes.shard(0, 10 * HOUR_MS))])
    assert audit.verify(lake) == []
