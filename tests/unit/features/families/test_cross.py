"""Features across symbols: against their formulas, the laws of graphs, and nine recorded markets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.unit.features.candles import market, recorded
from tests.unit.features.graphs import assert_laws, values

from heliograph.core import timeframe
from heliograph.core.market import Candles
from heliograph.features import panel
from heliograph.features.families.cross import FEATURES
from heliograph.features.market import BAR_RETURN, SIGMA
from heliograph.features.panel import Panel

FloatArray = npt.NDArray[np.float64]
NAMES = [f.name for f in FEATURES]
WARM_UP = 170  # of the panel's own windows


def inputs(candles: dict[str, Candles]) -> dict[str, dict[str, FloatArray]]:
    ts = panel.times(candles)
    found = Panel([*candles], timeframe.parse("1h")).advance(ts, candles)
    return {
        symbol: panel.others(found, s, np.searchsorted(ts, bars.open_ts_ms))
        for s, (symbol, bars) in enumerate(candles.items())
    }


def made(bars: int = 900, *, quiet: float = 0.02) -> dict[str, Candles]:
    """Four symbols that share a common move."""
    common = market(bars, seed=99, quiet=quiet, tick=1e-9)
    drift = common.close / common.close[0]
    found = {}
    for s in range(4):
        one = market(bars, seed=s, quiet=quiet, tick=1e-6)
        prices = (one.open * drift, one.high * drift, one.low * drift, one.close * drift)
        found[f"C{s}"] = Candles(one.open_ts_ms, *prices, one.volume).take(np.random.default_rng(s).random(bars) > 0.01)
    return found


def binance(folder: Path) -> dict[str, Candles]:
    """2020-07 … 2021-01: SOL and AVAX are listed on the way, and outages stop the venue."""
    names = ("BTC", "ETH", "XRP", "ADA", "LTC", "LINK", "DOGE", "SOL", "AVAX")
    found = {n: recorded(folder, "binance", f"{n}-USDT", "1h") for n in names}
    first, end = 1_595_000_000_000, 1_610_000_000_000
    return {n: c.take((c.open_ts_ms >= first) & (c.open_ts_ms < end)) for n, c in found.items()}


def one_sided(r: FloatArray, m: FloatArray) -> float:
    return float(np.polyfit(m, r, 1)[0]) if m.size > 1 and m.std() > 0 else 1.0


def fitted(y: FloatArray, x: FloatArray) -> float:
    return float(np.cov(x, y, bias=True)[0, 1] / x.var())


def reference(t: int, candles: Candles, x: dict[str, FloatArray], r: FloatArray, sigma: FloatArray) -> dict[str, float]:
    """Every feature at row ``t``, from windows cut out by hand."""
    m, lead, close = x["market_return"], x["leader_return"], candles.close

    def last(values: FloatArray, bars: int, lag: int = 0) -> FloatArray:
        return values[t - lag - bars + 1 : t - lag + 1]

    def correlation(a: FloatArray, b: FloatArray, bars: int, a_lag: int = 0, b_lag: int = 0) -> float:
        return float(np.corrcoef(last(a, bars, a_lag), last(b, bars, b_lag))[0, 1])

    residual = {k: r[k] - fitted(r[k - 72 : k], m[k - 72 : k]) * m[k] for k in range(t - 71, t + 1)}
    tail = np.array([*residual.values()])
    r168, m168 = last(r, 168), last(m, 168)
    down, up = one_sided(r168[m168 < 0], m168[m168 < 0]), one_sided(r168[m168 > 0], m168[m168 > 0])
    root = np.sqrt(24)
    market_dev = last(m, 72).std() * root
    found = {
        "beta_72": fitted(last(r, 72), last(m, 72)),
        "beta_336": fitted(last(r, 336), last(m, 336)),
        "beta_change": fitted(last(r, 72), last(m, 72)) - fitted(last(r, 336), last(m, 336)),
        "beta_down_168": down,
        "beta_asymmetry_168": down - up,
        "correlation_72": correlation(r, m, 72),
        "correlation_336": correlation(r, m, 336),
        "idiosyncratic_share_72": 1 - correlation(r, m, 72) ** 2,
        "idiosyncratic_return": tail[-1] / sigma[t],
        "residual_momentum_24": tail[-24:].sum() / (tail.std() * root),
        "lagged_market_72": correlation(r, m, 72, b_lag=1),
        "lagged_leader_72": correlation(r, lead, 72, b_lag=1),
        "leads_market_72": correlation(m, r, 72, b_lag=1),
        "leader_return": lead[t] / sigma[t],
        "market_return": m[t] / sigma[t],
        "market_momentum_24": last(m, 24).sum() / market_dev,
        "market_volatility_24_168": np.log(last(m, 24).std() / m168.std()),
        "relative_strength_24": (np.log(close[t] / close[t - 24]) - x["market_momentum_24"][t]) / (sigma[t] * root),
        "large_minus_small_24": last(x["market_return_weighted"] - m, 24).sum() / market_dev,
        "dispersion": x["dispersion"][t] / sigma[t],
        "dispersion_168": np.log(x["dispersion"][t] / last(x["dispersion"], 168).mean()),
        "herding": abs(m[t]) / x["dispersion"][t],
        "breadth_rising": 2 * x["breadth_rising"][t] - 1,
        "breadth_rising_24": 2 * last(x["breadth_rising"], 24).mean() - 1,
        "breadth_above_mean": 2 * x["breadth_above_mean"][t] - 1,
        "turnover_share": x["turnover_share"][t],
        "turnover_share_change_168": np.log(x["turnover_share"][t] / last(x["turnover_share"], 168).mean()),
    }
    ranks = ("momentum_24", "momentum_168", "volatility", "volume", "turnover")
    found |= {f"rank_{name}": 2 * x[f"rank_{name}"][t] - 1 for name in ranks}
    return {f"cross_{name}": float(value) for name, value in found.items()}


def assert_equals_reference(candles: Candles, others: dict[str, FloatArray], rows: npt.NDArray[np.int64]) -> None:
    own = values([BAR_RETURN, SIGMA], candles, others=others)
    found = values([f.of for f in FEATURES], candles, others=others)
    for t in rows.tolist():
        wanted = reference(t, candles, others, own[:, 0], own[:, 1])
        assert sorted(wanted) == sorted(NAMES)
        expected = [wanted[name] for name in NAMES]
        np.testing.assert_allclose(found[t], expected, rtol=1e-7, atol=1e-10, err_msg=f"row {t} of {NAMES}")


def test_every_feature_is_what_its_formula_says() -> None:
    candles = made()
    others = inputs(candles)
    for symbol, bars in candles.items():
        assert_equals_reference(bars, others[symbol], np.arange(WARM_UP + 340, len(bars), 61))


def test_recorded_markets_agree_with_the_formulas_and_stay_finite_in_range(shared_data: Path) -> None:
    candles = binance(shared_data)
    others = inputs(candles)
    for symbol, bars in candles.items():
        found = values([f.of for f in FEATURES], bars, others=others[symbol])
        for k, feature in enumerate(FEATURES):
            warm = found[WARM_UP + feature.lookback_bars :, k]
            assert np.isfinite(warm).all(), (symbol, feature.name)
            inside = (warm >= feature.low - 1e-9) & (warm <= feature.high + 1e-9)
            assert inside.mean() > 0.99, (symbol, feature.name, warm.min(), warm.max())
        assert_equals_reference(bars, others[symbol], np.array([WARM_UP + 400, len(bars) - 1]))


@pytest.mark.parametrize("quiet", [0.0, 1.0])
def test_any_cut_of_time_gives_the_same_bits(quiet: float) -> None:
    candles = made(500, quiet=quiet)
    symbol = next(iter(candles))
    assert_laws([f.of for f in FEATURES], candles[symbol], others=inputs(candles)[symbol])


@pytest.mark.parametrize("symbols", [1, 3])
def test_still_markets_and_a_market_alone_give_finite_features(symbols: int) -> None:
    for quiet in (0.0, 0.97, 1.0):
        candles = {f"C{s}": market(700, seed=s, quiet=quiet, tick=1.0) for s in range(symbols)}
        for symbol, others in inputs(candles).items():
            found = values([f.of for f in FEATURES], candles[symbol], others=others)
            assert np.isfinite(found[WARM_UP + 340 :]).all(), (quiet, symbol)


def test_a_symbol_that_is_the_market_has_beta_one_and_no_residual() -> None:
    candles = {"A": market(600, quiet=0.0, tick=1e-9)}
    found = dict(
        zip(NAMES, values([f.of for f in FEATURES], candles["A"], others=inputs(candles)["A"])[-1], strict=True)
    )
    for name in ("beta_72", "beta_336", "beta_down_168", "correlation_72"):
        assert found[f"cross_{name}"] == pytest.approx(1.0, abs=1e-9)
    assert found["cross_idiosyncratic_return"] == pytest.approx(0.0, abs=1e-9)


def test_declarations_hold_together() -> None:
    assert len(set(NAMES)) == len(FEATURES) >= 15
    for feature in FEATURES:
        assert feature.family == "cross"
        assert feature.unit
        assert feature.source
        assert feature.low < feature.high
        assert feature.settle_bars is not None
