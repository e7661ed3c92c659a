"""The setup and direction heads, fitted after the quantiles on the encoder's frozen state; each stops on its own.

A head trained with the quantiles over-fits long horizons while their pinball still falls. Here each head is a small layer
beside the finished encoder: it can't move it, and its own best epoch on validation is kept. One that never helped stays
as it began: the training frequencies of the setups, and one half for the sign.

Shapes: N rows, B batch, S state, F features, H horizons.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from heliograph.config.learning import TrainSettings
from heliograph.model import losses
from heliograph.model.losses import Targets
from heliograph.model.network import Network
from heliograph.train.pool import Batches, plan_epoch
from heliograph.train.progress import Epochs

IntArray = npt.NDArray[np.int64]

NAMES = ("setup", "direction")

_CHUNK = 2_048
_RATE = 1e-3
_DECAY = 0.1
_SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0)


def fit(
    network: Network,
    batches: Batches,
    train_rows: Sequence[IntArray],
    validation_rows: IntArray,
    settings: TrainSettings,
    *,
    again: Epochs | None = None,
) -> dict[str, int]:
    """Fit the network's companions in place; returns the best epoch of each, 0 where it stays as it began.

    Args:
        again: each is fitted for just so many epochs; validation is not asked.
    """
    network.eval()
    rows = plan_epoch(train_rows, samples=settings.companion_samples, seed=settings.seed, epoch=settings.epochs)
    seen, watched = _Frozen(network, batches, rows), _Frozen(network, batches, validation_rows)
    generator = np.random.default_rng([settings.seed, settings.epochs])
    told = {} if again is None else again._asdict()
    return {name: _fit_one(name, network, seen, watched, settings, generator, told.get(name)) for name in NAMES}


class _Frozen:
    """What the heads read at these rows, computed once."""

    def __init__(self, network: Network, batches: Batches, rows: IntArray) -> None:
        parts = []
        with torch.no_grad():
            for start in range(0, rows.size, _CHUNK):
                inputs, targets = batches.take(rows[start : start + _CHUNK])
                parts.append((network.state(inputs), inputs.last_BF, *targets))
        self.state_NS, self.last_NF, *rest = (torch.cat(column) for column in zip(*parts, strict=True))
        self.targets = Targets(*rest)

    def loss(self, name: str, network: Network, of: Tensor | slice) -> Tensor:
        """Cross-entropy of one head at some of the rows."""
        targets = Targets(*(column[of] for column in self.targets))
        logit = network.companion(name, self.state_NS[of], self.last_NF[of])
        return losses.by_horizon(name, logit, targets, network.setup_prior_HC).mean()


def _fit_one(
    name: str,
    network: Network,
    seen: _Frozen,
    watched: _Frozen,
    settings: TrainSettings,
    generator: np.random.Generator,
    epochs: int | None,
) -> int:
    head = network.companions[name]
    _begin(head, settings.seed)
    optimizer = torch.optim.AdamW(head.requires_grad_(True).parameters(), lr=_RATE, weight_decay=_DECAY)
    best, best_epoch, kept = _judged(name, network, watched), 0, copy.deepcopy(head.state_dict())
    size = min(settings.batch_size, seen.state_NS.shape[0])
    for epoch in range(settings.companion_epochs if epochs is None else epochs):
        order = torch.from_numpy(generator.permutation(seen.state_NS.shape[0])).to(seen.state_NS.device)
        for batch in torch.split(order, size):
            optimizer.zero_grad(set_to_none=True)
            seen.loss(name, network, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        now = _judged(name, network, watched)
        if epochs is not None or now < best:
            best, best_epoch, kept = now, epoch + 1, copy.deepcopy(head.state_dict())
    head.load_state_dict(kept)
    head.requires_grad_(False)
    return best_epoch


def _begin(head: torch.nn.Module, seed: int) -> None:
    """The same start whatever a warm start or a resumed fit brought along: a fresh first layer, and zero after it."""
    generator = torch.Generator().manual_seed(seed)
    hidden, out = head.hidden, head.out
    assert isinstance(hidden, torch.nn.Linear)
    assert isinstance(out, torch.nn.Linear)
    with torch.no_grad():
        drawn = torch.randn(hidden.weight.shape, generator=generator) * hidden.in_features**-0.5
        hidden.weight.copy_(drawn)
        for parameter in (hidden.bias, out.weight, out.bias):
            parameter.zero_()


def _judged(name: str, network: Network, watched: _Frozen) -> float:
    """Cross-entropy as good as calibration will make it: each horizon at its best slope, and h bars count as 1/√h."""
    with torch.no_grad():
        logit = network.companion(name, watched.state_NS, watched.last_NF)
        of_slopes = [
            losses.by_horizon(name, slope * logit, watched.targets, network.setup_prior_HC) for slope in _SLOPES
        ]
    least_H = torch.stack(of_slopes).amin(dim=0).cpu().numpy()
    return float(np.average(least_H, weights=1.0 / network.spec.root_horizons))
