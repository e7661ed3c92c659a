"""What every test may use: the real recorded data, and one Ray for the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"  # small fits end between two looks of 2 s

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recorded data beside the project; in CI it must be there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        reason = f"the recorded data is not at {folder}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The one Ray of the whole suite."""
    import ray

    from heliograph.cluster.session import session

    with session():
        yield
    assert not ray.is_initialized()
