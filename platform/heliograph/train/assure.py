"""How sure the released forecast may be of its signs: measured on validation, beside what training showed."""

from __future__ import annotations

import numpy as np

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import parse
from heliograph.model.calibrate import effective
from heliograph.model.confidence import Confidence
from heliograph.train.boost import thinned
from heliograph.train.fold import joined, predict
from heliograph.train.protocol import Fitted, Task

EVERY_BARS = 4
"""One validation origin in so many is asked; neighbours say the same."""

_TRAIN_EVERY_BARS = 7  # prime to the day, so that every hour is among the rows


def confidence(task: Task, fitted: Fitted) -> Confidence:
    """One for all symbols that have a forecaster.

    Args:
        fitted: on the task; none of them may have learned more from its validation slice than a temperature and a weight.

    Raises:
        ConfigError: no origin in the train or the validation slice.
        DataError: too few training rows are finite.
    """
    data = [d for d in task.data if d.symbol in fitted]
    held = [(d, thinned(d, task.validation_rows(d), EVERY_BARS)) for d in data]
    held = [(d, rows) for d, rows in held if rows.size]
    seen = [d.x_NF[thinned(d, task.train_rows(d), _TRAIN_EVERY_BARS)] for d in data]
    if not held or not any(x.size for x in seen):
        raise ConfigError(
            f"fold {task.fold.index} has no origin to measure confidence on: take a longer history, or fewer folds"
        )
    spec = task.spec
    known_ts_ms = np.concatenate([d.known_ts_ms[rows] for d, rows in held])
    return Confidence.fit(
        spec.levels,
        joined([predict(fitted[d.symbol], d, rows) for d, rows in held]),
        np.concatenate([d.log_return_NH[rows] for d, rows in held]),
        effective_H=effective(known_ts_ms, spec.horizons_bars, parse(spec.timeframe).ms),
        last_NF=np.concatenate(seen),
    )
