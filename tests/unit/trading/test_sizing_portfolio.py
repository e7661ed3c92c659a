"""The portfolio's risk from prices: its moments, and the places that the volatility target leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.trading.makes import BTC, ETH, HOUR_MS, MARKETS, candle, fill, forecast, steps

from heliograph.config.settings import CostSettings, RiskSettings
from heliograph.trading import engine
from heliograph.trading.portfolio import Beside, Together, Volatility

LIMITS = RiskSettings(horizon_bars=1, annual_vol_target=0.2, no_trade_band=0.0, risk_memory_days=10.0)
HOUR_VOL = math.sqrt(HOUR_MS / (365 * 86_400_000))


def lived(returns_TN, limits=LIMITS):
    """Volatilities and moments after hourly log-returns, float[T, N]."""
    each, together = [Volatility() for _ in returns_TN[0]], Together()
    for bar, row in enumerate(returns_TN):
        for n, r in enumerate(row):
            z = each[n].standard(float(r), HOUR_MS)
            each[n] = each[n].after(z, HOUR_MS, limits)
            together = together.closed(bar * HOUR_MS, z, limits)
    return each, together


def walk(num, correlation, annual=(0.4, 0.8, 1.2), seed=0):
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(num, 1)), rng.normal(size=(num, len(annual)))
    return (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own) * np.array(annual) * HOUR_VOL


def test_volatility_of_a_steady_market_is_found():
    each, _ = lived(walk(6_000, 0.0))
    assert [v.annual for v in each] == pytest.approx([0.4, 0.8, 1.2], rel=0.12)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_moments_are_one_and_the_correlation(correlation):
    told = [lived(walk(2_000, correlation, seed=s))[1] for s in range(4)]
    assert np.mean([t.own for t in told]) == pytest.approx(1.0, abs=0.08)
    assert np.mean([t.shared for t in told]) == pytest.approx(correlation, abs=0.08)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, -1, 0), (0, 0, 1)])
def test_variance_is_that_of_the_covariance_matrix(weights):
    together = Together(own=1.2, shared=0.5)
    x = np.array(weights) * np.array([0.1, 0.2, 0.3])
    matrix = np.full((3, 3), 0.5) + 0.7 * np.eye(3)
    assert together.variance(x.sum(), (x**2).sum()) == pytest.approx(x @ matrix @ x)


def test_a_print_out_of_this_world_counts_as_ten_deviations():
    v = Volatility()
    assert v.standard(5.0, HOUR_MS) == 10.0
    assert v.after(10.0, HOUR_MS, LIMITS).annual < 2.0


def test_late_bar_changes_no_moment():
    together = Together().closed(2 * HOUR_MS, 1.0, LIMITS)
    assert together.closed(HOUR_MS, 5.0, LIMITS) is together


def test_prices_that_stand_still_never_lever_without_bound():
    each, together = lived(np.zeros((5_000, 2)))
    assert together.own >= 0.25
    assert all(v.annual >= 0.01 for v in each)


@given(st.floats(-0.3, 0.3), st.floats(0.1, 1.5), st.floats(0.0, 0.9), st.sampled_from([1.0, -1.0]))
def test_what_is_left_meets_the_target_exactly(total, own, share, side):
    """One other position: the room beside it brings the portfolio to its target, or there is none."""
    together = Together(own=own, shared=share * own)
    beside = Beside(together, 0.5, total, total * total, active=1)
    left = beside._left(side, 0.2)
    reached = math.sqrt(together.variance(total + side * left, total * total + left * left))
    if left > 0:
        assert reached == pytest.approx(0.2)
    else:
        assert reached >= 0.2 - 1e-12


def test_alone_the_whole_target_is_there():
    assert Beside(Together(own=1.0), 0.5).most(1.0, 0.0, LIMITS) == pytest.approx(0.4)


def test_a_hedge_has_more_room_than_a_bet_on_the_same_side():
    beside = Beside(Together(), 0.5, 0.15, 0.15**2, active=1)
    assert beside._left(-1.0, 0.2) > beside._left(1.0, 0.2) > 0


def test_positions_grow_by_an_equal_part_a_step():
    together = Together(own=1.0, shared=0.5)
    beside = Beside(together, 0.5, markets=10)
    step = 0.2 / math.sqrt(together.variance(10, 10)) / 0.5
    assert beside.most(1.0, 0.0, LIMITS) == pytest.approx(step)
    assert beside.most(1.0, step, LIMITS) == pytest.approx(2 * step)
    assert beside.most(-1.0, step, LIMITS) == pytest.approx(step)
    wide = LIMITS.model_copy(update={"no_trade_band": 0.1})
    assert beside.most(1.0, 0.0, wide) == pytest.approx(0.2)


@given(st.integers(1, 12), st.floats(0.0, 0.95), st.integers(0, 5_000))
def test_eager_markets_end_at_the_target_with_equal_parts(markets, correlation, seed):
    """Whoever comes first, in whatever order: after some rounds all hold alike, and the target is met."""
    rng = np.random.default_rng(seed)
    together, vol = Together(own=1.0, shared=correlation), rng.uniform(0.3, 1.5, markets)
    risk = np.zeros(markets)
    for _ in range(6 * markets):
        for n in rng.permutation(markets):
            others = np.delete(risk, n)
            beside = Beside(
                together, vol[n], others.sum(), (others**2).sum(), active=int((others > 0).sum()), markets=markets
            )
            risk[n] = beside.most(1.0, risk[n] / vol[n], LIMITS) * vol[n]
    assert math.sqrt(together.variance(risk.sum(), (risk**2).sum())) == pytest.approx(0.2, rel=1e-6)
    assert risk == pytest.approx(np.full(markets, risk.mean()), rel=1e-6)


def test_engine_keeps_two_markets_that_move_together_within_one_target():
    limits = RiskSettings(
        horizon_bars=1,
        kelly_fraction=1.0,
        annual_vol_target=0.1,
        risk_memory_days=0.5,
        max_symbol_weight=1.0,
        no_trade_band=0.0,
    )
    state = engine.initial(limits, MARKETS, costs=CostSettings(fee_bps=0.0, slippage_bps=0.0))
    price, weight = 100.0, {}
    for bar in range(60):
        price *= math.exp(0.004 * (-1) ** bar)
        for key in (BTC, ETH):
            state, _ = steps(state, candle(bar, round(price, 4), key), limits=limits)
            state, sent = steps(state, forecast(bar, 0.003, key, sigma=0.004), limits=limits)
            for intent in sent:
                state, _ = steps(state, fill(intent, price=str(round(price, 4)), trade=str(bar)), limits=limits)
    marks = state.marks
    for key in (BTC, ETH):
        weight[key] = float(state.ledger.qty_base[key] * marks[key].price / state.equity_quote)
    x = np.array([weight[k] * marks[k].volatility.annual for k in (BTC, ETH)])
    assert state.together.shared == pytest.approx(state.together.own, rel=0.2)
    assert math.sqrt(state.together.variance(x.sum(), (x**2).sum())) == pytest.approx(0.1, rel=0.1)
    assert weight[BTC] == pytest.approx(weight[ETH], rel=0.15)
