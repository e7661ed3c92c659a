"""Compaction: few large parts of the very same rows, in one commit, whose origins can still be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import InvariantBroken
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from heliograph.lake import compact as compaction
from heliograph.lake import coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact, plan
from heliograph.lake.part import read_provenance
from heliograph.lake.store import open_store
from heliograph.lake.vacuum import vacuum
from heliograph.testing import lakes
from heliograph.testing.fakes import ManualClock

NOW_MS = 60_000 * DAY_MS  # 2134: all spans are over
JANUARY_MS = 1_704_067_200_000  # 2024-01-01
KEY = ("okx", "1m", "BTC/USDT")


@pytest.fixture
def lake(tmp_path: Path) -> LakeSettings:
    return LakeSettings(uri=str(tmp_path / "lake"), parts_per_commit=4)


def _committer(lake: LakeSettings) -> Committer:
    return Committer(lake, open_store(lake), "t", clock=ManualClock(NOW_MS))


def _fill(lake: LakeSettings, *slots: int, symbol: str = "BTC/USDT") -> None:
    with _committer(lake) as committer:
        for i in slots:
            shard = lakes.shard(i * 10 * HOUR_MS, (i + 1) * 10 * HOUR_MS, symbol=symbol)
            committer.commit([lakes.written(committer.store, shard, fetched_ts_ms=i)])


def _part(start_ms: int, bars: int, *, symbol: str = "BTC-USDT", step_ms: int = MINUTE_MS) -> dict[str, Any]:
    market = {"venue": "okx", "timeframe": "1m", "symbol": symbol}
    last_ms = start_ms + (bars - 1) * step_ms
    return {**market, "path": str(start_ms), "candles": bars, "first_ts_ms": start_ms, "last_ts_ms": last_ms}


def _days(first_ms: int, days: int) -> list[dict[str, Any]]:
    return [_part(first_ms + i * DAY_MS, 1_440) for i in range(days)]


def _sizes(parts: list[dict[str, Any]], now_ms: int = NOW_MS, **limits: int) -> list[int]:
    have = {KEY: [(0, NOW_MS)]}
    return [len(merge) for merge in plan(parts, have, now_ms=now_ms, **limits)]


class TestPlan:
    def test_year_of_minutes_that_is_over_becomes_one_part(self) -> None:
        assert _sizes(_days(JANUARY_MS, 366)) == [366]

    def test_running_year_is_merged_by_months_that_are_over(self) -> None:
        """In March: January and February; three days of March are too few."""
        assert _sizes(_days(JANUARY_MS, 63), now_ms=JANUARY_MS + 63 * DAY_MS) == [31, 29]

    def test_running_month_is_merged_when_it_has_many_parts(self) -> None:
        now_ms = JANUARY_MS + 9 * DAY_MS
        assert _sizes(_days(JANUARY_MS, 9), now_ms=now_ms) == [9]
        assert _sizes(_days(JANUARY_MS, 9), now_ms=now_ms, min_parts=10) == []

    def test_hours_fill_wider_spans(self) -> None:
        """A century of hours is fewer rows than two years of minutes; a decade counts as a month does there."""
        months = [_part(JANUARY_MS + i * 30 * DAY_MS, 720, step_ms=HOUR_MS) for i in range(130)]
        assert _sizes(months) == [130]
        assert _sizes(months, now_ms=JANUARY_MS + 4_000 * DAY_MS) == [74, 56], "the decades from 2020 and from 2030"
        assert _sizes(months, now_ms=JANUARY_MS + 3_000 * DAY_MS, min_parts=60) == [74]

    def test_no_part_grows_beyond_the_limit(self) -> None:
        assert _sizes(_days(JANUARY_MS, 366), max_rows=100_000) == [69, 69, 69, 69, 69, 21]

    def test_parts_are_never_joined_over_a_hole_in_the_coverage(self) -> None:
        """Else the hole's own part, when it comes, would lie inside the merged one, and a repair would double it."""
        parts = [part for i, part in enumerate(_days(JANUARY_MS, 9)) if i != 4]
        have = {KEY: [(JANUARY_MS, JANUARY_MS + 4 * DAY_MS), (JANUARY_MS + 5 * DAY_MS, JANUARY_MS + 9 * DAY_MS)]}
        assert [len(m) for m in plan(parts, have, now_ms=NOW_MS)] == [4, 4]

    def test_markets_are_not_mixed(self) -> None:
        parts = [_part(JANUARY_MS + i * DAY_MS, 1_440, symbol=s) for i in range(3) for s in ("BTC-USDT", "ETH-USDT")]
        merges = plan(parts, {}, now_ms=NOW_MS)
        assert [{part["symbol"] for part in merge} for merge in merges] == [{"BTC-USDT"}, {"ETH-USDT"}]

    @given(st.lists(st.integers(0, 900), unique=True, max_size=60), st.integers(2, 9), st.integers(1_440, 40_000))
    def test_what_was_merged_is_not_merged_again(self, days: list[int], min_parts: int, max_rows: int) -> None:
        parts = [_part(JANUARY_MS + day * DAY_MS, 1_440) for day in sorted(days)]
        merges = plan(parts, {}, now_ms=NOW_MS, min_parts=min_parts, max_rows=max_rows)
        merged = {part["path"] for merge in merges for part in merge}
        wholes = [
            merge[0] | {"candles": sum(p["candles"] for p in merge), "last_ts_ms": merge[-1]["last_ts_ms"]}
            for merge in merges
        ]
        left = [part for part in parts if part["path"] not in merged]
        assert plan([*left, *wholes], {}, now_ms=NOW_MS, min_parts=min_parts, max_rows=max_rows) == []


def test_rows_stay_and_parts_become_few(lake: LakeSettings) -> None:
    _fill(lake, *range(6))
    _fill(lake, *range(2), symbol="ETH/USDT")
    before = read.candles(lake, "fake", "BTC/USDT", "1h")
    covered = coverage.read(lake).to_pylist()
    with _committer(lake) as committer:
        told = compact(lake, committer)
        again = compact(lake, committer)
    assert (told.merged, told.written, told.rows, told.skipped) == (8, 2, 80, ())
    assert told.bytes_after < told.bytes_before
    assert (again.merged, again.version) == (0, told.version)
    assert len(read.live_parts(lake)) == 2
    for version in (None, 6):
        after = read.candles(lake, "fake", "BTC/USDT", "1h", as_of=version)
        np.testing.assert_array_equal(after.close, before.close)
    assert coverage.read(lake).to_pylist() == covered
    assert read.scan(lake).collect().height == 80


def test_commit_says_that_no_data_changed(lake: LakeSettings) -> None:
    _fill(lake, 0, 1)
    with _committer(lake) as committer:
        version = compact(lake, committer).version
    log = (Path(lake.uri) / "candles" / "_delta_log" / f"{version:020d}.json").read_text()
    actions = [json.loads(line) for line in log.splitlines()]
    changes = [action[kind]["dataChange"] for action in actions for kind in ("add", "remove") if kind in action]
    assert changes == [False, False, False]


def test_merged_part_tells_where_each_of_its_rows_came_from(lake: LakeSettings) -> None:
    """Also through two stages of merging; and packed, so that a thousand pages take a few bytes a row."""
    _fill(lake, 0, 1)
    store = open_store(lake)
    sources = {part["path"].rpartition("/")[2].removesuffix(".parquet") for part in read.live_parts(lake)}
    with _committer(lake) as committer:
        compact(lake, committer)
        _month = read.live_parts(lake)[0]["path"]
    _fill(lake, 2)
    with _committer(lake) as committer:
        compact(lake, committer)
    [part] = read.live_parts(lake)
    told = read_provenance(store.get(f"candles/{part['path']}"))
    assert (told["start_ms"], told["end_ms"], told["symbol"]) == (0, 30 * HOUR_MS, "BTC/USDT")
    [month, late] = told["merged"]
    assert month["sha256"] in _month
    assert {source["sha256"] for source in month["provenance"]["merged"]} == sources
    assert late["provenance"]["pages"][0]["fetched_ts_ms"] == 2
    assert late["candles"] == 10


def test_dying_before_the_commit_leaves_only_files_that_no_log_names(
    lake: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(lake, 0, 1, 2)
    before = read.live_parts(lake)
    with _committer(lake) as committer:
        monkeypatch.setattr(committer, "rewrite", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compact(lake, committer)
    assert read.live_parts(lake) == before
    files = set((Path(lake.uri) / "candles").rglob("*.parquet"))
    assert len([f for f in files if "venue=" in str(f)]) == 4
    with _committer(lake) as committer:
        assert vacuum(lake, committer, grace_ms=0).orphans == 1
        assert compact(lake, committer).merged == 3
    assert len(read.candles(lake, "fake", "BTC/USDT", "1h")) == 30


def test_broken_part_is_left_for_repair_and_the_rest_is_merged(lake: LakeSettings) -> None:
    _fill(lake, 0, 1)
    _fill(lake, 0, 1, symbol="ETH/USDT")
    victim = read.parts(lake, "fake", "ETH/USDT", "1h")[0]
    file = Path(lake.uri) / "candles" / victim
    file.write_bytes(file.read_bytes()[:-1])
    with _committer(lake) as committer:
        told = compact(lake, committer)
    assert told.merged == 2
    assert victim in told.skipped[0]
    assert "helio verify --repair" in told.skipped[0]
    assert len(read.parts(lake, "fake", "ETH/USDT", "1h")) == 2


def test_rewriting_may_not_lose_a_row(lake: LakeSettings) -> None:
    _fill(lake, 0, 1)
    parts = read.live_parts(lake)
    with _committer(lake) as committer, pytest.raises(InvariantBroken, match="20 rows were to be rewritten as 10"):
        committer.rewrite(parts, [lakes.written(committer.store, lakes.shard(0, 10 * HOUR_MS), fetched_ts_ms=9)])


def test_coverage_files_become_one_with_the_same_rows(lake: LakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MIN_COVERAGE_FILES", 3)
    _fill(lake, *range(5))
    before = coverage.read(lake)
    with _committer(lake) as committer:
        assert compact(lake, committer).coverage_files == 5
        assert compact(lake, committer).coverage_files == 0
    assert sorted(map(str, coverage.read(lake).to_pylist())) == sorted(map(str, before.to_pylist()))
    _fill(lake, 4, 5)
    assert coverage.read(lake).num_rows == 6
    assert coverage.index(coverage.read(lake)) == {("fake", "1h", "BTC/USDT"): [(0, 60 * HOUR_MS)]}
    assert coverage.index(coverage.read(lake, as_of=2)) == {("fake", "1h", "BTC/USDT"): [(0, 20 * HOUR_MS)]}
