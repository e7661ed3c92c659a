"""DeepSpeed as the training engine: ZeRO stage 1 behind the same port as plain PyTorch."""

from __future__ import annotations

from pathlib import Path

import deepspeed
import deepspeed.ops
from torch import Tensor

from heliograph.config.settings import TrainSettings
from heliograph.model.heads import Output
from heliograph.model.network import Network

_STAGE = 1
_TAG = "engine"

# an operation for inference on CPUs, which DeepSpeed would compile at first use: minutes, and a C++ compiler on every node
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class DeepSpeedEngine:
    """`train.engine.Engine` over DeepSpeed: optimiser state is sharded over the workers, weights are whole on each."""

    def __init__(self, network: Network, settings: TrainSettings) -> None:
        self.network = network
        decayed = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2]
        plain = [p for p in network.parameters() if p.requires_grad and p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self._engine, *_ = deepspeed.initialize(
            model=network,
            model_parameters=groups,
            config={
                "train_micro_batch_size_per_gpu": settings.batch_size // settings.workers,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": settings.clip_norm,
                # torch_adam: DeepSpeed's own Adam is compiled at first use, for minutes
                "optimizer": {
                    "type": "AdamW",
                    "params": {"lr": settings.learning_rate, "torch_adam": True, "adam_w_mode": True},
                },
                "zero_optimization": {"stage": _STAGE},
                "zero_allow_untested_optimizer": True,
                "steps_per_print": 10**9,
            },
        )

    def forward(self, x_BTF: Tensor) -> Output:
        """The training forward pass."""
        output: Output = self._engine(x_BTF)
        return output

    def update(self, loss: Tensor, *, learning_rate: float) -> None:
        """Backward pass, gradients averaged over workers and clipped, one step of AdamW."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.backward(loss)
        self._engine.step()

    def save(self, folder: Path, *, is_writer: bool) -> None:  # noqa: ARG002 - every worker writes its own shard
        """Write weights and every worker's shard of the optimiser's state."""
        self._engine.save_checkpoint(str(folder), tag=_TAG)

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        self._engine.load_checkpoint(str(folder), tag=_TAG)
