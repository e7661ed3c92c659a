"""The engine: events in, commands out, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.unit.trading.makes import (
    BTC,
    COSTS,
    ETH,
    HOUR_MS,
    LIMITS,
    MARKETS,
    accepted,
    candle,
    fill,
    forecast,
    market,
    order,
    start,
    steps,
)

from heliograph.config.settings import RiskSettings
from heliograph.core.commands import CancelOrder, Halt, SubmitOrder
from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.core.events import KillSwitched, OrderAccepted, OrderCancelled, OrderRejected
from heliograph.trading import engine, orders
from heliograph.trading.ledger import average_price, is_balanced, position_base
from heliograph.trading.risk import Code


def ordered(state=None, *, bar=0, mean=0.005, key=BTC, limits=LIMITS):
    """A state with one open order, and the order."""
    state, commands = steps(state or start(limits), candle(bar, 100.0, key), forecast(bar, mean, key), limits=limits)
    (intent,) = commands
    return state, intent


def test_forecast_becomes_an_order_of_the_capped_size():
    _, intent = ordered()
    limit_by_vol = 0.2 / (0.02 * (24 * 365) ** 0.5) * 100_000 / 100
    assert intent.side == "buy"
    assert float(intent.qty_base) == pytest.approx(limit_by_vol, rel=0.03)
    assert intent.reference_price == Decimal(100)
    assert intent.client_id == orders.client_id(1, *BTC, HOUR_MS)
    assert intent.ts_ms == HOUR_MS


def test_same_events_give_same_commands_and_the_old_state_is_untouched():
    state = start()
    first, second = ordered(state), ordered(state)
    assert first == second
    assert state == start()


def test_edge_below_costs_sends_nothing():
    state, commands = steps(start(costs=COSTS), candle(0, 100.0), forecast(0, 0.001))
    assert commands == []
    assert state.refusals == {}


def test_fill_moves_cash_position_and_equity():
    state, intent = ordered()
    state, _ = steps(state, accepted(intent), fill(intent, price="101", fee="2"))
    assert position_base(state.ledger, BTC) == intent.qty_base
    assert engine.equity_quote(state) == Decimal(100_000) - intent.qty_base - 2
    assert average_price(state.ledger, BTC) == Decimal(101)
    assert is_balanced(state.ledger)


def test_same_fill_twice_counts_once():
    state, intent = ordered()
    once, _ = steps(state, fill(intent))
    twice, commands = steps(once, fill(intent), fill(intent))
    assert twice == once
    assert commands == []


def test_late_fill_never_flips_position():
    """An exit was cancelled, or so it seemed: its fill comes late. It is booked, and the next decision starts from what is
    really held instead of sending a second exit that would turn the position."""
    against = {"mean": -0.02, "confidence": 0.4}
    state, intent = ordered(start(costs=COSTS))
    state, _ = steps(state, fill(intent))
    state, (exit_,) = steps(state, candle(1, 100.0), forecast(1, **against))
    assert exit_.reduce_only
    state, _ = steps(state, OrderCancelled(exit_.client_id, exit_.ts_ms), fill(exit_))
    assert position_base(state.ledger, BTC) == 0
    assert steps(state, candle(2, 100.0), forecast(2, **against))[1] == []


def test_fill_of_an_order_that_was_never_sent_is_booked_once_and_halts():
    stranger = fill(order(client_id="byhand"))
    state, commands = steps(start(), candle(0, 100.0), stranger, stranger)
    assert position_base(state.ledger, BTC) == 1
    assert [type(c) for c in commands] == [Halt]
    assert "never sent" in state.halted
    assert is_balanced(state.ledger)


@pytest.mark.parametrize(
    "news", [OrderAccepted("byhand", 0), OrderCancelled("byhand", 0), OrderRejected("byhand", 0, "")]
)
def test_other_news_of_unknown_orders_changes_nothing(news):
    state, commands = steps(start(), news)
    assert (state, commands) == (start(), [])
    assert state.refusals == {Code.UNKNOWN_ORDER: 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"qty_base": Decimal("NaN")},
        {"qty_base": Decimal(0)},
        {"price": Decimal(-1)},
        {"fee_quote": Decimal("Infinity")},
    ],
)
def test_impossible_fill_breaks_an_invariant(changes):
    state, intent = ordered()
    with pytest.raises(InvariantBroken, match="finite positive"):
        steps(state, replace(fill(intent), **changes))


def test_refusal_after_acceptance_frees_the_market():
    state, intent = ordered()
    state, _ = steps(state, accepted(intent), OrderRejected(intent.client_id, intent.ts_ms, "balance"))
    _, retry = ordered(state, bar=1)
    assert retry.client_id != intent.client_id


def test_one_order_a_market_and_bar():
    state, intent = ordered()
    state, _ = steps(state, OrderRejected(intent.client_id, intent.ts_ms, "no"))
    state, commands = steps(state, forecast(0, 0.005))
    assert commands == []
    assert state.refusals == {Code.ALREADY_DECIDED: 1}


def test_one_open_order_a_market():
    state, _ = ordered()
    state, commands = steps(state, candle(1, 100.0), forecast(1, 0.005))
    assert commands == []
    assert state.refusals == {Code.OPEN_ORDER: 1}


def test_an_order_that_stays_open_is_asked_back():
    state, intent = ordered()
    state, commands = steps(state, candle(2, 100.0), forecast(2, 0.005))
    assert commands == []
    _, commands = steps(state, candle(3, 100.0), forecast(3, 0.005))
    assert commands == [CancelOrder(intent.client_id, *BTC, 4 * HOUR_MS)]


def test_leverage_counts_open_orders_of_other_markets():
    limits = LIMITS.model_copy(update={"max_leverage": 0.15, "annual_vol_target": 5.0, "max_symbol_weight": 0.1})
    state, first = ordered(limits=limits)
    _, second = ordered(state, key=ETH, limits=limits)
    assert float(first.qty_base) == pytest.approx(100, abs=0.01)
    assert float(second.qty_base) == pytest.approx(50, abs=0.01)


def test_kill_switch_cancels_what_is_open_and_lets_nothing_out_any_more():
    state, intent = ordered()
    state, commands = steps(state, KillSwitched(1, "by hand"))
    assert commands == [CancelOrder(intent.client_id, *BTC, HOUR_MS), Halt("kill switch: by hand", HOUR_MS)]
    state, _ = steps(state, fill(intent))
    for bar in range(1, 5):
        state, commands = steps(
            state, candle(bar, 100.0), forecast(bar, -0.01), candle(bar, 99.0, ETH), forecast(bar, 0.01, ETH)
        )
        assert commands == []
    assert state.refusals[Code.HALTED] == 8


def test_kill_switch_again_cancels_again_but_halts_once():
    state, _ = ordered()
    state, _ = steps(state, KillSwitched(1, "a"))
    state, commands = steps(state, KillSwitched(2, "b"))
    assert [type(c) for c in commands] == [CancelOrder]
    assert state.halted == "kill switch: a"


@pytest.mark.parametrize(("close", "stops"), [(75.01, False), (75.0, True), (74.99, True)])
def test_hard_drawdown_stops_trading_at_its_boundary(close, stops):
    intent = order(qty="1000")
    state = engine.replay(start(), intent, limits=LIMITS)
    state, commands = steps(state, candle(0, 100.0), fill(intent), candle(1, close))
    assert bool(state.stopping) is stops
    assert (commands, state.halted) == ([], "")


def test_hard_drawdown_closes_every_position_whatever_is_forecast_and_halts_once_flat():
    """Halting with positions open once let an account that may lose a quarter lose half."""
    intent = order(qty="1000")
    state = engine.replay(start(), intent, limits=LIMITS)
    state, _ = steps(state, candle(0, 100.0), fill(intent), candle(1, 70.0))
    assert state.stopping.startswith("hard_drawdown")
    sent = []
    for bar in range(1, 4):
        state, commands = steps(state, forecast(bar, 0.05, price=71.0))
        for command in commands:
            sent.append(command)
            state, _ = steps(state, fill(command, price="71", trade=f"c{bar}"))
        state, _ = steps(state, candle(bar + 1, 100.0))
    assert all((c.side, c.reduce_only) == ("sell", True) for c in sent)
    assert sum(c.qty_base for c in sent) == 1000
    assert len(sent) == 2  # each at most max_order_notional_quote
    assert not state.ledger.qty_base
    assert state.halted == state.stopping
    assert steps(state, forecast(5, 0.05))[1] == []


def test_drawdown_is_counted_from_the_peak():
    intent = order(qty="1000")
    state = engine.replay(start(), intent, limits=LIMITS)
    state, _ = steps(state, candle(0, 100.0), fill(intent), candle(1, 200.0))
    assert state.peak_quote == Decimal(200_000)
    state, _ = steps(state, candle(2, 150.0))
    assert state.stopping.startswith("hard_drawdown")


def test_candle_seen_before_changes_nothing():
    state, _ = steps(start(), candle(0, 100.0), candle(1, 101.0))
    again, commands = steps(state, candle(1, 999.0), candle(0, 999.0))
    assert (again, commands) == (state, [])


def test_stale_forecast_sends_nothing():
    state, commands = steps(start(), candle(0, 100.0), candle(3, 100.0, ETH), forecast(0, 0.01))
    assert commands == []
    assert state.refusals == {Code.STALE_DATA: 1}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 0.0])
def test_candle_that_is_no_price_never_becomes_an_order(bad):
    state, commands = steps(start(), candle(0, bad), forecast(0, 0.01))
    assert commands == []
    assert state.refusals == {Code.UNSOUND: 1, Code.NO_PRICE: 1}


def test_forecast_that_is_not_finite_never_becomes_an_order():
    state, commands = steps(start(), candle(0, 100.0), forecast(0, float("nan")))
    assert commands == []
    assert state.refusals == {Code.UNSOUND: 1}


def test_unlisted_market_is_a_config_error():
    with pytest.raises(ConfigError, match="was given no market"):
        steps(start(markets={BTC: MARKETS[BTC]}), candle(0, 100.0, ETH))


def test_two_quote_currencies_are_a_config_error():
    with pytest.raises(ConfigError, match="EUR, USDT"):
        start(markets={BTC: MARKETS[BTC], ETH: market(ETH, quote="EUR")})


def test_position_shrinks_when_drawdown_cuts():
    limits = RiskSettings(horizon_bars=1, annual_vol_target=5.0, max_symbol_weight=0.5, kelly_fraction=0.1)
    deep = start(limits)
    shallow_state, (shallow,) = steps(deep, candle(0, 100.0), forecast(0, 0.003), limits=limits)
    down = replace(deep, peak_quote=deep.peak_quote / (1 - Decimal("0.2")))
    _, (cut,) = steps(down, candle(0, 100.0), forecast(0, 0.003), limits=limits)
    assert float(cut.qty_base / shallow.qty_base) == pytest.approx(1 / 3, abs=0.01)
    assert shallow_state.halted == ""


def test_replay_of_entries_gives_the_state_back():
    state, intent = ordered()
    first = [candle(0, 100.0), forecast(0, 0.005), intent]
    then = [accepted(intent), fill(intent), candle(1, 90.0), forecast(1, 0.0), candle(2, 95.0), KillSwitched(5, "x")]
    lived, commands = steps(state, *then)
    replayed = start()
    for entry in (*first, *then, *commands):
        replayed = engine.replay(replayed, entry, limits=LIMITS)
    assert replayed == lived
    assert replayed.together != engine.initial(LIMITS, MARKETS, costs=COSTS).together


def test_replay_passes_over_forecasts_and_cancels():
    for entry in (forecast(0, 0.01), CancelOrder("a", *BTC, 1)):
        assert engine.replay(start(), entry, limits=LIMITS) == start()


def test_halt_in_the_journal_halts():
    assert engine.replay(start(), Halt("why", 1), limits=LIMITS).halted == "why"


def test_command_types_are_the_three_of_core():
    _, intent = ordered()
    assert isinstance(intent, SubmitOrder)
