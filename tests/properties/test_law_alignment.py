"""Higher timeframes: the plain definition, however the bars are cut, saved and loaded, and nothing before its close."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core import calendars
from heliograph.core.market import Candles
from heliograph.core.resample import resample as exact_resample
from heliograph.core.timeframe import DAY_MS, TIMEFRAMES, Timeframe
from heliograph.features.align import Cascade, Higher, closes, is_nested, known_counts, known_ts_ms

COLUMNS = ("open_ts_ms", "open", "high", "low", "close", "volume")
VENUES = ("binance", "gate", "htx")  # Monday weeks of UTC days, Thursday weeks, days of UTC+8
FIRST_MS, LAST_MS = 1_514_764_800_000, 1_767_225_600_000  # 2018 to 2026, with two leap days
GAPS = np.array([1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 16, 61, 250])  # in base bars; the last ones swallow whole middle bars


@dataclass(frozen=True)
class Case:
    """Base bars of one venue and all timeframes that they divide; volumes are eighths, whose sums are exact."""

    candles: Candles
    base: Timeframe
    targets: tuple[Timeframe, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    venue = draw(st.sampled_from(VENUES))
    base = calendars.grid(venue, draw(st.sampled_from(["1m", "3m", "5m", "15m", "1h", "2h", "4h", "1d"])))
    grids = [calendars.grid(venue, name) for name in TIMEFRAMES]
    n = draw(st.integers(1, 250))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gaps = GAPS if draw(st.booleans()) else np.array([1])
    start = base.floor(draw(st.integers(FIRST_MS, LAST_MS)))
    ts = start + base.ms * (np.cumsum(rng.choice(gaps, n)) - 1)
    o, h, low, c = (np.round(rng.normal(100, 3, n), 2) for _ in range(4))
    candles = Candles(
        ts, o, np.maximum.reduce([o, h, c]), np.minimum.reduce([o, low, c]), c, rng.integers(0, 99, n) / 8
    )
    return Case(candles, base, tuple(grid for grid in grids if is_nested(base, grid)))


def plainly(case: Case, target: Timeframe) -> Higher:
    """The definition, bar by bar, with the calendar of Python's datetime."""
    c = case.candles
    base_closes = [case.base.close_ms(ts) for ts in c.open_ts_ms.tolist()]
    members: dict[int, list[int]] = {}
    for i, ts in enumerate(c.open_ts_ms.tolist()):
        members.setdefault(target.floor(ts), []).append(i)
    rows, bars, counts = [], [], []
    for opened, those in members.items():
        reached = [i for i, close_ms in enumerate(base_closes) if close_ms >= target.close_ms(opened)]
        if reached:
            high, low = max(c.high[those]), min(c.low[those])
            bars.append([opened, c.open[those[0]], high, low, c.close[those[-1]], sum(c.volume[those])])
            counts.append(len(those))
            rows.append(reached[0])
    pointer = [sum(row <= i for row in rows) for i in range(len(c))]
    return Higher(Candles.of(bars), np.array(counts, int), np.array(rows, int), np.array(pointer, int))


def assert_same(found: Higher, expected: Higher) -> None:
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(found.candles, column), getattr(expected.candles, column), column)
    for field in fields(Higher)[1:]:
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), field.name)


@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_every_timeframe_of_every_calendar_is_the_plain_definition(case: Case) -> None:
    found = Cascade(case.base, case.targets).advance(case.candles)
    assert list(found) == [target.name for target in case.targets]
    for target in case.targets:
        assert_same(found[target.name], plainly(case, target))


@settings(max_examples=30, deadline=None)
@given(case=cases(), cuts=st.lists(st.integers(0, 250), max_size=8), one_by_one=st.booleans(), seed=st.integers(0, 99))
def test_any_cut_saved_and_loaded_gives_the_bars_of_one_call(
    case: Case, cuts: list[int], one_by_one: bool, seed: int
) -> None:
    n = len(case.candles)
    volumes = np.random.default_rng(seed).lognormal(2, 2, n)  # sums of these depend on their order
    candles = Candles(*(getattr(case.candles, column) for column in COLUMNS[:5]), volumes)
    whole = Cascade(case.base, case.targets).advance(candles)
    edges = list(range(n + 1)) if one_by_one else sorted({0, n, *(cut for cut in cuts if cut < n)})
    run = Cascade(case.base, case.targets)
    parts: dict[str, list[Higher]] = {target.name: [] for target in case.targets}
    for start, end in itertools.pairwise(edges):
        carried, run = run.save(), Cascade(case.base, case.targets)
        run.load({name: values.copy() for name, values in carried.items()})
        done = {name: sum(len(part.candles) for part in those) for name, those in parts.items()}
        for name, part in run.advance(candles.take(slice(start, end))).items():
            moved = Higher(part.candles, part.num_bars, part.rows + start, part.pointer + done[name])
            parts[name].append(moved)
    for name, those in parts.items():
        assert_same(joined(those), whole[name])


def joined(parts: list[Higher]) -> Higher:
    rows = [np.concatenate([getattr(part.candles, column) for part in parts]) for column in COLUMNS]
    rest = [np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Higher)[1:]]
    return Higher(Candles(*rows), *rest)


@settings(max_examples=40, deadline=None)
@given(case=cases(), data=st.data())
def test_bars_of_a_timeframe_are_the_same_whatever_else_is_asked_for(case: Case, data: st.DataObject) -> None:
    candles = Candles(*(getattr(case.candles, column) for column in COLUMNS[:5]), case.candles.close / 3)
    every = Cascade(case.base, case.targets).advance(candles)
    chosen = data.draw(st.permutations(case.targets).map(lambda those: those[: max(1, len(those) // 3)]))
    alone = Cascade(case.base, chosen).advance(candles)
    for target in chosen:
        assert_same(alone[target.name], every[target.name])


@settings(max_examples=40, deadline=None)
@given(case=cases(), data=st.data())
def test_what_comes_later_changes_nothing_that_was_known(case: Case, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(case.candles)))
    before = Cascade(case.base, case.targets).advance(case.candles.take(slice(cut)))
    whole = Cascade(case.base, case.targets).advance(case.candles)
    for name, found in before.items():
        m = len(found.candles)
        assert m == (whole[name].pointer[cut - 1] if cut else 0)
        seen = whole[name]
        cut_off = Higher(seen.candles.take(slice(m)), seen.num_bars[:m], seen.rows[:m], seen.pointer[:cut])
        assert_same(found, cut_off)


@settings(max_examples=30, deadline=None)
@given(case=cases(), delay_ms=st.integers(0, 3 * DAY_MS))
def test_higher_bar_counts_only_after_its_close_and_the_delay(case: Case, delay_ms: int) -> None:
    row_known_ms = closes(case.base, case.candles.open_ts_ms) + delay_ms
    for target in case.targets:
        found = Cascade(case.base, [target]).advance(case.candles)[target.name]
        known = known_ts_ms(case.base, case.candles, found, close_delay_ms=delay_ms)
        at_best = closes(target, found.candles.open_ts_ms) + delay_ms
        assert (known >= at_best).all()
        # the base bar that closes it is the first that reaches so far: at the row before, it was not closed
        assert (row_known_ms[found.rows[found.rows > 0] - 1] < at_best[found.rows > 0]).all()
        np.testing.assert_array_equal(known_counts(known, row_known_ms), found.pointer)


@settings(max_examples=100, deadline=None)
@given(known=st.lists(st.integers(0, 60)), at=st.lists(st.integers(0, 60)))
def test_known_counts_are_those_of_a_search(known: list[int], at: list[int]) -> None:
    known_M, at_N = np.array(sorted(known), dtype=np.int64), np.array(sorted(at), dtype=np.int64)
    np.testing.assert_array_equal(known_counts(known_M, at_N), np.searchsorted(known_M, at_N, side="right"))


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_stored_frames_and_the_cascade_mean_the_same_bars(case: Case) -> None:
    """`core.resample` adds decimals exactly and keeps the bar that is not closed yet; the cascade carries state."""
    for target in case.targets:
        found = Cascade(case.base, [target]).advance(case.candles)[target.name].candles
        exact = exact_resample(case.candles, target)
        assert len(exact) - len(found) in (0, 1)
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(found, column), getattr(exact, column)[: len(found)], column)
