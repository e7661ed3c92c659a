"""Walk-forward layouts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heliograph.config.learning import FoldSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.windows.folds import Fold, walk_forward

HOUR = timeframes.parse("1h")


def folds(bars: int, settings: FoldSettings, horizon: int = 24, overlap: int = 0) -> tuple[Fold, ...]:
    return walk_forward(0, (bars - 1) * HOUR.ms, HOUR, settings, longest_horizon_bars=horizon, overlap_bars=overlap)


def needed(bars: int, settings: FoldSettings) -> int:
    with pytest.raises(ConfigError, match=rf"need (\d+) bars and there are {bars}") as caught:
        folds(bars, settings)
    return int(str(caught.value).split("need ")[1].split()[0])


def test_test_slices_follow_each_other_and_end_with_the_history() -> None:
    made = folds(20_000, FoldSettings())
    assert [f.index for f in made] == [0, 1, 2]
    assert made[-1].test[1] == 20_000 * HOUR.ms
    assert all(a.test[1] == b.test[0] for a, b in pairwise(made))
    assert all(a.train[0] == 0 and a.train[1] < b.train[1] for a, b in pairwise(made))


def test_rolling_folds_see_the_same_length_of_history_and_test_where_expanding_ones_do() -> None:
    rolling = folds(20_000, FoldSettings(rolling_bars=6_000))
    expanding = folds(20_000, FoldSettings())
    assert [f.test for f in rolling] == [f.test for f in expanding]
    assert {(f.validation[1] - f.train[0]) // HOUR.ms for f in rolling} == {6_000}
    assert {(f.train[1] - f.train[0]) for f in rolling} == {rolling[0].train[1] - rolling[0].train[0]}
    assert all(a.train[0] < b.train[0] for a, b in pairwise(rolling))


def test_rolling_over_more_than_there_is_expands() -> None:
    assert folds(20_000, FoldSettings(rolling_bars=10**6)) == folds(20_000, FoldSettings())


@given(
    bars=st.integers(2_000, 20_000),
    horizon=st.integers(1, 200),
    overlap=st.integers(0, 300),
    embargo=st.integers(0, 100),
    rolling=st.none() | st.integers(48, 20_000),
    share=st.floats(0.05, 0.45),
)
def test_every_label_and_its_overlap_is_known_before_the_next_slice_begins(
    bars: int, horizon: int, overlap: int, embargo: int, rolling: int | None, share: float
) -> None:
    settings = FoldSettings(test_bars=300, embargo_bars=embargo, rolling_bars=rolling, validation_fraction=share)
    try:
        made = folds(bars, settings, horizon, overlap)
    except ConfigError:
        assume(False)
    for fold in made:
        for a, b in pairwise((fold.train, fold.validation, fold.test)):
            assert a[0] < a[1]
            last_origin_ms = a[1] - HOUR.ms
            assert last_origin_ms + (horizon + overlap + embargo) * HOUR.ms < b[0]
        assert (fold.train[1] - fold.train[0]) // HOUR.ms >= horizon
        assert (fold.validation[1] - fold.validation[0]) // HOUR.ms >= horizon


def test_short_history_says_how_many_bars_it_takes_and_that_many_suffice() -> None:
    settings = FoldSettings(count=2, test_bars=100, embargo_bars=6)
    enough = needed(300, settings)
    first = folds(enough, settings)[0]
    assert first.train[1] - first.train[0] >= 24 * HOUR.ms
    assert first.validation[1] - first.validation[0] >= 24 * HOUR.ms
    with pytest.raises(ConfigError):
        folds(enough - 1, settings)


def test_rolling_history_that_is_too_short_says_how_long_it_must_be() -> None:
    settings = FoldSettings(count=2, test_bars=100, embargo_bars=6, rolling_bars=100)
    with pytest.raises(ConfigError, match=r"rolling_bars 100 leaves no room to train and validate: (\d+) are needed"):
        folds(5_000, settings)
    enough = settings.model_copy(update={"rolling_bars": 161})
    first = folds(5_000, enough)[0]
    assert (first.train[1] - first.train[0]) // HOUR.ms >= 24
    with pytest.raises(ConfigError):
        folds(5_000, settings.model_copy(update={"rolling_bars": 160}))


def test_monthly_bars_are_refused() -> None:
    with pytest.raises(ConfigError, match="equal length"):
        walk_forward(0, 10**13, timeframes.parse("1M"), FoldSettings(), longest_horizon_bars=1)
