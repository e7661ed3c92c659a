"""Shape features: bars drawn by hand, proportions in numpy, and the laws of every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.lib.stride_tricks import sliding_window_view
from tests.unit.features.candles import HOUR_MS, START_MS, market, markets, recorded
from tests.unit.features.families import laws
from tests.unit.features.graphs import values

from heliograph.core.market import Candles
from heliograph.features.families.shape import FEATURES
from heliograph.features.market import HIGH, LOW, OPEN

NAMES = [feature.name for feature in FEATURES]
MADE = market(600, seed=31, missing=0.02, quiet=0.05)


def _window(series: np.ndarray, bars: int) -> np.ndarray:
    return sliding_window_view(np.concatenate([np.full(bars - 1, np.nan), series]), bars)


def _references(candles: Candles) -> dict[str, np.ndarray]:
    """0 / 0 is a bar without range: not compared."""
    open_, high, low = values([OPEN, HIGH, LOW], candles).T
    close, width = candles.close, high - low
    body, top, bottom = close - open_, _window(high, 24).max(axis=1), _window(low, 24).min(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        lower, upper = (np.minimum(open_, close) - low) / width, (high - np.maximum(open_, close)) / width
        place = (close - bottom) / (top - bottom)
        return {
            "close_position": (close - low) / width,
            "body_ratio": body / width,
            "upper_wick": upper,
            "lower_wick": lower,
            "wick_balance": lower - upper,
            "doji": 2 * np.minimum(lower, upper),
            "narrow_range_7": (width - _window(width, 7).min(axis=1)) / np.ptp(_window(width, 7), axis=1),
            "body_share_14": np.abs(_window(body, 14)).sum(axis=1) / _window(width, 14).sum(axis=1),
            "close_bias_14": 2 * _window((close - low) / width, 14).mean(axis=1) - 1,
            "wick_rejection_24": lower * (1 - place) - upper * place,
        }


def _assert_as_published(candles: Candles) -> None:
    found = laws.table(FEATURES, candles)
    for name, expected in _references(candles).items():
        sound = np.isfinite(expected)
        assert sound.mean() > 0.3, name
        column = found[:, NAMES.index(name)]
        np.testing.assert_allclose(column[sound], expected[sound], rtol=1e-9, atol=1e-11, err_msg=name)


def test_features_are_as_published() -> None:
    _assert_as_published(MADE)


def test_features_are_as_published_on_recorded_candles(shared_data: Path) -> None:
    _assert_as_published(recorded(shared_data, "bybit", "BNB-USDT-PERP", "5m").take(slice(0, 2_000)))


@pytest.mark.parametrize(
    ("name", "last", "sign"),
    [
        ("engulfing", (9.0, 12.2, 8.9, 12.0), 1),
        ("body_retracement", (9.0, 10.6, 8.9, 10.5), 1),
        ("wick_balance", (9.0, 9.3, 6.0, 9.2), 1),
        ("wick_balance", (9.0, 12.0, 8.9, 9.1), -1),
        ("outside_bar", (9.0, 13.0, 7.0, 11.0), 1),
        ("inside_bar", (9.5, 10.0, 9.2, 9.6), 1),
        ("reversal_bar", (9.0, 11.0, 7.0, 10.5), 1),
        ("close_beyond", (9.0, 13.0, 9.0, 12.9), 1),
    ],
)
def test_a_pattern_is_seen_after_a_falling_bar(name: str, last: tuple[float, ...], sign: int) -> None:
    rows = np.array([(11.0, 11.5, 8.5, 9.0), last])
    columns = [START_MS + HOUR_MS * np.arange(2), *rows.T, np.ones(2)]
    candles = Candles(*columns)
    assert np.sign(laws.table(FEATURES, candles)[-1, NAMES.index(name)]) == sign


def test_a_mirrored_market_has_mirrored_shapes() -> None:
    """Prices turned upside down: what points up points down, what has no direction stays."""
    open_, high, low, close = (200.0 - column for column in (MADE.open, MADE.low, MADE.high, MADE.close))
    candles = Candles(MADE.open_ts_ms, MADE.open, MADE.high, MADE.low, MADE.close, MADE.volume)
    mirrored = Candles(MADE.open_ts_ms, open_, high, low, close, MADE.volume)
    assert low.min() > 0
    found, turned = laws.table(FEATURES, candles), laws.table(FEATURES, mirrored)
    signed = ["body_ratio", "wick_balance", "engulfing", "harami", "tweezers", "bar_shift", "reversal_bar"]
    signed += ["star", "soldiers", "fractal", "close_streak_12"]
    for name in (*signed, "doji", "range_overlap", "range_change", "inside_bar", "outside_bar", "body_retracement"):
        k, sign = NAMES.index(name), -1.0 if name in signed else 1.0
        np.testing.assert_allclose(turned[:24, k], sign * found[:24, k], rtol=1e-8, atol=1e-9, err_msg=name)


def test_agree_however_cut() -> None:
    laws.assert_agree_however_cut(FEATURES, MADE)


def test_lookback_is_exact() -> None:
    laws.assert_lookback_is_exact(FEATURES)


def test_are_free_of_scale() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_forget_where_the_history_began() -> None:
    laws.assert_forgets(FEATURES)


@settings(max_examples=20, deadline=None)
@given(candles=markets(max_bars=400))
def test_are_finite_and_in_range_on_any_market(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_names_are_unique_and_enough() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 25
