"""Tiles: named by content, planned without waste, and what is carried over fits whoever goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.features.candles import HOUR_MS, market

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import parse
from heliograph.features import tiles
from heliograph.features.declare import Feature
from heliograph.features.featurizer import Featurizer
from heliograph.features.graph import Series
from heliograph.features.market import BAR_RETURN, CLOSE, SIGMA, TRUE_RANGE

HOUR = parse("1h")
KEYS = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def short_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_BARS", 32)


def feature(name: str, of: Series, timeframe: str = "") -> Feature:
    return Feature(
        name=name, family="own", unit="ratio", source="test", of=of, low=-10.0, high=10.0, timeframe=timeframe
    )


def chains(candles: Candles, *, name: str = "x") -> list[str]:
    return [tile.chain for tile in tiles.chained(name, HOUR, ((at, c, {}) for at, c in tiles.cut(candles, HOUR)))]


@given(st.integers(1, 200), st.sampled_from([0.0, 0.3, 0.95]))
def test_tiles_hold_every_candle_once_on_a_fixed_grid(n: int, missing: float) -> None:
    candles = market(n, missing=missing)
    parts = list(tiles.cut(candles, HOUR))
    np.testing.assert_array_equal(np.concatenate([np.empty(0), *(c.open_ts_ms for _, c in parts)]), candles.open_ts_ms)
    for start_ms, part in parts:
        assert start_ms % (32 * HOUR_MS) == 0
        assert len(part) > 0
        assert {tiles.start_of(HOUR, int(ts)) for ts in part.open_ts_ms} == {start_ms}


def test_append_renames_only_the_newest_tile() -> None:
    candles = market(150)
    before, after = chains(candles.take(slice(0, 140))), chains(candles)
    assert before[:-1] == after[: len(before) - 1]
    assert before[-1] != after[len(before) - 1]


@given(st.integers(0, 149), st.sampled_from(["open", "high", "low", "close", "volume"]))
def test_revised_candle_renames_its_tile_and_those_after_it(row: int, column: str) -> None:
    candles = market(150)
    revised = replace(candles, **{column: getattr(candles, column).copy()})
    getattr(revised, column)[row] = np.nextafter(getattr(revised, column)[row], np.inf)
    tile = next(t for t, (_, c) in enumerate(tiles.cut(candles, HOUR)) if candles.open_ts_ms[row] in c.open_ts_ms)
    is_same = [a == b for a, b in zip(chains(candles), chains(revised), strict=True)]
    assert is_same == [t < tile for t in range(len(is_same))]


def test_no_two_markets_share_a_name() -> None:
    assert not set(chains(market(150), name="x")) & set(chains(market(150), name="y"))


def test_other_input_renames_only_what_reads_it() -> None:
    candles = market(60)

    def named(rate: float) -> list[tiles.Tile]:
        parts = ((at, c, {"rate": np.full(len(c), rate)}) for at, c in tiles.cut(candles, HOUR))
        return list(tiles.chained("x", HOUR, parts))

    for one, other in zip(named(1.0), named(2.0), strict=True):
        assert one.chain == other.chain
        assert one.inputs([]) == other.inputs([])
        assert one.inputs(["rate"]) != other.inputs(["rate"])


@given(
    st.integers(0, 8).flatmap(
        lambda n: st.tuples(*(st.lists(st.sets(st.sampled_from(KEYS)), min_size=n, max_size=n) for _ in "cs"))
    ),
    st.integers(0, 8),
)
def test_plan_computes_what_is_missing_and_can_always_begin(
    there: tuple[list[set[str]], list[set[str]]], first: int
) -> None:
    columns, states = there
    todo = tiles.plan(KEYS, columns, states, first=first)
    for t, keys in enumerate(todo):
        assert set(keys) >= (set(KEYS) - columns[t] if t >= first else set())
        for key in keys:
            assert t == 0 or key in states[t - 1] or key in todo[t - 1]
    idle = [key for key in KEYS if all(key in held for held in columns[first:])]
    assert not set(idle) & {key for keys in todo for key in keys}


def test_plan_goes_back_no_further_than_the_newest_state() -> None:
    held = [set(KEYS)] * 5
    assert tiles.plan(KEYS, [*held, set()], [*held, set()]) == [(), (), (), (), (), tuple(KEYS)]
    assert tiles.plan(KEYS, [*held, set()], [set(KEYS), set(KEYS), set(), set(), set(), set()])[:3] == [
        (),
        (),
        tuple(KEYS),
    ]


def test_state_of_some_features_serves_others_that_keep_fewer_bars() -> None:
    candles = market(200, missing=0.1)
    short, long = feature("short", CLOSE / CLOSE.lag(2)), feature("long", CLOSE / CLOSE.lag(30))
    risk, higher = feature("risk", TRUE_RANGE / CLOSE / SIGMA), feature("higher", BAR_RETURN.lag(3), "4h")
    whole = {f.name: Featurizer([f], HOUR).advance(candles)[:, 0] for f in (short, long, risk, higher)}
    found = []
    for features in ((long, risk), (short, higher)):
        done = Featurizer(features, HOUR)
        done.advance(candles.take(slice(0, 100)))
        found.append(tiles.described(features, HOUR, done.save()))
    for wanted in ((short, risk), (higher,), (short, long, risk, higher)):
        going_on = Featurizer(wanted, HOUR)
        going_on.load(tiles.joined(wanted, HOUR, found))
        values = going_on.advance(candles.take(slice(100, 200)))
        for k, f in enumerate(wanted):
            np.testing.assert_array_equal(values[:, k], whole[f.name][100:])


def test_state_with_too_few_bars_is_refused() -> None:
    short, long = feature("short", CLOSE / CLOSE.lag(2)), feature("long", CLOSE / CLOSE.lag(30))
    done = Featurizer([short], HOUR)
    done.advance(market(100))
    with pytest.raises(SchemaMismatch, match="start again"):
        tiles.joined([long], HOUR, [tiles.described([short], HOUR, done.save())])


@pytest.mark.e2e
def test_keys_of_features_are_the_same_in_every_process() -> None:
    """Names in a cache that outlives the process: once, the address of a code object was part of a key."""
    told = "from heliograph.features import catalog; print(*(f.key for f in catalog.BASE))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", told],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
