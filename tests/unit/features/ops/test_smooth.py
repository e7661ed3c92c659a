"""Averages and oscillators against TA-Lib and the published formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import talib
from tests.unit.features.candles import market, recorded
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.features.graph import Series, source
from heliograph.features.market import CLOSE
from heliograph.features.ops import smooth

FloatArray = npt.NDArray[np.float64]
Case = tuple[Series, Callable[[FloatArray], FloatArray], float]

MACD = smooth.macd(CLOSE)

TALIB: dict[str, Case] = {
    "ema": (smooth.ema(CLOSE, 20), lambda c: talib.EMA(c, 20), 0.0),
    "ema_2": (smooth.ema(CLOSE, 2), lambda c: talib.EMA(c, 2), 0.0),
    "dema": (smooth.dema(CLOSE, 20), lambda c: talib.DEMA(c, 20), 0.0),
    "tema": (smooth.tema(CLOSE, 20), lambda c: talib.TEMA(c, 20), 0.0),
    "t3": (smooth.t3(CLOSE, 5), lambda c: talib.T3(c, 5), 0.0),
    "trima_odd": (smooth.trima(CLOSE, 21), lambda c: talib.TRIMA(c, 21), 1e-11),  # its running sums drift
    "trima_even": (smooth.trima(CLOSE, 20), lambda c: talib.TRIMA(c, 20), 1e-11),
    "kama": (smooth.kama(CLOSE, 10), lambda c: talib.KAMA(c, 10), 1e-12),  # its running sum drifts
    # differences of prices: rounding is of the size of the price, not of the difference
    "macd": (MACD.line, lambda c: talib.MACD(c)[0], 1e-14),
    "macd_signal": (MACD.signal, lambda c: talib.MACD(c)[1], 1e-14),
    "macd_histogram": (MACD.histogram, lambda c: talib.MACD(c)[2], 1e-14),
    "ppo": (smooth.ppo(CLOSE), lambda c: talib.PPO(c, 12, 26, 1), 1e-12),
    "trix": (smooth.trix(CLOSE, 15), lambda c: talib.TRIX(c, 15), 1e-12),
    "change": (smooth.change(CLOSE, 10), lambda c: talib.ROC(c, 10), 1e-12),
    "rsi": (smooth.rsi(CLOSE, 14), lambda c: talib.RSI(c, 14), 1e-11),
    "cmo": (smooth.cmo(CLOSE, 14), lambda c: talib.CMO(c, 14), 1e-11),
}
"""Series, TA-Lib's call, absolute tolerance as a share of the last price (or of 1 for what is no price)."""


def weighted(x: FloatArray, bars: int) -> FloatArray:
    weights = np.arange(1, bars + 1) / (bars * (bars + 1) / 2)
    return windowed(x, bars, lambda w: float(w @ weights))


def windowed(x: FloatArray, bars: int, of: Callable[[FloatArray], float]) -> FloatArray:
    out = np.full(x.size, np.nan)
    for t in range(bars - 1, x.size):
        out[t] = of(x[t - bars + 1 : t + 1])
    return out


def before(x: FloatArray, bars: int) -> FloatArray:
    return np.concatenate([np.full(bars, np.nan), x[:-bars]])


def roc(x: FloatArray, bars: int) -> FloatArray:
    return 100 * (x / before(x, bars) - 1)


def mean(x: FloatArray, bars: int) -> FloatArray:
    return windowed(x, bars, lambda w: float(np.mean(w)))


def ema_of(x: FloatArray, bars: int) -> FloatArray:
    first = int(np.argmax(np.isfinite(x)))
    out = np.full(x.size, np.nan)
    out[first:] = talib.EMA(np.ascontiguousarray(x[first:]), bars)
    return out


def decayed(x: FloatArray, decay: float) -> FloatArray:
    return np.array([np.average(x[: t + 1], weights=decay ** np.arange(t + 1)[::-1]) for t in range(x.size)])


def wilder_of(x: FloatArray, bars: int) -> FloatArray:
    out = np.full(x.size, np.nan)
    out[bars - 1] = np.mean(x[:bars])
    for t in range(bars, x.size):
        out[t] = (out[t - 1] * (bars - 1) + x[t]) / bars
    return out


def straight(x: FloatArray, bars: int) -> FloatArray:
    return windowed(x, bars + 1, lambda w: float((w[-1] - w[0]) / np.sum(np.abs(np.diff(w)))))


def true_strength(x: FloatArray) -> FloatArray:
    move = x - before(x, 1)
    return ema_of(ema_of(move, 25), 13) / ema_of(ema_of(np.abs(move), 25), 13)


def fisher_of(x: FloatArray, bars: int) -> FloatArray:
    out, value, last = np.full(x.size, np.nan), 0.0, 0.0
    for t in range(bars - 1, x.size):
        w = x[t - bars + 1 : t + 1]
        value = 0.33 * 2 * ((x[t] - w.min()) / (w.max() - w.min()) - 0.5) + 0.67 * value
        value = min(max(value, -0.999), 0.999)
        last = out[t] = 0.5 * np.log((1 + value) / (1 - value)) + 0.5 * last
    return out


def kst_of(x: FloatArray) -> FloatArray:
    first, second, third = (mean(roc(x, bars), 10) for bars in (10, 15, 20))
    return first + 2 * second + 3 * third + 4 * mean(roc(x, 30), 15)


FORMULAS: dict[str, Case] = {
    "wilder": (smooth.wilder(CLOSE, 14), lambda c: wilder_of(c, 14), 0.0),
    "ewma": (smooth.ewma(CLOSE, 0.9), lambda c: decayed(c, 0.9), 0.0),
    "hull": (
        smooth.hull(CLOSE, 20),
        lambda c: weighted(2 * weighted(c, 10) - weighted(c, 20), 4),
        1e-13,
    ),
    "efficiency": (smooth.efficiency(CLOSE, 10), lambda c: straight(c, 10), 1e-13),
    "tsi": (smooth.tsi(CLOSE), true_strength, 1e-12),
    "coppock": (smooth.coppock(CLOSE), lambda c: weighted(roc(c, 14) + roc(c, 11), 10), 1e-11),
    "kst": (smooth.kst(CLOSE), kst_of, 1e-11),
    "dpo": (smooth.dpo(CLOSE, 20), lambda c: before(c, 11) - mean(c, 20), 1e-13),
    "fisher": (smooth.fisher(CLOSE, 10), lambda c: fisher_of(c, 10), 1e-11),
}

ALL = [case[0] for case in (*TALIB.values(), *FORMULAS.values())]


def assert_agree(cases: dict[str, Case], candles: Candles) -> None:
    found = values([case[0] for case in cases.values()], candles)
    for k, (name, (_, expected, atol)) in enumerate(cases.items()):
        limit = atol * max(1.0, float(candles.close.max()))
        np.testing.assert_allclose(found[:, k], expected(candles.close), rtol=1e-12, atol=limit, err_msg=name)


def test_averages_are_talibs_on_made_candles() -> None:
    assert_agree(TALIB, market(3_000, quiet=0.1, missing=0.02))


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTC-USDT"), ("binance", "DOGE-USDT")])
def test_averages_are_talibs_on_recorded_candles(shared_data: Path, venue: str, symbol: str) -> None:
    assert_agree(TALIB, recorded(shared_data, venue, symbol, "1h").take(slice(0, 20_000)))


def test_formulas_are_the_published_ones() -> None:
    assert_agree(FORMULAS, market(1_000, missing=0.02))


def test_cuts_and_a_restart_change_nothing() -> None:
    assert_laws(ALL, market(400, quiet=0.3))


def test_lookback_is_the_row_of_the_first_value() -> None:
    found = values(ALL, market(300))
    first = np.argmax(np.isfinite(found), axis=0) + 1
    assert first.tolist() == [series.node.lookback_bars for series in ALL]
    assert np.isfinite(found[200:]).all()


def test_the_first_bars_are_forgotten_after_the_settling() -> None:
    candles = market(9_000, seed=3)
    late = candles.take(slice(1_500, None))
    whole, tail = values(ALL, candles)[1_500:], values(ALL, late)
    for k, series in enumerate(ALL):
        settle = series.node.settle_bars
        assert settle is not None
        scale = np.nanmax(np.abs(whole[:, k]))
        np.testing.assert_allclose(tail[settle:, k], whole[settle:, k], rtol=1e-10, atol=1e-11 * scale)


def test_mean_of_a_constant_is_that_constant() -> None:
    still = market(400, quiet=1.0, price=0.1, tick=1e-8)
    means = [smooth.ema(CLOSE, 20), smooth.wilder(CLOSE, 14), smooth.kama(CLOSE, 10), smooth.macd(CLOSE).line + CLOSE]
    found = values(means, still)[40:]
    np.testing.assert_allclose(found, still.close[0], rtol=1e-15)
    flat = [
        smooth.rsi(CLOSE),
        smooth.cmo(CLOSE),
        smooth.tsi(CLOSE),
        smooth.efficiency(CLOSE, 10),
        smooth.macd(CLOSE).line,
    ]
    np.testing.assert_allclose(values(flat, still)[40:], 0.0, atol=1e-16)


def test_unknown_value_leaves_the_mean_as_it_was() -> None:
    candles = market(60)
    given, hole = source("given"), candles.close.copy()
    hole[30] = np.nan
    series = [smooth.ema(given, 5), smooth.ewma(given, 0.9), smooth.wilder(given, 5)]
    found = values(series, candles, others={"given": hole})
    without = values(series, candles.take(np.arange(60) != 30), others={"given": np.delete(hole, 30)})
    assert np.isnan(found[30]).all()
    np.testing.assert_array_equal(np.delete(found, 30, axis=0), without)


def test_mean_over_one_bar_is_the_series() -> None:
    assert smooth.ema(CLOSE, 1) is CLOSE


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: smooth.ema(CLOSE, 0),
        lambda: smooth.rsi(CLOSE, 1),
        lambda: smooth.tema(CLOSE, 1),
        lambda: smooth.macd(CLOSE, 26, 12),
        lambda: smooth.ewma(CLOSE, 1.0),
    ],
)
def test_windows_that_make_no_sense_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"use|shorter"):
        wrong()
