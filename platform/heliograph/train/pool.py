"""All symbols' columns end to end, and which of their rows may be trained on.

Shapes: S symbols, N rows of all of them, F features, H horizons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from heliograph.config.settings import LabelSettings, ModelSettings
from heliograph.core.errors import ConfigError
from heliograph.features.table import SIGMA
from heliograph.model.baselines import Kind, PooledForecaster, standardised
from heliograph.model.losses import Targets
from heliograph.model.network import Standards
from heliograph.model.spec import SIGMA_FLOOR, Spec
from heliograph.windows.sample import SymbolData, origins
from heliograph.windows.scaler import Scaler

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Interval = tuple[int, int]

_REACH_Z = 30.0  # a print at a hundredth of the price says nothing about tomorrow's quantiles; it must not set them
_REACH_LOG_VOL = 3.0


def spec_of(names: tuple[str, ...], labels: LabelSettings, model: ModelSettings) -> Spec:
    """What a forecaster trained with these settings on these feature columns takes and gives."""
    return Spec(names, SIGMA, labels.horizons_bars, labels.levels, model.window_bars)


@dataclass(frozen=True, slots=True)
class Pool:
    """Columns over all symbols; rows are global numbers, and a window never leaves its symbol.

    Attributes:
        x_NF: raw features, float32; NaN in warm-up.
        sigma_N: per-bar volatility, log-return; NaN in warm-up.
        log_return_NH, setup_NH: labels; NaN and -1 where unknown.
        z_NH: log-return / (σ√h) within ±30; NaN where unknown.
        log_vol_NH: log of realised over assumed volatility within ±3; zero where unknown.
        first_S: global number of each symbol's first row.
    """

    x_NF: npt.NDArray[np.float32]
    sigma_N: FloatArray
    log_return_NH: FloatArray
    setup_NH: IntArray
    z_NH: FloatArray
    log_vol_NH: FloatArray
    first_S: IntArray

    @classmethod
    def of(cls, data: Sequence[SymbolData], spec: Spec) -> Pool:
        """Lay the symbols end to end; this copies them once.

        Raises:
            ConfigError: there is no symbol.
        """
        if not data:
            raise ConfigError("there is no symbol to train on: check train.venue and train.symbols against the lake")
        x_NF = np.concatenate([d.x_NF for d in data])
        sigma_N = x_NF[:, spec.sigma_index].astype(np.float64)
        log_return_NH = np.concatenate([d.log_return_NH for d in data])
        return cls(
            x_NF=x_NF,
            sigma_N=sigma_N,
            log_return_NH=log_return_NH,
            setup_NH=np.concatenate([d.setup_NH for d in data]),
            z_NH=np.clip(standardised(spec, sigma_N, log_return_NH), -_REACH_Z, _REACH_Z),
            log_vol_NH=np.concatenate([realised_log_vol(d, spec) for d in data]),
            first_S=np.cumsum([0, *(d.known_ts_ms.size for d in data[:-1])]),
        )

    def rows(
        self, data: Sequence[SymbolData], interval: Interval, spec: Spec, *, labelled_by_ms: int
    ) -> list[IntArray]:
        """Global rows of each symbol's origins in the interval that have every label, known by ``labelled_by_ms``."""
        return [
            first + origins(d, interval, spec.window_bars, labelled_by_ms=labelled_by_ms)
            for d, first in zip(data, self.first_S, strict=True)
        ]

    def baseline(self, spec: Spec, rows: IntArray, kind: Kind) -> PooledForecaster:
        """A baseline measured on these rows."""
        return PooledForecaster.fit(
            spec,
            kind,
            sigma_N=self.sigma_N[rows],
            log_return_NH=self.log_return_NH[rows],
            setup_NH=self.setup_NH[rows],
        )

    def standards(self, spec: Spec, rows: IntArray) -> Standards:
        """Scaler and baseline measured on these rows."""
        base = self.baseline(spec, rows, "volatility_scaled")
        scaler = Scaler.fit(self.x_NF, rows, names=spec.feature_names, log_floors={spec.sigma_name: SIGMA_FLOOR})
        return Standards(scaler.centre_F, scaler.spread_F, base.quantile_HQ, base.setup_HC)


class Batches:
    """The pool as tensors beside the network; windows are gathered by index, never stored."""

    def __init__(self, pool: Pool, spec: Spec, device: torch.device) -> None:
        self.device = device
        self._x_NF = torch.from_numpy(pool.x_NF).to(device)
        self._targets = Targets(
            z_BH=torch.from_numpy(pool.z_NH).to(device),
            setup_BH=torch.from_numpy(pool.setup_NH).to(device),
            up_BH=torch.from_numpy((pool.log_return_NH > 0).astype(np.float32)).to(device),
            log_vol_BH=torch.from_numpy(pool.log_vol_NH.astype(np.float32)).to(device),
        )
        self._step_T = torch.arange(1 - spec.window_bars, 1, device=device)

    def take(self, rows: IntArray) -> tuple[Tensor, Targets]:
        """Windows float32[B, T, F] that end at these rows, and what came after."""
        row_B = torch.from_numpy(rows).to(self.device)
        return self._x_NF[row_B[:, None] + self._step_T], Targets(*(column[row_B] for column in self._targets))


def realised_log_vol(data: SymbolData, spec: Spec) -> FloatArray:
    """Log of the volatility of the bars after each origin, up to each horizon, over σ; float64[n, H] within ±3.

    It ends where the label ends, so it is known no later than the label. Zero where the label is unknown.
    """
    step_N = np.diff(np.log(data.close), prepend=np.log(data.close[:1]))
    energy_N = np.cumsum(step_N**2)
    end_NH = np.minimum(np.searchsorted(data.known_ts_ms, data.end_ts_ms_NH), data.known_ts_ms.size - 1)
    gained_NH = np.maximum(energy_N[end_NH] - energy_N[:, None], 0.0)
    sigma_N1 = np.maximum(data.x_NF[:, spec.sigma_index].astype(np.float64), SIGMA_FLOOR)[:, None]
    ratio_NH = np.sqrt(gained_NH) / spec.root_horizons / sigma_N1
    log_vol_NH = np.log(np.clip(ratio_NH, np.exp(-_REACH_LOG_VOL), np.exp(_REACH_LOG_VOL)))
    known: FloatArray = np.where(np.isfinite(data.log_return_NH), log_vol_NH, 0.0)
    return known


def plan_epoch(rows_S: Sequence[IntArray], *, samples: int, seed: int, epoch: int) -> IntArray:
    """The rows of one epoch, drawn evenly over symbols and then over origins; the same for every worker.

    >>> plan_epoch([np.array([1, 2]), np.array([7])], samples=4, seed=1, epoch=0).tolist()
    [1, 7, 7, 7]
    """
    filled = [rows for rows in rows_S if rows.size]
    generator = np.random.default_rng([seed, epoch])
    count_S = np.array([rows.size for rows in filled])
    first_S = np.cumsum(count_S) - count_S
    symbol = generator.integers(len(filled), size=samples)
    place = first_S[symbol] + (generator.random(samples) * count_S[symbol]).astype(np.int64)
    drawn: IntArray = np.concatenate(filled)[place]
    return drawn
