"""Fully sharded data parallel (FSDP2) as the training engine: every worker holds a share of weights, gradients and state."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from heliograph.config.learning import TrainSettings
from heliograph.model.network import Network
from heliograph.train.engine import TorchEngine, Weights

_STATE = "engine.safetensors"


class FsdpEngine(TorchEngine):
    """`train.engine.Engine` over sharded weights. Its checkpoints are whole, those of `TorchEngine`: one process can go on."""

    def __init__(self, network: Network, settings: TrainSettings, *, device: torch.device) -> None:
        super().__init__(network.to(device), settings, wrap=_sharded)

    def weights(self) -> Weights:
        """Gathered on every worker; averaged parameters take the place of those of the last step."""
        held: Weights = dict(self.network.state_dict())
        if self._average:
            held |= zip(self._names, self._average.values, strict=True)
        return _whole(held)

    def save(self, folder: Path, *, is_writer: bool) -> None:
        """Gather weights and optimiser state; the writer writes them whole."""
        tensors: Weights = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        if self._average:
            tensors |= {f"average.{name}": value for name, value in self._average.tensors().items()}
        whole = _whole(tensors)
        if is_writer:
            save_file(whole, folder / _STATE)

    def load(self, folder: Path) -> None:
        """Every worker takes its share of what `save` wrote."""
        tensors = load_file(folder / _STATE)
        with torch.no_grad():
            for name, held in self.network.state_dict().items():
                held.copy_(_share(tensors[f"network.{name}"], held))
        places = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, Weights] = {}
        for name in (n for n in tensors if n.startswith("optimizer.")):
            _, index, slot = name.split(".")
            value, place = tensors[name], places[int(index)]
            state.setdefault(int(index), {})[slot] = _share(value, place) if value.ndim else value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        if self._average:
            held_values = self._average.tensors()
            self._average.load({n: _share(tensors[f"average.{n}"], held) for n, held in held_values.items()})


def _sharded(module: nn.Module) -> nn.Module:
    fully_shard(module)
    return module


def _whole(tensors: Weights) -> Weights:
    """Copies on the CPU; the workers gather what is sharded together, in the same order."""
    made = {}
    for name, value in tensors.items():
        full = value.full_tensor() if isinstance(value, DTensor) else value
        made[name] = full.detach().cpu().clone(memory_format=torch.contiguous_format)
    return made


def _share(whole: Tensor, like: Tensor) -> Tensor:
    """This worker's share of a whole tensor, laid out as another one is."""
    if not isinstance(like, DTensor):
        return whole.to(like.device)
    shared: Tensor = distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return shared
