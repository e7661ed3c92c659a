"""Walk-forward layouts."""

from __future__ import annotations

from itertools import pairwise

import pytest

from heliograph.config.settings import FoldSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.windows.folds import walk_forward

HOUR = timeframes.parse("1h")


def folds(bars: int, settings: FoldSettings, horizon: int = 24) -> tuple[object, ...]:
    return walk_forward(0, (bars - 1) * HOUR.ms, HOUR, settings, longest_horizon_bars=horizon)


def test_test_slices_follow_each_other_and_end_with_the_history() -> None:
    made = folds(20_000, FoldSettings())
    assert [f.index for f in made] == [0, 1, 2]
    assert made[-1].test[1] == 20_000 * HOUR.ms
    assert all(a.test[1] == b.test[0] for a, b in pairwise(made))
    assert all(a.train[0] == 0 and a.train[1] < b.train[1] for a, b in pairwise(made))


def test_short_history_says_how_many_bars_it_takes_and_that_many_suffice() -> None:
    settings = FoldSettings(count=2, test_bars=100, embargo_bars=6)
    with pytest.raises(ConfigError, match=r"need (\d+) bars and there are 300") as caught:
        folds(300, settings)
    needed = int(str(caught.value).split("need ")[1].split()[0])
    first = folds(needed, settings)[0]
    assert first.train[1] - first.train[0] >= 24 * HOUR.ms
    assert first.validation[1] - first.validation[0] >= 24 * HOUR.ms
    with pytest.raises(ConfigError):
        folds(needed - 1, settings)


def test_monthly_bars_are_refused() -> None:
    with pytest.raises(ConfigError, match="equal length"):
        walk_forward(0, 10**13, timeframes.parse("1M"), FoldSettings(), longest_horizon_bars=1)
