"""Fractional Kelly with its caps."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.trading.makes import forecast

from heliograph.config.settings import RiskSettings
from heliograph.trading import signals, sizing
from heliograph.trading.sizing import Account

WIDE = RiskSettings(
    horizon_bars=1,
    kelly_fraction=1.0,
    annual_vol_target=5.0,
    max_symbol_weight=100.0,
    max_leverage=20.0,
    min_confidence=0.0,
    no_trade_band=0.0,
)
EPS = 1e-9


def signal(mean, *, sigma=0.02, confidence=1.0, cost_bps=0.0, limits=WIDE):
    return signals.read(forecast(0, mean, sigma=sigma, confidence=confidence), limits, cost_bps)


def account(held=0.0, room=100.0, drawdown=0.0):
    return Account(held=held, room=room, drawdown=drawdown)


@pytest.mark.parametrize(("p", "b", "f"), [(0.6, 1.0, 0.2), (0.5, 2.0, 0.25), (0.4, 1.0, 0.0), (0.5, 1.0, 0.0)])
def test_kelly_of_a_bet_is_the_textbook_share(p, b, f):
    assert sizing.kelly([b, -1.0], (p, 1 - p)) == pytest.approx(f, abs=1e-12)


@pytest.mark.parametrize("sigma", [0.001, 0.005, 0.01])
def test_kelly_of_a_narrow_gaussian_is_mean_over_variance(sigma):
    n = 2_001
    nodes = [NormalDist(0.05 * sigma, sigma).inv_cdf((i + 0.5) / n) for i in range(n)]
    variance = float(np.var(nodes))
    assert sizing.kelly(nodes, (1 / n,) * n) == pytest.approx(0.05 * sigma / variance, rel=0.01)


def test_half_kelly_keeps_three_quarters_of_the_growth():
    n, mean, sigma = 2_001, 0.0001, 0.01
    nodes = np.array([NormalDist(mean, sigma).inv_cdf((i + 0.5) / n) for i in range(n)])
    full = sizing.kelly(nodes.tolist(), (1 / n,) * n)
    growth = lambda f: float(np.log1p(f * nodes).mean())  # noqa: E731
    assert growth(full / 2) / growth(full) == pytest.approx(0.75, abs=0.005)


@given(
    st.lists(st.floats(-0.5, 0.8), min_size=2, max_size=13),
    st.floats(0.1, 30),
)
def test_kelly_is_the_argmax_on_a_grid(returns, at_most):
    weights = (1 / len(returns),) * len(returns)
    best = sizing.kelly(returns, weights, at_most=at_most)
    worst = min(returns)
    ruin = -1 / worst if worst < 0 else math.inf
    assert 0.0 <= best <= at_most
    assert best < ruin
    grid = np.linspace(0, min(at_most, ruin * 0.999999), 300)
    growth = np.log1p(np.outer(grid, returns)).mean(axis=1).max()
    assert np.log1p(best * np.array(returns)).mean() >= growth - 1e-9


def test_cap_at_the_ruinous_share_is_no_division_by_zero():
    assert sizing.kelly([1.0, -1.0], (0.9, 0.1), at_most=1.0) == pytest.approx(0.8)


def test_costs_shrink_the_share_and_a_small_edge_opens_nothing():
    free, paid = (sizing.target_weight(signal(0.0005, cost_bps=c), account(), WIDE) for c in (0.0, 1.0))
    assert 0 < paid < free
    assert sizing.target_weight(signal(0.001, cost_bps=10.0), account(), WIDE) == 0.0


def test_short_mirrors_long():
    up, down = (sizing.target_weight(signal(m - 0.0002, sigma=0.02), account(), WIDE) for m in (0.0005, -0.0005))
    assert up > 0 > down
    assert -down == pytest.approx(up, rel=0.1)


def test_short_is_zero_where_it_is_not_allowed():
    long_only = WIDE.model_copy(update={"allow_short": False})
    assert sizing.target_weight(signal(-0.01), account(), long_only) == 0.0
    assert sizing.target_weight(signal(-0.01), account(held=0.2), long_only) == 0.0


def test_share_scales_with_fraction_and_confidence():
    full = sizing.target_weight(signal(0.0005), account(), WIDE)
    half = sizing.target_weight(signal(0.0005, confidence=0.5), account(), WIDE)
    quarter = sizing.target_weight(signal(0.0005), account(), WIDE.model_copy(update={"kelly_fraction": 0.25}))
    assert half == pytest.approx(full / 2)
    assert quarter == pytest.approx(full / 4)


def test_a_paid_for_position_is_kept_between_entry_and_free_share():
    entry = sizing.target_weight(signal(0.0005, cost_bps=1.0), account(), WIDE)
    free = sizing.target_weight(signal(0.0005), account(), WIDE)
    between = (entry + free) / 2
    assert sizing.target_weight(signal(0.0005, cost_bps=1.0), account(held=between), WIDE) == between
    assert sizing.target_weight(signal(0.0005, cost_bps=1.0), account(held=2 * free), WIDE) == pytest.approx(free)
    assert sizing.target_weight(signal(0.0005, cost_bps=1.0), account(held=entry / 2), WIDE) == pytest.approx(entry)


def test_abstention_opens_nothing_keeps_what_agrees_and_closes_what_does_not():
    unsure = replace(signal(0.004), abstains="low_confidence")
    assert sizing.target_weight(unsure, account(), WIDE) == 0.0
    assert sizing.target_weight(unsure, account(held=0.1), WIDE) == 0.1
    assert sizing.target_weight(unsure, account(held=-0.1), WIDE) == 0.0


@pytest.mark.parametrize(
    ("changes", "room", "most"),
    [
        ({"max_symbol_weight": 0.25}, 100.0, 0.25),
        ({}, 0.4, 0.4),
        ({}, 0.0, 0.0),
        ({"annual_vol_target": 0.2}, 100.0, "vol"),
    ],
)
def test_each_cap_binds_exactly(changes, room, most):
    limits = WIDE.model_copy(update=changes)
    strong = signal(0.03, limits=limits)
    if most == "vol":
        most = 0.2 / (strong.spread * math.sqrt(24 * 365))
    assert sizing.target_weight(strong, account(room=room), limits) == pytest.approx(most)


@pytest.mark.parametrize(("confidence", "drawdown"), [(0.0, 0.0), (1.0, 0.25), (1.0, 0.3)])
def test_no_confidence_and_no_loss_left_mean_flat(confidence, drawdown):
    strong = signal(0.03, confidence=confidence)
    assert sizing.target_weight(strong, account(held=0.5, drawdown=drawdown), WIDE) == 0.0


def test_tail_cap_leaves_the_symbols_share_of_the_loss_that_is_left():
    limits = WIDE.model_copy(update={"max_symbol_weight": 0.5, "annual_vol_target": 5.0})
    crash = signal(0.03, sigma=0.3)
    shortfall = sizing.expected_shortfall(list(crash.returns), crash.weights)
    assert shortfall > 0.25
    assert sizing.ceiling(crash, account(), limits, 1.0) == pytest.approx(
        min(0.5 * 0.25 / shortfall, 5.0 / (crash.spread * math.sqrt(24 * 365)))
    )


def test_shortfall_of_a_gaussian_is_the_textbook_figure():
    n = 20_001
    nodes = [NormalDist(0, 0.01).inv_cdf((i + 0.5) / n) for i in range(n)]
    assert sizing.expected_shortfall(nodes, (1 / n,) * n) == pytest.approx(0.01 * 2.062713, rel=1e-3)


@pytest.mark.parametrize(
    ("drawdown", "scale"),
    [
        (0.10 - EPS, 1.0),
        (0.10, 1.0),
        (0.10 + 1e-3, 1 - 1e-3 / 0.15),
        (0.175, 0.5),
        (0.25 - EPS, EPS / 0.15),
        (0.25, 0.0),
        (0.3, 0.0),
    ],
)
def test_drawdown_cuts_linearly_between_soft_and_hard(drawdown, scale):
    assert sizing.drawdown_scale(drawdown, WIDE) == pytest.approx(scale, abs=1e-12)


@pytest.mark.parametrize(("step", "moves"), [(-EPS, False), (0.0, True), (EPS, True)])
def test_band_boundary(step, moves):
    wanted = sizing.target_weight(signal(0.002), account(), WIDE)
    held = wanted - 0.5
    limits = WIDE.model_copy(update={"no_trade_band": abs(wanted - held) - step})
    assert (sizing.target_weight(signal(0.002), account(held=held), limits) != held) is moves


def test_band_never_keeps_a_position_that_should_be_flat():
    limits = WIDE.model_copy(update={"no_trade_band": 0.5})
    assert (
        sizing.target_weight(signal(-0.01), account(held=0.1), limits.model_copy(update={"allow_short": False})) == 0.0
    )
