"""Indicators of the bar's range, and trailing stops, against TA-Lib and the published formulas."""

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
from heliograph.features.graph import Series
from heliograph.features.market import CLOSE, RAW_HIGH, RAW_LOW
from heliograph.features.ops import range as ranges
from heliograph.features.ops import trail

FloatArray = npt.NDArray[np.float64]
Case = tuple[Series, Callable[[Candles], FloatArray], float]

BARS = (RAW_HIGH, RAW_LOW, CLOSE)
MOVEMENT = ranges.directional(*BARS, 14)
STOCHASTIC = ranges.stochastic(*BARS, 14)
STOCHASTIC_RSI = ranges.stochastic_rsi(CLOSE, 14)
AROON = ranges.aroon(RAW_HIGH, RAW_LOW, 14)
VORTEX = ranges.vortex(*BARS, 14)
SAR = trail.sar(RAW_HIGH, RAW_LOW)
SUPERTREND = trail.supertrend(*BARS, ranges.atr(*BARS, 10))


def hlc(function: Callable[..., FloatArray], *parameters: float) -> Callable[[Candles], FloatArray]:
    return lambda c: function(c.high, c.low, c.close, *parameters)


TALIB: dict[str, Case] = {
    "plus": (MOVEMENT.plus, hlc(talib.PLUS_DI, 14), 1e-12),
    "minus": (MOVEMENT.minus, hlc(talib.MINUS_DI, 14), 1e-12),
    "dx": (MOVEMENT.dx, hlc(talib.DX, 14), 1e-11),
    "adx": (MOVEMENT.adx, hlc(talib.ADX, 14), 1e-11),
    "atr": (MOVEMENT.atr, hlc(talib.ATR, 14), 0.0),
    "atr_alone": (ranges.atr(*BARS, 14), hlc(talib.ATR, 14), 0.0),
    "true_range": (ranges.true_range(*BARS), hlc(talib.TRANGE), 0.0),
    "typical": (ranges.typical(*BARS), hlc(talib.TYPPRICE), 0.0),
    "middle": (ranges.middle(RAW_HIGH, RAW_LOW, 14), lambda c: talib.MIDPRICE(c.high, c.low, 14), 0.0),
    # TA-Lib's means are running sums, and its first rows wait for %D
    "slow": (STOCHASTIC.slow, lambda c: talib.STOCH(c.high, c.low, c.close, 14, 3, 0, 3, 0)[0], 1e-10),
    "signal": (STOCHASTIC.signal, lambda c: talib.STOCH(c.high, c.low, c.close, 14, 3, 0, 3, 0)[1], 1e-10),
    "fast": (STOCHASTIC.fast, lambda c: talib.STOCHF(c.high, c.low, c.close, 14, 3, 0)[0], 1e-12),
    "rsi_place": (STOCHASTIC_RSI.fast, lambda c: talib.STOCHRSI(c.close, 14, 5, 3, 0)[0], 1e-9),
    "rsi_place_mean": (STOCHASTIC_RSI.slow, lambda c: talib.STOCHRSI(c.close, 14, 5, 3, 0)[1], 1e-9),
    "williams": (ranges.williams_r(*BARS, 14), hlc(talib.WILLR, 14), 1e-12),
    "aroon_up": (AROON.up, lambda c: talib.AROON(c.high, c.low, 14)[1], 1e-12),
    "aroon_down": (AROON.down, lambda c: talib.AROON(c.high, c.low, 14)[0], 1e-12),
    "aroon": (AROON.oscillator, lambda c: talib.AROONOSC(c.high, c.low, 14), 1e-12),
    # price less its mean over 1.5 % of the deviation: rounding of the price counts many times
    "cci": (ranges.cci(*BARS, 20), hlc(talib.CCI, 20), 1e-8),
    "ultimate": (ranges.ultimate(*BARS), hlc(talib.ULTOSC), 1e-10),
    "sar": (SAR.stop, lambda c: talib.SAR(c.high, c.low, 0.02, 0.2), 0.0),
    "sar_fast": (trail.sar(RAW_HIGH, RAW_LOW, 0.05, 0.5).stop, lambda c: talib.SAR(c.high, c.low, 0.05, 0.5), 0.0),
}
"""Series, TA-Lib's call, absolute tolerance."""


def before(x: FloatArray) -> FloatArray:
    return np.concatenate([[np.nan], x[:-1]])


def rolled(x: FloatArray, bars: int, of: Callable[..., FloatArray]) -> FloatArray:
    out = np.full(x.size, np.nan)
    out[bars - 1 :] = of(np.lib.stride_tricks.sliding_window_view(x, bars), axis=1)
    return out


def vortex_of(c: Candles, *, up: bool) -> FloatArray:
    way = np.abs(c.high - before(c.low)) if up else np.abs(c.low - before(c.high))
    true_range: FloatArray = talib.TRANGE(c.high, c.low, c.close)
    return rolled(way, 14, np.sum) / rolled(true_range, 14, np.sum)


def choppiness_of(c: Candles) -> FloatArray:
    way = rolled(talib.TRANGE(c.high, c.low, c.close), 14, np.sum)
    found: FloatArray = 100 * np.log10(way / (rolled(c.high, 14, np.max) - rolled(c.low, 14, np.min))) / np.log10(14)
    return found


def mass_of(c: Candles) -> FloatArray:
    once: FloatArray = talib.EMA(c.high - c.low, 9)
    return rolled(once / talib.EMA(once, 9), 25, np.sum)


def awesome_of(c: Candles) -> FloatArray:
    middle = (c.high + c.low) / 2
    return rolled(middle, 5, np.mean) - rolled(middle, 34, np.mean)


def schaff_of(c: Candles) -> FloatArray:
    found: FloatArray = talib.EMA(c.close, 23) - talib.EMA(c.close, 50)
    for still in (np.full(len(c), 50.0), None):
        low, high = rolled(found, 10, np.min), rolled(found, 10, np.max)
        share = 100 * (found - low) / np.where(high > low, high - low, 1.0)
        known = np.isfinite(share)
        found = talib.EMA(np.where(known & (high == low), found if still is None else still, share), 3)
    return found


def supertrend_of(c: Candles) -> FloatArray:
    atr, middle, out = talib.ATR(c.high, c.low, c.close, 10), (c.high + c.low) / 2, np.full(len(c), np.nan)
    upper, lower, is_up = middle[10] + 3 * atr[10], middle[10] - 3 * atr[10], True
    for t in range(10, len(c)):
        if middle[t] + 3 * atr[t] < upper or c.close[t - 1] > upper:
            upper = middle[t] + 3 * atr[t]
        if middle[t] - 3 * atr[t] > lower or c.close[t - 1] < lower:
            lower = middle[t] - 3 * atr[t]
        is_up = c.close[t] >= lower if is_up else c.close[t] > upper
        out[t] = lower if is_up else upper
    return out


FORMULAS: dict[str, Case] = {
    "vortex_up": (VORTEX.plus, lambda c: vortex_of(c, up=True), 0.0),
    "vortex_down": (VORTEX.minus, lambda c: vortex_of(c, up=False), 0.0),
    "choppiness": (ranges.choppiness(*BARS, 14), choppiness_of, 1e-12),
    "mass": (ranges.mass_index(RAW_HIGH, RAW_LOW), mass_of, 0.0),
    "awesome": (ranges.awesome(RAW_HIGH, RAW_LOW), awesome_of, 1e-11),
    "schaff": (ranges.schaff(CLOSE), schaff_of, 1e-8),
    "supertrend": (SUPERTREND.stop, supertrend_of, 0.0),
}

ALL = [case[0] for case in (*TALIB.values(), *FORMULAS.values())]
SIDES = [SAR.side, SUPERTREND.side]


def assert_agree(cases: dict[str, Case], candles: Candles) -> None:
    found = values([case[0] for case in cases.values()], candles)
    for k, (name, (series, reference, atol)) in enumerate(cases.items()):
        expected = reference(candles)
        first = int(np.argmax(np.isfinite(expected)))
        assert first >= series.node.lookback_bars - 1, name
        if name not in ("slow", "fast", "rsi_place"):
            assert first == series.node.lookback_bars - 1, name
        np.testing.assert_allclose(found[first:, k], expected[first:], rtol=1e-12, atol=atol, err_msg=name)


def test_indicators_are_talibs_on_made_candles() -> None:
    assert_agree(TALIB, market(3_000, missing=0.02))


@pytest.mark.parametrize("symbol", ["BTC-USDT", "ETH-USDT"])
def test_indicators_are_talibs_on_recorded_candles(shared_data: Path, symbol: str) -> None:
    assert_agree(TALIB, recorded(shared_data, "binance", symbol, "1h").take(slice(0, 20_000)))


def test_formulas_are_the_published_ones() -> None:
    assert_agree(FORMULAS, market(1_000, missing=0.02))


def test_cuts_and_a_restart_change_nothing() -> None:
    assert_laws([*ALL, *SIDES], market(400, quiet=0.3))


def test_lookback_is_the_row_of_the_first_value() -> None:
    found = values([*ALL, *SIDES], market(300))
    first = np.argmax(np.isfinite(found), axis=0) + 1
    assert first.tolist() == [series.node.lookback_bars for series in (*ALL, *SIDES)]
    assert np.isfinite(found[150:]).all()


def test_the_first_bars_are_forgotten_after_the_settling() -> None:
    settling = [series for series in ALL if series.node.settle_bars is not None]
    assert len(settling) == len(ALL) - 3  # a stop knows since when its trend has lasted
    candles = market(2_500, seed=3)
    whole, tail = values(settling, candles)[500:], values(settling, candles.take(slice(500, None)))
    for k, series in enumerate(settling):
        settle, scale = series.node.settle_bars, np.nanmax(np.abs(whole[:, k]))
        np.testing.assert_allclose(tail[settle:, k], whole[settle:, k], rtol=1e-10, atol=1e-10 * scale)


def test_stop_is_never_on_the_wrong_side_of_its_trend() -> None:
    candles = market(3_000)
    stop, side = values([SAR.stop, SAR.side], candles)[2:].T
    kept = side[1:] == side[:-1]
    low, high = candles.low[3:], candles.high[3:]
    assert np.all(np.where(side[1:] > 0, low > stop[1:], high < stop[1:])[kept])
    stop, side = values([SUPERTREND.stop, SUPERTREND.side], candles)[20:].T
    off = side * (candles.close[20:] - stop)
    assert np.all(off >= 0)
    kept = side[1:] == side[:-1]
    assert np.all((side[1:] * np.diff(stop))[kept] >= 0)  # it moves with the trend only


def test_nothing_moves_in_a_flat_market() -> None:
    """Zero, or the value that means "nothing", where TA-Lib's rule is zero as well."""
    still = market(300, quiet=1.0)
    expected = {
        "fast": 0.0,
        "slow": 0.0,
        "williams": 0.0,
        "cci": 0.0,
        "ultimate": 0.0,
        "plus": 0.0,
        "adx": 0.0,
        "atr": 0.0,
    }
    cases = {**TALIB, **FORMULAS}
    found = values([cases[name][0] for name in expected], still)[60:]
    np.testing.assert_allclose(found, np.tile(list(expected.values()), (len(found), 1)), atol=1e-9)
    full = {"vortex_up": 0.0, "choppiness": 100.0, "mass": 25.0, "schaff": 50.0}
    found = values([FORMULAS[name][0] for name in full], still)[100:]
    np.testing.assert_allclose(found, np.tile(list(full.values()), (len(found), 1)), rtol=1e-12)


def test_up_and_down_change_places_when_prices_are_mirrored() -> None:
    candles = market(400)
    mirrored = Candles(
        candles.open_ts_ms,
        500 - candles.open,
        500 - candles.low,
        500 - candles.high,
        500 - candles.close,
        candles.volume,
    )
    one = values([MOVEMENT.plus, AROON.up, VORTEX.plus, MOVEMENT.adx, SAR.side], candles)[40:]
    other = values([MOVEMENT.minus, AROON.down, VORTEX.minus, MOVEMENT.adx, -SAR.side], mirrored)[40:]
    np.testing.assert_allclose(one[:, :4], other[:, :4], rtol=1e-9, atol=1e-9)
    assert np.mean(one[:, 4] == other[:, 4]) > 0.99


@pytest.mark.parametrize(
    "wrong", [lambda: ranges.directional(*BARS, 1), lambda: trail.sar(RAW_HIGH, RAW_LOW, 0.3, 0.2)]
)
def test_parameters_that_make_no_sense_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="use"):
        wrong()
