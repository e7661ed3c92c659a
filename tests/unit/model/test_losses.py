"""The losses against closed forms."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch.nn import functional

from heliograph.model import calibrate, losses
from heliograph.model.heads import Output


@pytest.mark.parametrize(
    ("observed", "crps"),
    [(0.0, 0.233695), (1.0, 0.602440)],  # CRPS of N(0, 1): x (2 Φ(x) - 1) + 2 φ(x) - 1/√π
)
def test_twice_the_mean_pinball_is_the_crps_of_a_normal(observed, crps):
    level = (np.arange(4_000) + 0.5) / 4_000
    quantile = np.array([NormalDist().inv_cdf(p) for p in level])
    ours = losses.pinball(
        torch.full((1, 1), observed).double(), torch.from_numpy(quantile)[None, None], torch.from_numpy(level)
    )
    assert 2 * float(ours.mean()) == pytest.approx(crps, abs=2e-5)
    numpy = calibrate.pinball(np.array([[observed]]), quantile[None, None], tuple(level))
    assert float(numpy[0, 0]) == pytest.approx(float(ours.mean()), rel=1e-12)


def test_expected_crps_of_a_calibrated_normal_is_one_over_root_pi():
    y = np.random.default_rng(0).normal(size=(20_000, 1))
    level = tuple((np.arange(199) + 0.5) / 199)
    quantile = np.array([NormalDist().inv_cdf(p) for p in level])
    loss = calibrate.pinball(y, np.broadcast_to(quantile, (20_000, 1, 199)), level)
    assert 2 * loss.mean() == pytest.approx(0.564190, abs=0.01)


def test_total_is_pinball_and_volatility_beside_it():
    torch.manual_seed(1)
    output = Output(torch.randn(6, 2, 3).double(), torch.randn(6, 2, 3), torch.randn(6, 2), torch.randn(6, 2))
    targets = losses.Targets(
        torch.randn(6, 2).double(), torch.randint(0, 3, (6, 2)), torch.ones(6, 2), torch.zeros(6, 2)
    )
    level, prior = torch.tensor([0.1, 0.5, 0.9]).double(), torch.randn(2, 3)
    by_hand = losses.pinball(targets.z_BH, output.z_BHQ, level).mean()
    by_hand = by_hand + 0.1 * functional.smooth_l1_loss(output.log_vol_BH, targets.log_vol_BH)
    assert float(losses.total(output, targets, level)) == pytest.approx(float(by_hand), rel=1e-6)
    cross = [functional.cross_entropy(output.setup_BHC[:, h] + prior[h], targets.setup_BH[:, h]) for h in range(2)]
    torch.testing.assert_close(losses.by_horizon("setup", output.setup_BHC, targets, prior), torch.stack(cross))
    sign = functional.softplus(-output.direction_BH).mean(dim=0)
    torch.testing.assert_close(losses.by_horizon("direction", output.direction_BH, targets, prior), sign)


def test_wrong_shapes_never_broadcast():
    with pytest.raises(AssertionError):
        losses.pinball(torch.zeros(4, 1), torch.zeros(4, 2, 3), torch.zeros(3))
    with pytest.raises(AssertionError):
        calibrate.pinball(np.zeros((4, 1)), np.zeros((4, 2, 3)), (0.1, 0.5, 0.9))
    targets = losses.Targets(torch.zeros(4, 2), torch.zeros(4, 2).long(), torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(AssertionError):
        losses.by_horizon("direction", torch.zeros(4, 1), targets, torch.zeros(2, 3))
    with pytest.raises(AssertionError):
        losses.by_horizon("setup", torch.zeros(4, 1, 3), targets, torch.zeros(2, 3))
