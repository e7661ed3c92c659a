"""Tune's news: on our progress bar, and as curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.logger import TBXLoggerCallback
from tensorboardX import SummaryWriter  # type: ignore[import-untyped]
from tensorboardX.summary import hparams  # type: ignore[import-untyped]

from heliograph.telemetry.progress import Bar, Quiet
from heliograph.train.space import label

SKILL = "validation_skill_pct"
VALUE = "value"
"""What a search makes as high as it can."""
CURVES = ("train_loss", "train_loss_again", "validation_pinball", SKILL)
"""What is measured after an epoch, by the fit that validation watches or by the one on all that is known."""
_GROUP = "fit"  # TensorBoard shows side by side what has the same first part


class TrialsShown(tune.Callback):  # type: ignore[misc]
    """Counts the epochs of all trials; every trial reports ``epoch``, and `SKILL` while it trains."""

    def __init__(self, shown: Bar, *, trials: int, epochs: int) -> None:
        self._shown = shown
        self._epochs = epochs
        self._steps = trials * epochs
        self._done: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_shown": Quiet()}  # Tune pickles its callbacks; a terminal can't be pickled

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:  # noqa: ARG002
        """A trial finished an epoch."""
        self._reach(trial.trial_id, int(result["epoch"]), result.get(SKILL))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:  # noqa: ARG002
        """A trial ended, perhaps before its last epoch."""
        self._reach(trial.trial_id, self._epochs, None)

    def _reach(self, trial: str, epoch: int, skill: float | None) -> None:
        self._done[trial] = epoch
        told = f"epoch {epoch}" if skill is None else f"epoch {epoch}, validation skill {skill:+.2f} %"
        self._shown.reach(min(1.0, sum(self._done.values()) / self._steps), told)


class SearchShown(tune.Callback):  # type: ignore[misc]
    """Shows how much of a search is done; how many trials that takes is known at its end only.

    Args:
        progress: gives the share of the search that is done, and a note.
    """

    def __init__(self, shown: Bar, progress: Callable[[], tuple[float, str]]) -> None:
        self._shown = shown
        self._progress = progress

    def __getstate__(self) -> dict[str, Any]:
        return {"_shown": Quiet(), "_progress": _unknown}

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:  # noqa: ARG002
        """A fold ended."""
        self._shown.reach(*self._progress())


class Curves(TBXLoggerCallback):  # type: ignore[misc]
    """An event file a trial: a curve over its epochs for each of `CURVES`; of a search's trial, what it drew and came to.

    Tune leaves out its own where it is given one of its kind: that has the bookkeeping beside every measure, counts
    reports as steps, and drops a choice that is a list.
    """

    def __init__(self) -> None:
        super().__init__()
        self._writers: dict[str, SummaryWriter] = {}

    def log_trial_start(self, trial: Any) -> None:
        """A trial began, perhaps once more."""
        self.log_trial_end(trial)
        trial.init_local_path()
        self._writers[trial.trial_id] = SummaryWriter(trial.local_path)

    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, Any]) -> None:  # noqa: ARG002
        """A trial finished an epoch, or came to its value."""
        if trial.trial_id not in self._writers:
            self.log_trial_start(trial)
        writer = self._writers[trial.trial_id]
        for name in CURVES:
            if name in result:
                writer.add_scalar(f"{_GROUP}/{name}", result[name], global_step=int(result["epoch"]))
        if result.get(VALUE) is not None:
            writer.add_scalar(VALUE, result[VALUE], global_step=int(result["epoch"]))
            drawn = {name: label(value) for name, value in trial.config.items()}
            for summary in hparams(drawn, {VALUE: float(result[VALUE])}):
                writer.file_writer.add_summary(summary)
        writer.flush()

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:  # noqa: ARG002
        """A trial ended."""
        if writer := self._writers.pop(trial.trial_id, None):
            writer.close()


def _unknown() -> tuple[float, str]:
    return 0.0, ""
