"""Trade a fitted run's out-of-sample forecasts through the engine, and write the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed

import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.backtest import feed, metrics, report
from heliograph.backtest import run as replay
from heliograph.config.settings import Settings
from heliograph.core.timeframe import parse
from heliograph.desk.batch import Bar as TradingBar
from heliograph.lake import read
from heliograph.sources.catalog import rules_of
from heliograph.telemetry.progress import Bar
from heliograph.train import ledger, registry
from heliograph.wiring import catalogue

SHOW_EVERY_BARS = 2_000


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The backtest in a few figures; the page has the rest."""

    report: str
    bars: int
    orders: int
    fills: int
    total_return_pct: float
    sharpe: float
    max_drawdown_pct: float
    costs_quote: float
    ledger_balanced: bool


def run(settings: Settings, shown: Bar) -> EvaluationReport:
    """Backtest the current run.

    Raises:
        ConfigError: nothing was fitted or fetched yet.
    """
    folder = registry.current_run(settings)
    folds = sorted(folder.glob("fold-*"))
    tables = [pq.read_table(f / "forecasts.parquet") for f in folds]
    scores = [json.loads((f / "score.json").read_text()) for f in folds]
    keys = sorted({(r["venue"], r["symbol"]) for t in tables for r in t.select(["venue", "symbol"]).to_pylist()})
    name = settings.features.timeframe
    markets = catalogue.backtested(settings.lake, keys)
    bars = feed.bars(
        {(v, s): read.candles(settings.lake, v, s, name) for v, s in keys},
        tables,
        parse(name),
        close_delay_ms={v: rules_of(v, s).close_delay_ms for v, s in keys},
    )
    result = replay.run(
        _told(bars, sum(t.num_rows for t in tables), shown),
        timeframe=parse(name),
        markets=markets,
        limits=settings.risk,
        costs=settings.costs,
    )
    path = report.write(
        settings.var / "report.html", result, scores, _provenance(settings, tables, markets[keys[0]].quote)
    )
    curve = metrics.of_curve(result.equity_quote, result.timeframe)
    return EvaluationReport(
        report=str(path),
        bars=result.num_bars,
        orders=len(result.orders),
        fills=len(result.fills),
        total_return_pct=100 * curve.total_return,
        sharpe=curve.sharpe,
        max_drawdown_pct=100 * curve.max_drawdown,
        costs_quote=float(result.cost_quote[-1]),
        ledger_balanced=result.is_balanced,
    )


def _provenance(settings: Settings, tables: list[pa.Table], quote: str) -> report.Provenance:
    return report.Provenance(
        data_origin=catalogue.read_origin(settings.lake),
        settings_fingerprint=settings.fingerprint,
        model=", ".join(json.loads(t.schema.metadata[b"model"]) for t in tables),
        data_version=str(read.version(settings.lake)),
        code_version=installed("heliograph"),
        trials=max(1, ledger.candidates(settings)),
        quote=quote,
    )


def _told(bars: Iterator[TradingBar], expected: int, shown: Bar) -> Iterator[TradingBar]:
    for count, bar in enumerate(bars, start=1):
        if not count % SHOW_EVERY_BARS:
            shown.reach(min(1.0, count / expected), f"{count:,} bars")
        yield bar
