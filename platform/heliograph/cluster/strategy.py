"""How the workers of one fold share the work: alone, data-parallel, fully sharded, or through DeepSpeed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import yaml
from ray.train import UserCallback

from heliograph.config.learning import TrainSettings
from heliograph.core.errors import ConfigError, HeliographError, Retryable
from heliograph.train.loop import OnEpoch, Worker

_LAUNCHED = Path("~/ray_bootstrap_config.yaml")
"""Where Ray's launcher leaves a cluster's description, on its head."""


def require(settings: TrainSettings, *, at_once: int) -> None:
    """Refuse before anything starts what the cluster can't run.

    Args:
        at_once: workers that one fit has at a time.

    Raises:
        ConfigError: GPUs are asked for, and too few are there or can come.
    """
    if not settings.use_gpu or "KUBERNETES_SERVICE_HOST" in os.environ:  # its operator alone knows what can come
        return
    there = max(int(ray.cluster_resources().get("GPU", 0)), launchable_gpus(_LAUNCHED.expanduser()))
    if there < at_once:
        raise ConfigError(
            f"train.use_gpu asks for {at_once} GPU{'s' * (at_once > 1)} and Ray finds {there or 'none'}: set "
            "train.use_gpu to false, lower train.workers, or join a cluster that has them (RAY_ADDRESS)"
        )


def launchable_gpus(description: Path) -> int:
    """GPUs of a launched cluster with all nodes that it may grow to; 0 where there is no such description."""
    if not description.exists():
        return 0
    told = yaml.safe_load(description.read_text())
    most = int(told.get("max_workers", 0))
    kinds = told.get("available_node_types", {})
    return max(
        (
            int(kind.get("resources", {}).get("GPU", 0)) * min(most, int(kind.get("max_workers", most)))
            for kind in kinds.values()
        ),
        default=0,
    )


def scaling(settings: TrainSettings) -> ray.train.ScalingConfig:
    """How many workers, and on what."""
    return ray.train.ScalingConfig(
        num_workers=settings.workers,
        use_gpu=settings.use_gpu,
        resources_per_worker={"CPU": 1, **({"GPU": 1} if settings.use_gpu else {})},
    )


class EndAtFault(UserCallback):  # type: ignore[misc]
    """Ends a fit at an error that every other try would end in as well, instead of trying again."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:  # noqa: ARG002
        """Some workers failed."""
        told = next(filter(None, map(fault, worker_exceptions.values())), None)
        if told is not None and not isinstance(told, Retryable):
            raise told


def fault(error: object) -> HeliographError | None:
    """What Heliograph said, without what Ray's processes wrapped around it; None where it said nothing.

    >>> class Wrapped(Exception):
    ...     cause = ConfigError("lower it")
    >>> fault(Wrapped("a page of traceback"))
    ConfigError('lower it')
    """
    inner = [getattr(error, "cause", None), getattr(error, "controller_failure", None)]
    inner += getattr(error, "worker_failures", {}).values()
    if told := next(filter(None, map(fault, filter(None, inner))), None):
        return told
    return error if isinstance(error, HeliographError) else None


def worker(settings: TrainSettings, *, on_epoch: OnEpoch) -> Worker:
    """This process as a worker of its fold, inside Ray Train.

    Raises:
        ConfigError: DeepSpeed is asked for and is not installed here.
    """
    context = ray.train.get_context()
    place = {"rank": context.get_world_rank(), "world_size": context.get_world_size(), "on_epoch": on_epoch}
    if settings.strategy == "deepspeed":
        try:
            from heliograph.cluster.sharded import DeepSpeedEngine  # noqa: PLC0415 - an extra that few install
        except ModuleNotFoundError as e:
            raise ConfigError(
                "train.strategy deepspeed needs the package deepspeed on every node, and it is not installed here: "
                "run pip install 'heliograph[deepspeed]', or choose single, ddp or fsdp"
            ) from e

        return Worker(make_engine=DeepSpeedEngine, **place)
    if settings.strategy == "fsdp":
        from heliograph.train.fsdp import FsdpEngine  # noqa: PLC0415 - a second of imports that few need

        return Worker(make_engine=partial(FsdpEngine, device=ray.train.torch.get_device()), **place)
    return Worker(wrap=ray.train.torch.prepare_model, **place)


def alone(settings: TrainSettings, *, on_epoch: OnEpoch) -> Worker:
    """This process as the only worker, outside of Ray Train: a search's trial."""
    device = "cuda" if settings.use_gpu else "cpu"
    return Worker(wrap=lambda module: module.to(device), on_epoch=on_epoch)
