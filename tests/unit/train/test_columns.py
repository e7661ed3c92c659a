"""Features out of the cache: nothing twice, and bit for bit what computing them afresh gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import HOUR_MS, START_MS, market

from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.timeframe import parse
from heliograph.features import tiles
from heliograph.features.declare import Feature
from heliograph.features.featurizer import Featurizer
from heliograph.features.graph import Series, source
from heliograph.features.market import BAR_RETURN, CLOSE, SIGMA, TRUE_RANGE
from heliograph.testing.memory import MemoryStore
from heliograph.train import columns
from heliograph.train.columns import History, Work

HOUR = parse("1h")
BARS = 64


@pytest.fixture(autouse=True)
def short_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_BARS", BARS)
    monkeypatch.setattr(columns, "STRETCH_TILES", 2)


def feature(name: str, of: Series, timeframe: str = "") -> Feature:
    return Feature(
        name=name, family="own", unit="ratio", source="test", of=of, low=-10.0, high=10.0, timeframe=timeframe
    )


MOVE = feature("move", CLOSE / CLOSE.lag(3))
RISK = feature("risk", TRUE_RANGE / CLOSE / SIGMA)
FAR = feature("far", CLOSE / CLOSE.lag(40))
HIGHER = feature("risk_4h", TRUE_RANGE / CLOSE / SIGMA, "4h")
RATE = feature("rate", BAR_RETURN + source("rate").lag(2))
ALL = (MOVE, RISK, FAR, HIGHER)


def past(candles: Candles, *, rate: float | None = None) -> History:
    ts = candles.open_ts_ms

    def others(bars: Candles) -> dict[str, np.ndarray]:
        return {} if rate is None else {"rate": rate * np.sin(bars.open_ts_ms / 7e7)}

    end_ms = int(ts[-1]) + 1 if len(candles) else 0
    return History(
        "binance", "BTC/USDT", HOUR, int(ts[0]) if len(candles) else 0, end_ms, candles.between, others=others
    )


def fresh(candles: Candles, features: Sequence[Feature], *, rate: float | None = None) -> np.ndarray:
    return Featurizer(features, HOUR).advance(candles, past(candles, rate=rate).others(candles))


def assert_fresh(
    store: MemoryStore, candles: Candles, features: Sequence[Feature], *, rate: float | None = None
) -> None:
    found = columns.table(store, past(candles, rate=rate), features, close_delay_ms=5)
    np.testing.assert_array_equal(found.values, fresh(candles, features, rate=rate))
    np.testing.assert_array_equal(found.open_ts_ms, candles.open_ts_ms)
    np.testing.assert_array_equal(found.known_ts_ms, candles.open_ts_ms + HOUR_MS + 5)
    assert found.names == tuple(f.name for f in features)


def counts(work: Work) -> tuple[int, int]:
    return work.computed, work.reused


def tiles_of(candles: Candles) -> list[Candles]:
    return [part for _, part in tiles.cut(candles, HOUR)]


def test_second_run_computes_nothing() -> None:
    store, candles = MemoryStore(), market(300, missing=0.1)
    num = len(tiles_of(candles))
    assert num > 3
    assert columns.fill(store, past(candles), ALL) == Work(num, len(candles), 4 * num, 0)
    before = dict(store.objects)
    assert counts(columns.fill(store, past(candles), ALL)) == (0, 4 * num)
    assert store.objects == before
    assert_fresh(store, candles, ALL)
    assert store.objects == before


def test_new_day_computes_only_the_newest_tiles() -> None:
    store, candles = MemoryStore(), market(300)
    columns.fill(store, past(candles.take(slice(0, 200))), ALL)
    old, new = tiles_of(candles.take(slice(0, 200))), tiles_of(candles)
    is_same = [len(a) == len(b) for a, b in zip(old, new, strict=False)]
    news = len(new) - sum(is_same)
    assert 2 <= news < len(new)
    assert counts(columns.fill(store, past(candles), ALL)) == (4 * news, 4 * (len(new) - news))
    assert_fresh(store, candles, ALL)


def test_changed_feature_is_computed_alone() -> None:
    store, candles = MemoryStore(), market(300)
    columns.fill(store, past(candles), ALL)
    num = len(tiles_of(candles))
    changed = (MOVE, feature("risk", TRUE_RANGE / CLOSE / SIGMA.lag(1)), FAR, HIGHER)
    assert counts(columns.fill(store, past(candles), changed)) == (num, 3 * num)
    assert_fresh(store, candles, changed)
    assert counts(columns.fill(store, past(candles), changed)) == (0, 4 * num)
    assert counts(columns.fill(store, past(candles), ALL)) == (0, 4 * num)


def test_new_name_or_order_computes_nothing() -> None:
    store, candles = MemoryStore(), market(300)
    columns.fill(store, past(candles), ALL)
    renamed = (HIGHER, replace(MOVE, name="pace"), FAR)
    assert counts(columns.fill(store, past(candles), renamed))[0] == 0
    assert_fresh(store, candles, renamed)


def test_features_that_came_at_different_times_go_on_together() -> None:
    store, candles = MemoryStore(), market(300)
    half = candles.take(slice(0, 200))
    for features in ((MOVE, HIGHER), (FAR,), (FAR, RISK)):
        columns.fill(store, past(half), features)
    num, old = len(tiles_of(candles)), len(tiles_of(half))
    news = num - old + 1
    assert counts(columns.fill(store, past(candles), ALL)) == (4 * news, 4 * (num - news))
    assert_fresh(store, candles, ALL)


def test_revised_candle_recomputes_its_tile_and_those_after_it() -> None:
    store, candles = MemoryStore(), market(300)
    columns.fill(store, past(candles), ALL)
    revised = replace(candles, close=candles.close.copy())
    revised.close[150] *= 1.001
    num = len(tiles_of(candles))
    hit = next(t for t, part in enumerate(tiles_of(candles)) if candles.open_ts_ms[150] in part.open_ts_ms)
    assert 0 < hit < num - 1
    assert counts(columns.fill(store, past(revised), ALL)) == (4 * (num - hit), 4 * hit)
    assert_fresh(store, revised, ALL)


def test_another_input_recomputes_only_what_reads_it() -> None:
    store, candles = MemoryStore(), market(300)
    features = (*ALL, RATE)
    columns.fill(store, past(candles, rate=1.0), features)
    num = len(tiles_of(candles))
    assert counts(columns.fill(store, past(candles, rate=2.0), features)) == (num, 4 * num)
    assert_fresh(store, candles, features, rate=2.0)
    assert counts(columns.fill(store, past(candles), ALL)) == (0, 4 * num)


def test_input_that_is_not_given_is_named() -> None:
    with pytest.raises(ConfigError, match="reads rate"):
        columns.fill(MemoryStore(), past(market(100)), (MOVE, RATE))


def test_pruning_keeps_one_name_a_tile() -> None:
    store, candles = MemoryStore(), market(300)
    for end in range(100, 301, 10):
        columns.fill(store, past(candles.take(slice(0, end))), ALL)
    found = Counter(key.split("/")[4] for key in store.objects if key.endswith(".parquet"))
    assert set(found.values()) == {1}
    assert len(found) == len(tiles_of(candles))


@given(st.data())
@settings(max_examples=25)
def test_any_appends_deletions_and_damage_give_what_computing_afresh_gives(data: st.DataObject) -> None:
    """The cache is only ever a cache: whatever is taken from it or torn in it, values stay the same."""
    store, candles = MemoryStore(), market(400, seed=data.draw(st.integers(0, 99)), missing=0.2)
    ends = sorted(data.draw(st.sets(st.integers(1, len(candles)), min_size=1, max_size=4)))
    for _, end in pairwise([0, *ends]):
        features = data.draw(st.lists(st.sampled_from((*ALL, RATE)), min_size=1, unique_by=lambda f: f.name))
        part = candles.take(slice(0, end))
        if data.draw(st.booleans()):
            columns.fill(store, past(part, rate=1.0), features, prune=data.draw(st.booleans()))
            assert columns.fill(store, past(part, rate=1.0), features).computed == 0
        keys = sorted(store.objects)
        for key in data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=6)) if keys else []:
            if data.draw(st.booleans()):
                del store.objects[key]
            else:
                store.objects[key] = store.objects[key][:-1] + b"?"
        assert_fresh(store, part, features, rate=1.0)
        assert columns.fill(store, past(part, rate=1.0), features).computed == 0


def test_torn_column_is_computed_again_and_nothing_else_is() -> None:
    store, candles = MemoryStore(), market(300)
    columns.fill(store, past(candles), ALL)
    torn = sorted(key for key in store.objects if key.endswith(".parquet"))[3]
    store.objects[torn] = store.objects[torn][:100]
    found = columns.table(store, past(candles), ALL)
    np.testing.assert_array_equal(found.values, fresh(candles, ALL))
    assert len(store.objects[torn]) > 100


def test_state_of_another_release_is_dropped_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, candles = MemoryStore(), market(300)
    with monkeypatch.context() as older:
        older.setattr(tiles, "described", lambda *_: {"nothing": ((), np.zeros(1))})
        columns.fill(store, past(candles.take(slice(0, 200))), ALL)
    assert_fresh(store, candles, ALL)


def test_two_runs_side_by_side_do_no_harm() -> None:
    """One run is overtaken by another in the middle, which also prunes."""
    store, candles = MemoryStore(), market(300)
    slow = columns.stream(store, past(candles.take(slice(0, 250))), ALL)
    values = [next(slow).values]
    columns.fill(store, past(candles), ALL)
    values += [part.values for part in slow]
    np.testing.assert_array_equal(np.concatenate(values), fresh(candles, ALL)[:250])
    assert_fresh(store, candles, ALL)


def test_stream_holds_one_tile_of_features_and_a_stretch_of_candles() -> None:
    asked: list[int] = []
    candles = market(1_000)
    whole = past(candles)

    def spied(start_ms: int, end_ms: int) -> Candles:
        found = candles.between(start_ms, end_ms)
        asked.append(len(found))
        return found

    for part in columns.stream(MemoryStore(), replace(whole, candles=spied), ALL):
        assert len(part) <= BARS
    assert max(asked) <= 2 * BARS


def test_market_without_candles_has_no_tiles() -> None:
    store = MemoryStore()
    assert columns.fill(store, past(Candles.empty()), ALL) == Work(0, 0, 0, 0)
    assert columns.table(store, past(Candles.empty()), ALL).values.shape == (0, 4)
    assert not store.objects


def test_market_younger_than_a_tile_is_one_tile() -> None:
    store, candles = MemoryStore(), market(10)
    assert START_MS % (BARS * HOUR_MS) < (BARS - 10) * HOUR_MS
    assert counts(columns.fill(store, past(candles), ALL)) == (4, 0)
    assert_fresh(store, candles, ALL)
