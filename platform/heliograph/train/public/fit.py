"""Fit what the public benchmarks compare: ridge in closed form, and the network as a residual on it.

Shapes: N windows, K regressors, H steps ahead, Q quantile levels, C series, P groups of weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from heliograph.config.learning import ModelSettings
from heliograph.core.errors import ConfigError
from heliograph.model.losses import pinball
from heliograph.model.series import Hybrid, Linear, Mean, Regressors, SeriesNetwork, one_thread
from heliograph.train.public import metrics
from heliograph.train.public.panel import Panel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PENALTIES = tuple(np.logspace(-7, 1, 17))
"""Ridge penalties that are tried, as shares of the regressors' mean square."""
TOWARDS = tuple(np.logspace(-4, 4, 17))
"""The same where weights are drawn towards others, which may well be right: the last one leaves nearly nothing else."""
OLS = (1e-10,)
"""No penalty but what keeps the equations solvable."""

_CHUNK = 2_048
_MOST_PATCHES = 24
_HELD_ROWS = 4_096
_APART = 1_000  # of the seeds of one run's networks: those of the next --seed are others
_DECAY = 0.98  # of the weights' running mean, a step: what is kept and judged


@dataclass(frozen=True, slots=True)
class Task:
    """A panel, and which of its rows are origins to fit on and which to choose by.

    Attributes:
        fit_N: origins whose targets lie in the training slice.
        held_N: origins whose targets come after them, and before what is scored.
    """

    panel: Panel
    fit_N: IntArray
    held_N: IntArray
    lookback: int
    horizon: int
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        for what, rows in (("fit on", self.fit_N), ("choose by", self.held_N)):
            if not len(rows):
                raise ConfigError(
                    f"no window of {self.lookback} + {self.horizon} steps is left to {what}: "
                    "give a longer file, a shorter --lookback or another --split"
                )


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the network is trained.

    Attributes:
        samples_per_epoch: windows of an epoch, drawn by chance where there are more.
        members: networks that are trained, each from other first weights; their mean is what forecasts.
    """

    epochs: int = 6
    samples_per_epoch: int = 32_768
    batch_size: int = 256
    learning_rate: float = 2e-3
    seed: int = 1
    width: int = 32
    members: int = 3
    dropout: float = 0.4


@dataclass(frozen=True, slots=True)
class Moments:
    """All that least squares needs of some windows; those of two stretches add up to those of both."""

    aa_KK: FloatArray
    ay_KH: FloatArray
    yy: float

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.aa_KK + other.aa_KK, self.ay_KH + other.ay_KH, self.yy + other.yy)

    def squares(self, weight_KH: FloatArray) -> float:
        """Sum of squared errors of these weights."""
        return float(self.yy - 2 * (weight_KH * self.ay_KH).sum() + (weight_KH * (self.aa_KK @ weight_KH)).sum())

    def solve(self, penalty: float, prior_KH: FloatArray | None = None) -> FloatArray:
        """Ridge weights, float64[K, H], drawn towards the prior ones, or to none.

        Args:
            penalty: as a share of the regressors' mean square.
        """
        size = len(self.aa_KK)
        scale = np.trace(self.aa_KK) / size
        prior_KH = np.zeros_like(self.ay_KH) if prior_KH is None else prior_KH
        told_KH = self.ay_KH - self.aa_KK @ prior_KH
        return prior_KH + np.linalg.solve(self.aa_KK + penalty * scale * np.eye(size), told_KH)


def chunks(row_N: IntArray, size: int = _CHUNK) -> Iterator[IntArray]:
    """Consecutive rows, at most ``size`` at a time; the last chunk has what is left, and is never dropped."""
    for k in range(0, len(row_N), size):
        yield row_N[k : k + size]


def moments(task: Task, row_N: IntArray, regressors: Regressors) -> Moments:
    """Moments of the windows that end with these rows; targets are relative to the anchor."""
    total: Moments | None = None
    for rows in chunks(row_N):
        a_NK, anchor_N1 = regressors.of(task.panel.windows(rows, task.lookback))
        y_NH = task.panel.targets(rows, task.horizon) - anchor_N1
        part = Moments(a_NK.T @ a_NK, a_NK.T @ y_NH, float((y_NH**2).sum()))
        total = part if total is None else total + part
    if total is None:
        raise ConfigError("a series has no window to fit on: give a longer file, or a shorter --lookback")
    return total


def fit_linear(
    task: Task,
    regressors: Regressors,
    *,
    is_shared: bool,
    penalties: tuple[float, ...] = PENALTIES,
    residuals_N: IntArray | None = None,
    prior: tuple[Linear, Linear] | None = None,
) -> tuple[Linear, Linear]:
    """Choose the penalty on the held rows, measure the residuals there, and fit again on all rows.

    Args:
        is_shared: one map for all series, or one each.
        residuals_N: rows whose residuals make the quantiles; the held ones by default.
        prior: what an earlier call gave for all series together: the weights are drawn towards its own.

    Returns:
        The forecaster fitted without the held rows, which a network may be trained on; and the one fitted with them.
        Both have the residuals of the first.
    """
    fit_of, held_of = (
        _moments_of(task, task.fit_N, regressors, is_shared),
        _moments_of(task, task.held_N, regressors, is_shared),
    )
    prior_KH, prior_again_KH = (None, None) if prior is None else (p.weight_PKH[0] for p in prior)
    first, again = [], []
    for fit, held in zip(fit_of, held_of, strict=True):
        weights = [fit.solve(penalty, prior_KH) for penalty in penalties]
        best = min(range(len(weights)), key=lambda k: held.squares(weights[k]))
        first.append(weights[best])
        again.append((fit + held).solve(penalties[best], prior_again_KH))
    rows = task.held_N if residuals_N is None else residuals_N
    spreads = [with_spread(task, regressors, np.stack(first), rows, is_local=is_local) for is_local in (False, True)]
    linear = min(spreads, key=lambda spread: _held_pinball(task, spread))
    return linear, linear.reweighted(np.stack(again))


def fit_pooled(
    task: Task,
    regressors: Regressors,
    *,
    shared: tuple[Linear, Linear] | None = None,
    residuals_N: IntArray | None = None,
) -> tuple[Linear, Linear]:
    """A map for each series, drawn towards the one of all as far as its own held rows want it; as `fit_linear` returns.

    A series that has nothing of its own to say keeps the map of all; one that is long and unlike the others gets its own.

    Args:
        shared: the map of all, where it was fitted before.
    """
    shared = shared or fit_linear(task, regressors, is_shared=True, residuals_N=residuals_N)
    return fit_linear(task, regressors, is_shared=False, penalties=TOWARDS, residuals_N=residuals_N, prior=shared)


def with_spread(
    task: Task, regressors: Regressors, weight_PKH: FloatArray, row_N: IntArray, *, is_local: bool = False
) -> Linear:
    """A linear forecaster whose quantiles are those of its errors on these rows.

    Raises:
        ConfigError: a series has no such row.
    """
    num_series, series_N = len(task.panel.names), task.panel.series_R[row_N]
    one_CH, zero_HQ = np.ones((num_series, task.horizon)), np.zeros((task.horizon, len(task.levels)))
    bare = Linear(regressors, weight_PKH, one_CH, zero_HQ, is_local)
    z_NH = np.concatenate([_standard_error(task, bare, rows) for rows in chunks(row_N)])
    absent = [name for c, name in enumerate(task.panel.names) if not (series_N == c).any()]
    if absent:
        raise ConfigError(f"{', '.join(absent)}: no window to measure errors on; give a longer file or another --split")
    scale_CH = np.stack([np.sqrt((z_NH[series_N == c] ** 2).mean(axis=0)) for c in range(num_series)])
    scale_CH = np.maximum(scale_CH, 1e-9)
    z_HQ = np.quantile(z_NH / scale_CH[series_N], task.levels, axis=0).T
    return Linear(regressors, weight_PKH, scale_CH, np.ascontiguousarray(z_HQ), is_local)


def standing_still(task: Task, row_N: IntArray) -> Linear:
    """The last value, with the quantiles of what it missed: a random walk."""
    regressors = Regressors("last")
    width = task.lookback * task.panel.x_RF.shape[1] + 1
    return with_spread(task, regressors, np.zeros((1, width, task.horizon)), row_N)


def network_settings(lookback: int, effort: Effort) -> ModelSettings:
    """The product's network for one series: at most 24 patches, one LSTM layer, one block of attention."""
    patch = next(p for p in range(1, lookback + 1) if lookback % p == 0 and lookback // p <= _MOST_PATCHES)
    return ModelSettings(window_bars=lookback, patch_bars=patch, width=effort.width, dropout=effort.dropout)


def fit_hybrids(task: Task, linear: Linear, effort: Effort, *, corrected: Linear | None = None) -> Mean:
    """The mean of several networks: `fit_hybrid` from other first weights each, and windows in another order.

    Args:
        corrected: what they correct in a forecast, where that knows newer values than what they were trained on.
    """
    made = [fit_hybrid(task, linear, replace(effort, seed=effort.seed + _APART * k)) for k in range(effort.members)]
    return Mean(tuple(Hybrid(corrected or linear, one.network) for one in made))


def fit_hybrid(task: Task, linear: Linear, effort: Effort) -> Hybrid:
    """Train the network on what ``linear`` misses, and keep the epoch that is best on the held rows.

    The linear forecaster itself is epoch zero: where training helps nothing, it is what comes back. In training the
    quantiles to correct are those of the training residuals, which are smaller than the held ones: a network that was
    shown the others would first of all learn that difference.
    """
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(effort.seed)
        network = SeriesNetwork(
            network_settings(task.lookback, effort),
            task.horizon,
            len(task.levels),
            channels=task.panel.x_RF.shape[1],
            anchor=linear.regressors.anchor,
        )
        _train(network, task, linear, effort)
    return Hybrid(linear, network)


def _train(network: SeriesNetwork, task: Task, linear: Linear, effort: Effort) -> None:
    rng = np.random.default_rng(effort.seed)
    size = min(len(task.fit_N), effort.samples_per_epoch)
    steps = effort.epochs * math.ceil(size / effort.batch_size)
    if not steps:
        return
    fitted = with_spread(task, linear.regressors, linear.weight_PKH, task.fit_N, is_local=linear.is_local)
    held_N = task.held_N[:: max(1, math.ceil(len(task.held_N) / _HELD_ROWS))]
    averaged = copy.deepcopy(network)
    best, kept = _held_loss(network, task, linear, held_N), copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=effort.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2 * effort.learning_rate, total_steps=steps)
    for _ in range(effort.epochs):
        network.train()
        for rows in chunks(rng.permutation(task.fit_N)[:size], effort.batch_size):
            loss = _loss(network, task, fitted, rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            _follow(averaged, network)
        held = _held_loss(averaged, task, linear, held_N)
        if held < best:
            best, kept = held, copy.deepcopy(averaged.state_dict())
    network.load_state_dict(kept)


@torch.no_grad()
def _follow(averaged: SeriesNetwork, network: SeriesNetwork) -> None:
    for mean, newest in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(newest, 1.0 - _DECAY)


def _loss(network: SeriesNetwork, task: Task, linear: Linear, row_N: IntArray) -> torch.Tensor:
    """Mean pinball of these rows, each step ahead in the unit of its own scale."""
    x_NTF = task.panel.windows(row_N, task.lookback)
    z_NH = torch.from_numpy(_standard_error(task, linear, row_N))
    said_NHQ = network(torch.from_numpy(x_NTF.astype(np.float32)), torch.from_numpy(linear.z_HQ))
    return pinball(z_NH, said_NHQ, torch.tensor(task.levels, dtype=torch.float64)).mean()


def _held_loss(network: SeriesNetwork, task: Task, linear: Linear, row_N: IntArray) -> float:
    network.eval()
    with torch.inference_mode():
        parts = [float(_loss(network, task, linear, rows)) * len(rows) for rows in chunks(row_N, 1_024)]
    return sum(parts) / len(row_N)


def _standard_error(task: Task, linear: Linear, row_N: IntArray) -> FloatArray:
    """What the linear forecaster missed over its scale, float64[N, H]."""
    series_N, x_NTF = task.panel.series_R[row_N], task.panel.windows(row_N, task.lookback)
    return (task.panel.targets(row_N, task.horizon) - linear.point(x_NTF, series_N)) / linear.scale(x_NTF, series_N)


def _held_pinball(task: Task, linear: Linear) -> float:
    """Mean pinball on the held rows, in standardised units."""
    total = 0.0
    for rows in chunks(task.held_N):
        said_NHQ = linear.forecast(task.panel.windows(rows, task.lookback), task.panel.series_R[rows])
        total += float(metrics.pinball(task.panel.targets(rows, task.horizon), said_NHQ, task.levels).sum())
    return total


def _moments_of(task: Task, row_N: IntArray, regressors: Regressors, is_shared: bool) -> list[Moments]:
    if is_shared:
        return [moments(task, row_N, regressors)]
    series_N = task.panel.series_R[row_N]
    return [moments(task, row_N[series_N == c], regressors) for c in range(len(task.panel.names))]
