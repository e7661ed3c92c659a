"""cluster.yaml passes Ray's own offline validation, and what that misses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).resolve().parents[2] / "cluster.yaml"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load(CLUSTER.read_text())


def test_ray_accepts_it(config):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(config))


def test_every_node_type_can_be_started(config):
    from ray.autoscaler._private.aws.config import DEFAULT_AMI

    assert config["provider"]["region"] in DEFAULT_AMI
    for name, node in config["available_node_types"].items():
        assert node["node_config"]["InstanceType"], name
    assert config["head_node_type"] in config["available_node_types"]


def test_every_node_demands_a_token(config):
    starts = [c for part in ("head", "worker") for c in config[f"{part}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in c and "umask 077" in c for c in starts)


def test_dashboard_stays_off_public_interfaces(config):
    assert "--dashboard-host" not in CLUSTER.read_text()


def test_most_workers_of_all_types_fit_the_cluster(config):
    workers = sum(t.get("max_workers", 0) for t in config["available_node_types"].values())
    assert workers <= config["max_workers"]


def test_what_a_run_makes_is_not_copied_to_the_nodes(config):
    assert {"**/var", "**/.venv", "**/.git"} <= set(config["rsync_exclude"])
