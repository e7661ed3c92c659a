"""What every data-parallel worker of one fold runs, inside Ray Train.

Ray imports this module in the processes that look after a fit, too: what only a trial needs, as the trees, stays in
`cluster.fit`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray.train
from ray.train import collective

from heliograph.cluster import strategy
from heliograph.config.settings import Settings
from heliograph.train import dataset, loop, progress, selection


def train(config: dict[str, Any]) -> None:
    """A fit that validation measures, then one on all that is known.

    Args:
        config: ``settings``; ``as_of``, the versions of the lake's tables; ``fold``, its number; ``place``, the fold's
            folder; ``warm``, where the network lies that the fit starts from, or None.
    """
    settings: Settings = config["settings"]
    place: Path = config["place"]
    data = dataset.read_symbols(settings, as_of=config["as_of"])
    chosen = dataset.folds(settings, data)[config["fold"]]
    inner = selection.inner(data, chosen)
    checkpoint = ray.train.get_checkpoint()
    resume = Path(checkpoint.path) if checkpoint else None

    def fitted(folder: Path, resume: Path | None, again: progress.Epochs | None) -> None:
        def report_epoch(epoch: int, metrics: dict[str, float], path: Path | None) -> None:
            done = epoch + (settings.train.epochs if again else 0)
            checkpoint = ray.train.Checkpoint.from_directory(path) if path else None
            ray.train.report({"epoch": done, **metrics}, checkpoint=checkpoint)

        loop.fit(
            inner,
            chosen,
            spec=dataset.spec(settings),
            model=settings.model,
            settings=settings.train,
            folder=folder,
            worker=strategy.worker(settings.train, on_epoch=report_epoch),
            resume=resume,
            warm=config["warm"],
            again=again,
        )

    is_again = resume is not None and progress.is_again(resume)
    if not is_again:
        fitted(place / "fit", resume, None)
    noted = tuple(progress.noted(place / "fit") or ())  # plain numbers: who passes them on need not import torch
    best = progress.Epochs(*collective.broadcast_from_rank_zero(noted))
    fitted(place / "anew", resume if is_again else None, best)
