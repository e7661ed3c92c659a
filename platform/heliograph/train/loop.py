"""Fit one network on one fold: sampled windows, early stopping on the inner validation slice, exact resume.

First the encoder with the quantiles, by an engine; the epoch that serves validation best is kept. Then, on its frozen
state, the setup and direction heads, each with a best epoch of its own (`train.companions`).

Shapes: B batch, N rows, H horizons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import distributed

from heliograph.config.learning import ModelSettings, TrainSettings
from heliograph.core.errors import ConfigError, CorruptPart, DataError, InvariantBroken, SchemaMismatch
from heliograph.model import losses
from heliograph.model.network import Network
from heliograph.model.neural import read_network, save_network
from heliograph.model.spec import SIGMA_FLOOR, Spec
from heliograph.train import companions
from heliograph.train import progress as checkpoints
from heliograph.train.engine import Engine, MakeEngine, TorchEngine, Weights, Wrap, as_is
from heliograph.train.pool import Batches, Pool, plan_epoch
from heliograph.train.progress import Epochs, Progress
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

IntArray = npt.NDArray[np.int64]

OnEpoch = Callable[[int, dict[str, float], Path | None], None]

_WARM_UP = 0.1
_LAST_RATE = 0.02
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_VALIDATION_ROWS = 16_384
_VALIDATION_BATCH = 2_048
_LEAST_MOVING = 0.5  # of the training windows: on fewer no scale of moves can be measured
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the processes that fit a network together.

    Attributes:
        rank, world_size: which share of each batch it takes; a process group must exist for more than one. Rank 0
            alone writes files.
        wrap: makes the module that is trained, e.g. data-parallel; may move the network to a device.
        make_engine: replaces PyTorch's plain step (and ``wrap``) altogether.
        on_epoch: called after each epoch with its number (from 1), its metrics (``train_loss``,
            ``validation_pinball`` as of `evaluate`, ``validation_skill_pct`` over the pooled volatility model,
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


def fit(  # noqa: PLR0913 - a fit is all of these
    train: Sequence[SymbolData],
    fold: Fold,
    *,
    spec: Spec,
    model: ModelSettings,
    settings: TrainSettings,
    folder: Path,
    worker: Worker = ALONE,
    resume: Path | None = None,
    warm: Path | None = None,
    again: Epochs | None = None,
) -> Path:
    """Train on the fold's train slice and keep the epoch that served its validation slice best.

    The result depends on data, settings, seed and the warm start alone: neither on where a run was cut and resumed, nor
    (without dropout, up to rounding) on how many workers share each batch. It never reads the test slice.

    Args:
        train: symbols with features and labels; the same on every worker.
        folder: of this fit; ``epoch_0001`` … (the newest alone stays) and ``best`` are written into it.
        resume: a checkpoint's folder, to go on from exactly there.
        warm: the folder of a network or of its forecaster, e.g. of the fold before: its weights are where this fit
            starts; scales and baseline are measured anew. A resumed fit needs it no more.
        again: what a fit of this fold found best: train on all that is known before the test slice, for
            `epochs_again` of it. Nothing is left to validate; metrics of validation are left out.

    Returns:
        The folder of the best epoch's network; it is the one that the fit started from where training never beat it.

    Raises:
        ConfigError: too few windows, a batch that the workers can't share evenly, or a warm start of another size.
        SchemaMismatch: the warm start was trained on other features, horizons or levels.
        DataError: too few training rows for the volatility model, or the price stood still in them.
        CorruptPart: the checkpoint or the warm start is torn.
        InvariantBroken: the loss is not finite.
    """
    _check_shares(settings, worker.world_size)
    if again is not None:
        settings = settings.model_copy(update={"epochs": epochs_again(again.quantiles, settings.epochs)})
    pool = Pool.of(train, spec)
    known, known_ms = (
        (fold.train, fold.validation[0]) if again is None else ((fold.train[0], fold.test[0]), fold.test[0])
    )
    train_rows = pool.rows(train, known, spec, labelled_by_ms=known_ms)
    validation_rows = pool.rows(train, fold.validation, spec, labelled_by_ms=fold.test[0])
    _check_rows(fold, train_rows, validation_rows, settings, empty=_empty(pool, spec))
    _check_moves(fold, pool, np.concatenate(train_rows))

    torch.manual_seed(settings.seed)
    network = Network(spec, model)
    network.adopt(pool.standards(spec, np.concatenate(train_rows)))
    if warm and not resume:
        take_over(network, warm)
    engine = (worker.make_engine or _torch_engine(worker))(network, settings)
    batches = Batches(pool, engine.network)
    watched = _thinned(np.concatenate(validation_rows), worker.world_size)
    judge = _Judge(engine, batches, watched, worker)

    progress, best = _resumed(resume, engine) if resume else judge.start()
    progress = replace(progress, is_again=again is not None)
    while not progress.is_over(epochs=settings.epochs, patience_epochs=settings.patience_epochs):
        epoch = progress.epochs_done
        rows = plan_epoch(train_rows, samples=settings.samples_per_epoch, seed=settings.seed, epoch=epoch)
        train_loss = run_epoch(engine, batches, rows, settings, epoch=epoch, worker=worker)
        pinball, weights = judge.look()
        progress = progress.after(pinball)
        if progress.best_epoch == progress.epochs_done:
            best = weights
        path = checkpoints.write(folder, engine, best, progress, is_writer=worker.rank == 0)
        if worker.on_epoch:
            worker.on_epoch(progress.epochs_done, _metrics(train_loss, pinball, progress), path)

    if worker.rank == 0:
        kept = judge.network
        kept.load_state_dict(best)
        found = companions.fit(kept, batches, train_rows, watched, settings, again=again)
        save_network(folder / "best", kept)
        checkpoints.note(folder, Epochs(progress.best_epoch, **found))
    return folder / "best"


def epochs_again(best: int, planned: int) -> int:
    """Epochs of a fit on all that is known, with a learning rate that falls to its end: half way from the best to all.

    Which epoch served one half year best is mostly chance. A network that never beat its baseline is trained not at all.

    >>> [epochs_again(best, 8) for best in (0, 3, 8)]
    [0, 6, 8]
    """
    return (best + planned + 1) // 2 if best else 0


def take_over(network: Network, folder: Path) -> None:
    """Start from the weights of a network that was trained before; buffers stay as measured.

    Raises:
        ConfigError: there is no network in the folder, or one of another size.
        SchemaMismatch: it was trained on other features, horizons or levels.
        CorruptPart: its bytes are damaged.
    """
    try:
        before = read_network(folder)
    except CorruptPart as e:
        raise CorruptPart(f"no warm start from a torn network: {e}, or start cold") from e
    for name in ("feature_names", "horizons_bars", "levels", "window_bars", "timeframe"):
        was, now = getattr(before.spec, name), getattr(network.spec, name)
        if was != now:
            differing = sorted(set(was) ^ set(now), key=str) if isinstance(was, tuple) else [was, now]
            raise SchemaMismatch(
                f"the network at {folder} has another {name} (difference: {differing or 'their order'}): warm-start from "
                "one with the same, or start cold"
            )
    ours, theirs = dict(network.named_parameters()), dict(before.named_parameters())
    strange = sorted(
        n for n in ours.keys() | theirs.keys() if n not in ours or n not in theirs or ours[n].shape != theirs[n].shape
    )
    if strange:
        raise ConfigError(
            f"the network at {folder} has another size ({strange[0]}, {len(strange)} of {len(ours)} tensors): warm-start "
            "from one with the same section `model` of the settings, or start cold"
        )
    with torch.no_grad():
        for name, parameter in ours.items():
            parameter.copy_(theirs[name])


class _Judge:
    """Judges what an engine would keep, on a plain copy of its network.

    Attributes:
        network: the copy.
    """

    def __init__(self, engine: Engine, batches: Batches, watched: IntArray, worker: Worker) -> None:
        self._engine, self._batches, self._world_size = engine, batches, worker.world_size
        self._rows = watched[worker.rank :: worker.world_size]
        self.network = Network(engine.network.spec, engine.network.settings).to(batches.device)
        self.network.har = engine.network.har

    def start(self) -> tuple[Progress, Weights]:
        """Before the first epoch: what the baseline is worth, and the network as it is."""
        pinball, weights = self.look()
        heads = list(self.network.heads.state_dict().values())
        if not any(value.any() for value in heads):
            return Progress.start(pinball), weights
        for value in heads:
            value.zero_()  # the copy's own weights: now it says what its baseline says
        baseline = evaluate(self.network, self._batches, self._rows, self._world_size)
        return replace(Progress.start(pinball), baseline=baseline), weights

    def look(self) -> tuple[float, Weights]:
        """Validation pinball of what the engine would keep now, and that."""
        weights = self._engine.weights()
        self.network.load_state_dict(weights)
        return evaluate(self.network, self._batches, self._rows, self._world_size), weights


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
        inputs, targets = batches.take(batch[worker.rank :: worker.world_size])
        loss = losses.total(engine.forward(inputs), targets, network.level_Q)
        engine.update(loss, learning_rate=learning_rate(settings, epoch * steps + step, settings.epochs * steps))
        summed += loss.detach()
    mean = float(summed) / steps
    if not math.isfinite(mean):
        raise InvariantBroken(f"the training loss of epoch {epoch + 1} is {mean}: lower train.learning_rate")
    return mean


def evaluate(network: Network, batches: Batches, rows: IntArray, world_size: int) -> float:
    """Pinball of standardised returns over these rows, as good as calibration will make it.

    Each horizon is judged at the share of the network that serves it best, because that is what is released; a network
    that says too much of something true is worth more than one that says nothing. A horizon of h bars counts as 1/√h:
    its labels overlap, so that the slice says that much less about it. Rows are this worker's; where there are more
    workers, all of theirs count.
    """
    network.eval()
    summed_SH = torch.zeros(len(_SHARES), network.base_HQ.shape[0], dtype=torch.float64, device=batches.device)
    count = torch.tensor(float(rows.size), dtype=torch.float64, device=batches.device)
    with torch.inference_mode():
        for start in range(0, rows.size, _VALIDATION_BATCH):
            inputs, targets = batches.take(rows[start : start + _VALIDATION_BATCH])
            z_BHQ = network(inputs).z_BHQ
            for place, share in enumerate(_SHARES):
                blend_BHQ = network.base_HQ + share * (z_BHQ - network.base_HQ)
                summed_SH[place] += losses.pinball(targets.z_BH, blend_BHQ, network.level_Q).mean(dim=-1).sum(dim=0)
    if world_size > 1:
        distributed.all_reduce(summed_SH)
        distributed.all_reduce(count)
    least_H = (summed_SH / count).amin(dim=0).cpu().numpy()
    return float(np.average(least_H, weights=1.0 / network.spec.root_horizons))


def _torch_engine(worker: Worker) -> MakeEngine:
    return lambda network, settings: TorchEngine(network, settings, wrap=worker.wrap)


def _check_shares(settings: TrainSettings, world_size: int) -> None:
    if settings.batch_size % world_size:
        raise ConfigError(f"train.batch_size {settings.batch_size} must be a multiple of train.workers {world_size}")
    if settings.samples_per_epoch < settings.batch_size:
        raise ConfigError(
            f"train.samples_per_epoch {settings.samples_per_epoch} must be at least train.batch_size {settings.batch_size}"
        )


def _check_rows(
    fold: Fold, train: list[IntArray], validation: list[IntArray], settings: TrainSettings, *, empty: list[str]
) -> None:
    for name, rows in (("train", train), ("validation", validation)):
        count = sum(r.size for r in rows)
        if count < settings.batch_size:
            remedy = (
                f"{', '.join(empty[:_NAMED])} {'has' if len(empty) == 1 else 'have'} no value at any bar: leave "
                f"{'it' if len(empty) == 1 else 'them'} out of features.names, or fetch the history that they need"
                if empty
                else "fetch more history, or lower folds.count or folds.test_bars"
            )
            raise ConfigError(
                f"the {name} slice of fold {fold.index} has {count} usable windows, fewer than train.batch_size "
                f"{settings.batch_size}: {remedy}"
            )


def _check_moves(fold: Fold, pool: Pool, rows: IntArray) -> None:
    if (pool.sigma_N[rows] > SIGMA_FLOOR).mean() < _LEAST_MOVING:
        raise DataError(
            f"the price stands still at most windows of the train slice of fold {fold.index}: leave symbols whose price "
            "does not move out of train.symbols"
        )


def _empty(pool: Pool, spec: Spec) -> list[str]:
    """Features without a finite value at any bar."""
    count_F = np.isfinite(pool.x_NF).sum(axis=0).tolist()
    return [name for name, count in zip(spec.feature_names, count_F, strict=True) if not count]


def _resumed(path: Path, engine: Engine) -> tuple[Progress, Weights]:
    try:
        return checkpoints.read(path, engine)
    except (ConfigError, CorruptPart, SafetensorError, OSError, ValueError, KeyError, TypeError) as e:
        raise CorruptPart(
            f"the checkpoint at {path} is torn or gone: remove {path.parent}, and the fit begins anew"
        ) from e


def _thinned(rows: IntArray, world_size: int) -> IntArray:
    """Evenly spaced rows, at most `_VALIDATION_ROWS`, a number that the workers can share."""
    count = min(rows.size, _VALIDATION_ROWS) // world_size * world_size
    even: IntArray = rows[np.linspace(0, rows.size - 1, count).astype(np.int64)]
    return even


def _metrics(train_loss: float, pinball: float, progress: Progress) -> dict[str, float]:
    if progress.is_again:
        return {"train_loss_again": train_loss}
    return {
        "train_loss": train_loss,
        "validation_pinball": pinball,
        "validation_skill_pct": 100.0 * (1.0 - pinball / progress.baseline),
        "best_epoch": float(progress.best_epoch),
    }
