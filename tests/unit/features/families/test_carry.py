"""Funding, basis and open interest: against their formulas, the laws of graphs, and recorded markets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from tests.unit.features.candles import HOUR_MS, START_MS, market, recorded
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.core.series import Points
from heliograph.features.families.carry import FEATURES
from heliograph.features.known import by_name, joined, log_basis
from heliograph.features.market import BAR_RETURN, SIGMA

FloatArray = npt.NDArray[np.float64]
NAMES = [f.name for f in FEATURES]
FUNDING = [f for f in FEATURES if f.name.startswith("funding")]
BASIS = [f for f in FEATURES if f.name.startswith("basis")]
INTEREST = [f for f in FEATURES if f.name.startswith("open_interest")]


def others(candles: Candles, *, seed: int = 1) -> dict[str, FloatArray]:
    """Rates every eight hours, a basis at every close, open interest every hour, told an hour later."""
    rng = np.random.default_rng(seed)
    at = candles.open_ts_ms + HOUR_MS
    settled = np.arange(START_MS - 16 * HOUR_MS, at[-1], 8 * HOUR_MS)
    rate = np.round(rng.normal(1e-4, 2e-4, settled.size), 8)
    hours = np.arange(START_MS - 4 * HOUR_MS, at[-1], HOUR_MS)
    interest = 1e5 * np.exp(np.cumsum(rng.normal(0, 0.01, hours.size)))
    return joined(
        {
            "funding_rate": by_name("funding_rate").points(settled, rate),
            "basis": Points(at, at, rng.normal(5e-4, 3e-4, at.size)),
            "open_interest": by_name("open_interest").points(hours, interest),
        },
        at,
    )


def reference(
    t: int, close: FloatArray, x: dict[str, FloatArray], r: FloatArray, sigma: FloatArray
) -> dict[str, float]:
    rate, age, period, paid = (x[name] for name in by_name("funding_rate").series)
    basis, interest = x["basis"], np.log(x["open_interest"])
    change = np.append(np.nan, np.diff(interest))

    def last(series: FloatArray, bars: int) -> FloatArray:
        return series[t - bars + 1 : t + 1]

    def score(series: FloatArray) -> float:
        return float((series[t] - last(series, 168).mean()) / last(series, 168).std())

    move = (interest[t] - interest[t - 24]) / (last(change, 168).std() * 24**0.5)
    return {
        "funding_rate": rate[t] * 1e4,
        **{f"funding_mean_{n}": last(rate, n).mean() * 1e4 for n in (24, 72, 168)},
        "funding_z_168": score(rate),
        "funding_change_24": (rate[t] - rate[t - 24]) * 1e4,
        "funding_paid_24": last(paid, 24).sum() * 1e4,
        "funding_paid_168": last(paid, 168).sum() * 1e4,
        "funding_to_risk_168": last(paid, 168).sum() / (sigma[t] * 168**0.5),
        "funding_positive_168": np.sign(last(rate, 168)).mean(),
        "funding_to_next": max(0.0, 1 - age[t] / period[t]),
        "funding_age": age[t] / HOUR_MS,
        "basis": basis[t] * 1e4,
        "basis_mean_24": last(basis, 24).mean() * 1e4,
        "basis_z_168": score(basis),
        "basis_change_24": (basis[t] - basis[t - 24]) * 1e4,
        "basis_to_risk": basis[t] / sigma[t],
        "open_interest_change_24": interest[t] - interest[t - 24],
        "open_interest_z_168": score(interest),
        "open_interest_move_24": move,
        "open_interest_against_price_24": move * np.log(close[t] / close[t - 24]) / (sigma[t] * 24**0.5),
        "open_interest_correlation_72": np.corrcoef(last(change, 72), last(r, 72))[0, 1],
        "open_interest_age": x["open_interest_age_ms"][t] / HOUR_MS,
    }


def test_every_feature_is_what_its_formula_says() -> None:
    candles = market(700, missing=0.0)
    x = others(candles)
    own = values([BAR_RETURN, SIGMA], candles, others=x)
    found = values([f.of for f in FEATURES], candles, others=x)
    for t in range(250, len(candles), 37):
        wanted = reference(t, candles.close, x, own[:, 0], own[:, 1])
        assert sorted(wanted) == sorted(NAMES)
        np.testing.assert_allclose(found[t], [wanted[n] for n in NAMES], rtol=1e-8, atol=1e-10, err_msg=str(NAMES))


def test_any_cut_of_time_gives_the_same_bits() -> None:
    candles = market(500, missing=0.01, quiet=0.1)
    assert_laws([f.of for f in FEATURES], candles, others=others(candles))


def test_lookback_is_exact_on_clean_inputs() -> None:
    candles = market(300)
    x = {name: np.where(np.isnan(v), 0.0, v) for name, v in others(candles).items()}
    found = values([f.of for f in FEATURES], candles, others=x)
    for k, feature in enumerate(FEATURES):
        is_finite, bars = np.isfinite(found[:, k]), feature.lookback_bars
        if "close" in feature.of.node.sources:
            assert is_finite[max(bars, 25) :].all(), (
                feature.name
            )  # the volatility of a market is known after 24 returns
        else:
            assert is_finite.argmax() == bars - 1, feature.name
            assert is_finite[bars:].all(), feature.name


def test_rates_that_never_move_give_no_score() -> None:
    candles = market(400, quiet=1.0)
    at = candles.open_ts_ms
    x = {name: np.full(at.size, 1e-4) for name in others(candles)}
    found = dict(zip(NAMES, values([f.of for f in FEATURES], candles, others=x)[-1], strict=True))
    assert all(np.isfinite(value) for value in found.values())
    for name in ("funding_z_168", "basis_z_168", "open_interest_z_168", "open_interest_move_24"):
        assert found[name] == 0.0


def test_an_input_that_is_not_known_gives_no_value() -> None:
    candles = market(400)
    x = {name: np.full(len(candles), np.nan) for name in others(candles)}
    assert np.isnan(values([f.of for f in FEATURES], candles, others=x)).all()


def assert_finite_in_range(found: FloatArray, first: int, declared: list[str]) -> None:
    for k, feature in enumerate(FEATURES):
        if feature.name in declared:
            warm = found[first + feature.lookback_bars :, k]
            assert np.isfinite(warm).all(), feature.name
            inside = (warm >= feature.low) & (warm <= feature.high)
            assert inside.mean() > 0.999, (feature.name, warm.min(), warm.max())


def all_of(candles: Candles, x: dict[str, FloatArray]) -> FloatArray:
    every = {name: np.full(len(candles), np.nan) for name in others(market(50))}
    return values([f.of for f in FEATURES], candles, others={**every, **x})


def funding(folder: Path, name: str) -> Points:
    table = pq.read_table(folder / f"extras/funding/{name}.parquet")
    return by_name("funding_rate").points(table["ts"].to_numpy(), table["rate"].to_numpy())


def test_five_years_of_recorded_funding_stay_finite_in_range(shared_data: Path) -> None:
    rates = funding(shared_data, "binance-usdm_BTC-USDT-PERP")
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h")
    candles = candles.take(candles.open_ts_ms >= rates.event_ts_ms[1])
    found = all_of(candles, joined({"funding_rate": rates}, candles.open_ts_ms + HOUR_MS))
    assert_finite_in_range(found, 25, [f.name for f in FUNDING])
    paid = found[:, NAMES.index("funding_paid_168")]
    is_flat = found[:, NAMES.index("funding_z_168")] == 0.0
    rate = found[is_flat, NAMES.index("funding_rate")][-1]
    np.testing.assert_allclose(paid[is_flat][-1], 21 * rate, rtol=1e-9)  # settlements in a week


def test_hourly_funding_and_a_basis_between_two_venues_stay_finite_in_range(shared_data: Path) -> None:
    spot = recorded(shared_data, "binance", "BTC-USDT", "1h")
    perp = recorded(shared_data, "hyperliquid", "BTC-USDC-PERP", "1h")
    perp = perp.take(perp.open_ts_ms <= spot.open_ts_ms[-1])
    at = perp.open_ts_ms + HOUR_MS
    basis = log_basis(perp.close, at, spot.close, spot.open_ts_ms + HOUR_MS)
    x = joined({"funding_rate": funding(shared_data, "hyperliquid_BTC-USDC-PERP"), "basis": basis}, at)
    found = all_of(perp, x)
    assert_finite_in_range(found, 25, [f.name for f in (*FUNDING, *BASIS)])
    assert np.median(np.abs(found[:, NAMES.index("basis")])) < 50  # basis points


def test_recorded_open_interest_stays_finite_while_it_is_fresh(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "extras/open_interest/okx_swaps.parquet")
    is_eth = table["symbol"].to_numpy(zero_copy_only=False) == "ETH-USDT-SWAP"
    ts, told = (table[name].to_numpy()[is_eth] for name in ("ts", "oi_contracts_value"))
    like = market((int(ts[-1] - ts[0]) // HOUR_MS) + 1)
    opens = ts[0] // HOUR_MS * HOUR_MS + HOUR_MS * np.arange(len(like))
    candles = Candles(opens, like.open, like.high, like.low, like.close, like.volume)
    x = joined({"open_interest": Points(ts, ts, told)}, opens + HOUR_MS)
    found = all_of(candles, x)
    is_fresh = ~np.isnan(x["open_interest"])
    is_known = is_fresh & np.append(np.full(24, False), is_fresh[:-24])
    change = found[:, NAMES.index("open_interest_change_24")]
    np.testing.assert_array_equal(np.isfinite(change), is_known)
    assert is_known.sum() > 100
    assert np.nanmax(np.abs(change)) < 0.5


def test_declarations_hold_together() -> None:
    assert len(set(NAMES)) == len(FEATURES) >= 10
    assert len(FUNDING) + len(BASIS) + len(INTEREST) == len(FEATURES)
    assert all(f.family == "carry" and f.unit and f.source and f.low < f.high for f in FEATURES)
    assert all(f.settle_bars is not None for f in FEATURES)
