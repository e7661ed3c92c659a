"""No GPU where one is asked for: a sentence before anything starts."""

from __future__ import annotations

import pytest

from heliograph.cluster import strategy
from heliograph.config.learning import TrainSettings
from heliograph.core.errors import ConfigError

LAUNCHED = """
max_workers: 3
available_node_types:
  head: {resources: {CPU: 0}}
  fetch: {max_workers: 6, resources: {CPU: 2}}
  train: {max_workers: 2, resources: {CPU: 16, GPU: 4}}
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster with so many GPUs now."""

    def of(gpus: int) -> None:
        monkeypatch.setattr(strategy.ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": float(gpus)})

    monkeypatch.setattr(strategy, "_LAUNCHED", tmp_path / "none.yaml")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return of


def test_gpu_that_is_not_there_is_told_with_what_to_do(cluster):
    cluster(0)
    with pytest.raises(
        ConfigError, match=r"train\.use_gpu asks for 1 GPU and Ray finds none: set train\.use_gpu to false"
    ):
        strategy.require(TrainSettings(use_gpu=True), at_once=1)


def test_every_worker_of_a_fit_needs_one(cluster):
    cluster(1)
    strategy.require(TrainSettings(use_gpu=True), at_once=1)
    with pytest.raises(ConfigError, match="asks for 2 GPUs and Ray finds 1"):
        strategy.require(TrainSettings(use_gpu=True, strategy="ddp", workers=2), at_once=2)


def test_cpus_need_none(cluster):
    cluster(0)
    strategy.require(TrainSettings(), at_once=8)


def test_launched_cluster_may_grow_to_what_its_description_says(cluster, tmp_path, monkeypatch):
    cluster(0)
    description = tmp_path / "ray_bootstrap_config.yaml"
    description.write_text(LAUNCHED)
    assert strategy.launchable_gpus(description) == 8
    monkeypatch.setattr(strategy, "_LAUNCHED", description)
    strategy.require(TrainSettings(use_gpu=True), at_once=8)
    with pytest.raises(ConfigError, match="asks for 9 GPUs and Ray finds 8"):
        strategy.require(TrainSettings(use_gpu=True), at_once=9)
