"""Join a Ray cluster, or start a private one on this machine."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray.data

from heliograph.cluster.governor import NAMESPACE
from heliograph.core.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
LEAST_LOGICAL_CPUS = 4  # folds at once and their drivers, or fetchers beside the committer, on the smallest laptop
OBJECT_STORE_BYTES = 256 * 2**20
NOTHING_TO_WATCH = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
"""No cloud takes one's own machine back: a process less beside each fit."""


@contextmanager
def session() -> Iterator[None]:
    """A running Ray for the block.

    Inside a Ray job, or where ``RAY_ADDRESS`` is set, that cluster is joined. Otherwise a private one is started and
    stopped with the block. A Ray that this process has already joined is used as it is.

    Raises:
        ConfigError: the cluster in ``RAY_ADDRESS`` does not answer or refuses the token.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    with tempfile.TemporaryDirectory(prefix="helio-", ignore_cleanup_errors=True) as folder:
        try:
            ray.init(namespace=NAMESPACE, log_to_driver=False, **(_joined(address) if address else _private(folder)))
        except (ConnectionError, RuntimeError) as e:
            raise ConfigError(
                f"no Ray cluster could be joined at {address or 'this machine'}: {e}; start one with `ray start --head`, "
                "set RAY_AUTH_MODE alike on both sides, or unset RAY_ADDRESS to run on this machine alone"
            ) from e
        ray.data.DataContext.get_current().enable_progress_bars = False  # our own bars tell the same in fewer lines
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # whoever runs trials tells what became of each
        try:
            yield
        finally:
            ray.shutdown()


def _joined(address: str) -> dict[str, Any]:
    # A job's own runtime_env already brings the package; anywhere else it is sent along.
    return {
        "address": address,
        **({} if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ else {"runtime_env": {"py_modules": [str(PACKAGE)]}}),
    }


def _private(folder: str) -> dict[str, Any]:
    return {
        "num_cpus": max(LEAST_LOGICAL_CPUS, os.cpu_count() or 1),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "runtime_env": {"env_vars": {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"} | NOTHING_TO_WATCH},
        "logging_level": "ERROR",
        "_system_config": {
            "idle_worker_killing_time_threshold_ms": 1_000,
            "num_workers_soft_limit": 0,
        },  # laptops are small
        "_temp_dir": folder,
    }
