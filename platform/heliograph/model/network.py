"""The forecasting network: features in, corrections of the pooled volatility model's quantiles out.

Shapes: B batch, T bars, F features, F' some of them, R rows of one timeframe, S state, H horizons, Q levels, C setups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from heliograph.config.learning import ModelSettings
from heliograph.model.encoder import Encoder, Inputs
from heliograph.model.har import Har
from heliograph.model.heads import Companion, Heads, Output
from heliograph.model.spec import SETUPS, SIGMA_FLOOR, Spec

FloatArray = npt.NDArray[np.float64]

CLIP = 5.0
"""Scaled features stay within ± this."""


@dataclass(frozen=True, slots=True)
class Standards:
    """What is measured on the training slice before the first step.

    Attributes:
        har: the scale of all symbols.
        median_F, spread_F: of each feature; the volatility feature's are of its log.
        base_HQ: quantiles of log-return / scale.
        setup_HC: frequency of each setup, positive.
    """

    har: Har
    median_F: FloatArray
    spread_F: FloatArray
    base_HQ: FloatArray
    setup_HC: FloatArray


class Network(nn.Module):
    """Scaler, encoder and heads in one; the scaler and the baseline are buffers and travel with the weights.

    The companions (setup and direction) are not trained with the rest: see `train.companions`.
    """

    median_F: Tensor
    spread_F: Tensor
    base_HQ: Tensor
    setup_prior_HC: Tensor
    level_Q: Tensor

    def __init__(self, spec: Spec, settings: ModelSettings) -> None:
        super().__init__()
        self.spec, self.settings = spec, settings
        self.har: Har | None = None
        num_features, num_horizons, num_levels = len(spec.feature_names), len(spec.horizons_bars), len(spec.levels)
        self.encoder = Encoder(spec, settings)
        state = Encoder.state_width(settings)
        self.heads = Heads(state, num_horizons, num_levels)
        width = settings.companion_width
        self.companions = nn.ModuleDict(
            {
                "setup": Companion(state, num_features, num_horizons * len(SETUPS), width=width),
                "direction": Companion(state, num_features, num_horizons, width=width),
            }
        ).requires_grad_(False)
        self.register_buffer("median_F", torch.zeros(num_features))
        self.register_buffer("spread_F", torch.ones(num_features))
        self.register_buffer("base_HQ", torch.zeros(num_horizons, num_levels, dtype=torch.float64))
        self.register_buffer("setup_prior_HC", torch.zeros(num_horizons, len(SETUPS)))
        self.register_buffer("level_Q", torch.tensor(spec.levels, dtype=torch.float64))

    def adopt(self, standards: Standards) -> None:
        """Take scale, scaler and the baseline's quantiles that were measured on the training slice."""
        self.har = standards.har
        for buffer, value in (
            (self.median_F, standards.median_F),
            (self.spread_F, standards.spread_F),
            (self.base_HQ, standards.base_HQ),
            (self.setup_prior_HC, np.log(standards.setup_HC)),
        ):
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def scaled(self, x_BF: Tensor, columns: tuple[int, ...] | None = None) -> Tensor:
        """Raw features on one scale, within ±5; the volatility column as its log. Any leading axes.

        Args:
            columns: which of the F features these are; None for all.
        """
        chosen = tuple(range(len(self.spec.feature_names))) if columns is None else columns
        index = torch.tensor(chosen, device=x_BF.device)
        scaled = (x_BF - self.median_F[index]) / self.spread_F[index]
        if self.spec.sigma_index in chosen:
            place, sigma = chosen.index(self.spec.sigma_index), self.spec.sigma_index
            log_sigma = x_BF[..., place].clamp_min(SIGMA_FLOOR).log()
            scaled[..., place] = (log_sigma - self.median_F[sigma]) / self.spread_F[sigma]
        return scaled.clamp_(-CLIP, CLIP)

    def inputs(self, x_BTF: Tensor) -> Inputs:
        """What the network reads of raw windows, scaled."""
        sequences = []
        for layout in self.encoder.tokens.layouts:
            rows = slice(x_BTF.shape[1] - 1 + layout.offsets[0], None, layout.frame.stride_bars)
            columns = layout.frame.columns
            sequences.append(self.scaled(x_BTF[:, rows][..., list(columns)], columns))
        return Inputs(tuple(sequences), self.scaled(x_BTF[:, -1]))

    def state(self, inputs: Inputs) -> Tensor:
        """What the heads read, ``[B, S]``."""
        state_BS: Tensor = self.encoder(inputs)
        return state_BS

    def companion(self, name: str, state_BS: Tensor, last_BF: Tensor) -> Tensor:
        """Logits of ``setup``, ``[B, H, C]``, or of ``direction``, ``[B, H]``."""
        logit: Tensor = self.companions[name](state_BS, last_BF)
        return logit.reshape(logit.shape[0], -1, len(SETUPS)) if name == "setup" else logit

    def forward(self, inputs: Inputs) -> Output:
        """Scaled features in; the last bar is the origin, and nothing after it exists."""
        state_BS = self.state(inputs)
        z_BHQ, log_vol_BH = self.heads(state_BS, self.base_HQ)
        num_batch, num_horizons = state_BS.shape[0], self.base_HQ.shape[0]
        setup_BHC, direction_BH = (self.companion(name, state_BS, inputs.last_BF) for name in ("setup", "direction"))
        assert setup_BHC.shape == (num_batch, num_horizons, len(SETUPS)), tuple(setup_BHC.shape)
        assert direction_BH.shape == log_vol_BH.shape == (num_batch, num_horizons), tuple(direction_BH.shape)
        return Output(z_BHQ, setup_BHC, direction_BH, log_vol_BH)
