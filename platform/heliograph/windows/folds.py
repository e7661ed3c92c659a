"""Walk-forward folds: an expanding train slice, a validation slice, a test slice, with purged gaps between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from heliograph.config.settings import FoldSettings
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import Timeframe

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fold:
    """One outer fold. Intervals are half-open, UTC epoch ms, in terms of the origin's ``known_ts_ms``.

    Attributes:
        index: 0 for the oldest.
        train: fits the weights.
        validation: stops the training early and calibrates.
        test: is scored once.
    """

    index: int
    train: Interval
    validation: Interval
    test: Interval


def walk_forward(
    first_ms: int, last_ms: int, timeframe: Timeframe, settings: FoldSettings, *, longest_horizon_bars: int
) -> tuple[Fold, ...]:
    """Folds whose test slices follow each other without a hole and end with the history.

    Between train and validation, and between validation and test, as many bars are left out as the longest label
    reaches, plus the embargo: every label of a slice is known that long before the next slice begins. (M. López de
    Prado, Advances in Financial Machine Learning, 2018, ch. 7.)

    Args:
        first_ms, last_ms: ``known_ts_ms`` of the first and of the last origin.
        timeframe: of the bars.

    Raises:
        ConfigError: the history is too short; the message says how many bars are needed. Or the timeframe is monthly.

    >>> from heliograph.core import timeframe
    >>> hour = 3_600_000
    >>> settings = FoldSettings(count=2, test_bars=100, embargo_bars=6)
    >>> folds = walk_forward(0, 999 * hour, timeframe.parse("1h"), settings, longest_horizon_bars=24)
    >>> [(f.train[1] // hour, f.validation[0] // hour, f.validation[1] // hour, f.test[0] // hour) for f in folds]
    [(625, 655, 770, 800), (710, 740, 870, 900)]
    """
    if timeframe.is_calendar:
        raise ConfigError(f"folds need bars of equal length: choose another features.timeframe than {timeframe}")
    bars = (last_ms - first_ms) // timeframe.ms + 1
    gap = longest_horizon_bars + settings.embargo_bars
    needed = _needed_bars(settings, gap, longest_horizon_bars)
    if bars < needed:
        raise ConfigError(
            f"{settings.count} folds of {settings.test_bars} test bars need {needed} bars and there are {bars}: fetch a "
            "longer history, or lower folds.count, folds.test_bars or folds.embargo_bars"
        )
    end_ms = last_ms + timeframe.ms
    return tuple(
        _fold(k, first_ms, end_ms - (settings.count - k) * settings.test_bars * timeframe.ms, timeframe, settings, gap)
        for k in range(settings.count)
    )


def _fold(index: int, first_ms: int, test_ms: int, timeframe: Timeframe, settings: FoldSettings, gap: int) -> Fold:
    step = timeframe.ms
    known_ms = test_ms - gap * step
    validation_ms = known_ms - int((known_ms - first_ms) // step * settings.validation_fraction) * step
    return Fold(
        index=index,
        train=(first_ms, validation_ms - gap * step),
        validation=(validation_ms, known_ms),
        test=(test_ms, test_ms + settings.test_bars * step),
    )


def _needed_bars(settings: FoldSettings, gap: int, longest_horizon_bars: int) -> int:
    """Enough for a first train and validation slice of at least one longest label each."""
    share = settings.validation_fraction
    least = max(math.ceil(longest_horizon_bars / share), math.ceil((longest_horizon_bars + gap) / (1 - share))) + 1
    return settings.count * settings.test_bars + gap + least
