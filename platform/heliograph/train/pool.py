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

from heliograph.config.learning import LabelSettings, ModelSettings
from heliograph.core.errors import ConfigError
from heliograph.features.table import SIGMA
from heliograph.model.baselines import Kind, PooledForecaster, setup_frequencies, standardised
from heliograph.model.encoder import Inputs
from heliograph.model.har import Har
from heliograph.model.losses import Targets
from heliograph.model.network import Network, Standards
from heliograph.model.spec import SIGMA_FLOOR, Spec
from heliograph.windows.sample import SymbolData, origins
from heliograph.windows.scaler import Scaler

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Interval = tuple[int, int]

_REACH_Z = 30.0  # a print at a hundredth of the price says nothing about tomorrow's quantiles; it must not set them
_REACH_LOG_VOL = 3.0
_HAR_ROWS = 120_000  # of all symbols; more make the scale no better
_SCALED_ROWS = 65_536  # at once


def spec_of(names: tuple[str, ...], labels: LabelSettings, model: ModelSettings, timeframe: str = "1h") -> Spec:
    """What a forecaster trained with these settings on these feature columns takes and gives.

    Args:
        timeframe: of the base bars.
    """
    return Spec(names, SIGMA, labels.horizons_bars, labels.levels, model.window_bars, timeframe)


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
        """Scale, scaler and baseline measured on these rows.

        Raises:
            DataError: too few rows for a volatility model.
        """
        some = rows[np.linspace(0, rows.size - 1, min(rows.size, _HAR_ROWS)).astype(np.int64)]
        assumed_NH = self.sigma_N[some, None] * spec.root_horizons
        har = Har.fit(
            spec,
            last_NF=self.x_NF[some],
            log_return_NH=self.log_return_NH[some],
            realised_NH=np.exp(self.log_vol_NH[some]) * assumed_NH,
        )
        z_NH, _ = self.standardised(har, rows)
        scaler = Scaler.fit(self.x_NF, rows, names=spec.feature_names, log_floors={spec.sigma_name: SIGMA_FLOOR})
        base_HQ = np.ascontiguousarray(np.quantile(z_NH, spec.levels, axis=0).T)
        return Standards(har, scaler.centre_F, scaler.spread_F, base_HQ, setup_frequencies(self.setup_NH[rows]))

    def standardised(self, har: Har, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Log-return over scale within ±30, and log of realised volatility over scale within ±3; NaN where unknown."""
        scale_NH = har.scale(self.x_NF[rows])
        z_NH = np.clip(self.log_return_NH[rows] / scale_NH, -_REACH_Z, _REACH_Z)
        assumed_NH = np.maximum(self.sigma_N[rows, None], SIGMA_FLOOR) * har.spec.root_horizons
        gap_NH = np.log(assumed_NH / scale_NH)
        return z_NH, np.clip(self.log_vol_NH[rows] + gap_NH, -_REACH_LOG_VOL, _REACH_LOG_VOL)


class Batches:
    """The pool as tensors beside the network, scaled once; windows are gathered by index, never stored."""

    def __init__(self, pool: Pool, network: Network) -> None:
        assert network.har is not None, "adopt standards first"
        self.device = network.level_Q.device
        layouts = network.encoder.tokens.layouts
        self._last_NF = _scaled(pool.x_NF, network)
        self._columns = [self._last_NF[:, list(layout.frame.columns)].contiguous() for layout in layouts]
        self._offsets = [torch.tensor(layout.offsets, device=self.device) for layout in layouts]
        z_NH, log_vol_NH = pool.standardised(network.har, np.arange(pool.x_NF.shape[0]))
        self._targets = Targets(
            z_BH=torch.from_numpy(z_NH).to(self.device),
            setup_BH=torch.from_numpy(pool.setup_NH).to(self.device),
            up_BH=torch.from_numpy((pool.log_return_NH > 0).astype(np.float32)).to(self.device),
            log_vol_BH=torch.from_numpy(log_vol_NH.astype(np.float32)).to(self.device),
        )

    def take(self, rows: IntArray) -> tuple[Inputs, Targets]:
        """Scaled windows that end at these rows, and what came after."""
        row_B = torch.from_numpy(rows).to(self.device)
        sequences = tuple(
            x_NF[row_B[:, None] + offset_R] for x_NF, offset_R in zip(self._columns, self._offsets, strict=True)
        )
        return Inputs(sequences, self._last_NF[row_B]), Targets(*(column[row_B] for column in self._targets))


def _scaled(x_NF: npt.NDArray[np.float32], network: Network) -> Tensor:
    scaled_NF = torch.empty(x_NF.shape, device=network.level_Q.device)
    for start in range(0, x_NF.shape[0], _SCALED_ROWS):
        rows = slice(start, start + _SCALED_ROWS)
        scaled_NF[rows] = network.scaled(torch.from_numpy(np.ascontiguousarray(x_NF[rows])).to(scaled_NF.device))
    return scaled_NF


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
