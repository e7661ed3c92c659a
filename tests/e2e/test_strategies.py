"""One loop, several strategies: two workers end where one process ends, and leave what one process can go on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import ray.train
from ray.train.torch import TorchTrainer
from tests.unit.train import makes

from heliograph.cluster import strategy
from heliograph.config.learning import TrainSettings
from heliograph.model.neural import load_network
from heliograph.train import loop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_session")]

ROOT = Path(__file__).resolve().parents[2]
SHARED = makes.TRAIN.model_dump() | {"epochs": 2, "ema_decay": 0.9}
EXACT, SHARDED = 1e-5, 1e-3
STRATEGIES = {
    "ddp": ({"strategy": "ddp"}, EXACT),
    "fsdp": ({"strategy": "fsdp"}, EXACT),
    "zero-1": ({"strategy": "deepspeed", "zero_stage": 1}, SHARDED),
    "zero-2": ({"strategy": "deepspeed", "zero_stage": 2}, SHARDED),
    "zero-3": ({"strategy": "deepspeed", "zero_stage": 3}, SHARDED),
}
GOES_ON = ("fsdp", "zero-3")
HALF = "half"


def two(name: str) -> TrainSettings:
    settings = TrainSettings(**SHARED | {"strategy": "ddp", "workers": 2})
    return settings.model_copy(update=STRATEGIES[name][0])


def fit(settings: TrainSettings, folder: Path, worker: loop.Worker, resume: Path | None = None) -> Path:
    return loop.fit(
        makes.world("volatility"),
        makes.fold(),
        spec=makes.spec(),
        model=makes.MODEL,
        settings=settings,
        folder=folder,
        worker=worker,
        resume=resume,
    )


def train_worker(config: dict[str, Any]) -> None:
    """All strategies one after the other: their processes take longer to start than to train."""
    rank = ray.train.get_context().get_world_rank()
    for name in STRATEGIES:
        folder = Path(config["folder"]) / name
        told: list[dict[str, float]] = []

        def tell(epoch: int, metrics: dict[str, float], path: Path | None, into=told, folder=folder) -> None:
            into.append(metrics)
            if epoch == 1 and path:
                shutil.copytree(path, folder / HALF)

        fit(two(name), folder, strategy.worker(two(name), on_epoch=tell))
        whole = len(told)
        if name in GOES_ON:
            fit(two(name), folder, strategy.worker(two(name), on_epoch=tell), folder / HALF)
        (folder / f"told-{rank}.json").write_text(json.dumps([told[:whole], told[whole:]]))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    told: list[dict[str, float]] = []
    folder = tmp_path_factory.mktemp("alone")
    fit(TrainSettings(**SHARED), folder, loop.Worker(on_epoch=lambda _, metrics, __: told.append(metrics)))
    return told


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    environment = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "DS_ACCELERATOR": "cpu"}
    TorchTrainer(
        train_worker,
        train_loop_config={"folder": str(folder)},
        scaling_config=strategy.scaling(two("ddp")),
        run_config=ray.train.RunConfig(
            name="strategies", storage_path=str(folder / "ray"), worker_runtime_env={"env_vars": environment}
        ),
    ).fit()
    return folder


def told_by(together: Path, name: str, rank: int) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return json.loads((together / name / f"told-{rank}.json").read_text())


@pytest.mark.parametrize("name", STRATEGIES)
def test_two_workers_have_the_loss_curve_of_one_process(name: str, together: Path, alone: list[dict[str, float]]):
    by_rank = [told_by(together, name, rank)[0] for rank in (0, 1)]
    tolerance = STRATEGIES[name][1]
    for epoch, one in enumerate(alone):
        for rank in (0, 1):
            assert by_rank[rank][epoch]["validation_pinball"] == pytest.approx(one["validation_pinball"], rel=tolerance)
        shared = sum(told[epoch]["train_loss"] for told in by_rank) / 2
        assert shared == pytest.approx(one["train_loss"], rel=tolerance)


@pytest.mark.parametrize("name", GOES_ON)
def test_workers_that_are_killed_go_on_from_their_shards_as_if_nothing_had_been(name: str, together: Path):
    for rank in (0, 1):
        whole, resumed = told_by(together, name, rank)
        assert [r["validation_pinball"] for r in resumed] == pytest.approx(
            [w["validation_pinball"] for w in whole[1:]], rel=EXACT
        )


def test_one_process_goes_on_from_the_checkpoint_of_sharded_workers(together: Path, alone, tmp_path: Path):
    told: list[float] = []
    worker = loop.Worker(on_epoch=lambda _, metrics, __: told.append(metrics["validation_pinball"]))
    fit(TrainSettings(**SHARED), tmp_path, worker, together / "fsdp" / HALF)
    assert told == pytest.approx([alone[1]["validation_pinball"]], rel=EXACT)


@pytest.mark.parametrize("name", STRATEGIES)
def test_best_network_is_whole_and_opens_in_one_process(name: str, together: Path):
    network = load_network(together / name / "best")
    assert all(parameter.numel() > 0 for parameter in network.parameters())
