"""What users' tests import: sentences on what is wrong, none where nothing is."""

from __future__ import annotations

import numpy as np

from heliograph.features import leaks
from heliograph.features.declare import Feature
from heliograph.features.graph import FloatArray, IntArray, kernel, node
from heliograph.features.market import CLOSE
from heliograph.testing.prove import faults, look_ahead_faults, market


@kernel
def _peeks(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = x[a + t + 1] / x[a + t]


def feature(name: str, of) -> Feature:
    return Feature(name=name, family="own", unit="", source="", of=of, low=0.0, high=10.0)


def test_sound_feature_has_no_fault() -> None:
    assert faults([feature("rise", CLOSE / CLOSE.lag(3))]) == []


def test_fault_carries_the_feature_s_name() -> None:
    told = faults([feature("rise", CLOSE / CLOSE.lag(3)), feature("peek", node(_peeks, CLOSE)[0])])
    assert "peek: _peeks reads ahead of its bar" in told
    assert all(sentence.startswith("peek: ") for sentence in told)


def test_feature_without_a_value_is_a_fault() -> None:
    candles = market(100)["candles"].candles()
    assert faults([feature("late", CLOSE / CLOSE.lag(300))], candles) == [
        f"late: no value in {len(candles)} bars: nothing is proved"
    ]


def test_pipelines_of_any_make_are_proved() -> None:
    shifted = leaks.LEAKS[0]
    assert look_ahead_faults(shifted.leaky, market())
    assert look_ahead_faults(shifted.clean, market()) == []


def test_made_market_has_gaps_stillness_and_a_print_at_almost_nothing() -> None:
    candles = market(600)["candles"].candles()
    assert np.diff(candles.open_ts_ms).max() > 20 * 3_600_000
    assert (candles.volume == 0).any()
    assert (candles.low < candles.close * 1e-3).any()
