"""What takes a training step: PyTorch as it is here; data-parallel and sharded engines answer the same port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from heliograph.config.learning import TrainSettings
from heliograph.model.encoder import Inputs
from heliograph.model.heads import Output
from heliograph.model.network import Network

Wrap = Callable[[nn.Module], nn.Module]
Weights = dict[str, Tensor]


def as_is(module: nn.Module) -> nn.Module:
    """The module itself: one worker needs no wrapping."""
    return module


_STATE = "engine.safetensors"


class Engine(Protocol):
    """Forward, backward and update of one worker.

    Attributes:
        network: the bare network that is trained.
    """

    network: Network

    def forward(self, inputs: Inputs) -> Output:
        """The training forward pass, in the precision of the settings; losses are taken outside of it."""

    def update(self, loss: Tensor, *, learning_rate: float) -> None:
        """Backward pass, gradients averaged over workers and clipped, one step of the optimiser."""

    def weights(self) -> Weights:
        """Weights and buffers that are judged and kept: whole, on the CPU, averaged where the settings say so.

        Called on every worker.
        """

    def save(self, folder: Path, *, is_writer: bool) -> None:
        """Write weights and optimiser state into the folder; called on every worker, one of them writes."""

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote, exactly."""


MakeEngine = Callable[[Network, TrainSettings], Engine]


class Average:
    """Exponential moving average of parameters, in the order given; of shards as well, being elementwise.

    The first steps count for more, so that an average over few steps is no average of noise.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay, self.steps = decay, 0
        self.values = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step's parameters in."""
        self.steps += 1
        keep = min(self.decay, self.steps / (10 + self.steps))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1.0 - keep)

    def tensors(self) -> Weights:
        """What `load` takes up."""
        return {"steps": torch.tensor(self.steps), **{str(k): value for k, value in enumerate(self.values)}}

    @torch.no_grad()
    def load(self, tensors: Weights) -> None:
        """Take up what `tensors` gave."""
        self.steps = int(tensors["steps"])
        for k, value in enumerate(self.values):
            value.copy_(tensors[str(k)])


def decayed(parameters: Iterable[nn.Parameter], settings: TrainSettings) -> list[dict[str, object]]:
    """AdamW's groups of those that are trained: matrices decay, biases and norms do not."""
    trained = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


class TorchEngine:
    """AdamW on a module that ``wrap`` made, e.g. a data-parallel one."""

    def __init__(self, network: Network, settings: TrainSettings, *, wrap: Wrap) -> None:
        self.network = network
        self.module = wrap(network)
        self.settings = settings
        self.optimizer = torch.optim.AdamW(decayed(self.module.parameters(), settings), lr=settings.learning_rate)
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        self._names = [name for name, _ in named]
        self._average = Average((p for _, p in named), settings.ema_decay) if settings.ema_decay else None

    def forward(self, inputs: Inputs) -> Output:
        """The training forward pass; matrix products in bfloat16 where the settings say so."""
        device = inputs.last_BF.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.settings.precision == "bf16"):
            output: Output = self.module(inputs)
        return output

    def update(self, loss: Tensor, *, learning_rate: float) -> None:
        """Backward pass, clipping by global norm, one step of AdamW."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        if self._average:
            self._average.update()

    def weights(self) -> Weights:
        """Every worker holds the same; averaged parameters take the place of those of the last step."""
        held: Weights = dict(self.network.state_dict())
        if self._average:
            held |= zip(self._names, self._average.values, strict=True)
        return {name: value.detach().cpu().clone() for name, value in held.items()}

    def save(self, folder: Path, *, is_writer: bool) -> None:
        """Write weights and optimiser state; every worker holds the same, so one is enough."""
        if not is_writer:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        if self._average:
            tensors |= {f"average.{name}": value for name, value in self._average.tensors().items()}
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / _STATE)

    def load(self, folder: Path) -> None:
        """Take up weights and optimiser state, bit for bit."""
        tensors = load_file(folder / _STATE)
        parts: dict[str, Weights] = {"network": {}, "optimizer": {}, "average": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.network.load_state_dict(parts["network"])
        state: dict[int, Weights] = {}
        for name, value in parts["optimizer"].items():
            index, _, slot = name.partition(".")
            state.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        if self._average:
            self._average.load(parts["average"])
