"""The growth-optimal share: closed forms, and no other share grows faster."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.trading.kelly import growth, kelly

distributions = st.lists(
    st.tuples(st.floats(-0.9, 2.0).filter(lambda r: abs(r) > 1e-6), st.floats(0.05, 1.0)), min_size=2, max_size=16
)


def normalised(pairs):
    returns, weights = (np.array(a) for a in zip(*pairs, strict=True))
    return returns, weights / weights.sum()


@pytest.mark.parametrize(("p", "b", "f"), [(0.6, 1.0, 0.2), (0.5, 2.0, 0.25), (0.4, 1.0, 0.0), (0.5, 1.0, 0.0)])
def test_share_of_a_bet_is_the_textbook_one(p, b, f):
    assert kelly([b, -1.0], (p, 1 - p)) == pytest.approx(f, abs=1e-12)


@given(distributions, st.floats(0.05, 30))
def test_twice_the_returns_take_half_the_share(pairs, at_most):
    returns, weights = normalised(pairs)
    one = kelly(returns.tolist(), weights.tolist(), at_most=at_most)
    half = kelly((2 * returns).tolist(), weights.tolist(), at_most=at_most / 2)
    assert 2 * half == pytest.approx(one, rel=1e-9, abs=1e-9)


@given(distributions, st.floats(0.1, 30))
def test_no_other_share_grows_faster(pairs, at_most):
    returns, weights = normalised(pairs)
    best = kelly(returns.tolist(), weights.tolist(), at_most=at_most)
    most = growth(returns.tolist(), weights.tolist(), best)
    for share in np.linspace(0, at_most, 101):
        assert growth(returns.tolist(), weights.tolist(), float(share)) <= most + 1e-12


@given(distributions, st.floats(0, 0.05), st.floats(0, 0.05))
def test_dearer_trading_never_raises_the_share(pairs, cost, more):
    returns, weights = normalised(pairs)
    cheap, dear = (kelly((returns - c).tolist(), weights.tolist(), at_most=20.0) for c in (cost, cost + more))
    assert dear <= cheap + 1e-9


@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=8))
def test_no_edge_is_no_share(sizes):
    returns = [*sizes, *(-s for s in sizes)]
    weights = (1 / len(returns),) * len(returns)
    assert kelly(returns, weights) <= 1e-6 / min(sizes)
    assert kelly([r - 0.001 for r in returns], weights) == 0.0


@pytest.mark.parametrize("sigma", [0.001, 0.005, 0.01])
def test_share_of_a_narrow_gaussian_is_mean_over_variance(sigma):
    n = 2_001
    nodes = [NormalDist(0.05 * sigma, sigma).inv_cdf((i + 0.5) / n) for i in range(n)]
    share = kelly(nodes, (1 / n,) * n, at_most=1e3)
    assert share == pytest.approx(0.05 * sigma / np.var(nodes), rel=0.01)


def test_half_the_share_keeps_three_quarters_of_the_growth():
    n = 2_001
    nodes = [NormalDist(0.0001, 0.01).inv_cdf((i + 0.5) / n) for i in range(n)]
    weights = (1 / n,) * n
    full = kelly(nodes, weights)
    assert growth(nodes, weights, full / 2) / growth(nodes, weights, full) == pytest.approx(0.75, abs=0.005)


def test_growth_beyond_ruin_is_minus_infinity():
    assert growth([0.5, -0.5], (0.5, 0.5), 2.0) == -math.inf
    assert growth([0.5, -0.5], (0.5, 0.5), -2.0) == -math.inf
