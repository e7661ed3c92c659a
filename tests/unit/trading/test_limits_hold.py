"""Whatever the forecasts say and the prices do, no order breaks a limit."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.trading.makes import BTC, COSTS, ETH, MARKETS, candle, forecast

from heliograph.config.settings import RiskSettings
from heliograph.core.commands import SubmitOrder
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine
from heliograph.trading.ledger import is_balanced, position_base
from heliograph.trading.risk import Code

bars = st.lists(
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.2, 0.2), st.floats(0.001, 0.3), st.floats(0, 1), st.booleans()),
    min_size=1,
    max_size=40,
)
limit_sets = st.builds(
    RiskSettings,
    horizon_bars=st.just(1),
    kelly_fraction=st.floats(0.05, 1),
    annual_vol_target=st.floats(0.05, 5),
    max_symbol_weight=st.floats(0.01, 3),
    max_leverage=st.floats(0.1, 5),
    no_trade_band=st.floats(0, 0.2),
    allow_short=st.booleans(),
    max_order_notional_quote=st.floats(100, 200_000),
    hard_drawdown=st.floats(0.2, 1),
)


@given(bars, limit_sets)
@settings(max_examples=150)
def test_no_order_breaks_a_limit(walk, limits):
    state, broker, halted = engine.initial(limits, MARKETS, costs=COSTS), SimBroker(COSTS, MARKETS), False
    price = {BTC: 100.0, ETH: 2_000.0}
    for bar, (move, mean, sigma, confidence, is_btc) in enumerate(walk):
        key = BTC if is_btc else ETH
        price[key] = max(0.01, round(price[key] * math.exp(move), 2))
        events = [*broker.on_candle(candle(bar, price[key], key)), candle(bar, price[key], key)]
        events.append(forecast(bar, mean, key, sigma=sigma, confidence=confidence))
        for event in events:
            position = position_base(state.ledger, key)
            state, commands = engine.step(state, event, limits=limits)
            for intent in (c for c in commands if isinstance(c, SubmitOrder)):
                assert not halted
                check(state, intent, position, Decimal(repr(price[key])), limits)
                for news in broker.submit(intent):
                    state, _ = engine.step(state, news, limits=limits)
            halted = halted or bool(state.halted)
        assert is_balanced(state.ledger)


def check(state, intent, position, price, limits):
    market = MARKETS[(intent.venue, intent.symbol)]
    after = position + (intent.qty_base if intent.side == "buy" else -intent.qty_base)
    assert intent.qty_base > 0
    assert intent.qty_base % market.qty_step == 0
    assert market.min_notional_quote <= intent.qty_base * price <= Decimal(repr(limits.max_order_notional_quote))
    assert limits.allow_short or after >= min(0, position)
    if intent.reduce_only:
        assert abs(after) < abs(position)
        assert after * position >= 0
    if abs(after) > abs(position):
        weight = abs(after) * price / state.equity_quote
        assert weight <= Decimal(repr(min(limits.max_symbol_weight, limits.max_leverage))) + Decimal("1e-9")


@given(
    st.floats(),
    st.lists(st.floats(), min_size=13, max_size=13),
    st.floats(),
    st.floats(),
)
@settings(max_examples=300)
def test_garbage_never_becomes_an_order_nor_breaks_the_engine(close, row, confidence, open_):
    limits = RiskSettings(horizon_bars=1)
    state = engine.initial(limits, MARKETS, costs=COSTS)
    made = replace(forecast(0, 0.0), quantile_HQ=(tuple(row),), confidence_H=(confidence,))
    is_sound = all(map(math.isfinite, row)) and row == sorted(row) and 0 <= confidence <= 1 and 0 < close < math.inf
    for event in (candle(0, close, open_=open_), made):
        state, commands = engine.step(state, event, limits=limits)
        assert is_sound or commands == ()
    assert state.equity_quote.is_finite()


@pytest.mark.parametrize("huge", [1e300, 800.0, 10.0, -800.0, -1e300])
def test_forecast_beyond_reason_is_refused(huge):
    limits = RiskSettings(horizon_bars=1)
    state = engine.initial(limits, MARKETS, costs=COSTS)
    state, _ = engine.step(state, candle(0, 100.0), limits=limits)
    state, commands = engine.step(state, replace(forecast(0, 0.0), quantile_HQ=((huge,) * 13,)), limits=limits)
    assert commands == ()
    assert state.refusals == {Code.UNSOUND: 1}
