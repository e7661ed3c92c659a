"""One loop, several strategies: two workers under DeepSpeed end where one process ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import ray.train
from ray.train.torch import TorchTrainer
from tests.unit.train import makes

from heliograph.cluster import strategy
from heliograph.config.settings import TrainSettings
from heliograph.train import loop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.usefixtures("ray_session")]

ROOT = Path(__file__).resolve().parents[2]
SHARED = makes.TRAIN.model_dump() | {"epochs": 2}


def fit(settings: TrainSettings, folder: Path, worker: loop.Worker) -> None:
    loop.fit(
        makes.world("volatility"),
        makes.fold(),
        spec=makes.spec(),
        model=makes.MODEL,
        settings=settings,
        folder=folder,
        worker=worker,
    )


def train_worker(config: dict[str, Any]) -> None:
    told = Path(config["folder"]) / f"losses-{ray.train.get_context().get_world_rank()}.jsonl"

    def tell(epoch: int, metrics: dict[str, float], _: Path | None) -> None:
        with told.open("a") as file:
            file.write(json.dumps([epoch, metrics["validation_pinball"]]) + "\n")

    fit(config["settings"], Path(config["folder"]), strategy.worker(config["settings"], on_epoch=tell))


def test_two_workers_under_deepspeed_end_where_one_process_ends(tmp_path: Path):
    alone: list[float] = []
    one = TrainSettings(**SHARED)
    fit(one, tmp_path / "alone", loop.Worker(on_epoch=lambda _, m, __: alone.append(m["validation_pinball"])))

    two = TrainSettings(**SHARED | {"strategy": "deepspeed", "workers": 2})
    environment = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "DS_ACCELERATOR": "cpu"}
    TorchTrainer(
        train_worker,
        train_loop_config={"settings": two, "folder": str(tmp_path)},
        scaling_config=strategy.scaling(two),
        run_config=ray.train.RunConfig(
            name="deepspeed", storage_path=str(tmp_path / "ray"), worker_runtime_env={"env_vars": environment}
        ),
    ).fit()
    for rank in (0, 1):
        lines = (tmp_path / f"losses-{rank}.jsonl").read_text().splitlines()
        assert [json.loads(line)[1] for line in lines] == pytest.approx(alone, rel=1e-4)
