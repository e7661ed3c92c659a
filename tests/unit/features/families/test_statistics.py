"""Statistics against numpy on the same returns, and the laws of every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.lib.stride_tricks import sliding_window_view
from tests.unit.features.candles import market, markets, recorded
from tests.unit.features.families import laws
from tests.unit.features.graphs import values

from heliograph.core.market import Candles
from heliograph.features.families.statistics import FEATURES
from heliograph.features.market import BAR_RETURN, SIGMA, TRUE_RANGE

NAMES = [feature.name for feature in FEATURES]
MADE = market(900, seed=21, missing=0.02, quiet=0.05)


def _score(w: np.ndarray) -> np.ndarray:
    found: np.ndarray = (w[:, -1] - w.mean(axis=1)) / w.std(axis=1)
    return found


def _autocorrelation(w: np.ndarray, lag: int) -> np.ndarray:
    off = w - w.mean(axis=1, keepdims=True)
    found: np.ndarray = (off[:, lag:] * off[:, :-lag]).sum(axis=1) / (off**2).sum(axis=1)
    return found


def _moment(w: np.ndarray, power: int) -> np.ndarray:
    off = w - w.mean(axis=1, keepdims=True)
    found: np.ndarray = (off**power).mean(axis=1) / w.std(axis=1) ** power
    return found


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, R² and the slope's t."""
    off_x, off_y = x - x.mean(), y - y.mean()
    slope = np.sum(off_x * off_y) / np.sum(off_x**2)
    rest = np.sum((off_y - slope * off_x) ** 2)
    error = np.sqrt(rest / (x.size - 2) / np.sum(off_x**2))
    return slope, 1 - rest / np.sum(off_y**2), slope / error


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


def _rank(w: np.ndarray) -> np.ndarray:
    below, equal = (w < w[:, -1:]).sum(axis=1), (w == w[:, -1:]).sum(axis=1)
    found: np.ndarray = (below + (equal - 1) / 2) / (w.shape[1] - 1)
    return found


def _window(series: np.ndarray, bars: int, rows: int) -> np.ndarray:
    """The last windows of the series, ``rows`` of them."""
    return sliding_window_view(series, bars)[-rows:]


def _references(candles: Candles, rows: int) -> dict[str, np.ndarray]:
    """The last ``rows`` values of each, by the formulas."""
    r, sigma, true_range = values([BAR_RETURN, SIGMA, TRUE_RANGE], candles).T
    log_close, root_volume = np.log(candles.close), np.sqrt(candles.volume)
    returns, last_sigma = _window(r, 168, rows), sigma[-rows:]
    q05, q25, q50, q75, q95 = np.quantile(returns, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
    q10, median, q90 = np.quantile(_window(log_close, 168, rows), [0.1, 0.5, 0.9], axis=1)
    skew, tails = _moment(returns, 3), _moment(returns, 4) - 3
    change, before = np.diff(log_close), log_close[:-1]
    lines = np.array([_line(np.arange(72.0), row) for row in _window(log_close, 72, rows)])
    tests = np.array([_line(x, y) for x, y in zip(_window(before, 168, rows), _window(change, 168, rows), strict=True)])
    falls = np.maximum(-_window(r[:-1], 168, rows), 0)
    squares = returns**2
    return {
        "price_z_168": _score(_window(log_close, 168, rows)),
        "return_z_48": _score(_window(r, 48, rows)),
        "root_volume_z_48": _score(_window(root_volume, 48, rows)),
        "range_z_168": _score(_window(true_range / candles.close, 168, rows)),
        **{f"return_autocorrelation_{lag}_168": _autocorrelation(returns, lag) for lag in (1, 3, 24)},
        **{f"size_autocorrelation_{lag}_168": _autocorrelation(np.abs(returns), lag) for lag in (1, 24)},
        "root_volume_autocorrelation_24_168": _autocorrelation(_window(root_volume, 168, rows), 24),
        "return_skewness_168": skew,
        "return_kurtosis_168": tails,
        "jarque_bera_168": np.log1p(168 / 6 * (skew**2 + tails**2 / 4)),
        "quartile_skew_168": (q75 + q25 - 2 * q50) / (q75 - q25),
        "tail_skew_168": (q95 + q05 - 2 * q50) / (q95 - q05),
        "tail_weight_168": np.log((q95 - q05) / (q75 - q25)),
        "value_at_risk_168": q05 / last_sigma,
        "sign_balance_72": np.sign(_window(r, 72, rows)).mean(axis=1),
        "semivariance_balance_168": (np.sign(returns) * squares).sum(axis=1) / squares.sum(axis=1),
        "close_rank_72": _rank(_window(candles.close, 72, rows)),
        "size_rank_168": _rank(np.abs(returns)),
        "sigma_rank_168": _rank(_window(sigma, 168, rows)),
        "traded_rank_168": _rank(_window(candles.volume, 168, rows)),
        "close_place_168": (log_close[-rows:] - median) / (q90 - q10),
        "line_r2_72": lines[:, 1],
        "line_slope_72": lines[:, 0] * np.sqrt(72) / last_sigma,
        "reversion_speed_168": -tests[:, 0],
        "unit_root_168": tests[:, 2],
        "leverage_168": _correlation(np.abs(returns), _window(r[:-1], 168, rows)),
        "fall_beta_168": np.array([_line(x, y)[0] for x, y in zip(falls, returns, strict=True)]),
        "size_volume_correlation_168": _correlation(np.abs(returns), _window(root_volume, 168, rows)),
        "return_volume_correlation_168": _correlation(returns, _window(np.diff(root_volume), 168, rows)),
    }


def _assert_as_published(candles: Candles) -> None:
    found = laws.table(FEATURES, candles)
    for name, expected in _references(candles, 250).items():
        feature = FEATURES[NAMES.index(name)]
        cut = np.clip(expected, feature.low, feature.high)
        np.testing.assert_allclose(found[-250:, NAMES.index(name)], cut, rtol=1e-7, atol=1e-8, err_msg=name)


def test_features_are_their_formulas_on_made_candles() -> None:
    _assert_as_published(MADE)


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTC-USDT"), ("binance", "ETH-USDT")])
def test_features_are_their_formulas_on_recorded_candles(shared_data: Path, venue: str, symbol: str) -> None:
    _assert_as_published(recorded(shared_data, venue, symbol, "1h").take(slice(20_000, 20_900)))


def test_there_are_enough_and_all_are_named_once() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 60


def test_features_agree_however_cut() -> None:
    laws.assert_agree_however_cut(FEATURES, MADE.take(slice(0, 480)))


def test_lookback_is_exact() -> None:
    laws.assert_lookback_is_exact(FEATURES)


@settings(max_examples=15, deadline=None)
@given(markets(1, 600))
def test_features_are_sound_in_any_market(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_features_are_free_of_scale() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_features_forget() -> None:
    laws.assert_forgets(FEATURES)


def test_features_stay_inside_their_range_on_recorded_candles(shared_data: Path) -> None:
    """The cut is for the odd print: no feature spends more than a hundredth of its time there."""
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(10_000, 30_000))
    found = values([feature.of for feature in FEATURES], candles)[1_000:]
    for feature, column in zip(FEATURES, found.T, strict=True):
        assert np.mean((column < feature.low) | (column > feature.high)) < 0.01, feature.name
