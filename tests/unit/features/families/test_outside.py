"""Book, chain, sentiment and events: against their formulas, the laws of graphs, and recorded series."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from tests.unit.features.candles import HOUR_MS, START_MS, market, recorded
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.core.series import Points
from heliograph.features.families.outside import FEATURES
from heliograph.features.known import by_name, joined, until_next_ms
from heliograph.features.market import SIGMA

FloatArray = npt.NDArray[np.float64]
NAMES = [f.name for f in FEATURES]
DAY_MS = 24 * HOUR_MS
CHAIN = ("exchange_inflow", "exchange_outflow", "active_addresses", "chain_transactions", "chain_fees")


def others(candles: Candles, *, seed: int = 1) -> dict[str, FloatArray]:
    """A book a minute before each close, chain days, a daily index, news every few hours, an event now and then."""
    rng = np.random.default_rng(seed)
    at = candles.open_ts_ms + HOUR_MS
    days = np.arange(START_MS - 3 * DAY_MS, at[-1], DAY_MS)
    news = np.unique(rng.integers(START_MS // HOUR_MS - 20, at[-1] // HOUR_MS, at.size // 2)) * HOUR_MS + 7
    event = days[::9]
    book = {
        "book_imbalance": rng.uniform(-1, 1, at.size),
        "book_spread": rng.lognormal(-9, 0.5, at.size),
        "book_depth": rng.lognormal(12, 0.5, at.size),
    }
    told = {name: Points(at - 60_000, at - 60_000, value) for name, value in book.items()}
    told |= {name: by_name(name).points(days, rng.lognormal(8, 0.3, days.size)) for name in CHAIN}
    told["fear_greed"] = by_name("fear_greed").points(days, rng.integers(5, 95, days.size))
    told["news_score"] = by_name("news_score").points(news, rng.uniform(-1, 1, news.size))
    told["event"] = by_name("event").points(event, np.ones(event.size))
    found = joined(told, at)
    ahead = days[::5] + 3 * DAY_MS
    return {**found, "event_until_ms": until_next_ms(ahead, ahead - 20 * DAY_MS, at)}


def reference(t: int, x: dict[str, FloatArray], sigma: float) -> dict[str, float]:
    def last(series: FloatArray, bars: int) -> FloatArray:
        return series[t - bars + 1 : t + 1]

    def score(series: FloatArray, bars: int) -> float:
        return float((series[t] - last(series, bars).mean()) / last(series, bars).std())

    def hours(name: str) -> float:
        return float(np.log1p(x[name][t] / HOUR_MS))

    net = (x["exchange_inflow"] - x["exchange_outflow"]) / (x["exchange_inflow"] + x["exchange_outflow"])
    depth, greed, imbalance = np.log(x["book_depth"]), x["fear_greed"], x["book_imbalance"]
    addresses, transactions = np.log(x["active_addresses"]), np.log(x["chain_transactions"])
    return {
        "book_imbalance": imbalance[t],
        "book_imbalance_mean_24": last(imbalance, 24).mean(),
        "book_imbalance_change": imbalance[t] - imbalance[t - 1],
        "book_spread_to_risk": x["book_spread"][t] / sigma,
        "book_spread_z_168": score(x["book_spread"], 168),
        "book_depth_z_168": score(depth, 168),
        "book_depth_change_24": depth[t] - last(depth, 24).mean(),
        "book_age": hours("book_imbalance_age_ms"),
        "chain_net_inflow": net[t],
        "chain_net_inflow_z_720": score(net, 720),
        "active_addresses_z_720": score(addresses, 720),
        "active_addresses_change_168": addresses[t] - addresses[t - 168],
        "chain_transactions_change_168": transactions[t] - transactions[t - 168],
        "chain_fees_z_720": score(np.log(x["chain_fees"]), 720),
        "chain_age": hours("active_addresses_age_ms"),
        "fear_greed": greed[t] / 50 - 1,
        "fear_greed_change_24": (greed[t] - greed[t - 24]) / 50,
        "fear_greed_change_168": (greed[t] - greed[t - 168]) / 50,
        "fear_greed_z_720": score(greed, 720),
        "fear_greed_age": hours("fear_greed_age_ms"),
        "news_score": x["news_score"][t],
        "news_score_mean_24": last(x["news_score"], 24).mean(),
        "news_age": hours("news_score_age_ms"),
        "event_recent": x["event"][t] / (1 + x["event_age_ms"][t] / DAY_MS),
        "event_since": hours("event_age_ms"),
        "event_until": hours("event_until_ms"),
    }


def test_every_feature_is_what_its_formula_says() -> None:
    candles = market(1100)
    x = others(candles)
    sigma = values(SIGMA, candles, others=x)
    found = values([f.of for f in FEATURES], candles, others=x)
    for t in range(760, 1050, 29):
        wanted = reference(t, x, sigma[t])
        assert sorted(wanted) == sorted(NAMES)
        np.testing.assert_allclose(found[t], [wanted[n] for n in NAMES], rtol=1e-8, atol=1e-10, err_msg=str(NAMES))


def test_any_cut_of_time_gives_the_same_bits() -> None:
    candles = market(900, missing=0.01, quiet=0.1)
    assert_laws([f.of for f in FEATURES], candles, others=others(candles))


def test_lookback_is_exact_on_clean_inputs() -> None:
    candles = market(800)
    x = {name: np.where(np.isnan(v), 0.5, v) for name, v in others(candles).items()}
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


def test_amounts_of_zero_and_series_that_stand_still_stay_finite() -> None:
    candles = market(800, quiet=1.0)
    x = {name: np.zeros(len(candles)) for name in others(candles)}
    found = values([f.of for f in FEATURES], candles, others=x)
    assert np.isfinite(found[730:]).all()


def all_of(candles: Candles, x: dict[str, FloatArray]) -> FloatArray:
    every = {name: np.full(len(candles), np.nan) for name in others(market(50))}
    return values([f.of for f in FEATURES], candles, others={**every, **x})


def assert_finite_in_range(found: FloatArray, first: int, prefix: str, share: float = 1.0) -> None:
    for k, feature in enumerate(FEATURES):
        if feature.name.startswith(prefix):
            warm = found[first + feature.lookback_bars :, k]
            is_known = np.isfinite(warm)
            assert is_known.mean() >= share, feature.name
            assert ((warm >= feature.low) & (warm <= feature.high))[is_known].mean() > 0.999, feature.name


def test_years_of_recorded_fear_and_greed_stay_in_range(shared_data: Path) -> None:
    """Known but for four days of April 2018, and the windows that hold them."""
    table = pq.read_table(shared_data / "extras/sentiment/fear_greed_daily.parquet")
    told = by_name("fear_greed").points(table["ts"].to_numpy(), table["value"].to_numpy())
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h")
    candles = candles.take(candles.open_ts_ms >= told.known_ts_ms[0])
    found = all_of(candles, joined({"fear_greed": told}, candles.open_ts_ms + HOUR_MS))
    assert_finite_in_range(found, 1, "fear_greed", share=0.98)


def test_recorded_chain_days_stay_finite_in_range(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "extras/onchain/ethereum_gas_daily.parquet")
    ts, count, gas = (table[name].to_numpy() for name in ("ts", "tx_count", "gas_used"))
    fees = gas * table["avg_gas_price_wei"].to_numpy() / 1e18
    candles = recorded(shared_data, "binance", "ETH-USDT", "1h")
    told = {
        "chain_transactions": by_name("chain_transactions").points(ts, count),
        "chain_fees": by_name("chain_fees").points(ts, fees),
    }
    found = all_of(candles, joined(told, candles.open_ts_ms + HOUR_MS))
    for prefix in ("chain_transactions", "chain_fees"):
        assert_finite_in_range(found, 1, prefix)


def test_recorded_events_fade_from_the_end_of_their_day(shared_data: Path) -> None:
    with (shared_data / "extras/sentiment/crypto_events_2019_2025.csv").open(encoding="utf-8") as file:
        days = [datetime.fromisoformat(row["date"]).replace(tzinfo=UTC) for row in csv.DictReader(file)]
    ts = np.unique(np.array([int(day.timestamp() * 1000) for day in days]))
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h")
    candles = candles.take(candles.open_ts_ms >= ts[0] + DAY_MS)
    at = candles.open_ts_ms + HOUR_MS
    found = all_of(candles, joined({"event": by_name("event").points(ts, np.ones(ts.size))}, at))
    recent = found[:, NAMES.index("event_recent")]
    assert_finite_in_range(found, 1, "event_recent")
    assert recent.max() == 0.5
    assert set(np.diff(at[recent == 0.5]) % DAY_MS) == {0}


def test_a_recorded_order_book_is_read_at_minute_closes(shared_data: Path) -> None:
    """Best quotes of a recorded stream; each counts from the recorder's own clock on."""
    path = shared_data / "extras/orderbook/binance_spot_ethusdt_2024-08-08_2354.jsonl.gz"
    rows = []
    with gzip.open(path, "rt") as file:
        for line in file:
            clock_ns, _, message = line.partition(" ")
            data = json.loads(message).get("data", {})
            if {"b", "B", "a", "A"} <= data.keys() and isinstance(data["b"], str):
                rows.append((int(clock_ns) // 1_000_000 + 1, *(float(data[k]) for k in ("b", "B", "a", "A"))))
    ts, bid, bid_qty, ask, ask_qty = np.array(rows).T
    ms, last = np.unique(ts.astype(np.int64)[::-1], return_index=True)
    newest = ts.size - 1 - last
    imbalance, spread = (bid_qty - ask_qty) / (bid_qty + ask_qty), 2 * (ask - bid) / (ask + bid)
    closes = np.arange(ms[0] // 60_000 + 1, ms[-1] // 60_000 + 1) * 60_000
    told = {
        "book_imbalance": Points(ms, ms, imbalance[newest]),
        "book_spread": Points(ms, ms, spread[newest]),
    }
    found = joined(told, closes)
    row = np.searchsorted(ms, closes, "right") - 1
    np.testing.assert_array_equal(found["book_imbalance"], imbalance[newest][row])
    assert (np.abs(found["book_imbalance"]) <= 1).all()
    assert ((found["book_spread"] > 0) & (found["book_spread"] < 1e-3)).all()
    assert (found["book_imbalance_age_ms"] >= 0).all()


def test_declarations_hold_together() -> None:
    assert len(set(NAMES)) == len(FEATURES) >= 12
    assert all(f.family == "outside" and f.unit and f.source and f.low < f.high for f in FEATURES)
    assert all(f.settle_bars is not None for f in FEATURES)
