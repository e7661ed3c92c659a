"""Volatility that a portfolio had over the volatility it was to have, on real candles, per regime.

The distribution is a plain baseline's; only its centre is moved, so far that the volatility target and nothing else
decides the size. Regimes are terciles of the mean volatility known at each hour.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from heliograph.backtest.result import returns
from heliograph.backtest.run import run
from heliograph.config.learning import LabelSettings
from heliograph.config.settings import CostSettings, FeatureSettings, RiskSettings
from heliograph.core.market import Market
from heliograph.core.timeframe import parse
from heliograph.desk.batch import ForecastColumns, Stream, in_order
from heliograph.features import table
from heliograph.model.har import HAR_FEATURES, Har
from heliograph.model.spec import Spec
from heliograph.train.protocol import Plan, moment_ms, read_candles, symbol_data

HOUR = parse("1h")
HORIZON = 24
LABELS = LabelSettings(horizons_bars=(1, HORIZON))
LIMITS = RiskSettings(
    kelly_fraction=0.5,
    horizon_bars=HORIZON,
    annual_vol_target=0.20,
    max_symbol_weight=1.0,
    max_leverage=4.0,
    soft_drawdown=0.97,
    hard_drawdown=0.99,
    min_confidence=0.0,
    no_trade_band=0.005,
    max_order_notional_quote=1e9,
)
EDGE = 0.6  # standard deviations of the horizon
BOOKS = ("long", "trend", "neutral")
FEATURES = FeatureSettings(names=("ewma_volatility", "log_return_24", *HAR_FEATURES), context_timeframes=())


def side(book: str, number: int, past_N):
    """Where the centre is moved: up, after the last day's move, or up for every other market and down for the rest."""
    if book == "long":
        return np.ones(past_N.size)
    if book == "trend":
        return np.where(past_N >= 0, 1.0, -1.0)
    return np.full(past_N.size, 1.0 if number % 2 else -1.0)


def standard_scale(forecaster: str, spec: Spec, data, plan: Plan):
    """Quantiles of the standardised return in training, and the scale of every row of each symbol."""
    known = [d.known_ts_ms + HORIZON * HOUR.ms < plan.test_from_ms for d in data]
    usable = [
        k & np.isfinite(d.x_NF).all(axis=1) & np.isfinite(d.log_return_NH).all(axis=1)
        for d, k in zip(data, known, strict=True)
    ]
    rows = [np.flatnonzero(u)[::4] for u in usable]
    last = np.concatenate([d.x_NF[r] for d, r in zip(data, rows, strict=True)])
    y = np.concatenate([d.log_return_NH[r] for d, r in zip(data, rows, strict=True)])
    if forecaster == "har":
        har = Har.fit(spec, last_NF=last, log_return_NH=y)
        scale = har.scale
    else:
        scale = lambda x: np.maximum(x[:, spec.sigma_index].astype(float), 1e-6)[:, None] * spec.root_horizons  # noqa: E731
    z = y / scale(last)
    return np.quantile(z, spec.levels, axis=0).T, z.std(axis=0), scale


def main() -> None:
    """Print a line for each baseline and book."""
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--candles", type=Path, required=True, help="folder with BTC-USDT/1h.parquet …")
    args.add_argument("--test-from", default="2023-01")
    args.add_argument("--test-to", default="2024-12")
    args.add_argument("--symbols", nargs="*")
    args.add_argument("--forecasters", nargs="*", default=["volatility_scaled", "har"])
    args.add_argument("--books", nargs="*", default=BOOKS)
    told = args.parse_args()
    plan = Plan(moment_ms(told.test_from), moment_ms(told.test_to, is_end=True))
    candles = read_candles(told.candles, "1h", told.symbols)
    data = [symbol_data(c, venue="binance", symbol=s, features=FEATURES, label=LABELS) for s, c in candles.items()]
    spec = Spec(tuple(table.names(FEATURES)), table.SIGMA, LABELS.horizons_bars, LABELS.levels, 1)
    for forecaster in told.forecasters:
        standard = standard_scale(forecaster, spec, data, plan)
        for book in told.books:
            figures = backtest(book, spec, data, list(candles.values()), plan, standard)
            sys.stdout.write(json.dumps({"check": "sizes", "forecaster": forecaster, "book": book, **figures}) + "\n")
            sys.stdout.flush()


def backtest(book, spec, data, frames, plan, standard):
    """One book's realised volatility over the target, overall and in each regime."""
    quantile_HQ, spread_H, scale = standard
    streams, sigma = [], {}
    for number, (d, frame) in enumerate(zip(data, frames, strict=True)):
        row_N = np.flatnonzero((plan.test_from_ms <= d.known_ts_ms) & (d.known_ts_ms < plan.test_to_ms))
        row_N = row_N[np.isfinite(d.x_NF[row_N]).all(axis=1)]
        first = int(row_N[0])
        scale_NH = scale(d.x_NF[row_N])
        towards = side(book, number, d.x_NF[row_N, spec.feature_names.index("log_return_24")])
        moved_NHQ = (quantile_HQ + (EDGE * spread_H)[:, None] * towards[:, None, None]) * scale_NH[..., None]
        for ts, s in zip(d.known_ts_ms[row_N].tolist(), d.x_NF[row_N, spec.sigma_index].tolist(), strict=True):
            sigma.setdefault(ts, []).append(s)
        columns = ForecastColumns(
            row_N=row_N - first,
            quantile_NHQ=moved_NHQ,
            setup_NHC=np.tile(np.array([0.0, 1.0, 0.0]), (row_N.size, 2, 1)),
            confidence_NH=np.ones((row_N.size, 2)),
            model_N=[book] * row_N.size,
            horizons_bars=spec.horizons_bars,
            levels=spec.levels,
        )
        kept = slice(first, int(row_N[-1]) + 1)
        part = replace(
            frame,
            **{name: getattr(frame, name)[kept] for name in ("open_ts_ms", "open", "high", "low", "close", "volume")},
        )
        streams.append(Stream("binance", d.symbol, "1h", part, d.known_ts_ms[kept], columns))
    result = run(
        in_order(streams),
        timeframe=HOUR,
        markets={("binance", d.symbol): _market(d.symbol) for d in data},
        limits=LIMITS,
        costs=CostSettings(fee_bps=0.0, slippage_bps=0.0),
    )
    mean = np.array([np.mean(sigma.get(ts, [np.nan])) for ts in result.close_ts_ms.tolist()])[:-1]
    r = returns(result.equity_quote)
    ratio = lambda chosen: float(np.sqrt((r[chosen] ** 2).mean() * 8_760) / LIMITS.annual_vol_target)  # noqa: E731
    warm = np.arange(r.size) >= 60 * 24
    regime = np.searchsorted(np.nanquantile(mean, (1 / 3, 2 / 3)), mean)
    names = ("calm", "usual", "wild")
    return {
        "realised_over_target": round(ratio(warm), 3),
        **{name: round(ratio(warm & (regime == k)), 3) for k, name in enumerate(names)},
        "orders": len(result.orders),
        "mean_exposure": round(float(result.gross_exposure.mean()), 3),
    }


def _market(symbol: str) -> Market:
    return Market(
        "binance",
        symbol,
        "swap",
        symbol.partition("/")[0],
        "USDT",
        Decimal("0.00001"),
        Decimal("0.00001"),
        Decimal("5"),
    )


if __name__ == "__main__":
    main()
