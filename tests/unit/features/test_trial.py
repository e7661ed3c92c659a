"""Features on trial: kernels that break the rules are found, each by name; sound ones pass on made and real candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.features.candles import recorded

from heliograph.core import timeframe as timeframes
from heliograph.features import specimen
from heliograph.features.declare import Feature
from heliograph.features.graph import FloatArray, IntArray, Series, kernel, node, source
from heliograph.features.market import BAR_RETURN, CLOSE, HIGH, LOG_CLOSE, SIGMA, VOLUME
from heliograph.features.trial import Finding, bars_needed, relative_error, try_features

HOUR = timeframes.parse("1h")


def feature(name: str, of: Series) -> Feature:
    return Feature(name=name, family="own", unit="", source="", of=of, low=-10.0, high=10.0)


@kernel
def _looks_ahead(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = x[a + t + 1] / x[a + t]


@kernel
def _reads_too_far(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = x[a + t] / x[a + t - 20]


@kernel
def _counts_calls(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o = at[0] + i
    s[0] += 1.0
    for t in range(n):
        x[o + t] = s[0]


@kernel
def _writes_beyond(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = x[a + t]
    x[o + n] = 0.0


@kernel
def _block_mean(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    """Standardised over whatever bars came together."""
    o, a = at[0] + i, at[1] + i
    mean = 0.0
    for t in range(n):
        mean += x[a + t] / n
    for t in range(n):
        x[o + t] = x[a + t] - mean


AHEAD = feature("ahead", node(_looks_ahead, CLOSE)[0])
TOO_FAR = feature("too_far", node(_reads_too_far, CLOSE, reach=5, warmup=5)[0])
CALLS = feature("calls", node(_counts_calls, CLOSE, states=1)[0])
BEYOND = feature("beyond", node(_writes_beyond, CLOSE)[0])
BLOCK = feature("block", node(_block_mean, CLOSE)[0])
RISE = feature("rise", CLOSE / CLOSE.lag(3) - 1.0)
RISE_TO_RISK = feature("rise_to_risk", (LOG_CLOSE - LOG_CLOSE.lag(24)) / SIGMA)
FLOW = feature("flow", BAR_RETURN * VOLUME)
HIGHER = feature("top", HIGH / CLOSE).on("4h")
FUNDED = feature("funded", source("funding_rate") * 1e4)
SENTIMENT = feature("sentiment", source("my_sentiment") - source("my_sentiment").lag(8))
BETWEEN = feature("between", BAR_RETURN - source("market_return"))
SOUND = (RISE, RISE_TO_RISK, FLOW, HIGHER, FUNDED, SENTIMENT, BETWEEN, RISE.on("8h"))


def findings(features: tuple[Feature, ...], **options: int) -> dict[str, Finding]:
    candles = specimen.market(bars_needed(features, HOUR), HOUR)
    return {found.feature: found for found in try_features(features, candles, HOUR, **options)}


def test_sound_features_pass_beside_broken_ones() -> None:
    found = findings((RISE, AHEAD, RISE_TO_RISK, TOO_FAR), num_cuts=4)
    assert [name for name, one in found.items() if one.is_sound] == ["rise", "rise_to_risk"]


def test_every_kind_of_input_is_on_trial_and_sound_features_pass() -> None:
    found = findings(SOUND, num_cuts=6)
    assert [str(one) for one in found.values() if not one.is_sound] == []
    assert all(one.parity_max_rel_err == 0.0 and one.lookahead_ok for one in found.values())
    assert all(one.num_values > 0 for one in found.values())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (AHEAD, "_looks_ahead reads ahead of its bar"),
        (TOO_FAR, "_reads_too_far reads further back than the 5 bars that it declares as reach"),
        (BEYOND, "_writes_beyond writes outside of the bars that it is asked for"),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_kernel_that_breaks_the_rules_is_named(broken: Feature, said: str) -> None:
    found = findings((broken,), num_cuts=2)[broken.name]
    assert not found.is_sound
    assert said in found.told


def test_kernel_that_reads_ahead_breaks_look_ahead_too() -> None:
    found = findings((AHEAD,))["ahead"]
    assert not found.lookahead_ok
    assert "changed when what candles told after" in found.told[0]


@pytest.mark.parametrize("broken", [CALLS, BLOCK], ids=lambda f: f.name)
def test_value_that_depends_on_how_bars_are_cut_breaks_parity(broken: Feature) -> None:
    found = findings((broken,), num_cuts=2)[broken.name]
    assert found.parity_max_rel_err > 1e-3
    assert any("batch, tiles and single bars differ" in sentence for sentence in found.told)


def test_fault_of_a_kernel_is_told_of_every_feature_above_it() -> None:
    above = feature("above", AHEAD.of * 2.0 + 1.0)
    assert "_looks_ahead reads ahead of its bar" in findings((above, RISE), num_cuts=2)["above"].told


def test_leak_that_the_feature_s_range_would_hide_is_found() -> None:
    """Every value lies beyond the range: cut to it, the column never changes."""
    hidden = Feature(
        name="hidden", family="own", unit="", source="", of=node(_looks_ahead, CLOSE)[0] + 50.0, low=0.0, high=1.0
    )
    assert not findings((hidden,))["hidden"].lookahead_ok


def test_feature_without_a_value_proves_nothing() -> None:
    late = feature("late", CLOSE / CLOSE.lag(500))
    (found,) = try_features((late,), specimen.market(200, HOUR), HOUR, num_cuts=2)
    assert found.num_values == 0


def test_bars_suffice_for_the_slowest_feature() -> None:
    assert bars_needed((RISE,), HOUR) < 500
    assert bars_needed((RISE_TO_RISK.on("1d"),), HOUR) > 24 * RISE_TO_RISK.lookback_bars


def test_findings_of_two_markets_keep_the_worse() -> None:
    a = Finding("x", 1e-3, True, 5, ("one",))
    b = Finding("x", 0.0, False, 7, ("one", "two"))
    assert (a | b) == Finding("x", 1e-3, False, 12, ("one", "two"))


def test_relative_error_counts_a_missing_value_as_two() -> None:
    a = np.array([[1.0, np.nan, 0.0, np.inf], [2.0, 1.0, 0.0, 1.0]])
    b = np.array([[1.0, np.nan, 0.0, np.inf], [2.2, np.nan, -1e-9, np.inf]])
    np.testing.assert_allclose(relative_error(a, b), [0.2 / 2.2, 2.0, 1.0, 2.0])


def test_progress_ascends_to_the_end() -> None:
    told: list[float] = []
    candles = specimen.market(300, HOUR)
    try_features((RISE,), candles, HOUR, num_cuts=3, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_sound_features_pass_on_recorded_candles(shared_data: Path) -> None:
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(600, 2_000))  # the outage of February 2018
    assert np.diff(candles.open_ts_ms).max() > 30 * HOUR.ms
    found = try_features(SOUND, candles, HOUR, num_cuts=4)
    assert [str(one) for one in found if not one.is_sound] == []
