"""An ensemble of fitted forecasters, weighted by their validation slice, and the widths that its tracker begins with.

Shapes: N origins of all symbols, M members, S symbols, H horizons, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import parse
from heliograph.model.calibrate import pinball
from heliograph.model.ensemble import EnsembleForecaster, weights
from heliograph.model.spec import Forecaster
from heliograph.model.tracker import NUM_REGIMES, Regimes, Tracker
from heliograph.train.boost import thinned
from heliograph.train.fold import predict
from heliograph.train.protocol import Fitted, Task

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EVERY_BARS = 4
"""One origin in so many is looked at; neighbours say the same."""

_HALF_LIFE_MS = 90 * 86_400_000  # of a loss: who was good lately counts more
_REGIME_MS = 365 * 86_400_000


def weighed(task: Task, members: Sequence[Fitted]) -> FloatArray:
    """How much each member counts at each horizon by its losses on the validation slice, float64[H, M].

    Args:
        members: fitted on the task; none of them may have learned from its validation slice more than when to stop.

    Raises:
        ConfigError: no member, no common symbol, or no origin in the validation slice.
    """
    symbols = _common(task, members)
    return weights(np.stack([_trailing_loss(task, {s: fitted[s] for s in symbols}) for fitted in members]))


def blend(task: Task, members: Sequence[Fitted], weight_HM: FloatArray) -> dict[str, EnsembleForecaster]:
    """The members' ensemble for each symbol that all of them have; one and the same where all members are global.

    Raises:
        ConfigError: no member.
    """
    made: dict[tuple[int, ...], EnsembleForecaster] = {}
    by_symbol = {}
    for symbol in _common(task, members):
        own: list[Any] = [fitted[symbol] for fitted in members]
        key = tuple(id(m) for m in own)
        if key not in made:
            made[key] = EnsembleForecaster(own, weight_HM)
        by_symbol[symbol] = made[key]
    return by_symbol


def track(task: Task, fitted: Fitted) -> Tracker:
    """The tracker of these forecasters' widths as the validation slice leaves it.

    Raises:
        ConfigError: no origin in the validation slice.
    """
    said = Validation.of(task, fitted)
    spec = task.spec
    start = Tracker.fresh(
        spec.levels, spec.horizons_bars, bar_ms=parse(spec.timeframe).ms, regimes=regimes(task, [*fitted])
    )
    names = np.array(said.symbols)
    regime_N = np.empty(said.known_ts_ms.size, dtype=np.int64)
    for s, symbol in enumerate(names):
        regime_N[said.symbol_N == s] = start.regimes.of(str(symbol), said.sigma_N[said.symbol_N == s])
    _, tracker = start.run(said.known_ts_ms, said.end_ts_ms_NH, said.quantile_NHQ, said.y_NH, regime_N=regime_N)
    return tracker


def regimes(task: Task, symbols: Sequence[str]) -> Regimes:
    """Terciles of each symbol's volatility in the year before the test slice; symbols without any are left out."""
    edges = {}
    for d in task.data:
        first, last = np.searchsorted(d.known_ts_ms, (task.fold.test[0] - _REGIME_MS, task.fold.test[0]))
        sigma_N = d.x_NF[first:last, task.spec.sigma_index].astype(np.float64)
        if d.symbol in symbols and np.isfinite(sigma_N).any():
            edges[d.symbol] = np.nanquantile(sigma_N, np.arange(1, NUM_REGIMES) / NUM_REGIMES)
    return Regimes(tuple(edges), np.stack([*edges.values()])) if edges else Regimes()


@dataclass(frozen=True, slots=True)
class Validation:
    """What was said on the validation slice, and what came; symbol after symbol.

    Attributes:
        symbols: ``symbol_N`` points into them.
    """

    symbols: tuple[str, ...]
    symbol_N: IntArray
    known_ts_ms: IntArray
    end_ts_ms_NH: IntArray
    sigma_N: FloatArray
    quantile_NHQ: FloatArray
    y_NH: FloatArray

    @classmethod
    def of(cls, task: Task, fitted: Fitted) -> Validation:
        """Ask each symbol's forecaster.

        Raises:
            ConfigError: there is no origin.
        """
        chosen = [(d, thinned(d, task.validation_rows(d), EVERY_BARS)) for d in task.data if d.symbol in fitted]
        chosen = [(d, rows) for d, rows in chosen if rows.size]
        if not chosen:
            raise ConfigError(f"fold {task.fold.index} has no origin in its validation slice: take a longer history")
        index = task.spec.sigma_index
        return cls(
            symbols=tuple(d.symbol for d, _ in chosen),
            symbol_N=np.concatenate([np.full(rows.size, s) for s, (_, rows) in enumerate(chosen)]),
            known_ts_ms=np.concatenate([d.known_ts_ms[rows] for d, rows in chosen]),
            end_ts_ms_NH=np.concatenate([d.end_ts_ms_NH[rows] for d, rows in chosen]),
            sigma_N=np.concatenate([d.x_NF[rows, index].astype(np.float64) for d, rows in chosen]),
            quantile_NHQ=np.concatenate([predict(fitted[d.symbol], d, rows).quantile_BHQ for d, rows in chosen]),
            y_NH=np.concatenate([d.log_return_NH[rows] for d, rows in chosen]),
        )


def _common(task: Task, members: Sequence[Fitted]) -> list[str]:
    """Symbols that all members have."""
    if not members:
        raise ConfigError("an ensemble needs a member: name forecasters that were fitted")
    return [d.symbol for d in task.data if all(d.symbol in fitted for fitted in members)]


def _trailing_loss(task: Task, fitted: dict[str, Forecaster]) -> FloatArray:
    """Mean pinball on the validation slice, float64[H]; every symbol counts by the size of its moves."""
    said = Validation.of(task, fitted)
    age_N = (said.known_ts_ms.max() - said.known_ts_ms) / _HALF_LIFE_MS
    loss_NH = pinball(said.y_NH, said.quantile_NHQ, task.spec.levels)
    mean_H: FloatArray = np.average(loss_NH, axis=0, weights=0.5**age_N)
    return mean_H
