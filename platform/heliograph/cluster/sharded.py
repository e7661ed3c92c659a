"""DeepSpeed as the training engine: ZeRO stages 1 to 3 behind the same port as plain PyTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import deepspeed
import deepspeed.ops
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from heliograph.config.learning import TrainSettings
from heliograph.model.encoder import Inputs
from heliograph.model.heads import Output
from heliograph.model.network import Network
from heliograph.train.engine import Average, Weights, decayed

_TAG = "engine"
_AVERAGE = "average.safetensors"

# an operation for inference on CPUs, which DeepSpeed would compile at first use: minutes, and a C++ compiler on every node
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class DeepSpeedEngine:
    """`train.engine.Engine` over DeepSpeed.

    Sharded over the workers are the optimiser's state, from stage 2 on the gradients too, in stage 3 the weights too;
    then they are gathered for what is kept, and at every step where an average of them is wanted.
    """

    def __init__(self, network: Network, settings: TrainSettings) -> None:
        self.network = network
        self._settings = settings
        self._engine, *_ = deepspeed.initialize(
            model=network,
            model_parameters=decayed(network.parameters(), settings),
            config={
                "train_micro_batch_size_per_gpu": settings.batch_size // settings.workers,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": settings.clip_norm,
                # torch_adam: DeepSpeed's own Adam is compiled at first use, for minutes
                "optimizer": {
                    "type": "AdamW",
                    "params": {"lr": settings.learning_rate, "torch_adam": True, "adam_w_mode": True},
                },
                "zero_optimization": {"stage": settings.zero_stage},
                "zero_allow_untested_optimizer": True,
                "steps_per_print": 10**9,
            },
        )
        self._trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._average = None
        if settings.ema_decay:
            with self._gathered():
                self._average = Average(self._trained.values(), settings.ema_decay)

    def forward(self, inputs: Inputs) -> Output:
        """The training forward pass; matrix products in bfloat16 where the settings say so."""
        device = inputs.last_BF.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self._settings.precision == "bf16"):
            output: Output = self._engine(inputs)
        return output

    def update(self, loss: Tensor, *, learning_rate: float) -> None:
        """Backward pass, gradients averaged over workers and clipped, one step of AdamW."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.backward(loss)
        self._engine.step()
        if self._average:
            with self._gathered():
                self._average.update()

    def weights(self) -> Weights:
        """Whole on every worker; averaged parameters take the place of those of the last step."""
        with self._gathered():
            held: Weights = dict(self.network.state_dict())
            if self._average:
                held |= zip(self._trained, self._average.values, strict=True)
            return {name: value.detach().cpu().clone() for name, value in held.items()}

    def save(self, folder: Path, *, is_writer: bool) -> None:
        """Write weights and every worker's shard of the optimiser's state."""
        self._engine.save_checkpoint(str(folder), tag=_TAG)
        if self._average and is_writer:
            save_file({name: v.cpu() for name, v in self._average.tensors().items()}, folder / _AVERAGE)

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        self._engine.load_checkpoint(str(folder), tag=_TAG)
        if self._average:
            self._average.load(load_file(folder / _AVERAGE))
        with self._gathered():
            pass  # stage 3 notes at its first step which weights come when, and would note none for those just loaded

    def _gathered(self) -> AbstractContextManager[None]:
        """Whole parameters for the block; the workers enter it together. Below stage 3 they are whole anyway."""
        context: AbstractContextManager[None] = deepspeed.zero.GatheredParameters(
            list(self.network.parameters()), enabled=self._settings.zero_stage == 3
        )
        return context
