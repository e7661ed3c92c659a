"""The plain engine: what decays, what is averaged, and what it keeps."""

from __future__ import annotations

import pytest
import torch
from tests.unit.train import makes

from heliograph.model.network import Network
from heliograph.train.engine import Average, TorchEngine, as_is


def engine(**settings):
    torch.manual_seed(0)
    return TorchEngine(Network(makes.spec(), makes.MODEL), makes.TRAIN.model_copy(update=settings), wrap=as_is)


def step(made: TorchEngine, *, rate: float = 0.01) -> None:
    made.update(sum(p.square().sum() for p in made.network.parameters() if p.requires_grad), learning_rate=rate)


def test_engine_decays_matrices_and_spares_biases():
    decayed, spared = engine().optimizer.param_groups
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert all(p.ndim < 2 for p in spared["params"])
    assert spared["weight_decay"] == 0.0


def test_companions_are_not_the_engines():
    made = engine()
    before = {n: p.clone() for n, p in made.network.companions.named_parameters()}
    step(made)
    assert all(torch.equal(before[n], p) for n, p in made.network.companions.named_parameters())
    trained = sum(len(g["params"]) for g in made.optimizer.param_groups)
    assert trained == sum(1 for p in made.network.parameters() if p.requires_grad)


def test_weights_are_those_of_the_last_step_where_nothing_is_averaged():
    made = engine()
    step(made)
    assert all(
        torch.equal(a, b) for a, b in zip(made.weights().values(), made.network.state_dict().values(), strict=True)
    )


def test_average_follows_and_is_what_is_kept():
    made = engine(ema_decay=0.9)
    start = made.weights()["heads.linear.weight"]
    with torch.no_grad():
        made.network.heads.linear.weight.fill_(1.0)
    step(made, rate=0.0)
    kept = made.weights()["heads.linear.weight"]
    torch.testing.assert_close(kept, start + (1 - start) * (1 - 1 / 11))
    assert torch.equal(made.network.heads.linear.weight, torch.ones_like(kept))
    buffers = dict(made.network.named_buffers())
    assert torch.equal(made.weights()["median_F"], buffers["median_F"])


def test_first_steps_of_an_average_count_for_more_and_later_ones_by_the_decay():
    value = torch.zeros(1)
    average = Average([value], decay=0.5)
    seen = []
    for _ in range(30):
        value.fill_(1.0)
        average.update()
        seen.append(float(average.values[0]))
    assert seen[0] == pytest.approx(1 - 1 / 11)
    again = Average([torch.zeros(1)], decay=0.5)
    again.load(average.tensors())
    assert (again.steps, float(again.values[0])) == (30, seen[-1])


def test_saved_and_loaded_engine_goes_on_with_the_same_bits(tmp_path):
    straight, cut = engine(ema_decay=0.9), engine(ema_decay=0.9)
    for made in (straight, cut):
        step(made)
    cut.save(tmp_path, is_writer=True)
    other = engine(ema_decay=0.9)
    other.load(tmp_path)
    step(straight)
    step(other)
    for ours, theirs in zip(straight.weights().values(), other.weights().values(), strict=True):
        assert torch.equal(ours, theirs)
