"""Volume features against their formulas in numpy and TA-Lib, and the laws of every family."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import talib
from hypothesis import given, settings
from numpy.lib.stride_tricks import sliding_window_view
from tests.unit.features.candles import market, markets, recorded
from tests.unit.features.families import laws
from tests.unit.features.graphs import values

from heliograph.core.market import Candles
from heliograph.features.families.volume import FEATURES
from heliograph.features.market import BAR_RETURN, HIGH, LOW, SIGMA, TRUE_RANGE

NAMES = [feature.name for feature in FEATURES]
MADE = market(900, seed=21, missing=0.02, quiet=0.05)


def _window(series: np.ndarray, bars: int) -> np.ndarray:
    return sliding_window_view(np.concatenate([np.full(bars - 1, np.nan), series]), bars)


def _share(over: np.ndarray, under: np.ndarray, bars: int) -> np.ndarray:
    found: np.ndarray = _window(over, bars).sum(axis=1) / _window(under, bars).sum(axis=1)
    return found


def _signed(series: np.ndarray, by: np.ndarray) -> np.ndarray:
    return series * np.sign(np.diff(by, prepend=np.nan))


def _slope(series: np.ndarray, bars: int) -> np.ndarray:
    """Of the line through the running sum, up to a factor."""
    away = np.arange(bars) - (bars - 1) / 2
    found: np.ndarray = (_window(np.nancumsum(series), bars) * away).sum(axis=1)
    return found


def _money_flow(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Typical prices that differ by rounding only are equal: the sums are compared as whole ticks."""
    ticks = np.round((high + low + close) * 1e7)
    typical = high + low + close
    return _share(_signed(typical * volume, np.where(ticks > 0, ticks, np.nan)), typical * volume, 14)


def _references(candles: Candles) -> dict[str, np.ndarray]:
    r, sigma, high, low, true_range = values([BAR_RETURN, SIGMA, HIGH, LOW, TRUE_RANGE], candles).T
    close, volume = candles.close, candles.volume
    relative = np.log(volume / _window(volume, 168).mean(axis=1) + 0.01)
    placed = ((close - low) - (high - close)) / np.where(high > low, high - low, 1.0) * volume
    bulk = volume * np.array([math.erf(z / math.sqrt(2)) for z in r / sigma])
    pvo = talib.EMA(volume, 12) / talib.EMA(volume, 26) - 1
    change = np.diff(close, prepend=np.nan)
    amihud = np.abs(r) / np.maximum(
        (high + low + close) * volume / _window((high + low + close) * volume, 168).mean(axis=1), 0.01
    )
    before = np.concatenate([[np.nan], r[:-1]])
    roll = [np.cov(a, b, ddof=0)[0, 1] for a, b in zip(_window(r, 24), _window(before, 24), strict=True)]
    force = talib.EMA(change * volume, 13) / talib.EMA(np.where(np.isnan(change), np.nan, true_range) * volume, 13)
    return {
        "volume_z_168": (relative - _window(relative, 168).mean(axis=1)) / _window(relative, 168).std(axis=1),
        "volume_ratio_24_168": np.log(_window(volume, 24).mean(axis=1) / _window(volume, 168).mean(axis=1) + 0.01),
        "flow_24": _share(_signed(volume, close), volume, 24),
        "money_flow_14": _money_flow(high, low, close, volume),
        "chaikin_money_flow_20": _share(placed, volume, 20),
        "chaikin_oscillator_3_10": talib.ADOSC(high, low, close, volume, 3, 10) / _window(volume, 20).mean(axis=1),
        "volume_oscillator_12_26": pvo,
        "volume_variation_24": _window(volume, 24).std(axis=1) / _window(volume, 24).mean(axis=1),
        "silent_share_24": (_window(volume, 24) == 0).mean(axis=1) + 0 * _window(volume, 24).sum(axis=1),
        "obv_slope_24": _slope(_signed(volume, close), 24) / _slope(volume, 24),
        "bulk_flow_24": _share(bulk, volume, 24),
        "vpin_50": _share(np.abs(bulk), volume, 50),
        "price_volume_trend_24": _share(volume * r, volume * np.abs(r), 24),
        "nvi_return_24": _window(np.where(np.diff(volume, prepend=np.nan) >= 0, 0.0 * r, r), 24).sum(axis=1)
        / (sigma * math.sqrt(24)),
        "amihud_24": np.log(_window(amihud, 24).mean(axis=1) / sigma + 0.01),
        "roll_spread_24": 2 * np.sqrt(np.maximum(-np.array(roll), 0)) / sigma,
        "force_13": force,
        "volume_size_correlation_24": np.array(
            [np.corrcoef(a, b)[0, 1] for a, b in zip(_window(volume, 24), _window(np.abs(r), 24), strict=True)]
        ),
    }


def _assert_as_published(candles: Candles) -> None:
    found = laws.table(FEATURES, candles)
    for name, expected in _references(candles).items():
        feature, column = FEATURES[NAMES.index(name)], found[:, NAMES.index(name)]
        wanted = np.clip(expected, feature.low, feature.high)
        sound = np.isfinite(wanted)
        assert sound[feature.lookback_bars :].mean() > 0.9, name
        np.testing.assert_allclose(column[sound], wanted[sound], rtol=1e-8, atol=1e-9, err_msg=name)


def test_features_are_as_published() -> None:
    _assert_as_published(MADE)


def test_features_are_as_published_on_recorded_candles(shared_data: Path) -> None:
    _assert_as_published(recorded(shared_data, "binance", "ETH-USDT", "1h").take(slice(0, 1_500)))


def test_nothing_traded_is_neutral() -> None:
    candles = Candles(MADE.open_ts_ms, MADE.open, MADE.high, MADE.low, MADE.close, np.zeros(len(MADE)))
    last = dict(zip(NAMES, laws.table(FEATURES, candles)[-1], strict=True))
    assert last["silent_share_24"] == 1.0
    neutral = ("volume_z_168", "volume_ratio_24_168", "flow_24", "money_flow_14", "vwap_distance_24", "klinger_34_55")
    assert [last[name] for name in neutral] == [0.0] * len(neutral)


def test_force_is_one_while_every_bar_closes_at_its_high_above_the_one_before() -> None:
    close = 100.0 * 1.01 ** np.arange(300.0)
    begin = np.concatenate([close[:1], close[:-1]])
    ts = MADE.open_ts_ms[0] + 3_600_000 * np.arange(300)
    last = laws.table(FEATURES, Candles(ts, begin, close, begin, close, np.full(300, 2.0)))[-1]
    for name in ("force_13", "flow_24", "money_flow_14", "chaikin_money_flow_20", "obv_slope_24", "body_flow_24"):
        np.testing.assert_allclose(last[NAMES.index(name)], 1.0, rtol=1e-12, err_msg=name)


def test_agree_however_cut() -> None:
    laws.assert_agree_however_cut(FEATURES, MADE)


def test_lookback_is_exact() -> None:
    laws.assert_lookback_is_exact(FEATURES)


def test_are_free_of_scale() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_forget_where_the_history_began() -> None:
    laws.assert_forgets(FEATURES)


@settings(max_examples=15, deadline=None)
@given(candles=markets(max_bars=600))
def test_are_finite_and_in_range_on_any_market(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_names_are_unique_and_enough() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 25
