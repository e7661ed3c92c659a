"""The simulated broker: next open, once, deterministic, and restored from a journal."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.unit.trading.makes import BTC, COSTS, ETH, HOUR_MS, MARKETS, candle, order

from heliograph.core.commands import CancelOrder
from heliograph.core.errors import ConfigError
from heliograph.core.events import OrderAccepted, OrderCancelled, OrderFilled
from heliograph.core.ports import Broker
from heliograph.sim.broker import SimBroker


@pytest.fixture
def broker():
    return SimBroker(COSTS, MARKETS)


def test_it_is_a_broker(broker):
    port: Broker = broker
    assert port is broker


def test_order_fills_at_the_next_open_never_in_its_own_bar(broker):
    intent = order("buy", "2", bar=0)
    assert broker.submit(intent) == [OrderAccepted(intent.client_id, HOUR_MS)]
    assert broker.on_candle(candle(0, 90.0)) == []
    (filled,) = broker.on_candle(candle(1, 120.0, open_=100.0))
    assert (filled.price, filled.qty_base, filled.ts_ms) == (Decimal("100.02"), Decimal(2), HOUR_MS)
    assert filled.fee_quote == Decimal("100.02") * 2 * Decimal("0.0005")
    assert broker.on_candle(candle(2, 100.0)) == []


def test_sale_slips_down(broker):
    broker.submit(order("sell", "1"))
    assert broker.on_candle(candle(1, 100.0))[0].price == Decimal("99.98")


def test_order_waits_for_its_own_market(broker):
    broker.submit(order())
    assert broker.on_candle(candle(1, 100.0, ETH)) == []
    assert len(broker.on_candle(candle(5, 100.0))) == 1


def test_order_made_after_the_next_bar_opened_waits_for_the_one_after(broker):
    """A venue that revises candles for a while makes them known late; the open then lies before the decision."""
    broker.submit(replace(order(), ts_ms=HOUR_MS + 30_000))
    assert broker.on_candle(candle(1, 100.0)) == []
    assert broker.on_candle(candle(2, 100.0))[0].ts_ms == 2 * HOUR_MS


def test_same_client_id_is_one_order(broker):
    intent = order()
    first, again = broker.submit(intent), broker.submit(intent)
    assert first == again
    (filled,) = broker.on_candle(candle(1, 100.0))
    assert broker.submit(intent) == [filled]
    assert broker.on_candle(candle(2, 100.0)) == []
    assert broker.client_ids == (intent.client_id,)


def test_cancel_takes_a_resting_order_back(broker):
    intent = order()
    broker.submit(intent)
    assert broker.cancel(CancelOrder(intent.client_id, *BTC, 5)) == [OrderCancelled(intent.client_id, 5)]
    assert broker.on_candle(candle(1, 100.0)) == []
    assert broker.submit(intent) == [OrderCancelled(intent.client_id, 5)]


def test_cancel_comes_too_late_for_a_filled_order(broker):
    intent = order()
    broker.submit(intent)
    (filled,) = broker.on_candle(candle(1, 100.0))
    assert broker.cancel(CancelOrder(intent.client_id, *BTC, 5)) == [filled]


def test_order_that_was_cancelled_before_it_came_never_trades(broker):
    intent = order()
    broker.cancel(CancelOrder(intent.client_id, *BTC, 5))
    assert broker.submit(intent) == [OrderCancelled(intent.client_id, 5)]


def test_unknown_market_is_a_config_error(broker):
    with pytest.raises(ConfigError, match="no market kraken"):
        broker.submit(order(key=("kraken", "BTC/USD")))


@pytest.mark.parametrize("cut", range(6))
def test_restored_broker_goes_on_where_the_old_one_stood(broker, cut):
    one, two = order(bar=0), order("sell", bar=0, key=ETH)
    journal = [one, *broker.submit(one), two, *broker.submit(two), *broker.on_candle(candle(1, 100.0))]
    restored = SimBroker(COSTS, MARKETS)
    restored.restore(journal[:cut])
    for intent in (one, two):
        restored.submit(intent)
    fills = [e for c in (candle(1, 100.0), candle(1, 100.0, ETH)) for e in restored.on_candle(c)]
    expected = [journal[4], *broker.on_candle(candle(1, 100.0, ETH))]
    assert fills == [e for e in expected if e not in journal[:cut]]
    assert all(isinstance(f, OrderFilled) for f in fills)
