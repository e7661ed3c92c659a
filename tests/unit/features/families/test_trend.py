"""The trend features against TA-Lib and plain numpy, and the laws of every family."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import talib
from hypothesis import given, settings
from tests.unit.features.candles import market, markets
from tests.unit.features.families import laws

from heliograph.core.market import Candles
from heliograph.features.families.trend import FEATURES

FloatArray = npt.NDArray[np.float64]

SETTLING = [feature for feature in FEATURES if feature.settle_bars is not None]


@pytest.fixture(scope="module")
def candles() -> Candles:
    return market(2_000, seed=11)


@pytest.fixture(scope="module")
def columns(candles: Candles) -> dict[str, FloatArray]:
    return dict(zip((feature.name for feature in FEATURES), laws.table(FEATURES, candles).T, strict=True))


def test_names_are_unique_and_every_feature_says_what_it_is() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES) >= 40
    for feature in FEATURES:
        assert feature.family == "trend"
        assert feature.unit
        assert feature.source
        assert np.isfinite([feature.low, feature.high]).all()


def test_indicators_are_talibs(candles: Candles, columns: dict[str, FloatArray]) -> None:
    """No wick of these candles is long enough to be cut, so that TA-Lib sees the same highs and lows."""
    bars = (candles.high, candles.low, candles.close)
    atr = talib.ATR(*bars, 14)
    macd, _, histogram = talib.MACD(candles.close)
    cross = talib.EMA(candles.close, 50) - talib.EMA(candles.close, 200)
    top, bottom = talib.MAX(candles.high, 20), talib.MIN(candles.low, 20)
    for name, expected in {
        "macd_12_26": macd / atr,
        "macd_histogram_9": histogram / atr,
        "adx_14": talib.ADX(*bars, 14) / 100,
        "adx_50": talib.ADX(*bars, 50) / 100,
        "directional_14": (talib.PLUS_DI(*bars, 14) - talib.MINUS_DI(*bars, 14)) / 100,
        "aroon_14": talib.AROONOSC(candles.high, candles.low, 14) / 100,
        "ema_distance_50": (candles.close - talib.EMA(candles.close, 50)) / atr,
        "ema_cross_50_200": cross / atr,
        "kama_distance_10": (candles.close - talib.KAMA(candles.close, 10)) / atr,
        "donchian_20": 2 * (candles.close - bottom) / (top - bottom) - 1,
        "sar_distance": (candles.close - talib.SAR(candles.high, candles.low, 0.02, 0.2)) / atr,
    }.items():
        first = int(np.argmax(np.isfinite(expected)))
        found = columns[name]
        assert int(np.argmax(np.isfinite(found))) == first, name
        np.testing.assert_allclose(found[first:], expected[first:], rtol=1e-9, atol=1e-11, err_msg=name)


def test_lines_are_least_squares(candles: Candles, columns: dict[str, FloatArray]) -> None:
    log_close = np.log(candles.close)
    for row in (60, 500, 1_999):
        t, y = np.arange(50), log_close[row - 49 : row + 1]
        slope, start = np.polyfit(t, y, 1)
        off = y - (start + slope * t)
        error = np.sqrt(np.sum(off**2) / 48)
        assert columns["line_distance_50"][row] == pytest.approx(off[-1] / error, rel=1e-8, abs=1e-8)
        share = np.sign(slope) * np.corrcoef(t, y)[0, 1] ** 2
        assert columns["line_share_50"][row] == pytest.approx(share, rel=1e-8, abs=1e-8)


def test_distance_to_the_extremes_is_in_sigmas(candles: Candles, columns: dict[str, FloatArray]) -> None:
    squares = np.diff(np.log(candles.close)) ** 2
    for row in (200, 1_000, 1_999):
        sigma = np.sqrt(np.average(squares[:row], weights=0.97 ** np.arange(row)[::-1]))
        width = candles.close[row] * sigma * np.sqrt(168)
        top, bottom = candles.high[row - 167 : row + 1].max(), candles.low[row - 167 : row + 1].min()
        assert columns["distance_high_168"][row] == pytest.approx((candles.close[row] - top) / width, rel=1e-9)
        assert columns["distance_low_168"][row] == pytest.approx((candles.close[row] - bottom) / width, rel=1e-9)


def test_cloud_is_the_one_drawn_26_bars_ago(candles: Candles, columns: dict[str, FloatArray]) -> None:
    middles = [talib.MIDPRICE(candles.high, candles.low, bars) for bars in (9, 26, 52)]
    atr = talib.ATR(candles.high, candles.low, candles.close, 14)
    for row in (77, 300, 1_999):
        edges = sorted([(middles[0][row - 26] + middles[1][row - 26]) / 2, middles[2][row - 26]])
        close = candles.close[row]
        beyond = close - np.clip(close, *edges)
        assert columns["ichimoku_cloud"][row] == pytest.approx(beyond / atr[row], rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(markets(max_bars=700))
def test_every_value_is_finite_and_in_range(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_cuts_and_a_restart_change_nothing() -> None:
    laws.assert_agree_however_cut(FEATURES, market(500, seed=2, missing=0.05, quiet=0.3))


def test_lookback_is_the_row_of_the_first_value() -> None:
    laws.assert_lookback_is_exact(FEATURES)


def test_prices_and_volumes_have_no_unit() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_the_first_bars_are_forgotten_after_the_settling() -> None:
    assert {feature.name for feature in FEATURES} - {feature.name for feature in SETTLING} == {
        "sar_distance",
        "supertrend_10",
    }
    laws.assert_forgets(SETTLING)
