"""What Heliograph says in a worker reaches the user as it was said, and ends the fit where another try would end alike."""

from __future__ import annotations

import sys

import pytest
from ray.exceptions import RayTaskError
from ray.train import ControllerError, WorkerGroupError

from heliograph.cluster import strategy
from heliograph.config.learning import TrainSettings
from heliograph.core.errors import ConfigError, CorruptPart, HeliographError, RateLimited

SAID = ConfigError("lower train.batch_size")


def in_a_task(cause: Exception) -> Exception:
    return RayTaskError("fit_fold", "a page of traceback", cause).as_instanceof_cause()


def in_workers(*causes: Exception) -> Exception:
    return WorkerGroupError("[Rank 0 Error Snippet] …", dict(enumerate(causes)))


@pytest.mark.parametrize(
    "error",
    [
        SAID,
        in_workers(SAID),
        in_workers(RuntimeError("connection closed by peer"), SAID),
        ControllerError(SAID),
        in_a_task(SAID),
        in_a_task(in_workers(SAID)),
    ],
)
def test_what_was_said_is_found_under_whatever_ray_put_around_it(error: Exception):
    told = strategy.fault(error)
    assert (type(told), str(told)) == (ConfigError, "lower train.batch_size")


@pytest.mark.parametrize("error", [None, RuntimeError("died"), in_workers(OSError("died")), in_a_task(ValueError("x"))])
def test_where_nothing_was_said_there_is_nothing(error: Exception | None):
    assert strategy.fault(error) is None


@pytest.mark.parametrize("said", [SAID, CorruptPart("the checkpoint is torn")])
def test_fault_ends_the_fit_at_once(said: HeliographError):
    with pytest.raises(type(said), match=str(said)):
        strategy.EndAtFault().after_exception(None, {0: RuntimeError("connection closed"), 1: said})


@pytest.mark.parametrize("error", [RuntimeError("a process died"), RateLimited("slowly", retry_after_s=1.0)])
def test_what_may_pass_is_left_to_be_tried_again(error: Exception):
    strategy.EndAtFault().after_exception(None, {0: error})


def test_absent_deepspeed_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    class Context:
        def get_world_rank(self) -> int:
            return 0

        get_world_size = get_world_rank

    monkeypatch.setattr(strategy.ray.train, "get_context", Context)
    monkeypatch.delitem(sys.modules, "heliograph.cluster.sharded", raising=False)
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    settings = TrainSettings(strategy="deepspeed", workers=2)
    with pytest.raises(ConfigError, match=r"needs the package deepspeed.*pip install 'heliograph\[deepspeed\]'"):
        strategy.worker(settings, on_epoch=lambda *_: None)
