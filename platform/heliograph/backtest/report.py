"""One self-contained HTML page that tells what a backtest showed, and what it did not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from heliograph.backtest import figures, folds, metrics, significance, words
from heliograph.backtest.folds import Fold
from heliograph.backtest.result import BacktestResult
from heliograph.backtest.words import NOTHING, number, percent
from heliograph.core.market import FloatArray

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the figures come from.

    Attributes:
        data_origin: one sentence, e.g. which venue's recorded candles, or that the market was generated.
        settings_fingerprint, model, data_version, code_version: name exactly what was run.
        trials: how many settings were ever tried on this data; the deflated Sharpe ratio counts them all.
        quote: the account's currency.
    """

    data_origin: str
    settings_fingerprint: str
    model: str
    data_version: str
    code_version: str
    trials: int
    quote: str


def write(path: Path, result: BacktestResult, scores: Sequence[Mapping[str, Any]], provenance: Provenance) -> Path:
    """Write the page and return its path; the same input gives the same bytes.

    Args:
        scores: one mapping a fold (see `folds.read`); none where the forecasts were not scored.

    Raises:
        SchemaMismatch: a score lacks a field.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(result, scores, provenance), encoding="utf-8")
    return path


def render(result: BacktestResult, scores: Sequence[Mapping[str, Any]], provenance: Provenance) -> str:
    """The page's text; see `write`."""
    scored = folds.read(scores)
    strategy = metrics.of_curve(result.equity_quote, result.timeframe)
    holding = metrics.of_curve(result.benchmark_quote, result.timeframe)
    activity = metrics.of_activity(result)
    skills = folds.together(scored)
    context = {
        "verdict": words.verdict(
            strategy, holding, activity, skills, timeframe=result.timeframe, num_fills=len(result.fills)
        ),
        "provenance": provenance,
        "facts": _facts(result, provenance),
        "tiles": _tiles(result, strategy, holding, activity, provenance),
        "charts": _charts(result, scored),
        "skill": _skill_table(scored, skills, result.timeframe),
        "months": _months(result),
        "costs": _costs(result, activity),
        "accounts": _accounts(result),
        "caveats": _caveats(result, scored, provenance),
        "checks": _checks(result),
        "palette": {
            name.lower(): getattr(figures, name) for name in ("INK", "MUTED", "STRATEGY", "BENCHMARK", "GROSS", "LOSS")
        },
        "ece": _direction_ece(result, scored),
        "sizing_horizon": words.horizon(result.horizon_bars, result.timeframe),
        "quote": provenance.quote,
    }
    source = files("heliograph.backtest").joinpath("report.html.j2").read_text(encoding="utf-8")
    engine = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return engine.from_string(source).render(context)


def _facts(result: BacktestResult, provenance: Provenance) -> list[tuple[str, str]]:
    venues = sorted({venue for venue, _ in result.markets})
    shown = "; ".join(f"{venue} {_few([s for v, s in result.markets if v == venue])}" for venue in venues)
    num = len(result.markets)
    return [
        ("Period", f"{words.day(int(result.close_ts_ms[0]))} to {words.day(int(result.close_ts_ms[-1]))} UTC"),
        (
            "Bars",
            f"{number(result.num_bars, 0)} of {result.timeframe}, {num} market{'s' * (num != 1)}",
        ),
        ("Markets", shown),
        ("Model", provenance.model),
        ("Data version", provenance.data_version),
        ("Settings", provenance.settings_fingerprint),
        ("Code", provenance.code_version),
    ]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _tiles(
    result: BacktestResult,
    strategy: metrics.Metrics,
    holding: metrics.Metrics,
    activity: metrics.Activity,
    provenance: Provenance,
) -> list[dict[str, str]]:
    """Label, value and a line beneath; ``tone`` marks gains and losses."""
    m = significance.moments(result.returns)
    deflated = significance.deflated_sharpe(m, trials=provenance.trials)

    def tile(label: str, value: str, note: str, tone: str = "") -> dict[str, str]:
        return {"label": label, "value": value, "note": note, "tone": tone}

    is_short = result.returns.size < metrics.bars_per_year(result.timeframe) / 4
    yearly = (
        (NOTHING, "less than a quarter")
        if is_short
        else (percent(strategy.cagr, signed=True), f"hold {percent(holding.cagr, signed=True)}")
    )
    calmar = (
        (NOTHING, "less than a quarter") if is_short else (number(strategy.calmar), f"hold {number(holding.calmar)}")
    )
    sign = "gain" if strategy.total_return > 0 else "loss" if strategy.total_return < 0 else ""
    return [
        tile("Net return", percent(strategy.total_return, signed=True), f"hold {percent(holding.total_return, signed=True)}", sign),
        tile("Growth a year", *yearly),
        tile("Sharpe ratio", number(strategy.sharpe), f"hold {number(holding.sharpe)}"),
        tile("Sortino ratio", number(strategy.sortino), f"hold {number(holding.sortino)}"),
        tile("Max. drawdown", percent(-strategy.max_drawdown), f"hold {percent(-holding.max_drawdown)}"),
        tile("Calmar ratio", *calmar),
        tile("Volatility a year", percent(strategy.volatility), f"hold {percent(holding.volatility)}"),
        tile("P(Sharpe > 0)", percent(strategy.probabilistic_sharpe), "probabilistic Sharpe"),
        tile("Deflated Sharpe", percent(deflated), f"for {provenance.trials} trial{'s' * (provenance.trials != 1)}"),
        tile("Mean exposure", percent(activity.mean_exposure, 0), f"in {percent(activity.time_in_market, 0)} of bars"),
        tile("Turnover a year", f"{number(activity.turnover_per_year, 1)} ×" if result.fills else NOTHING, f"{number(len(result.fills), 0)} fills"),
        tile("Costs paid", percent(activity.cost_quote / result.initial_cash_quote), "of starting cash"),
        tile("Trades won", percent(activity.trade_hit_rate, 0), f"of {number(len(result.trades), 0)} round trips"),
        tile("Signals right", percent(activity.signal_hit_rate), f"sign at {words.horizon(result.horizon_bars, result.timeframe)}"),
    ]  # fmt: skip


def _charts(result: BacktestResult, scored: Sequence[Fold]) -> dict[str, str]:
    """SVG by name; empty where a chart has nothing to show. Those over the whole width come in two shapes."""
    charts = dict.fromkeys(("coverage", "hits", "calibration", "reliability", "regimes", "abstention"), "")
    starts = [f.test_start_ms for f in scored]
    t = result.close_ts_ms
    curves = [
        (result.benchmark_quote, figures.BENCHMARK, "-"),
        (result.equity_quote + result.cost_quote, figures.GROSS, ":"),
        (result.equity_quote, figures.STRATEGY, "-"),
    ]
    falls = metrics.drawdown(result.equity_quote), metrics.drawdown(result.benchmark_quote)
    for shape, size in (("wide", figures.WIDE), ("narrow", figures.NARROW)):
        charts[f"equity_{shape}"] = figures.equity(t, curves, starts, name=f"equity-{shape}", size=size)
        charts[f"drawdown_{shape}"] = figures.underwater(t, *falls, starts, name=f"drawdown-{shape}", size=size)
        charts[f"exposure_{shape}"] = figures.exposure(
            t, result.gross_exposure, result.net_exposure, name=f"exposure-{shape}", size=size
        )
    if scored:
        labels = [words.horizon(int(h), result.timeframe) for h in scored[0].horizons_bars]
        cover = (np.array([getattr(f, name) for f in scored]) for name in ("coverage_80", "coverage_95"))
        charts["coverage"] = figures.coverage(labels, *cover, name="coverage")
    hits, stated = _hits(result, scored)
    if hits.size and np.isfinite(hits).all():
        charts["hits"] = figures.hits(hits, stated, name="hits")
    if result.signals is not None:
        share, _ = metrics.pit_counts(result.signals, result.horizon_bars)
        if np.isfinite(share).all():
            charts["calibration"] = figures.calibration(share, result.signals.levels, name="calibration")
    return charts | _calibration_charts(result, scored)


def _calibration_charts(result: BacktestResult, scored: Sequence[Fold]) -> dict[str, str]:
    """What the folds' scores say of directions and regimes; nothing where they are of an older version."""
    told = folds.calibrated(scored)
    if told is None:
        return {}
    horizons = scored[0].horizons_bars
    labels = [words.horizon(int(h), result.timeframe) for h in horizons]
    charts = {}
    if np.isfinite(told.regime_80).any():
        charts["regimes"] = figures.regimes(labels, told.regime_80, told.regime_95, name="regimes")
    if result.horizon_bars in horizons:
        h = horizons.index(result.horizon_bars)
        if np.isfinite(told.came[h]).all():
            charts["reliability"] = figures.reliability(told.stated[h], told.came[h], name="reliability")
        if np.isfinite(told.abstention[h]).all():
            charts["abstention"] = figures.abstention(told.abstention[h], name="abstention")
    return charts


def _direction_ece(result: BacktestResult, scored: Sequence[Fold]) -> str:
    """At the sizing horizon, in words; empty where it is not known."""
    told = folds.calibrated(scored)
    if told is None or result.horizon_bars not in scored[0].horizons_bars:
        return ""
    ece = told.direction_ece[scored[0].horizons_bars.index(result.horizon_bars)]
    return percent(ece) if math.isfinite(ece) else ""


def _hits(result: BacktestResult, scored: Sequence[Fold]) -> tuple[FloatArray, FloatArray]:
    """Hit rate and stated confidence by tenths at the sizing horizon: the folds' mean, else the replayed forecasts'."""
    if scored and result.horizon_bars in scored[0].horizons_bars:
        h = scored[0].horizons_bars.index(result.horizon_bars)
        return tuple(np.mean([getattr(f, n)[h] for f in scored], axis=0) for n in ("hit_by_decile", "stated_by_decile"))
    if result.signals is not None:
        return metrics.hit_rate_by_confidence(result.signals, result.horizon_bars)
    return np.empty(0), np.empty(0)


def _skill_table(scored: Sequence[Fold], skills: Sequence[folds.Skill], timeframe: str) -> dict[str, Any] | None:
    """Rows of cells: one a fold, then all together; columns by baseline, then horizon."""
    if not scored:
        return None
    names, horizons = list(scored[0].skill_pct), scored[0].horizons_bars
    rows = []
    for i, fold in enumerate(scored, start=1):
        cells = [_skill_cell(fold.skill_pct[n][h], fold.dm_t[n][h]) for n in names for h in range(len(horizons))]
        period = f"{words.day(fold.test_start_ms)} to {words.day(fold.test_end_ms)}"
        rows.append({"label": f"Fold {i}", "note": period, "origins": number(fold.origins, 0), "cells": cells})
    total = [_skill_cell(s.skill_pct, s.t) for s in skills]
    origins = number(sum(f.origins for f in scored), 0)
    rows.append({"label": "All folds", "note": "losses pooled, t combined", "origins": origins, "cells": total})
    return {
        "baselines": [words.baseline(n) for n in names],
        "horizons": [words.horizon(int(h), timeframe) for h in horizons],
        "rows": rows,
    }


def _skill_cell(skill_pct: float, t: float) -> dict[str, Any]:
    strength = min(abs(t), 5.0) / 5.0 if math.isfinite(t) else 0.0
    return {
        "skill": f"{number(skill_pct, 2, signed=True)}\u202f%" if math.isfinite(skill_pct) else NOTHING,
        "t": number(t, 1, signed=True),
        "background": _tint(skill_pct, 0.06 + 0.44 * strength),
        "is_shown": abs(t) >= folds.SHOWN_T,
    }


def _tint(value: float, alpha: float) -> str:
    if not math.isfinite(value) or value == 0.0:
        return "transparent"
    return f"rgba({'38, 120, 94' if value > 0 else '179, 73, 58'}, {alpha:.3f})"


def _months(result: BacktestResult) -> list[dict[str, Any]]:
    """A row a year: twelve cells and the year's return."""
    by_month = metrics.monthly_returns(result.close_ts_ms, result.equity_quote)
    most = max((abs(x) for x in by_month.values()), default=0.0)
    rows = []
    for year in sorted({y for y, _ in by_month}):
        own = {m: x for (y, m), x in by_month.items() if y == year}
        cells = [
            {
                "text": number(100 * own[m], 1),
                "background": _tint(own[m], 0.05 + 0.5 * abs(own[m]) / most if most else 0.0),
            }
            if m in own
            else {"text": "", "background": "transparent"}
            for m in range(1, 13)
        ]
        total = math.prod(1.0 + x for x in own.values()) - 1.0
        rows.append({"year": str(year), "cells": cells, "total": number(100 * total, 1, signed=True)})
    return rows


def _costs(result: BacktestResult, activity: metrics.Activity) -> list[tuple[str, str, str]]:
    cash = result.initial_cash_quote
    traded = sum(f.notional_quote for f in result.fills)

    def row(label: str, value: float) -> tuple[str, str, str]:
        return label, number(value, 0), percent(value / cash, 2, signed=True)

    return [
        row("Result before costs", activity.gross_return * cash),
        row("Fees", -activity.fees_quote),
        row("Slippage", -activity.slippage_quote),
        row("Result after costs", result.equity_quote[-1] - result.equity_quote[0]),
        (
            "Traded value",
            number(traded, 0),
            f"{number(1e4 * activity.cost_quote / traded, 1)} bps a side" if traded else NOTHING,
        ),
    ]


def _accounts(result: BacktestResult) -> list[dict[str, str]]:
    return [
        {
            "market": a.symbol,
            "venue": a.venue,
            "fills": number(a.num_fills, 0),
            "trades": number(a.num_trades, 0),
            "won": percent(a.num_won / a.num_trades, 0) if a.num_trades else NOTHING,
            "pnl": number(a.pnl_quote, 0, signed=True),
            "tone": "gain" if a.pnl_quote > 0 else "loss" if a.pnl_quote < 0 else "",
            "costs": number(a.fees_quote + a.slippage_quote, 0),
            "traded": number(a.notional_quote, 0),
            "peak": percent(a.peak_weight, 0),
        }
        for a in sorted(result.accounts, key=lambda a: (-a.pnl_quote, a.venue, a.symbol))
    ]


def _checks(result: BacktestResult) -> list[tuple[bool, str]]:
    return [
        (result.is_balanced, "The ledger's debits equal its credits to the last digit."),
        (True, "Every order filled at the open of a later bar than the one it was decided on."),
        (not result.num_rejected, f"{number(len(result.orders), 0)} orders sent, {result.num_rejected} rejected."),
        (not result.halts, f"Trading halted: {result.halts[0]}" if result.halts else "No limit halted trading."),
    ]


def _caveats(result: BacktestResult, scored: Sequence[Fold], provenance: Provenance) -> list[str]:
    days = (int(result.close_ts_ms[-1]) - int(result.close_ts_ms[0])) / 86_400_000
    out = [
        "Orders fill whole at the next bar's open plus a fixed slippage. There is no order book, no queue, no market impact "
        "and no partial fill; large orders would do worse.",
        "Nothing is charged for borrowing or funding, and every market is taken to be shortable, so short and leveraged "
        "positions look better than they are.",
        "The markets are those that have data now. Pairs that were delisted before are missing, which flatters "
        "buy-and-hold as well as the strategy.",
        f"{number(days, 0)} days are one slice of one history. A Sharpe ratio over so short a time says little about the next."
        if days < 730
        else "One history is one draw. Markets that look like none of these days can break every figure here.",
        f"{provenance.trials} trial{'s were' if provenance.trials != 1 else ' was'} counted for the deflated Sharpe ratio; "
        "ideas that were dropped without being run are not in it.",
        "Buy-and-hold is fully invested, the strategy is not: compare drawdowns and Sharpe ratios before returns.",
    ]
    if scored:
        out.insert(3, "Forecasts at neighbouring bars overlap at the longer horizons. The t values allow for that "
                      "(Newey-West), but the folds are few.")  # fmt: skip
    return out
