"""What lands is committed in batches and in time, through a store that goes away, and by one run at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import Retryable
from heliograph.core.market import Candles
from heliograph.ingest import landing as landings
from heliograph.ingest.landing import Landing
from heliograph.lake import coverage, read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.write import Row, manifest
from heliograph.testing import lakes

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEY = ("fake", "BTC/USDT", "1h")


def lake_in(folder: Path) -> LakeSettings:
    return LakeSettings(uri=str(folder / "lake"), parts_per_commit=4, lease_s=3.0)


def parts(lake: LakeSettings, days: range) -> list[Row]:
    store = open_store(lake)
    return [lakes.written(store, lakes.shard(d * DAY_MS, (d + 1) * DAY_MS)) for d in days]


def held(lake: LakeSettings) -> Candles:
    return read.candles(lake, *KEY)


async def landed(landing: Landing, rows: list[Row], reasons: list[Row] | None = None) -> None:
    running = asyncio.create_task(landing.run())
    for row in rows:
        landing.land("candles", [row])
        await asyncio.sleep(0)
    landing.land("candles", [], reasons or [])
    landing.close()
    await running


def test_everything_that_landed_is_committed_once_in_batches(tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    with Landing(lake, "me") as landing:
        asyncio.run(landed(landing, parts(lake, range(10)), [manifest(lakes.shard(-DAY_MS, 0), "not_listed")]))
        assert landing.epoch == 1
        assert landing.version == read.version(lake)
    assert len(held(lake)) == 240
    assert sorted({row["status"] for row in coverage.read(lake).to_pylist()}) == ["have", "not_listed"]


def test_a_batch_does_not_wait_for_the_end_and_a_late_row_not_for_its_batch(tmp_path: Path, monkeypatch) -> None:
    lake = lake_in(tmp_path)
    monkeypatch.setattr(landings, "OLDEST_S", 0.2)

    async def story(landing: Landing) -> None:
        running = asyncio.create_task(landing.run())
        for rows in (parts(lake, range(4)), parts(lake, range(4, 5))):
            landing.land("candles", rows)
            before = landing.version
            async with asyncio.timeout(5.0):
                while landing.version == before:
                    await asyncio.sleep(0.01)
        landing.close()
        await running

    with Landing(lake, "me") as landing:
        asyncio.run(story(landing))
    assert len(held(lake)) == 120


def test_commits_outlast_a_store_that_goes_away(tmp_path: Path, monkeypatch) -> None:
    """A committer whose write failed takes its rows for known; what it lost must come all the same."""
    lake, failures = lake_in(tmp_path), []
    write = Committer._write

    def failing(self: Committer, *args: object) -> int:
        if len(failures) < 3:
            failures.append(1)
            raise Retryable("the store is away")
        return write(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Committer, "_write", failing)
    with Landing(lake, "me") as landing:
        asyncio.run(landed(landing, parts(lake, range(6))))
    assert len(failures) == 3
    assert len(held(lake)) == 144


def test_a_store_that_stays_away_ends_the_run(tmp_path: Path, monkeypatch) -> None:
    def failing(*_: object) -> int:
        raise Retryable("the store is away")

    monkeypatch.setattr(landings, "PATIENCE_S", 0.3)
    lake = lake_in(tmp_path)
    with Landing(lake, "me") as landing:
        monkeypatch.setattr(Committer, "_write", failing)
        with pytest.raises(Retryable, match="away"):
            asyncio.run(landed(landing, parts(lake, range(2))))


def test_two_runs_do_not_commit_to_one_lake(tmp_path: Path, monkeypatch) -> None:
    lake = lake_in(tmp_path).model_copy(update={"lease_s": 60.0})
    other = Landing(lake, "other")
    with Landing(lake, "me"):
        monkeypatch.setattr("heliograph.lake.lease.Lease.acquire", _impatient)
        with pytest.raises(Retryable, match="'me' is committing"):
            other.__enter__()


def _impatient(self, _sleep) -> None:
    if not self._try_acquire():
        raise Retryable(f"{self._held()[0]['holder']!r} is committing to this lake")
