"""The fit: it learns what is there, resumes exactly, and gives the same answer however many share the work."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.train import makes

from heliograph.core.errors import ConfigError, CorruptPart, DataError, InvariantBroken, SchemaMismatch
from heliograph.model import losses
from heliograph.model.network import Network
from heliograph.model.neural import load_network, save_network
from heliograph.train import loop
from heliograph.train.loop import Worker
from heliograph.train.pool import Batches, Pool
from heliograph.train.progress import Epochs, is_again, noted

GOLDEN = Path(__file__).parents[2] / "golden" / "loss_curve.json"


class Killed(BaseException):
    """A process that dies without clean-up."""


def fit(folder, data=None, *, settings=makes.TRAIN, model=makes.MODEL, resume=None, warm=None, again=None, **worker):
    return loop.fit(
        data or makes.world("volatility"),
        makes.fold(),
        spec=makes.spec(),
        model=model,
        settings=settings,
        folder=folder,
        worker=Worker(**worker),
        resume=resume,
        warm=warm,
        again=again,
    )


def same(a: Path, b: Path) -> bool:
    one, two = load_network(a).state_dict(), load_network(b).state_dict()
    return all(torch.equal(one[name], two[name]) for name in one)


def test_loss_curve_is_the_golden_one(tmp_path):
    curve = []
    fit(tmp_path, on_epoch=lambda _epoch, metrics, _path: curve.append(metrics))
    golden = json.loads(GOLDEN.read_text())
    assert len(curve) == len(golden)
    for ours, theirs in zip(curve, golden, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-3)


def test_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    first, second = fit(tmp_path / "a"), fit(tmp_path / "b")
    other = fit(tmp_path / "c", settings=makes.TRAIN.model_copy(update={"seed": 4}))
    assert same(first, second)
    assert not same(first, other)


def test_fit_killed_after_an_epoch_and_resumed_ends_where_it_would_have(tmp_path):
    model = makes.MODEL.model_copy(update={"dropout": 0.2})
    straight = []
    whole = fit(tmp_path / "whole", model=model, on_epoch=lambda _epoch, metrics, _path: straight.append(metrics))
    kept = []

    def die(epoch, metrics, path):
        kept.append(path)
        raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "cut", model=model, on_epoch=die)
    resumed = []
    cut = fit(
        tmp_path / "cut",
        model=model,
        resume=kept[0],
        on_epoch=lambda epoch, metrics, _path: resumed.append((epoch, metrics)),
    )
    assert [epoch for epoch, _ in resumed] == [2, 3]
    assert [metrics for _, metrics in resumed] == straight[1:]
    assert same(whole, cut)


def test_newest_checkpoint_alone_stays(tmp_path):
    fit(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "epoch_0003", "epochs.json"]


def test_checkpoint_goes_to_rank_0_alone(tmp_path):
    told = []
    fit(tmp_path, on_epoch=lambda epoch, _metrics, path: told.append((epoch, path and path.name)))
    assert told == [(1, "epoch_0001"), (2, "epoch_0002"), (3, "epoch_0003")]


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path):
    """On a random walk nothing can be learnt: the untrained network, which is the baseline, is hard to beat."""
    told = []
    settings = makes.TRAIN.model_copy(update={"epochs": 12, "patience_epochs": 2, "learning_rate": 0.05})
    fit(tmp_path, makes.world("walk"), settings=settings, on_epoch=lambda _epoch, metrics, _path: told.append(metrics))
    assert len(told) == told[-1]["best_epoch"] + 2
    assert len(told) < 12


def test_two_halves_of_a_batch_average_to_its_gradient():
    """Two workers that average their gradients take the step that one would have taken alone."""
    spec, data = makes.spec(), makes.world("volatility", num=600)
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, (0, 10**12), spec, labelled_by_ms=10**12))[:128]
    torch.manual_seed(0)
    network = Network(spec, makes.MODEL)
    network.adopt(pool.standards(spec, rows))
    for parameter in network.heads.parameters():
        parameter.data.normal_(std=0.1)
    batches = Batches(pool, network)

    def gradient(share):
        network.zero_grad()
        inputs, targets = batches.take(share)
        losses.total(network(inputs), targets, network.level_Q).backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.requires_grad])

    alone = gradient(rows)
    shared = (gradient(rows[0::2]) + gradient(rows[1::2])) / 2
    torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-7)


def _work(rank: int, world_size: int, folder: str) -> None:
    """One of two processes with a real process group."""
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world_size)
    fit(Path(folder) / "two", rank=rank, world_size=world_size, wrap=DistributedDataParallel)
    torch.distributed.destroy_process_group()


@pytest.mark.e2e
def test_two_workers_end_where_one_does(tmp_path):
    alone = load_network(fit(tmp_path / "one")).state_dict()
    torch.multiprocessing.spawn(_work, (2, str(tmp_path)), nprocs=2)
    shared = load_network(tmp_path / "two" / "best").state_dict()
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_labels_of_the_test_slice_change_nothing(tmp_path):
    """Whatever happens in the outer test slice, the fit is bit-equal: training can't have seen it."""
    start_ms = makes.fold().test[0]
    shuffled = makes.world("volatility")
    for symbol in shuffled:
        late = symbol.known_ts_ms >= start_ms
        symbol.x_NF[late] += 5.0
        symbol.log_return_NH[late] *= -3.0
    assert same(fit(tmp_path / "a"), fit(tmp_path / "b", shuffled))


@pytest.mark.parametrize(
    ("change", "worker", "says"),
    [
        ({}, {"world_size": 3}, "multiple of train.workers 3"),
        ({"samples_per_epoch": 64}, {}, "at least train.batch_size"),
        ({"batch_size": 8_192, "samples_per_epoch": 8_192}, {}, "fetch more history"),
    ],
)
def test_settings_that_cannot_work_say_which_value_to_change(tmp_path, change, worker, says):
    with pytest.raises(ConfigError, match=says):
        fit(tmp_path, settings=makes.TRAIN.model_copy(update=change), **worker)


def test_features_that_never_have_a_value_are_named(tmp_path):
    data = makes.world("volatility")
    for symbol in data:
        symbol.x_NF[:, 2] = np.nan
    with pytest.raises(
        ConfigError, match=r"0 usable windows.*: noise has no value at any bar: leave it out of features"
    ):
        fit(tmp_path, data)


def test_price_that_stands_still_is_told_as_that(tmp_path):
    data = [replace(symbol, close=np.full_like(symbol.close, 9.0)) for symbol in makes.world("walk")]
    for symbol in data:
        symbol.x_NF[:, 0] = np.where(np.isnan(symbol.x_NF[:, 0]), np.nan, 0.0)
        symbol.log_return_NH[:] = np.where(np.isnan(symbol.log_return_NH), np.nan, 0.0)
    with pytest.raises(DataError, match=r"the price stands still at most windows .* out of train\.symbols"):
        fit(tmp_path, data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["engine.safetensors", "progress.json", "best/weights.safetensors", "best"])
def test_torn_checkpoint_is_told_with_what_to_remove(tmp_path, name):
    kept = []

    def die(_epoch, _metrics, path):
        kept.append(path)
        raise Killed

    with pytest.raises(Killed):
        fit(tmp_path, on_epoch=die)
    torn = kept[0] / name
    if torn.is_dir():
        torn.rename(tmp_path / "elsewhere")
    else:
        torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    with pytest.raises(CorruptPart, match=rf"checkpoint at {kept[0]} is torn or gone: remove {tmp_path}, and"):
        fit(tmp_path, resume=kept[0])


def test_loss_that_is_not_finite_halts_with_advice(tmp_path):
    settings = makes.TRAIN.model_copy(update={"learning_rate": 1e30, "clip_norm": 1e30})
    with pytest.raises(InvariantBroken, match="learning_rate"):
        fit(tmp_path, makes.world("volatility"), settings=settings)


def test_learning_rate_rises_and_falls():
    rates = [loop.learning_rate(makes.TRAIN, step, 50) for step in range(50)]
    assert max(rates) == rates[4] == makes.TRAIN.learning_rate
    assert rates[-1] == pytest.approx(0.02 * makes.TRAIN.learning_rate)
    assert all(a >= b for a, b in pairwise(rates[4:]))


def test_fit_with_averaged_weights_resumes_exactly(tmp_path):
    settings = makes.TRAIN.model_copy(update={"ema_decay": 0.9})
    whole, kept = fit(tmp_path / "whole", settings=settings), []

    def die(epoch, metrics, path):
        kept.append(path)
        raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "cut", settings=settings, on_epoch=die)
    assert same(whole, fit(tmp_path / "cut", settings=settings, resume=kept[0]))
    assert not same(whole, fit(tmp_path / "plain"))


def test_bf16_learns_what_fp32_learns_with_losses_in_double(tmp_path):
    told = {}
    for precision in ("fp32", "bf16"):
        settings = makes.TRAIN.model_copy(update={"precision": precision})
        fit(
            tmp_path / precision,
            settings=settings,
            on_epoch=lambda _epoch, metrics, _path, name=precision: told.__setitem__(name, metrics),
        )
    assert told["bf16"]["validation_skill_pct"] == pytest.approx(told["fp32"]["validation_skill_pct"], abs=0.5)
    assert told["bf16"]["validation_pinball"] != told["fp32"]["validation_pinball"]


def test_warm_start_goes_on_from_the_weights_of_the_fold_before(tmp_path):
    """Its first judgement is that of the earlier network, and a fit of no use keeps it."""
    before = fit(tmp_path / "before")
    told = []
    settings = makes.TRAIN.model_copy(update={"learning_rate": 1e-9, "epochs": 1})
    warm = fit(tmp_path / "warm", settings=settings, warm=before, on_epoch=lambda _e, metrics, _p: told.append(metrics))
    cold = []
    fit(tmp_path / "cold", settings=settings, on_epoch=lambda _e, metrics, _p: cold.append(metrics))
    assert told[0]["validation_skill_pct"] > cold[0]["validation_skill_pct"] + 5.0
    ours, theirs = load_network(warm).state_dict(), load_network(before).state_dict()
    for name in ("encoder.lstm.weight_ih_l0", "heads.linear.weight"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "model", "error", "says"),
    [
        ({"feature_names": (makes.SIGMA, "signal", "other")}, {}, SchemaMismatch, "'noise', 'other'"),
        ({"feature_names": (makes.SIGMA, "noise", "signal")}, {}, SchemaMismatch, "their order"),
        ({"horizons_bars": (1, 5)}, {}, SchemaMismatch, "horizons_bars"),
        ({}, {"width": 16}, ConfigError, "another size"),
        ({}, {"kind": "lstm"}, ConfigError, "another size"),
    ],
)
def test_warm_start_from_another_kind_of_network_is_refused(tmp_path, spec, model, error, says):
    before = save_network(tmp_path / "before", Network(makes.spec(), makes.MODEL))
    network = Network(replace(makes.spec(), **spec), makes.MODEL.model_copy(update=model))
    with pytest.raises(error, match=says):
        loop.take_over(network, before)


def test_warm_start_from_a_torn_network_is_refused(tmp_path):
    before = save_network(tmp_path / "before", Network(makes.spec(), makes.MODEL))
    weights = before / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CorruptPart, match=r"no warm start from a torn network: .*, or start cold"):
        loop.take_over(Network(makes.spec(), makes.MODEL), before)


def test_resumed_fit_needs_its_warm_start_no_more(tmp_path):
    before = fit(tmp_path / "before")
    kept = []
    whole = fit(
        tmp_path / "whole",
        warm=before,
        on_epoch=lambda _epoch, _m, path: kept or kept.append(shutil.copytree(path, tmp_path / "half")),
    )
    assert same(whole, fit(tmp_path / "cut", warm=tmp_path / "gone", resume=kept[0]))


def test_finished_fit_notes_the_epochs_that_served_validation_best(tmp_path):
    told = []
    fit(tmp_path, on_epoch=lambda _epoch, metrics, _path: told.append(metrics))
    best = noted(tmp_path)
    assert best.quantiles == told[-1]["best_epoch"]
    assert 0 <= best.setup <= makes.TRAIN.companion_epochs
    assert noted(tmp_path / "best") is None


def test_fit_over_all_that_is_known_learns_from_the_validation_slice_and_not_from_the_test_slice(tmp_path):
    again, made = Epochs(2, 1, 1), []
    for slice_ in (None, makes.fold().validation, makes.fold().test):
        data = makes.world("volatility")
        for d in data if slice_ else ():
            inside = (d.known_ts_ms >= slice_[0]) & (d.end_ts_ms_NH[:, 1] > slice_[0])
            d.log_return_NH[inside] *= 2.0
        made.append(fit(tmp_path / str(slice_), data, again=again))
    assert not same(made[0], made[1])
    assert same(made[0], made[2])


def test_fit_over_all_that_is_known_goes_on_whatever_validation_says_and_resumes_exactly(tmp_path):
    settings = makes.TRAIN.model_copy(update={"patience_epochs": 1, "learning_rate": 0.05})
    told, kept = [], []

    def note(epoch, metrics, path):
        told.append((epoch, metrics))
        if epoch == 1:
            kept.append(shutil.copytree(path, tmp_path / "kept"))

    again = Epochs(3, 2, 0)
    whole = fit(tmp_path / "whole", makes.world("walk"), settings=settings, again=again, on_epoch=note)
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert all(set(metrics) == {"train_loss_again"} for _, metrics in told)
    assert is_again(kept[0])
    assert noted(tmp_path / "whole") == again
    cut = fit(tmp_path / "cut", makes.world("walk"), settings=settings, again=again, resume=kept[0])
    assert same(whole, cut)


def test_network_that_never_beat_its_baseline_is_the_baseline_anew(tmp_path):
    kept = load_network(fit(tmp_path, again=Epochs(0, 0, 0)))
    assert not any(value.any() for value in kept.heads.state_dict().values())
