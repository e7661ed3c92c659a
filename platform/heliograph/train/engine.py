"""What takes a training step: PyTorch as it is here; data-parallel and sharded engines answer the same port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heliograph.config.settings import TrainSettings
from heliograph.model.heads import Output
from heliograph.model.network import Network

Wrap = Callable[[nn.Module], nn.Module]


def as_is(module: nn.Module) -> nn.Module:
    """The module itself: one worker needs no wrapping."""
    return module


_STATE = "engine.safetensors"


class Engine(Protocol):
    """Forward, backward and update of one worker.

    Attributes:
        network: the bare network that is trained, for validation and for keeping its weights.
    """

    network: Network

    def forward(self, x_BTF: Tensor) -> Output:
        """The training forward pass."""

    def update(self, loss: Tensor, *, learning_rate: float) -> None:
        """Backward pass, gradients averaged over workers and clipped, one step of the optimiser."""

    def save(self, folder: Path, *, is_writer: bool) -> None:
        """Write weights and optimiser state into the folder; called on every worker, one of them writes."""

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote, exactly."""


MakeEngine = Callable[[Network, TrainSettings], Engine]


class TorchEngine:
    """AdamW on a module that ``wrap`` made, e.g. a data-parallel one. Matrices decay; biases and norms do not."""

    def __init__(self, network: Network, settings: TrainSettings, *, wrap: Wrap) -> None:
        self.network = network
        self.module = wrap(network)
        self.settings = settings
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)

    def forward(self, x_BTF: Tensor) -> Output:
        """The training forward pass."""
        output: Output = self.module(x_BTF)
        return output

    def update(self, loss: Tensor, *, learning_rate: float) -> None:
        """Backward pass, clipping by global norm, one step of AdamW."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()

    def save(self, folder: Path, *, is_writer: bool) -> None:
        """Write weights and optimiser state; every worker holds the same, so one is enough."""
        if not is_writer:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / _STATE)

    def load(self, folder: Path) -> None:
        """Take up weights and optimiser state, bit for bit."""
        tensors = load_file(folder / _STATE)
        self.network.load_state_dict(
            {n.removeprefix("network."): v for n, v in tensors.items() if n.startswith("network.")}
        )
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part == "optimizer":
                index, _, slot = rest.partition(".")
                state.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
