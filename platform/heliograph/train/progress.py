"""How far a fit is, and its checkpoint after each epoch: written whole or not at all, read back exactly."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from heliograph.model.network import Network
from heliograph.model.neural import load_network, save_network
from heliograph.train.engine import Engine, Weights

_PROGRESS, _BEST, _EPOCHS = "progress.json", "best", "epochs.json"


class Epochs(NamedTuple):
    """After how many epochs each part of a network served validation best; 0 is before the first."""

    quantiles: int
    setup: int
    direction: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit is.

    Attributes:
        epochs_done: epochs that are behind it.
        baseline: validation pinball of the untrained network, which is that of the pooled volatility model.
        best: least validation pinball so far, that of the network before the first epoch included.
        best_epoch: epochs that had been done then; 0 is the network before the first.
        is_again: the fit goes over all that is known, and its newest epoch counts as the best.
    """

    epochs_done: int
    baseline: float
    best: float
    best_epoch: int
    is_again: bool = False

    @classmethod
    def start(cls, pinball: float) -> Progress:
        """Before the first epoch."""
        return cls(epochs_done=0, baseline=pinball, best=pinball, best_epoch=0)

    def after(self, pinball: float) -> Progress:
        """One epoch further.

        >>> Progress.start(2.0).after(1.0).after(1.5)
        Progress(epochs_done=2, baseline=2.0, best=1.0, best_epoch=1, is_again=False)
        """
        done = self.epochs_done + 1
        if self.is_again or pinball < self.best:
            return replace(self, epochs_done=done, best=pinball, best_epoch=done)
        return replace(self, epochs_done=done)

    def is_over(self, *, epochs: int, patience_epochs: int) -> bool:
        """True where all epochs are done, or the last few brought nothing."""
        return self.epochs_done >= epochs or self.epochs_done - self.best_epoch >= patience_epochs


def note(folder: Path, epochs: Epochs) -> None:
    """Keep them in the folder of a finished fit."""
    draft = folder / f".{_EPOCHS}"
    draft.write_text(json.dumps(epochs._asdict()))
    draft.replace(folder / _EPOCHS)


def noted(folder: Path) -> Epochs | None:
    """What `note` kept; None while the fit goes on."""
    path = folder / _EPOCHS
    return Epochs(**json.loads(path.read_text())) if path.exists() else None


def is_again(checkpoint: Path) -> bool:
    """True where the checkpoint's fit goes over all that is known; False where it can't be told, which resuming finds."""
    try:
        return bool(json.loads((checkpoint / _PROGRESS).read_text())["is_again"])
    except (OSError, ValueError, KeyError):
        return False


def weights_of(network: Network) -> Weights:
    """A copy of all weights and buffers, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def write(folder: Path, engine: Engine, best: Weights, progress: Progress, *, is_writer: bool) -> Path | None:
    """Write ``epoch_0001`` … under ``folder``; the epoch before it leaves once this one stands.

    Called on every worker, for engines whose state is spread; one of them writes.

    Returns:
        The checkpoint's folder on the writer, None elsewhere.
    """
    path = folder / f"epoch_{progress.epochs_done:04d}"
    draft = folder / f".{path.name}"
    if is_writer:
        _remove(draft)
        draft.mkdir(parents=True)
    engine.save(draft, is_writer=is_writer)
    if not is_writer:
        return None
    keep = Network(engine.network.spec, engine.network.settings)
    keep.load_state_dict(best)
    keep.har = engine.network.har
    save_network(draft / _BEST, keep)
    (draft / _PROGRESS).write_text(json.dumps(asdict(progress)))
    _remove(path)
    draft.rename(path)
    for older in folder.glob("epoch_*"):
        if older != path:
            shutil.rmtree(older)
    return path


def read(path: Path, engine: Engine) -> tuple[Progress, Weights]:
    """Put the engine where `write` found it; returns the progress and the best weights so far."""
    progress = Progress(**json.loads((path / _PROGRESS).read_text()))
    engine.load(path)
    return progress, weights_of(load_network(path / _BEST))


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
