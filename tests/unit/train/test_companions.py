"""Setup and direction heads: each learns what is there, stops on its own, and leaves the quantiles alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.train import makes

from heliograph.model.network import Network
from heliograph.train import companions
from heliograph.train.pool import Batches, Pool


def fitted(kind, *, seed=0, **settings):
    data, spec, fold = makes.world(kind, seed=seed), makes.spec(), makes.fold()
    pool = Pool.of(data, spec)
    train = pool.rows(data, fold.train, spec, labelled_by_ms=fold.validation[0])
    validation = np.concatenate(pool.rows(data, fold.validation, spec, labelled_by_ms=fold.test[0]))
    torch.manual_seed(0)
    network = Network(spec, makes.MODEL)
    network.adopt(pool.standards(spec, np.concatenate(train)))
    before = {n: p.clone() for n, p in network.state_dict().items()}
    batches = Batches(pool, network)
    used = makes.TRAIN.model_copy(update={"companion_samples": 8_192, **settings})
    epochs = companions.fit(network, batches, train, validation, used)
    with torch.no_grad():
        inputs, targets = batches.take(validation)
        return network, epochs, network(inputs), targets, before


def test_planted_drift_is_in_the_direction():
    _, epochs, output, targets, _ = fitted("drift")
    assert epochs["direction"] > 0
    hits = ((output.direction_BH > 0).float() == targets.up_BH).float().mean(dim=0)
    assert float(hits.min()) > 0.58


def test_encoder_and_quantiles_stay_as_they_were():
    network, _, _, _, before = fitted("drift", companion_epochs=1, companion_samples=512)
    after = network.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith("companions.") for name in moved)
    assert not any(p.requires_grad for p in network.companions.parameters())


@pytest.mark.parametrize("seed", [0, 1])
def test_head_that_never_helps_stays_without_an_opinion(seed):
    """On a random walk a sign can't be learnt: what validation does not confirm is not kept."""
    _, epochs, output, _, _ = fitted("walk", seed=seed)
    if epochs["direction"] == 0:
        assert not output.direction_BH.any()
    assert float(output.direction_BH.abs().max()) < 1.0


def test_same_seed_gives_the_same_heads():
    one, other = (fitted("drift", companion_epochs=2)[0].companions.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
