"""Boosting: trees that correct the pooled volatility model's quantiles, on the mean pinball loss of all levels at once.

Shapes: N origins of all symbols, F features, K features that the trees read, H horizons, Q quantile levels, P outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from heliograph.config.learning import TreeSettings
from heliograph.core.errors import ConfigError
from heliograph.model.baselines import Cone
from heliograph.model.calibrate import fit_direction_slope, pinball
from heliograph.model.har import Har
from heliograph.model.spec import Spec
from heliograph.model.trees import PARTS, TreesForecaster, columns, corrected, gaps, predict
from heliograph.train.pool import realised_log_vol
from heliograph.train.protocol import Task
from heliograph.windows.sample import SymbolData

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_REACH_Z = 30.0  # a print at a hundredth of the price must not set tomorrow's quantiles
_WEIGHT = (0.1, 5.0)
_SHRUNK_BARS = 8.0  # a slope of this horizon is half its own
_SHARES = (0.0, 0.25, 0.5, 0.75)  # of the rounds, where all of them together do harm


@dataclass(frozen=True, slots=True)
class Rows:
    """Origins of all symbols, end to end.

    Attributes:
        last_NF: raw features.
        y_NH: log-return.
        realised_NH: how much the price moved over each horizon, log-return.
        symbol_N: which symbol.
    """

    last_NF: Float32Array
    y_NH: FloatArray
    realised_NH: FloatArray
    setup_NH: IntArray
    symbol_N: IntArray

    @classmethod
    def of(cls, spec: Spec, data: tuple[SymbolData, ...], rows: list[IntArray]) -> Rows:
        """These rows of each symbol."""
        realised = []
        for d, r in zip(data, rows, strict=True):
            sigma_N1 = d.x_NF[r, spec.sigma_index : spec.sigma_index + 1].astype(np.float64)
            realised.append(np.exp(realised_log_vol(d, spec)[r]) * sigma_N1 * spec.root_horizons)
        return cls(
            last_NF=np.concatenate([d.x_NF[r] for d, r in zip(data, rows, strict=True)]),
            y_NH=np.concatenate([d.log_return_NH[r] for d, r in zip(data, rows, strict=True)]),
            realised_NH=np.concatenate(realised),
            setup_NH=np.concatenate([d.setup_NH[r] for d, r in zip(data, rows, strict=True)]),
            symbol_N=np.concatenate([np.full(r.size, s) for s, r in enumerate(rows)]),
        )


def boost(task: Task, settings: TreeSettings) -> TreesForecaster:
    """Fit scale, cone and trees on the train slice; how many trees are kept, and how sure a direction is, on validation.

    Raises:
        ConfigError: a slice has no origin.
        DataError: too few origins for a volatility model.
    """
    spec = task.spec
    train = Rows.of(spec, task.data, [thinned(d, task.train_rows(d), settings.every_bars) for d in task.data])
    held = Rows.of(spec, task.data, [thinned(d, task.validation_rows(d), settings.every_bars) for d in task.data])
    if not train.symbol_N.size or not held.symbol_N.size:
        raise ConfigError(f"fold {task.fold.index} has no origin to train trees on: take a longer history")
    rounds_H = [rounds_at(settings, bars) for bars in spec.horizons_bars]
    plain = _forecaster(train, task, settings, rounds_H, np.ones(len(rounds_H)))
    correction = _kept(plain.correction, held, plain.har, plain.cone)
    slope_H = _slopes(plain, held)
    return TreesForecaster(plain.har, plain.cone, correction=correction, direction=plain.direction, slope_H=slope_H)


def anew(task: Task, settings: TreeSettings, held: TreesForecaster) -> TreesForecaster:
    """Fit scale, cone and trees on all that is known before the test slice.

    Args:
        held: fitted on the train slice: as many trees are grown as were kept of it, and its slopes stay.
    """
    known = Rows.of(task.spec, task.data, [thinned(d, task.rows(d), settings.every_bars) for d in task.data])
    rounds_H = [booster.current_iteration() if booster else 0 for booster in held.correction]
    return _forecaster(known, task, settings, rounds_H, held.slope_H)


def thinned(data: SymbolData, rows: IntArray, every_bars: int) -> IntArray:
    """Those of the rows that stand on an even grid of time; with a step prime to 24 they visit every hour of the day."""
    if not rows.size:
        return rows
    bar_ms = int(np.diff(data.known_ts_ms).min())
    on_step: IntArray = rows[data.known_ts_ms[rows] // bar_ms % every_bars == 0]
    return on_step


def rounds_at(settings: TreeSettings, horizon_bars: int) -> int:
    """Boosting rounds of a horizon: labels of long horizons overlap, so that less is known of them.

    >>> [rounds_at(TreeSettings(rounds=100), h) for h in (1, 4, 24)]
    [100, 57, 28]
    """
    rounds: int = round(settings.rounds / horizon_bars**0.4)
    return max(rounds, 1)


@dataclass(frozen=True, slots=True)
class Loss:
    """Mean pinball of all levels of a corrected base, as LightGBM asks for it: Fisher scoring on its outputs.

    Attributes:
        base_Q, level_Q: of the base, standardised.
        curvature_P: expected second derivatives at the base; they stand in for the true ones, which are zero or infinite.
    """

    base_Q: FloatArray
    level_Q: FloatArray
    curvature_P: FloatArray

    @classmethod
    def of(cls, z_N: FloatArray, levels: tuple[float, ...]) -> Loss:
        """The base is the quantiles of ``z_N``."""
        level_Q = np.asarray(levels)
        reach_Q = 0.4 * np.minimum(level_Q, 1.0 - level_Q)
        base_Q, low_Q, high_Q = np.quantile(z_N, np.stack([level_Q, level_Q - reach_Q, level_Q + reach_Q]))
        density_Q = 2.0 * reach_Q / np.maximum(high_Q - low_Q, 1e-9)
        curvature = [np.mean(density_Q * part_Q**2) for part_Q in (np.ones(level_Q.size), *gaps(base_Q))]
        return cls(base_Q, level_Q, np.maximum(curvature, 1e-9))

    def gradient(self, part_NP: FloatArray, z_N: FloatArray) -> FloatArray:
        """Derivatives of each origin's loss by its outputs, float64[N, P]."""
        slope_NQ = ((z_N[:, None] < corrected(self.base_Q, part_NP)) - self.level_Q) / self.level_Q.size
        scaled_NP = np.exp(np.clip(part_NP[:, 1:], -1.0, 1.0)) * (slope_NQ @ gaps(self.base_Q).T)
        return np.column_stack([slope_NQ.sum(axis=1), scaled_NP])

    def objective(
        self, z_N: FloatArray, weight_N: FloatArray
    ) -> Callable[[FloatArray, lgb.Dataset], tuple[FloatArray, FloatArray]]:
        """The loss of these origins."""
        hessian_NP = np.outer(weight_N, self.curvature_P)

        def derivatives(part: FloatArray, _: lgb.Dataset) -> tuple[FloatArray, FloatArray]:
            part_NP = part.reshape(z_N.size, PARTS)
            return weight_N[:, None] * self.gradient(part_NP, z_N), hessian_NP

        return derivatives


Boosters = tuple[lgb.Booster | None, ...]


def _forecaster(
    on: Rows, task: Task, settings: TreeSettings, rounds_H: Sequence[int], slope_H: FloatArray
) -> TreesForecaster:
    har = Har.fit(task.spec, last_NF=on.last_NF, log_return_NH=on.y_NH, realised_NH=on.realised_NH)
    cone = Cone.fit(task.spec, on.y_NH / har.scale(on.last_NF), on.setup_NH)
    correction, direction = _grown(on, har, rounds_H, settings=settings, seed=task.seed)
    return TreesForecaster(har, cone, correction=correction, direction=direction, slope_H=slope_H)


def _grown(
    train: Rows, har: Har, rounds_H: Sequence[int], *, settings: TreeSettings, seed: int
) -> tuple[Boosters, Boosters]:
    spec = har.spec
    scale_NH = har.scale(train.last_NF)
    x_NK = np.ascontiguousarray(train.last_NF[:, list(columns(spec))])
    if not (x_NK.max(axis=0) > x_NK.min(axis=0)).any():  # LightGBM ends the process's call where nothing can be split
        nothing = (None,) * len(spec.horizons_bars)
        return nothing, nothing
    fixed: dict[str, Any] = {"max_bin": settings.bins, "verbose": -1, "feature_pre_filter": False}
    grid = lgb.Dataset(x_NK, label=np.zeros(x_NK.shape[0]), params=fixed, free_raw_data=False).construct()
    corrections: list[lgb.Booster | None] = []
    directions: list[lgb.Booster | None] = []
    for h, horizon in enumerate(spec.horizons_bars):
        z_N = np.clip(train.y_NH[:, h] / scale_NH[:, h], -_REACH_Z, _REACH_Z)
        loss = Loss.of(z_N, spec.levels)
        objective = loss.objective(z_N, _weights(scale_NH[:, h], train.symbol_N))
        chosen = fixed | _params(settings, z_N.size, seed + h)
        shaped = chosen | {"objective": objective, "num_class": PARTS}
        corrections.append(lgb.train(shaped, grid, rounds_H[h]) if rounds_H[h] else None)
        up = lgb.Dataset(x_NK, label=(z_N > 0).astype(np.float64), params=fixed, reference=grid)
        binary = {"objective": "binary", "boost_from_average": False, "lambda_l2": settings.l2 * 0.25}
        directions.append(lgb.train(chosen | binary, up, rounds_at(settings, horizon)))
    return tuple(corrections), tuple(directions)


def _params(settings: TreeSettings, num_rows: int, seed: int) -> dict[str, Any]:
    return {
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": max(round(settings.leaf_fraction * num_rows), 1),
        "lambda_l2": settings.l2,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.row_fraction,
        "bagging_freq": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": seed,
    }


def _weights(scale_N: FloatArray, symbol_N: IntArray) -> FloatArray:
    """Root of the scale within a symbol: the loss is one of log-returns, and a wild hour should not count alone."""
    total = np.bincount(symbol_N, weights=scale_N)
    mean = total / np.maximum(np.bincount(symbol_N), 1)
    weight_N: FloatArray = np.clip(np.sqrt(scale_N / mean[symbol_N]), *_WEIGHT)
    return weight_N


def _kept(grown: Boosters, held: Rows, har: Har, cone: Cone) -> Boosters:
    """The boosters as they are, if they serve validation; else cut to the share of their rounds that serves it best.

    Half a year says too little to choose the rounds by its least loss: in trials that lost a tenth of the gain. One share
    for all horizons, for the same reason.
    """
    spec, scale_NH = har.spec, har.scale(held.last_NF)
    x_NK = np.ascontiguousarray(held.last_NF[:, list(columns(spec))])

    def loss(share: float) -> float:
        parts = [predict(b, x_NK, PARTS, rounds=_share(b, share)) for b in grown]
        z_NHQ = np.stack([corrected(q, part) for q, part in zip(cone.quantile_HQ, parts, strict=True)], axis=1)
        loss_NH = scale_NH * pinball(held.y_NH / scale_NH, z_NHQ, spec.levels)
        return float((loss_NH.mean(axis=0) / scale_NH.mean(axis=0)).sum())

    best = 1.0 if loss(1.0) < loss(0.0) else min(_SHARES, key=loss)
    return tuple(_cut(booster, _share(booster, best)) for booster in grown)


def _share(booster: lgb.Booster | None, share: float) -> int:
    return round(share * booster.current_iteration()) if booster else 0


def _cut(booster: lgb.Booster | None, rounds: int) -> lgb.Booster | None:
    if booster is None or not rounds:
        return None
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=rounds))


def _slopes(plain: TreesForecaster, held: Rows) -> FloatArray:
    """Inverse temperatures of the direction on validation: each horizon's own, the longer the nearer to that of all.

    Half a year holds few long horizons that do not overlap, and a slope chosen by those alone is noise.
    """
    up_NH, came_NH = plain.up(held.last_NF), held.y_NH > 0
    logit_NH = np.log(up_NH) - np.log1p(-up_NH)
    common_1 = fit_direction_slope(logit_NH.reshape(-1, 1), came_NH.reshape(-1, 1))
    own_H = fit_direction_slope(logit_NH, came_NH)
    slope_H: FloatArray = common_1 + (own_H - common_1) / (1.0 + np.asarray(plain.horizons_bars) / _SHRUNK_BARS)
    return slope_H
