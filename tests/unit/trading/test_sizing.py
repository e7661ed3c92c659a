"""Fractional Kelly with its caps."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.trading.makes import forecast

from heliograph.config.settings import RiskSettings
from heliograph.trading import signals, sizing
from heliograph.trading.kelly import growth
from heliograph.trading.portfolio import Beside, Together
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


def gain(made, scale, before, after):
    """What a change of weight adds to growth over the horizon, less what one side of it costs."""
    grown = [scale * growth(made.returns, made.weights, w / scale) for w in (before, after)]
    return grown[1] - grown[0] - 0.5 * made.round_trip_cost * abs(after - before)


@given(
    mean=st.floats(-0.004, 0.004),
    held=st.floats(-1.0, 1.0),
    cost_bps=st.floats(0.0, 20.0),
    confidence=st.floats(0.2, 1.0),
)
@settings(max_examples=300)
def test_no_trade_costs_more_than_it_earns(mean, held, cost_bps, confidence):
    """Where no limit forces it, a change is made only if its edge covers its cost."""
    made = signal(mean, cost_bps=cost_bps, confidence=confidence)
    target = sizing.target_weight(made, account(held=held), WIDE)
    most = sizing.ceiling(made, account(held=held), WIDE, math.copysign(1.0, held))
    if target != held and abs(held) <= most:
        assert gain(made, confidence, held, target) >= -1e-12


@given(mean=st.floats(-0.004, 0.004), held=st.floats(-1.0, 1.0), cost_bps=st.floats(0.0, 20.0))
@settings(max_examples=300)
def test_what_was_decided_stands_while_nothing_changes(mean, held, cost_bps):
    """Hysteresis: the same forecast again moves nothing, so that a still market costs nothing."""
    made = signal(mean, cost_bps=cost_bps)
    once = sizing.target_weight(made, account(held=held), WIDE)
    assert sizing.target_weight(made, account(held=once), WIDE) == pytest.approx(once, abs=1e-9)


@given(held=st.floats(0.0, 1.0), costs=st.tuples(st.floats(0, 10), st.floats(0, 10)).map(sorted))
@settings(max_examples=200)
def test_dearer_trading_never_moves_further(held, costs):
    cheap, dear = (sizing.target_weight(signal(0.001, cost_bps=c), account(held=held), WIDE) for c in costs)
    assert abs(dear - held) <= abs(cheap - held) + 1e-9


def test_a_small_overhang_is_not_sold_and_a_large_one_is():
    made = signal(0.00005, cost_bps=1.0)
    keep = sizing.target_weight(signal(0.00005), account(), WIDE)
    assert sizing.target_weight(made, account(held=1.02 * keep), WIDE) == 1.02 * keep
    assert sizing.target_weight(made, account(held=3 * keep), WIDE) == pytest.approx(keep)


def test_a_weak_turn_does_not_close_what_would_cost_more_to_close():
    turned = signal(-0.00021, cost_bps=5.0)
    assert turned.abstains == "edge_below_cost"
    assert sizing.target_weight(turned, account(held=0.001), WIDE) == 0.001
    assert sizing.target_weight(turned, account(held=5.0), WIDE) == 0.0


def test_limits_cut_whatever_it_costs():
    dear = signal(0.004, cost_bps=19.0)
    limits = WIDE.model_copy(update={"max_symbol_weight": 0.3})
    assert sizing.target_weight(dear, account(held=0.9), limits) == pytest.approx(0.3)
    assert sizing.target_weight(dear, account(held=0.9, room=0.2), WIDE) == pytest.approx(0.2)
    assert sizing.target_weight(dear, account(held=-0.9, drawdown=0.25), WIDE) == 0.0


@pytest.mark.parametrize(("active", "most"), [(0, 0.4), (1, 0.4 / math.sqrt(2 * 1.65))])
def test_portfolio_leaves_an_equal_part_beside_others(active, most):
    """The others hold more than the target: an equal part is there all the same, for they are cut in their turn."""
    limits = WIDE.model_copy(update={"annual_vol_target": 0.2})
    calm = signal(0.003, sigma=0.001, limits=limits)
    beside = Beside(Together(), 0.5, 0.25 * active, 0.25**2 * active, active=active, markets=1 + active)
    holder = Account(held=1.0, room=100.0, drawdown=0.0, beside=beside)
    assert sizing.target_weight(calm, holder, limits) == pytest.approx(most)


def test_shortfall_of_predictive_quantiles_is_that_of_their_distribution():
    """Thirteen levels of a Gaussian, its tails exponential beyond the outermost, against the closed form."""
    wide = signal(-(0.02**2) / 2, sigma=0.02)
    assert sizing.expected_shortfall(wide.returns, wide.weights) == pytest.approx(0.02 * 2.0627, rel=0.03)


@pytest.mark.parametrize(("held", "target"), [(0.305, 0.305), (0.307, 0.3), (0.35, 0.3), (0.29, 0.29)])
def test_limit_may_be_exceeded_by_a_fiftieth_whatever_the_band(held, target):
    limits = WIDE.model_copy(update={"max_symbol_weight": 0.3, "no_trade_band": 0.1})
    assert sizing.target_weight(signal(0.004), account(held=held), limits) == pytest.approx(target)
