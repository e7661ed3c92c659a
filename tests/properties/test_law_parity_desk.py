"""Law: what the desk forecasts and orders bar by bar is what it forecasts and orders over whole frames."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.desk.scripted import BTC, EAGER, ETH, FEATURES, Scripted, closed, walk

from heliograph.config.settings import CostSettings
from heliograph.core.commands import SubmitOrder
from heliograph.core.market import Market
from heliograph.desk import batch
from heliograph.desk.step import Desk, Trader, trade_bar
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine

MARKETS = {
    key: Market(*key, "spot", key[1][:3], "USDT", Decimal("0.01"), Decimal("0.0001"), Decimal(5)) for key in (BTC, ETH)
}
COSTS = CostSettings.model_validate({})


def _state() -> engine.State:
    return engine.initial(EAGER, MARKETS, costs=COSTS)


@given(seed=st.integers(0, 10_000), num=st.integers(120, 260), holes=st.booleans())
@settings(max_examples=10)
def test_bar_by_bar_equals_whole_frames(seed: int, num: int, holes: bool) -> None:
    frames = {BTC: walk(num, seed, holes=holes), ETH: walk(num, seed + 1, holes=holes)}
    live, whole = Scripted(), Scripted()
    desk = Desk(features=FEATURES, forecaster=live, limits=EAGER, markets=MARKETS, state=_state())
    trader = Trader(limits=EAGER, state=_state())
    brokers = SimBroker(COSTS, MARKETS), SimBroker(COSTS, MARKETS)
    orders: tuple[list, list] = ([], [])

    def keep(into: list):
        return lambda entry, _: into.append(entry) if isinstance(entry, SubmitOrder) else None

    bars = list(batch.replay(frames, features=FEATURES, forecaster=whole))
    every = sorted(
        closed(BTC, frames[BTC]) + closed(ETH, frames[ETH]), key=lambda c: (c.known_ts_ms, c.venue, c.symbol)
    )
    assert [c for c, _ in bars] == every
    for candle, forecast in bars:
        made = desk.forecast(candle)
        assert (made is None) == (forecast is None)
        if made is not None and forecast is not None:
            np.testing.assert_allclose(made.quantile_HQ, forecast.quantile_HQ, rtol=0, atol=1e-5)
        trade_bar(desk, candle, made, brokers[0], keep(orders[0]))
        trade_bar(trader, candle, forecast, brokers[1], keep(orders[1]))
    assert orders[0] == orders[1]
    assert len(orders[0]) > 10
    assert desk.state == trader.state
    np.testing.assert_array_equal(
        np.sort(np.concatenate(live.windows), axis=0), np.sort(np.concatenate(whole.windows), axis=0)
    )
