"""The forecasting network: raw features in, corrections of the volatility-scaled baseline out.

Shapes: B batch, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from heliograph.config.settings import ModelSettings
from heliograph.model.encoder import Encoder
from heliograph.model.heads import Heads, Output
from heliograph.model.spec import SETUPS, SIGMA_FLOOR, Spec

FloatArray = npt.NDArray[np.float64]
_CLIP = 5.0


@dataclass(frozen=True, slots=True)
class Standards:
    """What is measured on the training slice before the first step.

    Attributes:
        median_F, spread_F: of each feature; the volatility feature's are of its log.
        base_HQ: quantiles of log-return / (σ√h).
        setup_HC: frequency of each setup, positive.
    """

    median_F: FloatArray
    spread_F: FloatArray
    base_HQ: FloatArray
    setup_HC: FloatArray


class Network(nn.Module):
    """Scaler, encoder and heads in one; the scaler and the baseline are buffers and travel with the weights."""

    median_F: Tensor
    spread_F: Tensor
    base_HQ: Tensor
    setup_prior_HC: Tensor
    level_Q: Tensor

    def __init__(self, spec: Spec, settings: ModelSettings) -> None:
        super().__init__()
        self.spec, self.settings = spec, settings
        num_features, num_horizons, num_levels = len(spec.feature_names), len(spec.horizons_bars), len(spec.levels)
        self.encoder = Encoder(num_features, settings)
        self.heads = Heads(2 * settings.width, num_horizons, num_levels, len(SETUPS))
        self.register_buffer("median_F", torch.zeros(num_features))
        self.register_buffer("spread_F", torch.ones(num_features))
        self.register_buffer("base_HQ", torch.zeros(num_horizons, num_levels, dtype=torch.float64))
        self.register_buffer("setup_prior_HC", torch.zeros(num_horizons, len(SETUPS)))
        self.register_buffer("level_Q", torch.tensor(spec.levels, dtype=torch.float64))

    def adopt(self, standards: Standards) -> None:
        """Take the scaler and the baseline that were measured on the training slice."""
        for buffer, value in (
            (self.median_F, standards.median_F),
            (self.spread_F, standards.spread_F),
            (self.base_HQ, standards.base_HQ),
            (self.setup_prior_HC, np.log(standards.setup_HC)),
        ):
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def scaled(self, x_BTF: Tensor) -> Tensor:
        """Raw features on one scale, within ±5; the volatility column as its log."""
        index = self.spec.sigma_index
        log_sigma = x_BTF[..., index : index + 1].clamp_min(SIGMA_FLOOR).log()
        x_BTF = torch.cat([x_BTF[..., :index], log_sigma, x_BTF[..., index + 1 :]], dim=-1)
        return ((x_BTF - self.median_F) / self.spread_F).clamp(-_CLIP, _CLIP)

    def forward(self, x_BTF: Tensor) -> Output:
        """Raw float32 features in; the last bar is the origin, and nothing after it exists."""
        output: Output = self.heads(self.encoder(self.scaled(x_BTF)), self.base_HQ)
        return output
