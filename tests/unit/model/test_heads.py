"""The heads: quantiles that can't cross, and shapes that can't broadcast."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.heads import REACH, Companion, Heads, corrected


def test_heads_that_learnt_nothing_give_the_baseline():
    base = torch.tensor([[-2.0, -0.5, 0.1, 0.5, 3.0]] * 3, dtype=torch.float64)
    z_BHQ, log_vol_BH = Heads(6, 3, 5)(torch.randn(4, 6), base)
    torch.testing.assert_close(z_BHQ, base.expand(4, 3, 5), rtol=1e-14, atol=1e-14)
    assert not log_vol_BH.any()


@given(seed=st.integers(0, 2**31), size=st.floats(0.0, 1e4))
def test_quantiles_never_cross_whatever_the_state(seed, size):
    generator = torch.Generator().manual_seed(seed)
    heads = Heads(4, 2, 7)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
        base = torch.randn(2, 7, generator=generator, dtype=torch.float64).sort(dim=-1).values
        z_BHQ, _ = heads(torch.randn(5, 4, generator=generator), base)
    assert torch.isfinite(z_BHQ).all()
    assert (z_BHQ.diff(dim=-1) >= 0).all()


def test_widths_and_shifts_saturate():
    base = torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64)
    heads = Heads(1, 1, 3)
    with torch.no_grad():
        heads.linear.bias.fill_(1e9)
        z_BHQ, _ = heads(torch.zeros(1, 1), base)
    torch.testing.assert_close(
        z_BHQ[0, 0], REACH + torch.tensor([-1.0, 0.0, 1.0]).double() * torch.exp(torch.tensor(REACH))
    )


def test_broadcast_of_a_wrong_shape_is_caught_in_the_heads():
    """A [B, 1, 1] scale against [B, H, Q] once made a [B, B, H, Q] loss that trained, thirty times slower."""
    base = torch.zeros(2, 5, dtype=torch.float64)
    with pytest.raises(AssertionError, match="widths"):
        corrected(base, torch.zeros(8, 2, 4), torch.zeros(8, 1))
    with pytest.raises(AssertionError, match="base"):
        corrected(base, torch.zeros(8, 1, 4), torch.zeros(8, 1))


def test_companion_starts_without_an_opinion_and_stops_gradients():
    companion = Companion(4, 3, 2, width=8)
    state = torch.randn(5, 4, requires_grad=True)
    logit = companion(state, torch.randn(5, 3))
    assert not logit.any()
    logit.sum().backward()
    assert state.grad is None
