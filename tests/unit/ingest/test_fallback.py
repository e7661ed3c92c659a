"""A paid provider fills what failed, never what the venue has answered, and its candles stand in parts of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from heliograph.config.settings import LakeSettings
from heliograph.core.market import Candles
from heliograph.core.schema import PLAN
from heliograph.core.timeframe import HOUR_MS
from heliograph.ingest.fallback import fill_in
from heliograph.lake.part import read_provenance
from heliograph.lake.store import open_store
from heliograph.lake.write import Row, manifest
from heliograph.testing.fakes import FakeSource, market, rules

NOW_MS = 1_000 * HOUR_MS


def hours(first: int, last: int) -> Candles:
    return Candles.of([[h * HOUR_MS, 1, 1, 1, 1, 1] for h in range(first, last)])


def row(start: int, end: int, status: str) -> Row:
    shard = dict(zip(PLAN.names, ("fake", "1h", "A/B", start * HOUR_MS, end * HOUR_MS, 1), strict=True))
    return manifest(shard, status, requests=3, detail="why")


def filled(tmp_path: Path, candles: Candles, rows: list[Row]) -> list[Row]:
    provider = FakeSource({("A/B", "1h"): candles}, now_ms=NOW_MS, rules=rules(page_limit=50))
    store = open_store(LakeSettings(uri=str(tmp_path)))
    return asyncio.run(fill_in(provider, store, rows, market=market("A/B"), attempts=2))


def test_what_the_venue_answered_is_left_alone(tmp_path: Path) -> None:
    rows = [row(0, 10, "have"), row(10, 20, "no_trades"), row(20, 30, "delisted")]
    assert filled(tmp_path, hours(0, 100), rows) == rows


def test_failed_and_forgotten_stretches_are_filled_and_marked(tmp_path: Path) -> None:
    told = filled(tmp_path, hours(0, 100), [row(0, 10, "beyond_history"), row(10, 20, "fetch_failed")])
    assert [(r["status"], r["candles"]) for r in told] == [("have", 10), ("have", 10)]
    body = open_store(LakeSettings(uri=str(tmp_path))).get(f"candles/{told[0]['path']}")
    assert [p["endpoint"] for p in read_provenance(body)["pages"]] == ["https://fake.example/candles"]


def test_what_the_provider_lacks_too_keeps_its_reason(tmp_path: Path) -> None:
    (told,) = filled(tmp_path, hours(90, 100), [row(0, 10, "beyond_history")])
    assert (told["status"], told["detail"], told["requests"]) == ("beyond_history", "why", 4)


def test_what_is_left_behind_the_providers_last_candle_keeps_its_reason(tmp_path: Path) -> None:
    provider_has = Candles.concat([hours(0, 6)])
    told = filled(tmp_path, provider_has, [row(0, 10, "fetch_failed")])
    spans = [(r["status"], r["start_ms"] // HOUR_MS, r["end_ms"] // HOUR_MS) for r in told]
    assert spans[0][:2] == ("have", 0)
    assert np.all(np.diff([0, *[s for _, _, s in spans]]) > 0)
    assert spans[-1][2] == 10
