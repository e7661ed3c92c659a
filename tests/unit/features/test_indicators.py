"""Values against TA-Lib, plain numpy and the definition in the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import talib
from tests.unit.features.candles import recorded

from heliograph.config.settings import FeatureSettings
from heliograph.core.market import Candles
from heliograph.features import catalog
from heliograph.features.table import FeatureTable, compute

SETTINGS = FeatureSettings()


@pytest.fixture(scope="module")
def candles(shared_data: Path) -> Candles:
    """A calm stretch: no wick is longer than eight sigma, so TA-Lib on the raw bars must agree."""
    return recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(52_000, 56_000))


@pytest.fixture(scope="module")
def table(candles: Candles) -> FeatureTable:
    return compute(candles, SETTINGS)


def test_rsi_is_wilders(candles: Candles, table: FeatureTable) -> None:
    np.testing.assert_allclose(table.column("rsi_14"), (talib.RSI(candles.close, 14) - 50) / 50, atol=1e-12)


def test_trend_features_are_talibs(candles: Candles, table: FeatureTable) -> None:
    bars = (candles.high, candles.low, candles.close)
    atr = talib.ATR(*bars, 14)
    macd, _, histogram = talib.MACD(candles.close)
    for name, expected in {
        "macd_12_26": macd / atr,
        "macd_histogram_9": histogram / atr,
        "adx_14": talib.ADX(*bars, 14) / 100,
        "directional_14": (talib.PLUS_DI(*bars, 14) - talib.MINUS_DI(*bars, 14)) / 100,
        "stochastic_14": (talib.STOCH(*bars, 14, 3, 0, 3, 0)[0] - 50) / 50,
        "aroon_14": talib.AROONOSC(candles.high, candles.low, 14) / 100,
        "cci_20": np.clip(talib.CCI(*bars, 20) / 100, -5, 5),
    }.items():
        np.testing.assert_allclose(table.column(name)[200:], expected[200:], rtol=1e-6, atol=1e-6, err_msg=name)


def test_money_flow_is_the_money_flow_index(candles: Candles, table: FeatureTable) -> None:
    mfi = talib.MFI(candles.high, candles.low, candles.close, candles.volume, 14)
    off = np.abs(table.column("money_flow_14") - (mfi - 50) / 50)[200:]
    assert np.mean(off < 1e-9) > 0.99  # the rest are typical prices that tie in one rounding and not in the other


def test_bollinger_is_percent_b_on_log_prices(candles: Candles, table: FeatureTable) -> None:
    upper, _, lower = talib.BBANDS(np.log(candles.close), 20)
    percent_b = (np.log(candles.close) - lower) / (upper - lower)
    np.testing.assert_allclose((1 + table.column("bollinger_20")) / 2, percent_b, rtol=1e-4, atol=1e-4)


def test_volatility_is_the_weighted_mean_of_squared_returns(candles: Candles, table: FeatureTable) -> None:
    step = np.diff(candles.open_ts_ms) / 3_600_000
    squares = np.diff(np.log(candles.close)) ** 2 / step
    for row in (24, 100, 1_000):
        weights = 0.97 ** np.arange(row)[::-1]
        expected = np.sqrt(np.sum(weights * squares[:row]) / np.sum(weights))
        assert table.column("ewma_volatility")[row] == pytest.approx(expected, rel=1e-12)


def test_range_volatilities_follow_their_papers(candles: Candles, table: FeatureTable) -> None:
    o, h, low, c = (np.log(x) for x in (candles.open, candles.high, candles.low, candles.close))
    u, d, b = h - o, low - o, c - o
    terms = {
        "parkinson_24": (h - low) ** 2 / (4 * np.log(2)),
        "garman_klass_24": 0.5 * (h - low) ** 2 - (2 * np.log(2) - 1) * b**2,
        "rogers_satchell_24": u * (u - b) + d * (d - b),
    }
    for name, term in terms.items():
        mean = np.convolve(term, np.full(24, 1 / 24), "valid")
        expected = np.log(np.sqrt(mean) / table.column("ewma_volatility")[23:])
        np.testing.assert_allclose(table.column(name)[300:], expected[277:], rtol=1e-8, atol=1e-8, err_msg=name)


def test_volume_score_is_standardised_over_a_week(candles: Candles, table: FeatureTable) -> None:
    week = np.convolve(candles.volume, np.full(168, 1 / 168), "valid")
    relative = np.log(candles.volume[167:] / week + 0.01)
    for row in (334, 1_000, 3_999):
        window = relative[row - 334 : row - 166]
        expected = (window[-1] - window.mean()) / window.std()
        assert table.column("volume_z_168")[row] == pytest.approx(expected, rel=1e-9)


def test_return_over_a_gap_counts_the_time_that_passed() -> None:
    hours = [0, *range(1, 60), 69, 70]
    price = 100 * np.exp(np.cumsum(np.where(np.arange(len(hours)) % 2, 0.01, -0.01)))
    candles = Candles.of([[h * 3_600_000, p, p, p, p, 1] for h, p in zip(hours, price, strict=True)])
    table = compute(candles, SETTINGS)
    gap = hours.index(69)
    move = np.log(price[gap] / price[gap - 1])
    sigma = table.column("ewma_volatility")[gap]
    assert table.column("log_return_1")[gap] == pytest.approx(move / (sigma * np.sqrt(10)), rel=1e-12)
    assert table.column("bars_missing")[gap] == pytest.approx(np.log(10))


def test_season_is_the_hour_and_the_weekday() -> None:
    thursday_six = 6 * 3_600_000  # 1970-01-01 was a Thursday
    candles = Candles.of([[thursday_six, 1, 1, 1, 1, 1]])
    table = compute(candles, SETTINGS)
    assert table.column("hour_sin")[0] == pytest.approx(1.0)
    assert table.column("hour_cos")[0] == pytest.approx(0.0, abs=1e-12)
    assert table.column("weekday_sin")[0] == pytest.approx(np.sin(2 * np.pi * 3.25 / 7))
    assert table.column("weekday_cos")[0] == pytest.approx(np.cos(2 * np.pi * 3.25 / 7))


def test_every_declaration_says_its_unit_source_and_finite_range() -> None:
    features = catalog.declared(SETTINGS)
    assert len({f.name for f in features}) == len(features) >= 200 * 3
    for f in features:
        assert f.unit
        assert f.source
        assert np.isfinite([f.low, f.high]).all()
        assert f.low < f.high
