"""The cache of feature columns: exact, told by its listing, and never wrong about what it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from heliograph.lake.feature_store import TIME, FeatureStore, Place
from heliograph.lake.local_store import LocalStore
from heliograph.testing.memory import MemoryStore

PLACE = Place(-28_800_000, "c" * 32, "candles")
DOUBLES = arrays(np.float64, 7, elements=st.floats(width=64))
OPENS = np.arange(7, dtype=np.int64) * 60_000


def opened(store: LocalStore | MemoryStore, symbol: str = "BTC/USDT:USDT") -> FeatureStore:
    return FeatureStore(store, "binance", symbol, "1m")


@given(DOUBLES, DOUBLES, st.integers(0, 3))
def test_columns_and_states_come_back_bit_for_bit(a: np.ndarray, b: np.ndarray, kept: int) -> None:
    cache = opened(MemoryStore())
    cache.write_columns(PLACE, OPENS, {"a": a, "b": b})
    cache.write_states(PLACE, ["a", "b"], {"1m/n": ((kept, 0), a), "unit": ((), b), "none": ((), np.empty(0))})
    held = cache.held()
    found = cache.read_columns(PLACE, held.columns[PLACE], ["b", "a"])
    assert found is not None
    assert {name: column.tobytes() for name, column in found.items()} == {
        TIME: OPENS.tobytes(), "a": a.tobytes(), "b": b.tobytes(),
    }  # fmt: skip
    carried = cache.read_states(PLACE, held.states[PLACE][0])
    assert carried is not None
    assert {key: (shape, values.tobytes()) for key, (shape, values) in carried.items()} == {
        "1m/n": ((kept, 0), a.tobytes()), "unit": ((), b.tobytes()), "none": ((), b""),
    }  # fmt: skip


def test_listing_tells_what_is_there(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    cache, other = opened(store), opened(store, "BTC/USDT")
    later = PLACE._replace(chain="d" * 32)
    cache.write_columns(PLACE, OPENS, {"a": np.zeros(7), "b": np.ones(7)})
    cache.write_columns(PLACE, OPENS, {"c": np.zeros(7)})
    cache.write_columns(later, OPENS, {"a": np.zeros(7)})
    held = opened(store).held()
    assert {place: {frozenset(s.members) for s in stored} for place, stored in held.columns.items()} == {
        PLACE: {frozenset("ab"), frozenset("c")},
        later: {frozenset("a")},
    }
    assert not held.states
    assert not other.held().columns


def test_writing_twice_leaves_one_object() -> None:
    store = MemoryStore()
    for _ in range(2):
        opened(store).write_columns(PLACE, OPENS, {"a": np.zeros(7)})
    assert len(opened(store).held().columns[PLACE]) == 1


@pytest.mark.parametrize("damage", ["torn", "empty", "foreign", "gone"])
def test_damaged_object_is_absent_and_removed(damage: str) -> None:
    store = MemoryStore()
    cache = opened(store)
    cache.write_columns(PLACE, OPENS, {"a": np.zeros(7)})
    (stored,) = cache.held().columns[PLACE]
    body = store.objects.pop(stored.key)
    if damage != "gone":
        store.objects[stored.key] = {"torn": body[:-9], "empty": b"", "foreign": b"\0" * len(body)}[damage]
    assert cache.read_columns(PLACE, [stored], ["a"]) is None
    assert not cache.held().columns


def test_object_of_another_tile_is_refused_though_it_is_whole() -> None:
    store, elsewhere = MemoryStore(), PLACE._replace(chain="d" * 32)
    cache = opened(store)
    cache.write_columns(elsewhere, OPENS, {"a": np.ones(7)})
    (stored,) = cache.held().columns[elsewhere]
    store.objects = {key.replace("d" * 32, "c" * 32): body for key, body in store.objects.items()}
    (moved,) = cache.held().columns[PLACE]
    assert moved.key != stored.key
    assert cache.read_columns(PLACE, [moved], ["a"]) is None
    assert not cache.held().columns


@pytest.mark.parametrize("is_gone", [True, False])
def test_columns_of_an_unknown_set_do_not_count_until_they_are_written_again(is_gone: bool) -> None:
    store = MemoryStore()
    opened(store).write_columns(PLACE, OPENS, {"a": np.zeros(7)})
    (words,) = (key for key in store.objects if key.startswith("features/sets/"))
    if is_gone:
        del store.objects[words]
    else:
        store.objects[words] = b'["b"]'
    cache = opened(store)
    assert not cache.held().columns
    cache.write_columns(PLACE, OPENS, {"a": np.zeros(7)})
    assert [s.members for s in opened(store).held().columns[PLACE]] == [frozenset("a")]


def test_pruning_leaves_what_counts_and_what_is_not_ours() -> None:
    store = MemoryStore()
    cache, stale = opened(store), PLACE._replace(chain="d" * 32)
    store.put_if_absent("features/venue=binance/timeframe=1m/symbol=BTC-USDT_USDT/notes.txt", b"mine")
    for place in (PLACE, stale):
        cache.write_columns(place, OPENS, {"a": np.zeros(7)})
        cache.write_states(place, ["a"], {"unit": ((), np.ones(1))})
    assert cache.prune({PLACE.start_ms: PLACE.chain}) == 2
    held = cache.held()
    assert [*held.columns] == [*held.states] == [PLACE]
    assert any(key.endswith("notes.txt") for key in store.objects)
