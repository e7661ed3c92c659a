"""What a benchmark is asked, and what it answers with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.train.public.fit import Effort

FloatArray = npt.NDArray[np.float64]

Protocol = Literal["chronos", "ltsf", "volatility"]
Zero = Callable[[FloatArray, int, tuple[float, ...]], FloatArray]
"""A forecaster that needs no fit: the newest values of raw series float64[B, T], steps ahead and levels in, quantiles float64[B, H, Q] out."""

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Ask:
    """One benchmark; None takes the protocol's own value.

    Attributes:
        dataset: names the published figures to print beside the measured ones, e.g. ``ETTh1``.
        split: where training and validation end, and the test: row counts or shares (``ltsf``), dates (``volatility``).
        zero: forecasters that come as they are, by name (``chronos`` alone).
    """

    dataset: str
    horizon: int | None = None
    lookback: int | None = None
    season: int | None = None
    split: tuple[str, ...] | None = None
    effort: Effort = field(default_factory=Effort)
    zero: dict[str, Zero] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """One forecaster by one protocol.

    Attributes:
        metrics: figures by name, in the order in which they are read.
    """

    protocol: Protocol
    forecaster: str
    metrics: dict[str, float | int | str]

    def line(self) -> dict[str, float | int | str | None]:
        """What a JSON line says; a figure that there is none of (MASE of series that never moved) is null."""
        figures = {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in self.metrics.items()}
        return {"check": "score", "protocol": self.protocol, "forecaster": self.forecaster, **figures}


def effort_of(name: str, ask: Ask) -> dict[str, float | int | str]:
    """What a line adds for a forecaster that was trained by chance and for a time: one seed is one draw."""
    if name not in {"hybrid", "ensemble"}:
        return {}
    return {"epochs": ask.effort.epochs, "members": ask.effort.members, "seed": ask.effort.seed}


def usual_season(step_ms: int) -> int:
    """Steps of a season at a sampling step, as gluonts has them; days are business days: 5.

    >>> [usual_season(step) for step in (900_000, HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 91 * DAY_MS)]
    [96, 24, 5, 1, 12, 4]
    """
    if step_ms < DAY_MS:
        return max(1, DAY_MS // step_ms)
    months = round(step_ms / (30.44 * DAY_MS))
    return {0: 5 if step_ms < 7 * DAY_MS else 1, 1: 12, 3: 4}.get(months, 1)


def usual_horizon(step_ms: int) -> int:
    """Steps ahead in Chronos' benchmark: 24 for hours and less, 30 for days, 8 for weeks and quarters, 18 for months.

    >>> [usual_horizon(step) for step in (HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS)]
    [24, 30, 8, 18]
    """
    if step_ms < DAY_MS:
        return 24
    if step_ms < 7 * DAY_MS:
        return 30
    return 18 if round(step_ms / (30.44 * DAY_MS)) == 1 else 8


def require_season(season: int, lookback: int) -> None:
    """See that a season fits the look-back.

    Raises:
        ConfigError: it does not.
    """
    if season > lookback:
        raise ConfigError(
            f"a season of {season} steps does not fit a look-back of {lookback}: give a longer --lookback"
        )
