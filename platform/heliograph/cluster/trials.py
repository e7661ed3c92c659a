"""Tune's news on our progress bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune

from heliograph.telemetry.progress import Bar, Quiet

SKILL = "validation_skill_pct"
VALUE = "value"
"""What a search makes as high as it can."""


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


def _unknown() -> tuple[float, str]:
    return 0.0, ""
