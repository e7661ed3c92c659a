"""Volume and what it moves, against the published formulas in numpy and TA-Lib."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from tests.unit.features.candles import market, recorded
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.features.graph import Series
from heliograph.features.market import BAR_RETURN, HIGH, LOW, OPEN, SIGMA, TRUE_RANGE, VOLUME
from heliograph.features.ops import flow
from heliograph.features.ops.window import mean

MADE = market(500, seed=6, missing=0.03, quiet=0.05)
ALL: dict[str, Series] = {
    **dict(zip(("placed", "bodied", "money"), flow.located(), strict=True)),
    **dict(zip(("signed", "signed_money"), flow.signed(), strict=True)),
    "bulk": flow.bulk(),
    "relative": flow.relative(VOLUME, mean(VOLUME, 24)),
    "sum_slope": flow.mean_of_sum_slope(VOLUME, 24),
    "vwap": flow.vwap_distance(24),
    "day_vwap": flow.day_vwap_distance(),
    "illiquidity": flow.illiquidity(24),
    "impact": flow.impact(24),
    "easiness": flow.easiness(14),
    "facilitation": flow.facilitation(24),
    **dict(zip(("negative_index", "positive_index"), flow.index_returns(), strict=True)),
    "force": flow.volume_force(),
    "entropy": flow.entropy(24),
    "corwin_schultz": flow.corwin_schultz(24),
    "abdi_ranaldo": flow.abdi_ranaldo(24),
    "sum_over_ema": flow.sum_over_ema(flow.located()[0], 10),
}


def _window(series: np.ndarray, bars: int) -> np.ndarray:
    return sliding_window_view(np.concatenate([np.full(bars - 1, np.nan), series]), bars)


def _before(series: np.ndarray) -> np.ndarray:
    return np.concatenate([[np.nan], series[:-1]])


def _force(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> np.ndarray:
    found, trend, cm = np.full(close.size, np.nan), 0, 0.0
    for t in range(1, close.size):
        moves = (series[t] - series[t - 1] for series in (high, low, close))
        turn = 1 if sum(moves) > 0 else -1
        dm = high[t] - low[t]
        cm = cm + dm if turn == trend else high[t - 1] - low[t - 1] + dm
        trend = turn
        found[t] = turn * volume[t] * abs(2 * dm / cm - 1) if cm > 0 else 0.0
    return found


def _corwin_schultz(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    found, k = np.full(close.size, np.nan), 3 - 2 * math.sqrt(2)
    for t in range(1, close.size):
        jump = max(low[t] - close[t - 1], 0) + min(high[t] - close[t - 1], 0)
        h, d = high[t] - jump, low[t] - jump
        beta = math.log(h / d) ** 2 + math.log(high[t - 1] / low[t - 1]) ** 2
        gamma = math.log(max(h, high[t - 1]) / min(d, low[t - 1])) ** 2
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
        found[t] = max(2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha)), 0.0)
    return found


def _shares(candles: Candles, high: np.ndarray, low: np.ndarray, true_range: np.ndarray) -> dict[str, np.ndarray]:
    """Of range and volume in their means."""
    volume = candles.volume
    width, usual = _window(true_range, 14).mean(axis=1), _window(volume, 14).mean(axis=1)
    move = (high + low - _before(high + low)) / 2 / width
    wide, usual_24 = _window(true_range, 24).mean(axis=1), _window(volume, 24).mean(axis=1)
    return {
        "easiness": move * ((high - low) / width) / np.maximum(volume / usual, 0.01),
        "facilitation": np.log(((high - low) / wide + 0.01) / (volume / usual_24 + 0.01)),
        "relative": np.log(volume / usual_24 + 0.01),
    }


def _references(candles: Candles) -> dict[str, np.ndarray]:
    r, sigma, open_, high, low, true_range = values([BAR_RETURN, SIGMA, OPEN, HIGH, LOW, TRUE_RANGE], candles).T
    close, volume, typical = candles.close, candles.volume, (high + low + candles.close) / 3
    width = np.where(high > low, high - low, 1.0)
    placed = ((close - low) - (high - close)) / width * volume
    money = typical * volume
    w_volume, w_money = _window(volume, 24), _window(money, 24)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = w_volume / w_volume.sum(axis=1, keepdims=True)
        surprise = np.where(shares > 0, shares * np.log(shares), 0.0).sum(axis=1)
    days, sums = candles.open_ts_ms // 86_400_000, []
    for t in range(close.size):
        today = slice(int(np.searchsorted(days, days[t])), t + 1)
        sums.append((money[today].sum(), volume[today].sum(), today.stop - today.start))
    day_money, day_volume, day_bars = np.array(sums).T
    flows = _window(placed, 24)
    eta = np.log(high * low) / 2
    gap = np.log(_before(close)) - _before(eta)
    on_eta = _window(gap * (np.log(_before(close)) - eta), 24).mean(axis=1)
    trend = [np.polyfit(np.arange(24), np.cumsum(w), 1)[0] if np.isfinite(w).all() else np.nan for w in w_volume]
    erf = np.array([math.erf(z / math.sqrt(2)) for z in r / sigma])
    return {
        "placed": placed,
        "bodied": (close - open_) / width * volume,
        "money": money,
        "signed": np.sign(close - _before(close)) * volume,
        "signed_money": np.where(
            np.abs(typical - _before(typical)) < 1e-12, np.nan, np.sign(typical - _before(typical)) * money
        ),
        "bulk": volume * erf,
        "sum_slope": np.array(trend),
        "vwap": np.log(close / (w_money.sum(axis=1) / w_volume.sum(axis=1))) / (sigma * math.sqrt(24)),
        "day_vwap": np.log(close * np.where(day_volume > 0, day_volume / np.maximum(day_money, 1e-300), 1 / close))
        / (sigma * np.sqrt(day_bars)),
        "illiquidity": np.abs(r) / np.maximum(money / w_money.mean(axis=1), 0.01),
        "impact": (flows * _window(r, 24)).sum(axis=1) / np.sqrt((flows**2).sum(axis=1) * 24) / sigma,
        "negative_index": np.where(volume < _before(volume), r, 0.0 * r),
        "positive_index": np.where(volume > _before(volume), r, 0.0 * r),
        "force": _force(high, low, close, volume),
        "entropy": -surprise / math.log(24) + 0.0 * w_volume.sum(axis=1),
        "corwin_schultz": _window(_corwin_schultz(high, low, close), 24).mean(axis=1),
        "abdi_ranaldo": 2 * np.sqrt(np.maximum(on_eta, 0)),
        **_shares(candles, high, low, true_range),
    }


def _assert_as_published(candles: Candles) -> None:
    names = list(ALL)
    found = values(list(ALL.values()), candles)
    for name, expected in _references(candles).items():
        column = found[:, names.index(name)]
        sound = np.isfinite(expected)
        assert sound.mean() > 0.5, name
        scale = float(np.abs(expected[sound]).max())
        np.testing.assert_allclose(column[sound], expected[sound], rtol=1e-9, atol=1e-11 * scale, err_msg=name)


def test_flows_are_as_published() -> None:
    _assert_as_published(MADE)


def test_flows_are_as_published_on_recorded_candles(shared_data: Path) -> None:
    _assert_as_published(recorded(shared_data, "binance", "ETH-USDT", "1h").take(slice(0, 2_000)))


@pytest.mark.parametrize(("fast", "slow"), [(3, 10), (6, 20)])
def test_difference_of_sums_over_averages_is_chaikins_oscillator(fast: int, slow: int) -> None:
    """TA-Lib's ADOSC carries the whole sum; its rounding is all that differs."""
    placed = flow.located()[0]
    made, high, low = values([flow.sum_over_ema(placed, slow) - flow.sum_over_ema(placed, fast), HIGH, LOW], MADE).T
    expected = talib.ADOSC(high, low, MADE.close, MADE.volume, fast, slow)
    np.testing.assert_array_equal(np.isnan(made), np.isnan(expected))
    np.testing.assert_allclose(made[slow:], expected[slow:], rtol=1e-9, atol=1e-9 * MADE.volume.max())


@settings(max_examples=30, deadline=None)
@given(bars=st.integers(3, 40))
def test_sum_slope_is_the_regression_line_of_the_running_sum(bars: int) -> None:
    found = values(flow.mean_of_sum_slope(VOLUME, bars), MADE)[-1]
    slope = np.polyfit(np.arange(bars), np.cumsum(MADE.volume)[-bars:], 1)[0]
    assert found == pytest.approx(slope, rel=1e-8)


def test_volume_in_one_bar_has_no_entropy_and_none_at_all_is_even() -> None:
    still = np.full(60, 5.0)
    volume = np.zeros(60)
    volume[40] = 3.0
    candles = Candles(MADE.open_ts_ms[0] + 3_600_000 * np.arange(60), still, still, still, still, volume)
    found = values(flow.entropy(24), candles)
    assert found[50] == pytest.approx(0.0, abs=1e-12)
    assert found[30] == 1.0


def test_spreads_are_found_in_prices_that_bounce() -> None:
    """Trades at bid and ask around a walk: both estimators find the 1 % spread, within a third."""
    rng = np.random.default_rng(8)
    middle = 100 * np.exp(np.cumsum(rng.normal(0, 0.0003, 1_000 * 100)))
    price = (middle * (1 + 0.005 * rng.choice([-1, 1], middle.size))).reshape(1_000, 100)
    ts = MADE.open_ts_ms[0] + 3_600_000 * np.arange(1_000)
    candles = Candles(ts, price[:, 0], price.max(axis=1), price.min(axis=1), price[:, -1], np.ones(1_000))
    for name in ("corwin_schultz", "abdi_ranaldo"):
        assert np.nanmean(values(ALL[name], candles)) == pytest.approx(0.01, rel=0.34), name


def test_agree_however_cut() -> None:
    assert_laws(list(ALL.values()), MADE)


@pytest.mark.parametrize("name", ALL)
def test_lookback_is_exact(name: str) -> None:
    known = np.isfinite(values(ALL[name], market(120, seed=4)))
    assert int(np.argmax(known)) + 1 == ALL[name].node.lookback_bars
    assert known[ALL[name].node.lookback_bars - 1 :].all()
