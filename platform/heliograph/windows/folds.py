"""Walk-forward folds: a train slice, a validation slice, a test slice, with purged gaps between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from heliograph.config.learning import FoldSettings
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import Timeframe

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fold:
    """One outer fold. Intervals are half-open, UTC epoch ms, in terms of the origin's ``known_ts_ms``.

    Attributes:
        index: 0 for the oldest.
        train: fits the weights.
        validation: stops the training early, calibrates, and is what a search judges candidates on.
        test: is scored once.
    """

    index: int
    train: Interval
    validation: Interval
    test: Interval


def walk_forward(
    first_ms: int,
    last_ms: int,
    timeframe: Timeframe,
    settings: FoldSettings,
    *,
    longest_horizon_bars: int,
    overlap_bars: int = 0,
) -> tuple[Fold, ...]:
    """Folds whose test slices follow each other without a hole and end with the history.

    Training reaches back to the first origin (expanding), or train and validation together see ``rolling_bars`` bars.

    Between train and validation, and between validation and test, as many bars are left out as the longest label
    reaches, plus the embargo, plus the overlap: every label of a slice is known that long before the next slice begins.
    (M. López de Prado, Advances in Financial Machine Learning, 2018, ch. 7.)

    Args:
        first_ms, last_ms: ``known_ts_ms`` of the first and of the last origin.
        timeframe: of the bars.
        overlap_bars: how far features look back, where no window may reach into a bar that an earlier slice's label
            ended in. Forward in time such a window tells nothing that was not known; labels that are themselves made
            of features need it.

    Raises:
        ConfigError: the history, or the rolling part of it, is too short; the message says how many bars are needed.
            Or the timeframe is monthly.

    >>> from heliograph.core import timeframe
    >>> hour = 3_600_000
    >>> settings = FoldSettings(count=2, test_bars=100, embargo_bars=6)
    >>> folds = walk_forward(0, 999 * hour, timeframe.parse("1h"), settings, longest_horizon_bars=24)
    >>> [(f.train[1] // hour, f.validation[0] // hour, f.validation[1] // hour, f.test[0] // hour) for f in folds]
    [(625, 655, 770, 800), (710, 740, 870, 900)]
    >>> rolling = settings.model_copy(update={"rolling_bars": 400})
    >>> folds = walk_forward(0, 999 * hour, timeframe.parse("1h"), rolling, longest_horizon_bars=24)
    >>> [tuple(ms // hour for ms in (*f.train, *f.validation)) for f in folds]
    [(370, 680, 710, 770), (470, 780, 810, 870)]
    """
    if timeframe.is_calendar:
        raise ConfigError(f"folds need bars of equal length: choose another features.timeframe than {timeframe}")
    bars = (last_ms - first_ms) // timeframe.ms + 1
    gap = longest_horizon_bars + settings.embargo_bars + overlap_bars
    _require_long_enough(bars, settings, gap, longest_horizon_bars)
    end_ms = last_ms + timeframe.ms
    return tuple(
        _fold(k, first_ms, end_ms - (settings.count - k) * settings.test_bars * timeframe.ms, timeframe, settings, gap)
        for k in range(settings.count)
    )


def _fold(index: int, first_ms: int, test_ms: int, timeframe: Timeframe, settings: FoldSettings, gap: int) -> Fold:
    step = timeframe.ms
    known_ms = test_ms - gap * step
    if settings.rolling_bars is not None:
        first_ms = max(first_ms, known_ms - settings.rolling_bars * step)
    validation_ms = known_ms - int((known_ms - first_ms) // step * settings.validation_fraction) * step
    return Fold(
        index=index,
        train=(first_ms, validation_ms - gap * step),
        validation=(validation_ms, known_ms),
        test=(test_ms, test_ms + settings.test_bars * step),
    )


def _require_long_enough(bars: int, settings: FoldSettings, gap: int, longest_horizon_bars: int) -> None:
    """Enough for train and validation slices of at least one longest label each."""
    share = settings.validation_fraction
    least = max(math.ceil(longest_horizon_bars / share), math.ceil((longest_horizon_bars + gap) / (1 - share))) + 1
    if settings.rolling_bars is not None and settings.rolling_bars < least:
        raise ConfigError(
            f"folds.rolling_bars {settings.rolling_bars} leaves no room to train and validate: {least} are needed for "
            f"labels of {longest_horizon_bars} bars and a gap of {gap}; raise it, or lower folds.embargo_bars"
        )
    needed = settings.count * settings.test_bars + gap + least
    if bars < needed:
        raise ConfigError(
            f"{settings.count} folds of {settings.test_bars} test bars need {needed} bars and there are {bars}: fetch a "
            "longer history, or lower folds.count, folds.test_bars or folds.embargo_bars"
        )
