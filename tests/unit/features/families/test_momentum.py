"""The momentum features against TA-Lib and plain numpy, and the laws of every family."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import talib
from hypothesis import given, settings
from tests.unit.features.candles import HOUR_MS, START_MS, market, markets
from tests.unit.features.families import laws

from heliograph.core.market import Candles
from heliograph.features.families.momentum import FEATURES

FloatArray = npt.NDArray[np.float64]


def columns_of(candles: Candles) -> dict[str, FloatArray]:
    return dict(zip((feature.name for feature in FEATURES), laws.table(FEATURES, candles).T, strict=True))


@pytest.fixture(scope="module")
def candles() -> Candles:
    return market(2_000, seed=11)


@pytest.fixture(scope="module")
def columns(candles: Candles) -> dict[str, FloatArray]:
    return columns_of(candles)


def test_names_are_unique_and_every_feature_says_what_it_is() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES) >= 30
    for feature in FEATURES:
        assert feature.family == "momentum"
        assert feature.unit
        assert feature.source
        assert np.isfinite([feature.low, feature.high]).all()


def test_indicators_are_talibs(candles: Candles, columns: dict[str, FloatArray]) -> None:
    """No wick of these candles is long enough to be cut, so that TA-Lib sees the same highs and lows."""
    bars = (candles.high, candles.low, candles.close)
    slow, signal = talib.STOCH(*bars, 14, 3, 0, 3, 0)
    upper, _, lower = talib.BBANDS(np.log(candles.close), 20)
    strength = {n: (talib.RSI(candles.close, n) - 50) / 50 for n in (2, 7, 14, 50)}
    atr = talib.ATR(*bars, 14)
    for name, expected in {
        **{f"rsi_{n}": value for n, value in strength.items()},
        "stochastic_14": (slow - 50) / 50,
        "stochastic_turn_14": (slow - signal) / 100,
        "stochastic_rsi_14": (talib.STOCHRSI(candles.close, 14, 14, 3, 0)[1] - 50) / 50,
        "williams_r_14": (talib.WILLR(*bars, 14) + 50) / 50,
        "cci_20": np.clip(talib.CCI(*bars, 20) / 100, -5, 5),
        "ultimate_7_28": (talib.ULTOSC(*bars) - 50) / 50,
        "bollinger_20": 2 * (np.log(candles.close) - lower) / (upper - lower) - 1,
        "bull_power_13": (candles.high - talib.EMA(candles.close, 13)) / atr,
        "bear_power_13": (candles.low - talib.EMA(candles.close, 13)) / atr,
    }.items():
        known = np.isfinite(expected)
        # TA-Lib's BBANDS subtracts squares of running sums
        tolerance = 1e-5 if name == "bollinger_20" else 1e-9
        np.testing.assert_allclose(columns[name][known], expected[known], rtol=tolerance, atol=tolerance, err_msg=name)


def test_return_over_a_gap_counts_the_time_that_passed() -> None:
    hours = np.array([*range(60), 69, 70])
    price = 100 * np.exp(np.cumsum(np.where(np.arange(hours.size) % 2, 0.01, -0.01)))
    candles = Candles(START_MS + HOUR_MS * hours, price, price, price, price, np.ones(hours.size))
    columns, gap = columns_of(candles), 60
    squares = np.diff(np.log(price)) ** 2 / np.diff(hours)
    sigma = np.sqrt(np.average(squares[:gap], weights=0.97 ** np.arange(gap)[::-1]))
    for bars in (1, 4, 12):
        move, passed = np.log(price[gap] / price[gap - bars]), bars + 9
        expected = move / (sigma * np.sqrt(passed))
        assert columns[f"log_return_{bars}"][gap] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_rising_share_counts_closes(candles: Candles, columns: dict[str, FloatArray]) -> None:
    for row in (14, 500, 1_999):
        expected = np.mean(np.sign(np.diff(candles.close[row - 14 : row + 1])))
        assert columns["rising_14"][row] == pytest.approx(expected, abs=1e-12)


def test_vigor_is_bodies_over_ranges(candles: Candles, columns: dict[str, FloatArray]) -> None:
    weights = np.array([1, 2, 2, 1])
    body = np.convolve(candles.close - candles.open, weights, "valid")
    range_ = np.convolve(candles.high - candles.low, weights, "valid")
    for row in (12, 500, 1_999):
        window = slice(row - 12, row - 2)
        assert columns["vigor_10"][row] == pytest.approx(body[window].sum() / range_[window].sum(), rel=1e-9)


def test_bands_and_strengths_are_still_where_nothing_moves() -> None:
    columns = columns_of(market(400, quiet=1.0))
    for name, column in columns.items():
        np.testing.assert_allclose(column[200:], 0.0, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(markets(max_bars=500))
def test_every_value_is_finite_and_in_range(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_cuts_and_a_restart_change_nothing() -> None:
    laws.assert_agree_however_cut(FEATURES, market(500, seed=2, missing=0.05, quiet=0.3))


def test_lookback_is_the_row_of_the_first_value() -> None:
    laws.assert_lookback_is_exact(FEATURES)


def test_prices_and_volumes_have_no_unit() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_the_first_bars_are_forgotten_after_the_settling() -> None:
    laws.assert_forgets(FEATURES)
