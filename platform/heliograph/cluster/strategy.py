"""How the workers of one fold share the work: alone, data-parallel, or through DeepSpeed."""

from __future__ import annotations

import ray.train
import ray.train.torch

from heliograph.config.settings import TrainSettings
from heliograph.train.loop import OnEpoch, Worker


def scaling(settings: TrainSettings) -> ray.train.ScalingConfig:
    """How many workers, and on what."""
    return ray.train.ScalingConfig(
        num_workers=settings.workers,
        use_gpu=settings.use_gpu,
        resources_per_worker={"CPU": 1, **({"GPU": 1} if settings.use_gpu else {})},
    )


def worker(settings: TrainSettings, *, on_epoch: OnEpoch) -> Worker:
    """This process as a worker of its fold, inside Ray Train."""
    context = ray.train.get_context()
    place = {"rank": context.get_world_rank(), "world_size": context.get_world_size(), "on_epoch": on_epoch}
    if settings.strategy == "deepspeed":
        from heliograph.cluster.sharded import DeepSpeedEngine  # noqa: PLC0415 - an extra that few install

        return Worker(make_engine=DeepSpeedEngine, **place)
    return Worker(wrap=ray.train.torch.prepare_model, **place)
