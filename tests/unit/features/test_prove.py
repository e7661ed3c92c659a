"""The prover finds what reads the future, names what does it, and leaves sound computations alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import HOUR_MS, START_MS, market

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS
from heliograph.features import leaks, specimen
from heliograph.features.futures import CHANGES, Inputs, Stream, futures
from heliograph.features.prove import UNCHANGED, Violation, cuts, look_ahead, look_ahead_violations
from heliograph.features.table import FeatureTable, compute

SETTINGS = FeatureSettings()
HOUR = timeframes.parse("1h")


def violations(compute, inputs: Inputs, *, num_cuts: int = 9, **options) -> list[Violation]:
    moments = cuts(next(iter(inputs.values())), num_cuts)
    return [v for cut in look_ahead(compute, inputs, moments, **options) for v in cut]


def table(stream: Stream, values: np.ndarray) -> FeatureTable:
    return FeatureTable(stream.of_ts_ms, stream.known_ts_ms, ("value",), values[:, None])


def a_market(bars: int = 300) -> Inputs:
    return {"candles": Stream.of_candles(specimen.market(bars, HOUR), HOUR)}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("leak", leaks.LEAKS, ids=lambda leak: leak.name)
def test_planted_leak_is_found_and_its_sound_twin_is_not_flagged(leak: leaks.Leak, seed: int) -> None:
    assert leaks.judge(leak, seed=seed) == leaks.Verdict(leak.name, is_found=True, is_twin_flagged=False)


def test_ten_kinds_of_leak_are_planted() -> None:
    assert len({leak.name for leak in leaks.LEAKS}) == 10


@pytest.mark.parametrize("leak", leaks.LEAKS, ids=lambda leak: leak.name)
def test_leak_and_twin_answer_the_same_rows(leak: leaks.Leak) -> None:
    """Else the prover might find the rows and not the mistake."""
    inputs = leak.inputs(1)
    np.testing.assert_array_equal(leak.leaky(inputs).open_ts_ms, leak.clean(inputs).open_ts_ms)


@pytest.mark.parametrize(
    ("name", "culprit"), [("back-fill", {"funding"}), ("late chain data", {"inflow"}), ("global PCA", {*leaks.SYMBOLS})]
)
def test_the_input_that_leaks_is_named(name: str, culprit: set[str]) -> None:
    leak = next(leak for leak in leaks.LEAKS if leak.name == name)
    found = violations(leak.leaky, leak.inputs(1), num_cuts=3)
    assert found
    assert {one for v in found for one in v.inputs} == culprit


def test_a_violation_is_told_in_a_sentence() -> None:
    found = Violation("rsi", 3, START_MS, START_MS + 4 * HOUR_MS, "changed", ("candles", "funding"))
    assert str(found) == (
        "rsi at row 3 (2018-02-01 00:00:00) changed when what candles, funding told after 2018-02-01 04:00:00 was changed"
    )


def test_computation_that_answers_differently_each_time_is_named() -> None:
    rng = np.random.default_rng(1)
    found = violations(lambda inputs: table(inputs["candles"], rng.random(len(inputs["candles"]))), a_market())
    assert any(v.change == UNCHANGED for v in found)
    assert "differs from run to run" in str(found[0])


def test_computation_that_changes_its_inputs_is_named() -> None:
    def spoil(inputs: Inputs) -> FeatureTable:
        values = inputs["candles"].columns["close"]
        values *= 2
        return table(inputs["candles"], values.copy())

    assert any(v.change == UNCHANGED for v in violations(spoil, a_market()))


def test_tolerance_lets_rounding_pass_and_leaks_not() -> None:
    def rounds(inputs: Inputs) -> FeatureTable:
        close = inputs["candles"].columns["close"]
        return table(inputs["candles"], close * (1 + 1e-14 * len(close)))

    assert violations(rounds, a_market())
    assert violations(rounds, a_market(), rtol=1e-9) == []
    assert violations(leaks.LEAKS[0].leaky, a_market(), rtol=1e-9)


def test_rows_that_exist_only_because_of_later_ones_are_named() -> None:
    def gap_rows(inputs: Inputs) -> FeatureTable:
        """A row for every hour up to the last candle: in a gap, that it goes on is not known yet."""
        ts = inputs["candles"].of_ts_ms
        every = np.arange(ts[0], ts[-1] + HOUR_MS, HOUR_MS)
        return FeatureTable(every, every + HOUR_MS, ("one",), np.ones((every.size, 1)))

    assert {v.column for v in violations(gap_rows, a_market())} == {"rows"}


def test_column_that_comes_and_goes_is_named() -> None:
    def named_by_the_end(inputs: Inputs) -> FeatureTable:
        made = table(inputs["candles"], np.ones(len(inputs["candles"])))
        return replace(made, names=(f"close_{made.open_ts_ms[-1]}",))

    assert {v.column for v in violations(named_by_the_end, a_market())} == {"names"}


@pytest.mark.parametrize("window", [3, 24])
def test_pandas_pipeline_is_proved_too(window: int) -> None:
    pd = pytest.importorskip("pandas")

    def pipeline(inputs: Inputs, *, center: bool) -> FeatureTable:
        candles = inputs["candles"]
        frame = pd.DataFrame(dict(candles.columns), index=candles.of_ts_ms)
        return table(candles, frame["close"].rolling(window, center=center).max().to_numpy())

    assert violations(lambda inputs: pipeline(inputs, center=True), a_market())
    assert violations(lambda inputs: pipeline(inputs, center=False), a_market()) == []


def test_leak_that_only_another_order_of_size_shows_is_found() -> None:
    """Whether the highest high of the whole history is ten times the close: small changes leave it alone."""

    def is_far_below_the_top(inputs: Inputs) -> FeatureTable:
        columns = inputs["candles"].columns
        return table(inputs["candles"], (columns["high"].max() > 10 * columns["close"]).astype(np.float64))

    assert {v.change for v in violations(is_far_below_the_top, a_market())} == {"raised"}


# --- other futures


@cache
def streams() -> dict[str, Stream]:
    candles = specimen.market(200, HOUR)
    return {
        "candles": Stream.of_candles(candles, HOUR, close_delay_ms=1_500),
        "revised": specimen.revised(candles, HOUR),
        "chain": specimen.events(candles.open_ts_ms[::3], "chain"),
        "empty": specimen.events(candles.open_ts_ms[:0], "empty"),
    }


def rows(stream: Stream) -> list[tuple[float, ...]]:
    return list(zip(stream.of_ts_ms, stream.known_ts_ms, *stream.columns.values(), strict=True))


@settings(max_examples=40)
@given(data=st.data())
def test_every_other_future_has_the_same_past(data: st.DataObject) -> None:
    inputs = streams()
    cut_ms = data.draw(st.integers(START_MS - 6 * DAY_MS, START_MS + 10 * DAY_MS))
    for told, made in futures(inputs, cut_ms, seed=data.draw(st.integers(0, 99))):
        assert told in CHANGES
        for name, stream in inputs.items():
            past, theirs = (s.take(s.known_ts_ms <= cut_ms) for s in (stream, made[name]))
            assert rows(theirs) == rows(past)


@given(cut=st.integers(1, 170))
def test_every_other_future_of_candles_is_one_that_a_venue_could_send(cut: int) -> None:
    stream = streams()["candles"]
    for _, made in futures({"candles": stream}, int(stream.known_ts_ms[min(cut, len(stream) - 1)]), seed=cut):
        candles = made["candles"].candles()
        candles.require_sound(HOUR)
        assert (candles.low <= np.minimum(candles.open, candles.close)).all()
        assert (candles.high >= np.maximum(candles.open, candles.close)).all()
        assert ((candles.close > 0) & (candles.volume >= 0)).all()


def test_each_change_but_the_first_leaves_a_future() -> None:
    stream = streams()["candles"]
    cut_ms = int(stream.known_ts_ms[100])
    sizes = {told: len(made["candles"]) for told, made in futures({"candles": stream}, cut_ms, seed=1)}
    assert sizes.pop("cut off") == 101
    assert all(size > 101 for size in sizes.values())
    assert sizes["joined by more"] > len(stream)


def test_late_rows_are_told_about_the_past() -> None:
    stream = streams()["chain"]
    cut_ms = int(np.median(stream.known_ts_ms))
    made = dict(futures({"chain": stream}, cut_ms, seed=1))["joined by more"]["chain"]
    is_late = (made.known_ts_ms > cut_ms) & (made.of_ts_ms < stream.of_ts_ms[len(stream) // 4])
    assert is_late.any()


@given(seed=st.integers(0, 10_000))
def test_value_known_at_a_moment_is_that_of_the_newest_event_told_by_then(seed: int) -> None:
    rng = np.random.default_rng(seed)
    of = np.sort(rng.integers(0, 50, 30))
    told = of + rng.integers(0, 20, 30)
    order = np.lexsort((told, of))
    stream = Stream(of[order], told[order], {"x": rng.random(30)}, comes_late=True)
    at = np.arange(-5, 80)
    for moment, value in zip(at.tolist(), stream.known_at(at, "x").tolist(), strict=True):
        known = np.flatnonzero(stream.known_ts_ms <= moment)
        if not known.size:
            assert np.isnan(value)
            continue
        best = max(known.tolist(), key=lambda k: (stream.of_ts_ms[k], stream.known_ts_ms[k], k))
        assert value == stream.columns["x"][best]


# --- where to cut


def test_cuts_lie_at_the_edges_of_days_and_weeks_and_gaps_and_inside_bars() -> None:
    stream = a_market(600)["candles"]
    found = np.array(cuts(stream, 200))
    known = stream.known_ts_ms
    gaps = known[:-1][np.diff(known) > HOUR_MS]
    assert (found % DAY_MS == 0).any()
    assert ((found - timeframes.parse("1w").offset_ms) % (7 * DAY_MS) == 0).any()
    assert np.isin(found, gaps).any()
    assert (found % HOUR_MS != 0).any()
    assert (np.diff(found) > 0).all()


def test_cuts_are_the_same_for_the_same_seed_and_none_for_nothing() -> None:
    stream = a_market()["candles"]
    assert cuts(stream, 7, seed=5) == cuts(stream, 7, seed=5) != cuts(stream, 7, seed=6)
    assert cuts(stream.take(slice(0)), 7) == ()


# --- tables of candles


def with_column(candles: Candles, values: np.ndarray) -> FeatureTable:
    made = compute(candles, SETTINGS)
    return replace(made, names=(*made.names, "planted"), values=np.column_stack([made.values, values]))


def shifted(candles: Candles) -> FeatureTable:
    return with_column(candles, np.append(np.diff(np.log(candles.close)), 0.0))


def unclosed_day(candles: Candles) -> FeatureTable:
    """The day's close, shown from the day's first hour on."""
    day = timeframes.parse("1d").floor_array(candles.open_ts_ms)
    last = np.searchsorted(day, day, side="right") - 1
    return with_column(candles, candles.close[last])


def whole_history_scaled(candles: Candles) -> FeatureTable:
    return with_column(candles, (candles.volume - candles.volume.mean()) / candles.volume.std())


def extra_row(candles: Candles) -> FeatureTable:
    """Rows for missing candles, filled from the next existing one."""
    made = compute(candles, SETTINGS)
    return replace(made, open_ts_ms=np.append(candles.open_ts_ms[1:], candles.open_ts_ms[-1] + HOUR_MS))


@pytest.mark.parametrize("leak", [shifted, unclosed_day, whole_history_scaled])
def test_planted_column_is_named(leak: object) -> None:
    found = look_ahead_violations(leak, market(300, missing=0.05), [40, 100, 200])
    assert found
    assert all(v.startswith("planted at row") for v in found)


def test_rows_that_move_with_the_future_are_named() -> None:
    found = look_ahead_violations(extra_row, market(300, missing=0.2), [40, 100])
    assert found
    assert all(v.startswith("open_ts_ms at row") for v in found)


def test_sound_features_have_no_violation() -> None:
    assert look_ahead_violations(lambda c: compute(c, SETTINGS), market(700, missing=0.05), [0, 5, 300, 600]) == []


def test_row_said_to_be_known_at_its_open_is_named() -> None:
    def early(candles: Candles) -> FeatureTable:
        made = compute(candles, SETTINGS)
        return replace(made, known_ts_ms=made.open_ts_ms)

    assert look_ahead_violations(early, market(300), [40, 100])
