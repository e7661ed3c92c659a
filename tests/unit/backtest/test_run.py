"""A backtest against independent loops and hand-made tapes."""

from __future__ import annotations

import time
from decimal import Decimal

import numpy as np
import pytest
from tests.unit.backtest.tapes import BTC, ETH, FREE_HAND, HOUR, START_MS, candles, feed, market, walk

from heliograph.backtest import run
from heliograph.backtest.result import BacktestResult
from heliograph.config.settings import CostSettings, RiskSettings
from heliograph.core.commands import SubmitOrder
from heliograph.core.errors import ConfigError, DataError
from heliograph.core.events import OrderFilled

COSTS = CostSettings(fee_bps=5.0, slippage_bps=2.0)
FREE = CostSettings(fee_bps=0.0, slippage_bps=0.0)


def _run(bars, *, costs=COSTS, limits=FREE_HAND, record=None, step="0.00000001", tick="0.00000001") -> BacktestResult:
    markets = {key: market(key, step=step, tick=tick) for key in (BTC, ETH)}
    return run.run(bars, timeframe=HOUR, markets=markets, limits=limits, costs=costs, record=record)


def test_always_long_equals_an_independent_loop() -> None:
    tape = walk(2_000, seed=7)
    result = _run(feed({BTC: tape}, lambda *_: 0.05))
    cash, qty, wanted, curve = 100_000.0, 0.0, 0.0, []
    for o, c in zip(tape.open, tape.close, strict=True):
        if wanted:
            price = np.ceil(o * 1.0002 * 1e8 - 1e-4) / 1e8
            cash -= wanted * price * 1.0005
            qty, wanted = wanted, 0.0
        curve.append(cash + qty * c)
        if not qty:
            wanted = np.floor(curve[-1] / c * 1e8) / 1e8
    np.testing.assert_allclose(result.equity_quote, curve, rtol=1e-9)
    assert len(result.fills) == 1


def test_always_long_in_one_market_is_the_benchmark_but_for_the_order_size() -> None:
    tape = walk(500, seed=8)
    result = _run(feed({BTC: tape}, lambda *_: 0.05), costs=FREE)
    invested = result.fills[0].notional_quote / 100_000.0
    benchmark = (result.benchmark_quote - 100_000.0) * invested + 100_000.0
    np.testing.assert_allclose(result.equity_quote, benchmark, rtol=1e-9)


def test_fees_and_slippage_are_exact_on_a_hand_made_tape() -> None:
    frames = {BTC: candles([100.0, 100.0, 110.0, 110.0], [100.0, 100.0, 100.0, 120.0])}
    plan = [0.05, 0.05, -0.05, -0.05]
    limits = FREE_HAND.model_copy(update={"allow_short": False})
    costs = CostSettings(fee_bps=10.0, slippage_bps=100.0)
    result = _run(feed(frames, lambda _, i: plan[i]), costs=costs, limits=limits, step="1", tick="0.01")
    bought, sold = result.fills
    assert (bought.qty_base, bought.open, bought.price) == (1_000, 100.0, 101.0)
    assert (bought.fee_quote, bought.slippage_quote) == (101.0, 1_000.0)
    assert (sold.qty_base, sold.open, sold.price) == (1_000, 120.0, 118.8)
    assert sold.fee_quote == pytest.approx(118.8, abs=1e-9)
    assert sold.slippage_quote == pytest.approx(1_200.0, abs=1e-9)
    cash = 100_000 - 101_000 - 101 + 118_800 - 118.8
    assert result.equity_quote.tolist() == pytest.approx([100_000, 98_899, 108_899, cash], abs=1e-9)
    assert result.cost_quote[-1] == pytest.approx(101 + 1_000 + 118.8 + 1_200)
    (trade,) = result.trades
    assert trade.pnl_quote == pytest.approx(cash - 100_000)
    (account,) = result.accounts
    assert (account.num_fills, account.num_trades, account.num_won, account.position_base) == (2, 1, 1, 0.0)
    assert account.pnl_quote == pytest.approx(cash - 100_000)
    assert result.is_balanced


def test_a_forecast_that_knows_only_its_own_bar_makes_no_money_from_it() -> None:
    """Bars rise and fall by turns: filled in its own bar this forecast would win each time, filled in the next it loses."""
    closes = [100.0 if i % 2 else 101.0 for i in range(200)]
    own_bar = {BTC: candles(closes, [100.0 if i % 2 == 0 else 101.0 for i in range(200)])}
    result = _run(feed(own_bar, lambda c, i: 0.05 if c.close[i] > c.open[i] else -0.05), costs=FREE)
    assert len(result.fills) > 100
    assert np.all(np.diff(result.equity_quote[1:]) < 0)


def test_no_order_fills_before_the_bar_after_its_decision() -> None:
    decided: dict[str, int] = {}

    def record(entry, durable):
        if isinstance(entry, SubmitOrder):
            decided[entry.client_id] = entry.ts_ms
        if isinstance(entry, OrderFilled):
            assert entry.ts_ms >= decided[entry.client_id]

    frames = {BTC: walk(300, 1), ETH: walk(300, 2)}
    limits = FREE_HAND.model_copy(update={"no_trade_band": 0.01, "max_symbol_weight": 0.5})
    side = lambda _, i: 0.05 if (i // 3) % 2 else -0.05  # noqa: E731
    result = _run(feed(frames, side, delay_ms=5_000), record=record, limits=limits)
    assert len(result.fills) > 50
    by_id = {o.client_id: o for o in result.orders}
    for fill in result.fills:  # known 5 s after its close, so the next bar is open already: the one after it fills
        assert fill.ts_ms == START_MS + (by_id[fill.client_id].ts_ms - START_MS - 5_000) + HOUR.ms


def test_every_record_is_in_order_and_every_command_durable_before_its_answer() -> None:
    log = []
    _run(
        feed({BTC: walk(10, 3)}, lambda *_: 0.05),
        record=lambda entry, durable: log.append((type(entry).__name__, durable)),
    )
    assert log[:6] == [
        ("CandleClosed", False),
        ("ForecastMade", False),
        ("SubmitOrder", True),
        ("OrderAccepted", True),
        ("OrderFilled", True),
        ("CandleClosed", False),
    ]


def test_two_markets_share_one_account_on_one_time_grid() -> None:
    frames = {BTC: walk(50, 4), ETH: walk(40, 5).take(slice(10, 40))}
    limits = FREE_HAND.model_copy(update={"max_symbol_weight": 0.4})
    result = _run(feed(frames, lambda *_: 0.05), limits=limits)
    assert result.close_ts_ms.tolist() == [START_MS + (i + 1) * HOUR.ms for i in range(50)]
    assert result.markets == (BTC, ETH)
    assert result.gross_exposure.max() < 0.9
    assert sum(a.pnl_quote for a in result.accounts) == pytest.approx(result.equity_quote[-1] - 100_000.0, rel=1e-9)
    assert result.num_bars == 80


def test_a_hole_in_the_bars_keeps_the_last_values_on_the_grid() -> None:
    whole = walk(30, 6)
    gappy = whole.take(np.r_[0:10, 15:30])
    result = _run(feed({BTC: gappy}, lambda *_: 0.05))
    assert result.close_ts_ms.size == 30
    assert len(set(result.equity_quote[9:15].tolist())) == 1


def test_hard_drawdown_is_told() -> None:
    crash = {BTC: candles([100.0, 100.0, 100.0, 60.0, 60.0])}
    limits = FREE_HAND.model_copy(update={"soft_drawdown": 0.1, "hard_drawdown": 0.3})
    result = _run(feed(crash, lambda *_: 0.05), limits=limits)
    assert len(result.halts) == 1


def test_same_feed_twice_gives_the_same_bytes() -> None:
    side = lambda c, i: 0.05 if c.close[i] > c.open[i] else -0.05  # noqa: E731
    frames = {BTC: walk(300, 9), ETH: walk(300, 10)}
    one, two = (_run(feed(frames, side)) for _ in range(2))
    assert one.equity_quote.tobytes() == two.equity_quote.tobytes()
    assert (one.fills, one.orders, one.trades, one.accounts) == (two.fills, two.orders, two.trades, two.accounts)


def test_no_forecast_no_trade() -> None:
    result = _run(feed({BTC: walk(20, 11)}, lambda *_: None))
    assert result.fills == ()
    assert set(result.equity_quote.tolist()) == {100_000.0}
    assert result.signals is None


def test_an_empty_feed_and_a_foreign_market_are_refused() -> None:
    with pytest.raises(DataError, match="no bar to replay"):
        _run(iter(()))
    with pytest.raises(ConfigError, match="SOL/USDT"):
        _run(feed({("okx", "SOL/USDT"): walk(3, 1)}, lambda *_: None))


def test_default_limits_lose_little_on_noise() -> None:
    """Certain but worthless forecasts: caps and costs bound the loss."""
    rng = np.random.default_rng(5)
    limits = RiskSettings.model_validate({})
    result = _run(feed({BTC: walk(500, 12)}, lambda *_: float(rng.normal(0, 0.05))), limits=limits)
    assert result.gross_exposure.max() < 0.30
    assert result.equity_quote[-1] > 75_000


def test_seventy_thousand_bars_in_half_a_minute_of_cpu() -> None:
    num = 3_000
    frames = {
        (venue, s): walk(num, i) for i, (venue, s) in enumerate((v, s) for v in ("binance",) for s in (BTC[1], ETH[1]))
    }
    before = time.process_time()
    limits = FREE_HAND.model_copy(update={"max_symbol_weight": 0.5, "no_trade_band": 0.02})
    result = _run(feed(frames, lambda c, i: 0.02 if c.close[i] > c.open[i] else -0.02), limits=limits)
    per_bar_s = (time.process_time() - before) / result.num_bars
    assert result.num_bars == 2 * num
    assert result.is_balanced
    assert per_bar_s * 70_000 < 30


def test_decimal_position_of_the_report_is_that_of_the_ledger() -> None:
    result = _run(feed({BTC: walk(100, 13)}, lambda _, i: 0.05 if (i // 7) % 2 else -0.05))
    total = sum((Decimal(repr(f.qty_base)) * (1 if f.side == "buy" else -1) for f in result.fills), Decimal(0))
    assert result.accounts[0].position_base == float(total)
