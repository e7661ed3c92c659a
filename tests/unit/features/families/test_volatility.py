"""Volatility features against their formulas in numpy, and the laws of every family."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from numpy.lib.stride_tricks import sliding_window_view
from tests.unit.features.candles import market, markets, recorded
from tests.unit.features.families import laws
from tests.unit.features.graphs import values

from heliograph.core.market import Candles
from heliograph.features.families.volatility import FEATURES
from heliograph.features.market import BAR_RETURN, HIGH, LOW, OPEN, SIGMA, TRUE_RANGE

NAMES = [feature.name for feature in FEATURES]
MADE = market(1_200, seed=11, missing=0.02, quiet=0.05)
FLOOR = 1e-12


def _window(series: np.ndarray, bars: int) -> np.ndarray:
    padded = np.concatenate([np.full(bars - 1, np.nan), series])
    return sliding_window_view(padded, bars)


def _half_log(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    found: np.ndarray = 0.5 * np.log(np.maximum(over, FLOOR) / np.maximum(under, FLOOR))
    return found


def _down_share(r: np.ndarray, bars: int) -> np.ndarray:
    squares = _window(r, bars) ** 2
    found: np.ndarray = np.where(_window(r, bars) < 0, squares, 0.0).sum(axis=1) / squares.sum(axis=1)
    return found


def _references(candles: Candles) -> dict[str, np.ndarray]:
    """By the formulas, from returns, sigma and tamed bars."""
    r, sigma, open_, high, low, true_range = values([BAR_RETURN, SIGMA, OPEN, HIGH, LOW, TRUE_RANGE], candles).T
    close = candles.close
    log_close = np.log(close)
    up, down, body = np.log(high / open_), np.log(low / open_), np.log(close / open_)
    known = np.where(np.isnan(sigma), np.nan, 1.0)
    terms = {
        "parkinson": (up - down) ** 2 / (4 * math.log(2)),
        "garman_klass": 0.5 * (up - down) ** 2 - (2 * math.log(2) - 1) * body**2,
        "rogers_satchell": up * (up - body) + down * (down - body),
    }
    mean_square = {n: (_window(r, n) ** 2).mean(axis=1) for n in (5, 6, 20, 24, 168, 720)}
    sigma_20 = np.maximum(np.sqrt(mean_square[20]), 1e-6)
    mean_20 = _window(log_close, 20).mean(axis=1)
    atr, long_range = talib.ATR(high, low, close, 14), _window(true_range, 100).mean(axis=1)
    fall = [np.max(np.maximum.accumulate(w) - w) for w in _window(log_close, 168)]
    top = _window(log_close, 14).max(axis=1)
    return {
        "ewma_volatility": sigma,
        **{f"{name}_24": _half_log(_window(term * known, 24).mean(axis=1), sigma**2) for name, term in terms.items()},
        **{
            f"volatility_ratio_{a}_{b}": _half_log(mean_square[a], mean_square[b])
            for a, b in ((5, 20), (6, 24), (24, 168), (168, 720))
        },
        "har_month_720": _half_log(mean_square[720], sigma**2),
        "atr_ratio_14_100": atr / long_range - 1,
        "log_return_z_20": r / sigma_20,
        "cutler_rsi_14": _window(r, 14).sum(axis=1) / np.abs(_window(r, 14)).sum(axis=1),
        "distance_mean_20": (log_close - mean_20) / (sigma_20 * math.sqrt(20)),
        "bollinger_width_20": _window(log_close, 20).std(axis=1) / (sigma * math.sqrt(20)),
        "squeeze_20": 2 * _window(close, 20).std(axis=1) / (1.5 * talib.ATR(high, low, close, 20)) - 1,
        "keltner_20": (close - talib.EMA(close, 20)) / (2 * talib.ATR(high, low, close, 10)),
        "max_drawdown_168": np.array(fall) / (sigma * math.sqrt(168)),
        "ulcer_14": np.sqrt((_window(log_close - top, 14) ** 2).mean(axis=1)) / (sigma * math.sqrt(14)),
        "range_expansion_14": true_range / _window(true_range, 14).mean(axis=1),
        "volatility_of_volatility_24": _window(np.log(sigma), 24).std(axis=1),
        "semivariance_6_24": _down_share(r, 6) - _down_share(r, 24),
        "realised_kurtosis_24": np.log(24 * (_window(r, 24) ** 4).sum(axis=1) / (_window(r, 24) ** 2).sum(axis=1) ** 2),
    }


def _assert_as_published(candles: Candles) -> None:
    found = laws.table(FEATURES, candles)
    for name, expected in _references(candles).items():
        feature = FEATURES[NAMES.index(name)]
        np.testing.assert_allclose(
            found[:, NAMES.index(name)],
            np.clip(expected, feature.low, feature.high),
            rtol=1e-9,
            atol=1e-10,
            err_msg=name,
        )


def test_features_are_as_published() -> None:
    _assert_as_published(MADE)


def test_features_are_as_published_on_recorded_candles(shared_data: Path) -> None:
    _assert_as_published(recorded(shared_data, "binance", "ETH-USDT", "1h").take(slice(0, 2_000)))


def test_relative_volatility_is_one_while_every_bar_rises() -> None:
    rising = 100.0 * 1.001 ** np.arange(100.0) * (1.0 + 1e-5 * np.arange(100) ** 2)
    candles = Candles(MADE.open_ts_ms[:100], rising, rising, rising, rising, np.ones(100))
    assert laws.table(FEATURES, candles)[-1, NAMES.index("relative_volatility_14")] == 1.0


@pytest.mark.parametrize("name", ["jump_share_24", "realised_kurtosis_24"])
def test_jump_measures_see_one_jump_among_equal_returns(name: str) -> None:
    sign = np.where(np.arange(400) % 2, 1.0, -1.0)
    steady = 0.001 * sign
    jumpy = steady.copy()
    jumpy[390] *= 30

    def measured(returns: np.ndarray) -> float:
        close = 100 * np.exp(np.cumsum(returns))
        candles = Candles(MADE.open_ts_ms[0] + 3_600_000 * np.arange(400), close, close, close, close, np.ones(400))
        return float(laws.table(FEATURES, candles)[-1, NAMES.index(name)])

    assert measured(jumpy) > measured(steady) + 0.5


def test_agree_however_cut() -> None:
    laws.assert_agree_however_cut(FEATURES, MADE)


def test_lookback_is_exact() -> None:
    laws.assert_lookback_is_exact(FEATURES)


def test_are_free_of_scale() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_forget_where_the_history_began() -> None:
    laws.assert_forgets(FEATURES)


@settings(max_examples=15, deadline=None)
@given(candles=markets(max_bars=800))
def test_are_finite_and_in_range_on_any_market(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_names_are_unique_and_enough() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 25
