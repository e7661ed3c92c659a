"""One shard becomes rows and a part, whatever the venue does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest

from heliograph.core.errors import SymbolGone, VenueTimeout
from heliograph.core.market import Candles
from heliograph.core.schema import MANIFEST
from heliograph.ingest.shard import fetch_shard
from heliograph.lake.local_store import LocalStore
from heliograph.lake.part import decode, read_provenance
from heliograph.testing import fakes, lakes

HOUR_MS = 3_600_000
Brief = list[tuple[str, float, float, int]]


async def _no_sleep(_: float) -> None:
    return


def _fetch(
    store: LocalStore,
    candles: Candles,
    *,
    now_h: int = 1_000,
    is_active: bool = True,
    end_h: int = 30,
    **options: object,
) -> list[lakes.Row]:
    source = fakes.FakeSource({("A/B", "1h"): candles}, now_ms=now_h * HOUR_MS, rules=fakes.rules(), **options)  # type: ignore[arg-type]
    row = lakes.shard(0, end_h * HOUR_MS, symbol="A/B", pages=3)
    market = fakes.market("A/B", is_active=is_active)
    return asyncio.run(fetch_shard(source, store, row, market=market, attempts=2, sleep=_no_sleep))


def _brief(rows: list[lakes.Row]) -> Brief:
    assert pa.Table.from_pylist(rows, schema=MANIFEST).num_rows == len(rows)
    return [(r["status"], r["start_ms"] / HOUR_MS, r["end_ms"] / HOUR_MS, r["candles"]) for r in rows]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def test_whole_shard_is_one_part_that_tells_its_pages(store: LocalStore) -> None:
    [row] = _fetch(store, lakes.candles(0, 30 * HOUR_MS))
    assert _brief([row]) == [("have", 0, 30, 30)]
    body = store.get(f"candles/{row['path']}")
    assert decode(body, row["path"]).close.tolist() == lakes.candles(0, 30 * HOUR_MS).close.tolist()
    pages = read_provenance(body)["pages"]
    assert [p["candles"] for p in pages] == [10, 10, 10]
    assert all(p["endpoint"] == "https://fake.example/candles" and len(p["sha256"]) == 64 for p in pages)
    assert row["requests"] == 3


def test_hole_inside_a_shard_is_just_absent(store: LocalStore) -> None:
    candles = Candles.concat([lakes.candles(0, 5 * HOUR_MS), lakes.candles(20 * HOUR_MS, 25 * HOUR_MS)])
    assert _brief(_fetch(store, candles)) == [("have", 0, 30, 10)]


@pytest.mark.parametrize("is_active", [True, False])
def test_silence_is_no_trades_even_of_a_dead_market(store: LocalStore, *, is_active: bool) -> None:
    """A silent stretch before a dead market's first candle was once called delisted, and all after it was given up."""
    assert _brief(_fetch(store, Candles.empty(), is_active=is_active)) == [("no_trades", 0, 30, 0)]


def test_failure_keeps_what_came_and_marks_the_rest(store: LocalStore) -> None:
    rows = _fetch(
        store, lakes.candles(0, 30 * HOUR_MS), fault=lambda n, *_: VenueTimeout("no answer") if n >= 2 else None
    )
    assert _brief(rows) == [("have", 0, 20, 20), ("fetch_failed", 20, 30, 0)]
    assert [r["pages"] for r in rows] == [2, 1]
    assert [r["requests"] for r in rows] == [4, 0]
    assert "VenueTimeout: no answer" in rows[1]["detail"]


def test_failure_at_once_is_one_row(store: LocalStore) -> None:
    rows = _fetch(store, lakes.candles(0, 30 * HOUR_MS), fault=lambda *_: SymbolGone("no such symbol"))
    assert _brief(rows) == [("fetch_failed", 0, 30, 0)]
    assert store.list("candles") == []


def test_symbol_that_is_gone_from_a_dead_market_is_delisted(store: LocalStore) -> None:
    gone = _fetch(store, Candles.empty(), is_active=False, fault=lambda *_: SymbolGone("no such symbol"))
    assert _brief(gone) == [("delisted", 0, 30, 0)]


def test_number_that_cannot_be_stored_fails_its_shard(store: LocalStore) -> None:
    [row] = _fetch(store, Candles.of([[0, 1, 1, 1, 1, 1e22]]))
    assert (row["status"], "64 bits" in row["detail"]) == ("fetch_failed", True)


def test_late_newest_bars_are_left_open_and_asked_for_again(store: LocalStore) -> None:
    """A venue publishes its newest bars some minutes late: they must not be called no_trades for good."""
    rows = _fetch(store, lakes.candles(0, 28 * HOUR_MS), now_h=30)
    assert _brief(rows) == [("have", 0, 28, 28)]
    (asked,) = _fetch(store, Candles.empty(), now_h=4, end_h=4)
    assert asked["start_ms"] == asked["end_ms"]
    assert asked["requests"] > 0
    assert _brief(_fetch(store, Candles.empty(), now_h=30)) == [("no_trades", 0, 25, 0)]


def test_dead_market_has_no_newest_bars_to_wait_for(store: LocalStore) -> None:
    """Its silence up to now was once asked about again by every run."""
    assert _brief(_fetch(store, Candles.empty(), now_h=30, is_active=False)) == [("no_trades", 0, 30, 0)]
