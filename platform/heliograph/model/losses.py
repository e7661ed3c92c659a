"""What training minimises: pinball on standardised returns with volatility beside it; and what the companions minimise.

Shapes: B batch, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from heliograph.model.heads import Output

LOG_VOL_WEIGHT = 0.1


class Targets(NamedTuple):
    """What really happened after B origins; nothing is missing.

    Attributes:
        z_BH: float64, log-return / scale.
        setup_BH: int64, class of the triple barrier.
        up_BH: float32, 1 where the return is positive.
        log_vol_BH: float32, log of realised volatility over the scale.
    """

    z_BH: Tensor
    setup_BH: Tensor
    up_BH: Tensor
    log_vol_BH: Tensor


def pinball(y_BH: Tensor, quantile_BHQ: Tensor, level_Q: Tensor) -> Tensor:
    """Quantile loss of every origin, horizon and level, ``[B, H, Q]``; twice its integral over levels is the CRPS.

    >>> pinball(torch.tensor([[1.0]]), torch.tensor([[[0.0, 2.0]]]), torch.tensor([0.5, 0.75])).tolist()
    [[[0.5, 0.25]]]
    """
    assert quantile_BHQ.shape == (*y_BH.shape, *level_Q.shape), f"{tuple(quantile_BHQ.shape)} for {tuple(y_BH.shape)}"
    error_BHQ = y_BH[..., None] - quantile_BHQ
    return torch.maximum(level_Q * error_BHQ, (level_Q - 1) * error_BHQ)


def total(output: Output, targets: Targets, level_Q: Tensor) -> Tensor:
    """What the encoder and its quantiles are fitted by, a float64 scalar; every horizon counts the same."""
    assert output.log_vol_BH.shape == targets.log_vol_BH.shape, tuple(output.log_vol_BH.shape)
    log_vol = functional.smooth_l1_loss(output.log_vol_BH, targets.log_vol_BH)
    return pinball(targets.z_BH, output.z_BHQ, level_Q).mean() + LOG_VOL_WEIGHT * log_vol.double()


def by_horizon(name: str, logit: Tensor, targets: Targets, setup_prior_HC: Tensor) -> Tensor:
    """Cross-entropy of ``setup`` or of ``direction``, mean over origins, ``[H]``."""
    if name == "setup":
        assert logit.shape[:-1] == targets.setup_BH.shape, tuple(logit.shape)
        each = functional.cross_entropy(
            (setup_prior_HC + logit).flatten(0, 1), targets.setup_BH.flatten(), reduction="none"
        )
        return each.reshape(targets.setup_BH.shape).mean(dim=0)
    assert logit.shape == targets.up_BH.shape, tuple(logit.shape)
    return functional.binary_cross_entropy_with_logits(logit, targets.up_BH, reduction="none").mean(dim=0)
