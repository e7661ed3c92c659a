"""From a state to a distribution: corrections of the baseline's quantiles, setup classes, direction, volatility.

Shapes: B batch, S state, F features, H horizons, Q quantile levels, G gaps between them, C setups. Every last layer
starts at zero, so that an untrained network says what its baseline says. Quantiles are computed in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

REACH = 2.0  # a log-width or shift saturates here: one batch can't throw a quantile to infinity


class Output(NamedTuple):
    """What the network says of B windows.

    Attributes:
        z_BHQ: float64 quantiles of log-return / scale; never decreasing along Q.
        setup_BHC: logits of stop, timeout, profit, as corrections of the training frequencies' logs.
        direction_BH: logit of a positive return.
        log_vol_BH: log of realised volatility over the scale.
    """

    z_BHQ: Tensor
    setup_BHC: Tensor
    direction_BH: Tensor
    log_vol_BH: Tensor


def corrected(base_HQ: Tensor, width_BHG: Tensor, shift_BH: Tensor) -> Tensor:
    """Quantiles with the baseline's gaps stretched by ``exp(width)`` about a shifted median; they can't cross.

    Args:
        base_HQ: float64, never decreasing along Q; Q is odd and the median stands in the middle.
        width_BHG: log-factor of each of the ``G = Q - 1`` gaps.
        shift_BH: added to the median, in units of the scale.

    Returns:
        float64[B, H, Q].

    >>> base = torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64)
    >>> corrected(base, torch.zeros(1, 1, 2, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)).tolist()
    [[[-0.5, 0.5, 1.5]]]
    """
    num_batch, num_horizons, num_gaps = width_BHG.shape
    assert base_HQ.shape == (num_horizons, num_gaps + 1), (
        f"base {tuple(base_HQ.shape)}, widths {tuple(width_BHG.shape)}"
    )
    assert shift_BH.shape == (num_batch, num_horizons), (
        f"shift {tuple(shift_BH.shape)}, widths {tuple(width_BHG.shape)}"
    )
    middle = num_gaps // 2
    gap_BHG = base_HQ.diff(dim=-1) * width_BHG.exp()
    median_BH1 = (base_HQ[:, middle] + shift_BH)[..., None]
    below = median_BH1 - gap_BHG[..., :middle].flip(-1).cumsum(-1).flip(-1)
    above = median_BH1 + gap_BHG[..., middle:].cumsum(-1)
    return torch.cat([below, median_BH1, above], dim=-1)


class Heads(nn.Module):
    """Quantiles and volatility as one linear layer; a common log-width per horizon stands beside the one of each gap."""

    def __init__(self, state: int, num_horizons: int, num_levels: int) -> None:
        super().__init__()
        self.num_horizons = num_horizons
        self.sizes = (num_levels - 1, 1, 1, 1)
        self.linear = nn.Linear(state, num_horizons * sum(self.sizes))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, state_BS: Tensor, base_HQ: Tensor) -> tuple[Tensor, Tensor]:
        """Corrected quantiles ``z_BHQ``, and ``log_vol_BH``."""
        parts = self.linear(state_BS).reshape(state_BS.shape[0], self.num_horizons, -1).split(self.sizes, dim=-1)
        gaps, common, shift, log_vol = parts
        width_BHG = REACH * torch.tanh((gaps + common).double() / REACH)
        shift_BH = REACH * torch.tanh(shift[..., 0].double() / REACH)
        z_BHQ = corrected(base_HQ, width_BHG, shift_BH)
        assert z_BHQ.shape == (state_BS.shape[0], *base_HQ.shape), tuple(z_BHQ.shape)
        return z_BHQ, log_vol[..., 0].float()


class Companion(nn.Module):
    """Logits from the state and the last bar, by a small layer of its own.

    The state is read and never moved: gradients stop here, so that a head with little to learn can't hurt the quantiles.
    """

    def __init__(self, state: int, num_features: int, num_logits: int, *, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(state + num_features, width)
        self.out = nn.Linear(width, num_logits)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, state_BS: Tensor, last_BF: Tensor) -> Tensor:
        """float32 logits."""
        hidden = nn.functional.silu(self.hidden(torch.cat([state_BS.detach(), last_BF], dim=-1)))
        logit: Tensor = self.out(hidden).float()
        return logit
