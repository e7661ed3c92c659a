"""Fit one network on one fold: sampled windows, early stopping on the inner validation slice, exact resume.

Shapes: B batch, T bars, F features, N rows, H horizons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from heliograph.config.settings import ModelSettings, TrainSettings
from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.model import losses
from heliograph.model.forecaster import save_network
from heliograph.model.network import Network
from heliograph.model.spec import Spec
from heliograph.train import progress as checkpoints
from heliograph.train.engine import Engine, MakeEngine, TorchEngine, Wrap, as_is
from heliograph.train.pool import Batches, Pool, plan_epoch
from heliograph.train.progress import Progress
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

IntArray = npt.NDArray[np.int64]

OnEpoch = Callable[[int, dict[str, float], Path | None], None]

_WARM_UP = 0.1
_LAST_RATE = 0.02
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_VALIDATION_ROWS = 16_384
_VALIDATION_BATCH = 2_048


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the processes that fit a network together.

    Attributes:
        rank, world_size: which share of each batch it takes; a process group must exist for more than one. Rank 0
            alone writes files.
        wrap: makes the module that is trained, e.g. data-parallel; may move the network to a device.
        make_engine: replaces PyTorch's plain step (and ``wrap``) altogether.
        on_epoch: called after each epoch with its number (from 1), its metrics (``train_loss``,
            ``validation_pinball`` as of `evaluate`, ``validation_skill_pct`` over the volatility-scaled baseline,
            ``best_epoch``), and on rank 0 the checkpoint's folder.
    """

    rank: int = 0
    world_size: int = 1
    wrap: Wrap = as_is
    make_engine: MakeEngine | None = None
    on_epoch: OnEpoch | None = None


ALONE = Worker()
"""Fits by itself and tells nobody."""


def learning_rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Linear warm-up over a tenth of the steps, then half a cosine down to 2 % of the peak.

    >>> s = TrainSettings(learning_rate=1.0)
    >>> [round(learning_rate(s, i, 100), 3) for i in (0, 9, 54, 99)]
    [0.1, 1.0, 0.51, 0.02]
    """
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    share = (step + 1 - warm) / max(1, steps - warm)
    return settings.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share)))


def fit(
    train: Sequence[SymbolData],
    fold: Fold,
    *,
    spec: Spec,
    model: ModelSettings,
    settings: TrainSettings,
    folder: Path,
    worker: Worker = ALONE,
    resume: Path | None = None,
) -> Path:
    """Train on the fold's train slice and keep the epoch that served its validation slice best.

    The result depends on data, settings and seed alone: neither on where a run was cut and resumed, nor (without
    dropout, up to rounding) on how many workers share each batch. It never reads the test slice.

    Args:
        train: symbols with features and labels; the same on every worker.
        folder: of this fit; ``epoch_0001`` … (the newest alone stays) and ``best`` are written into it.
        resume: a checkpoint's folder, to go on from exactly there.

    Returns:
        The folder of the best epoch's network; it is the untrained one where training never beat the baseline.

    Raises:
        ConfigError: too few windows, or a batch that the workers can't share evenly.
        InvariantBroken: the loss is not finite.
    """
    _check_shares(settings, worker.world_size)
    pool = Pool.of(train, spec)
    train_rows = pool.rows(train, fold.train, spec, labelled_by_ms=fold.validation[0])
    validation_rows = pool.rows(train, fold.validation, spec, labelled_by_ms=fold.test[0])
    _check_rows(fold, train_rows, validation_rows, settings)

    torch.manual_seed(settings.seed)
    network = Network(spec, model)
    network.adopt(pool.standards(spec, np.concatenate(train_rows)))
    engine = (worker.make_engine or _torch_engine(worker))(network, settings)
    batches = Batches(pool, spec, network.level_Q.device)
    watched = _thinned(np.concatenate(validation_rows), worker.world_size)[worker.rank :: worker.world_size]

    if resume:
        progress, best = checkpoints.read(resume, engine)
    else:
        progress = Progress.start(evaluate(network, batches, watched, worker.world_size))
        best = checkpoints.weights_of(network)
    while not progress.is_over(epochs=settings.epochs, patience_epochs=settings.patience_epochs):
        epoch = progress.epochs_done
        rows = plan_epoch(train_rows, samples=settings.samples_per_epoch, seed=settings.seed, epoch=epoch)
        train_loss = run_epoch(engine, batches, rows, settings, epoch=epoch, worker=worker)
        pinball = evaluate(network, batches, watched, worker.world_size)
        progress = progress.after(pinball)
        if progress.best_epoch == progress.epochs_done:
            best = checkpoints.weights_of(network)
        path = checkpoints.write(folder, engine, best, progress, is_writer=worker.rank == 0)
        if worker.on_epoch:
            worker.on_epoch(progress.epochs_done, _metrics(train_loss, pinball, progress), path)

    network.load_state_dict(best)
    if worker.rank == 0:
        save_network(folder / "best", network)
    return folder / "best"


def run_epoch(
    engine: Engine, batches: Batches, rows: IntArray, settings: TrainSettings, *, epoch: int, worker: Worker = ALONE
) -> float:
    """Go once through the epoch's rows; returns the mean loss of this worker's share.

    Raises:
        InvariantBroken: the loss is not finite.
    """
    network = engine.network.train()
    torch.manual_seed(int(np.random.SeedSequence([settings.seed, epoch, worker.rank]).generate_state(1)[0]))
    steps = settings.samples_per_epoch // settings.batch_size
    summed = torch.zeros((), dtype=torch.float64, device=batches.device)
    for step in range(steps):
        batch = rows[step * settings.batch_size : (step + 1) * settings.batch_size]
        x_BTF, targets = batches.take(batch[worker.rank :: worker.world_size])
        loss = losses.total(engine.forward(x_BTF), targets, network.level_Q, network.setup_prior_HC)
        engine.update(loss, learning_rate=learning_rate(settings, epoch * steps + step, settings.epochs * steps))
        summed += loss.detach()
    mean = float(summed) / steps
    if not math.isfinite(mean):
        raise InvariantBroken(f"the training loss of epoch {epoch + 1} is {mean}: lower train.learning_rate")
    return mean


def evaluate(network: Network, batches: Batches, rows: IntArray, world_size: int) -> float:
    """Pinball in σ√h over these rows, as good as calibration will make it: the best blend with the baseline counts.

    Each horizon is judged at the share of the network that serves it best, because that is what is released; a network
    that says too much of something true is worth more than one that says nothing. Rows are this worker's; where there
    are more workers, all of theirs count.
    """
    network.eval()
    summed_SH = torch.zeros(len(_SHARES), network.base_HQ.shape[0], dtype=torch.float64, device=batches.device)
    count = torch.tensor(float(rows.size), dtype=torch.float64, device=batches.device)
    with torch.inference_mode():
        for start in range(0, rows.size, _VALIDATION_BATCH):
            x_BTF, targets = batches.take(rows[start : start + _VALIDATION_BATCH])
            z_BHQ = network(x_BTF).z_BHQ
            for place, share in enumerate(_SHARES):
                blend_BHQ = network.base_HQ + share * (z_BHQ - network.base_HQ)
                summed_SH[place] += losses.pinball(targets.z_BH, blend_BHQ, network.level_Q).mean(dim=-1).sum(dim=0)
    if world_size > 1:
        distributed.all_reduce(summed_SH)
        distributed.all_reduce(count)
    return float((summed_SH / count).amin(dim=0).mean())


def _torch_engine(worker: Worker) -> MakeEngine:
    return lambda network, settings: TorchEngine(network, settings, wrap=worker.wrap)


def _check_shares(settings: TrainSettings, world_size: int) -> None:
    if settings.batch_size % world_size:
        raise ConfigError(f"train.batch_size {settings.batch_size} must be a multiple of train.workers {world_size}")
    if settings.samples_per_epoch < settings.batch_size:
        raise ConfigError(
            f"train.samples_per_epoch {settings.samples_per_epoch} must be at least train.batch_size {settings.batch_size}"
        )


def _check_rows(fold: Fold, train: list[IntArray], validation: list[IntArray], settings: TrainSettings) -> None:
    for name, rows in (("train", train), ("validation", validation)):
        count = sum(r.size for r in rows)
        if count < settings.batch_size:
            raise ConfigError(
                f"the {name} slice of fold {fold.index} has {count} usable windows, fewer than train.batch_size "
                f"{settings.batch_size}: fetch more history, or lower folds.count or folds.test_bars"
            )


def _thinned(rows: IntArray, world_size: int) -> IntArray:
    """Evenly spaced rows, at most `_VALIDATION_ROWS`, a number that the workers can share."""
    count = min(rows.size, _VALIDATION_ROWS) // world_size * world_size
    even: IntArray = rows[np.linspace(0, rows.size - 1, count).astype(np.int64)]
    return even


def _metrics(train_loss: float, pinball: float, progress: Progress) -> dict[str, float]:
    return {
        "train_loss": train_loss,
        "validation_pinball": pinball,
        "validation_skill_pct": 100.0 * (1.0 - pinball / progress.baseline),
        "best_epoch": float(progress.best_epoch),
    }
