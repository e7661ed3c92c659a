"""Every control at its boundary: just below, on it, just above."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.unit.trading.makes import HOUR_MS, candle, forecast, market

from heliograph.config.settings import RiskSettings
from heliograph.trading import risk
from heliograph.trading.risk import Code, Proposal
from heliograph.trading.targets import Trade

LIMITS = RiskSettings(
    max_order_notional_quote=500.0, max_leverage=2.0, hard_drawdown=0.25, stale_after_bars=2, allow_short=False
)
SPOT = market(qty_step=Decimal("0.1"), min_notional_quote=Decimal(50))
GOOD = Proposal(Trade("buy", Decimal(1), False), SPOT, Decimal(100), Decimal(0), Decimal(0), Decimal(1000))


def refused(*, limits=LIMITS, side="buy", qty="1", reduce_only=False, **changes):
    proposal = replace(GOOD, trade=Trade(side, Decimal(qty), reduce_only), **changes)
    return risk.refuse_order(proposal, limits)


def test_a_good_order_passes():
    assert refused() is None


def test_every_code_that_guards_orders_has_a_control():
    elsewhere = {Code.STALE_DATA, Code.NO_PRICE, Code.HALTED, Code.OPEN_ORDER, Code.ALREADY_DECIDED, Code.UNKNOWN_ORDER}
    assert set(risk.CONTROLS) == set(Code) - elsewhere


@pytest.mark.parametrize("qty", ["NaN", "Infinity", "0", "-1"])
def test_quantity_must_be_finite_and_positive(qty):
    assert refused(qty=qty) is Code.UNSOUND


@pytest.mark.parametrize("price", ["NaN", "Infinity", "0", "-1"])
def test_price_must_be_finite_and_positive(price):
    assert refused(price=Decimal(price)) is Code.UNSOUND


def test_inactive_market_is_refused():
    assert refused(market=replace(SPOT, is_active=False)) is Code.INACTIVE_MARKET


@pytest.mark.parametrize(("qty", "code"), [("0.99", Code.OFF_STEP), ("1.0", None), ("1.01", Code.OFF_STEP)])
def test_step(qty, code):
    assert refused(qty=qty) is code


@pytest.mark.parametrize(("qty", "code"), [("4.9", None), ("5.0", None), ("5.1", Code.MAX_ORDER_NOTIONAL)])
def test_largest_order(qty, code):
    assert refused(qty=qty) is code


@pytest.mark.parametrize(("qty", "code"), [("0.4", Code.MIN_NOTIONAL), ("0.5", None), ("0.6", None)])
def test_smallest_order(qty, code):
    assert refused(qty=qty) is code


def test_reduction_below_the_minimum_passes_on_swaps_only():
    small = {"side": "sell", "qty": "0.4", "reduce_only": True, "position_base": Decimal(1)}
    assert refused(**small) is Code.MIN_NOTIONAL
    assert refused(**small, market=replace(SPOT, kind="swap")) is None


@pytest.mark.parametrize(
    ("qty", "code"), [("0.9", None), ("1.0", None), ("1.1", Code.REDUCE_ONLY), ("2.5", Code.REDUCE_ONLY)]
)
def test_reduce_only_never_flips(qty, code):
    limits = LIMITS.model_copy(update={"allow_short": True})
    assert refused(side="sell", qty=qty, reduce_only=True, position_base=Decimal(1), limits=limits) is code


def test_reduce_only_never_grows():
    assert refused(side="buy", qty="1", reduce_only=True, position_base=Decimal(1)) is Code.REDUCE_ONLY


@pytest.mark.parametrize(("qty", "code"), [("0.9", None), ("1.0", None), ("1.1", Code.SHORT_NOT_ALLOWED)])
def test_no_sale_beyond_flat_where_shorts_are_not_allowed(qty, code):
    assert refused(side="sell", qty=qty, position_base=Decimal(1)) is code


def test_a_short_that_stands_may_shrink_where_shorts_are_not_allowed():
    assert refused(side="buy", qty="1", position_base=Decimal(-2)) is None
    assert refused(side="sell", qty="1", position_base=Decimal(-2)) is Code.SHORT_NOT_ALLOWED


@pytest.mark.parametrize(("others", "code"), [("1899.99", None), ("1900", None), ("1900.01", Code.MAX_LEVERAGE)])
def test_leverage_in_the_worst_case(others, code):
    assert refused(others_quote=Decimal(others)) is code


def test_reduction_passes_even_far_beyond_the_leverage():
    assert refused(side="sell", qty="1", position_base=Decimal(50), others_quote=Decimal(9_999)) is None


@pytest.mark.parametrize(("equity", "halts"), [("750.01", False), ("750", True), ("749.99", True), ("-1", True)])
def test_hard_drawdown(equity, halts):
    assert (risk.breach(Decimal(equity), Decimal(1000), LIMITS) is not None) is halts


@pytest.mark.parametrize(("late_ms", "code"), [(-1, None), (0, None), (1, Code.STALE_DATA)])
def test_stale_forecast(late_ms, code):
    made = forecast(0, 0.01)
    now_ms = made.known_ts_ms + 2 * HOUR_MS + late_ms
    assert risk.refuse_forecast(made, now_ms, now_ms, LIMITS) is code


@pytest.mark.parametrize(("late_ms", "code"), [(-1, None), (0, None), (1, Code.STALE_DATA)])
def test_stale_mark(late_ms, code):
    made = forecast(10, 0.01)
    marked_ms = made.known_ts_ms - 2 * HOUR_MS - late_ms
    assert risk.refuse_forecast(made, marked_ms, made.known_ts_ms, LIMITS) is code


def test_forecast_without_a_price_is_refused():
    assert risk.refuse_forecast(forecast(0, 0.01), None, 0, LIMITS) is Code.NO_PRICE


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 10.0, -10.0])
@pytest.mark.parametrize("place", [0, 6, 12])
def test_forecast_with_a_number_that_is_not_finite_is_refused(bad, place):
    made = forecast(0, 0.01)
    row = [*made.quantile_HQ[0]]
    row[place] = bad
    assert risk.refuse_forecast(replace(made, quantile_HQ=(tuple(row),)), 0, 0, LIMITS) is Code.UNSOUND


@pytest.mark.parametrize("confidence", [float("nan"), -0.01, 1.01])
def test_confidence_that_is_no_probability_is_refused(confidence):
    assert risk.refuse_forecast(forecast(0, 0.01, confidence=confidence), 0, 0, LIMITS) is Code.UNSOUND


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_certainty_and_ignorance_are_probabilities(confidence):
    assert risk.refuse_forecast(forecast(0, 0.01, confidence=confidence), 0, 0, LIMITS) is None


def test_equal_quantiles_do_not_cross():
    assert risk.refuse_forecast(forecast(0, 0.01, sigma=0.0), 0, 0, LIMITS) is None


def test_crossing_quantiles_are_refused():
    made = forecast(0, 0.01)
    crossed = replace(made, quantile_HQ=(made.quantile_HQ[0][::-1],))
    assert risk.refuse_forecast(crossed, 0, 0, LIMITS) is Code.UNSOUND


@pytest.mark.parametrize("close", [float("nan"), float("inf"), 0.0, -1.0, 1e18, 1e-18])
def test_candle_without_a_price_is_refused(close):
    assert risk.refuse_candle(candle(0, close)) is Code.UNSOUND
    assert risk.refuse_candle(candle(0, 1.0)) is None
