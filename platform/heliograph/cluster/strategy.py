"""How the workers of one fold share the work: alone, data-parallel, or through DeepSpeed."""

from __future__ import annotations

from typing import Any

import ray.train
import ray.train.torch

from heliograph.config.settings import TrainSettings


def scaling(settings: TrainSettings) -> ray.train.ScalingConfig:
    """How many workers, and on what."""
    return ray.train.ScalingConfig(
        num_workers=settings.workers,
        use_gpu=settings.use_gpu,
        resources_per_worker={"CPU": 1, **({"GPU": 1} if settings.use_gpu else {})},
    )


def engine(settings: TrainSettings) -> dict[str, Any]:
    """What `train.loop.fit` needs to know of the strategy, inside a worker."""
    if settings.strategy == "deepspeed":
        from heliograph.cluster.sharded import DeepSpeedEngine  # noqa: PLC0415 - an extra that few install

        return {"make_engine": DeepSpeedEngine}
    return {"wrap": ray.train.torch.prepare_model}
