"""Figures of a backtest: pure functions of an equity curve, its fills and its forecasts. A year has 365 days.

Fractions are fractions, not per cent. A figure that has no meaning (no trade, no variation) is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from heliograph.backtest import significance
from heliograph.backtest.result import BacktestResult, Signals, returns
from heliograph.core import timeframe as timeframes
from heliograph.core.market import FloatArray, IntArray
from heliograph.core.timeframe import DAY_MS

YEAR_MS = 365 * DAY_MS


@dataclass(frozen=True, slots=True)
class Metrics:
    """Key figures of one equity curve.

    Attributes:
        total_return, cagr: after costs.
        volatility, sharpe, sortino: annualised from bar returns.
        max_drawdown: positive; calmar: cagr over it.
        probabilistic_sharpe: probability that the true Sharpe ratio is above zero.
    """

    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    calmar: float
    probabilistic_sharpe: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What the strategy did, and what that cost.

    Attributes:
        turnover_per_year: traded value over mean equity, both sides counted.
        mean_exposure: time average of gross exposure; time_in_market: share of bars with a position.
        cost_quote: fees_quote + slippage_quote.
        gross_return: return with the costs paid added back, without what they would have earned.
        cost_drag: gross_return less net return.
        trade_hit_rate: share of round trips that made money after costs.
        signal_hit_rate: share of forecasts at the sizing horizon whose median had the sign of what came.
    """

    turnover_per_year: float
    mean_exposure: float
    time_in_market: float
    fees_quote: float
    slippage_quote: float
    cost_quote: float
    gross_return: float
    cost_drag: float
    trade_hit_rate: float
    signal_hit_rate: float


def bars_per_year(timeframe: str) -> float:
    """How many bars a year of 365 days has.

    >>> bars_per_year("1h")
    8760.0
    """
    return YEAR_MS / timeframes.parse(timeframe).ms


def of_curve(equity_quote: FloatArray, timeframe: str) -> Metrics:
    """Figures of an equity curve float64[T], one point a bar."""
    r, per_year = returns(equity_quote), bars_per_year(timeframe)
    growth, years = total_return(equity_quote), r.size / per_year
    yearly = cagr(growth, years)
    deepest = float(drawdown(equity_quote).max(initial=0.0))
    return Metrics(
        total_return=growth,
        cagr=yearly,
        volatility=float(r.std(ddof=1)) * math.sqrt(per_year) if r.size > 1 else math.nan,
        sharpe=sharpe(r, per_year),
        sortino=sortino(r, per_year),
        max_drawdown=deepest,
        calmar=yearly / deepest if deepest > 0 else math.nan,
        probabilistic_sharpe=significance.probabilistic_sharpe(significance.moments(r)),
    )


def of_activity(result: BacktestResult) -> Activity:
    """Figures of what was traded."""
    years = len(result.returns) / bars_per_year(result.timeframe)
    fees, slippage = (sum(getattr(f, name) for f in result.fills) for name in ("fee_quote", "slippage_quote"))
    traded = sum(f.notional_quote for f in result.fills)
    net = total_return(result.equity_quote)
    gross = float((result.equity_quote[-1] + result.cost_quote[-1]) / result.equity_quote[0]) - 1.0
    won = [t.pnl_quote > 0 for t in result.trades]
    return Activity(
        turnover_per_year=traded / float(result.equity_quote.mean()) / years if years else math.nan,
        mean_exposure=float(result.gross_exposure.mean()),
        time_in_market=float((result.gross_exposure > 0).mean()),
        fees_quote=float(fees),
        slippage_quote=float(slippage),
        cost_quote=float(fees + slippage),
        gross_return=gross,
        cost_drag=gross - net,
        trade_hit_rate=sum(won) / len(won) if won else math.nan,
        signal_hit_rate=hit_rate(result.signals, result.horizon_bars) if result.signals else math.nan,
    )


def total_return(equity_quote: FloatArray) -> float:
    """Last point over first, less one."""
    return float(equity_quote[-1] / equity_quote[0]) - 1.0


def cagr(growth: float, years: float) -> float:
    """Yearly growth that compounds to ``growth`` in ``years``; NaN without time, -1 where everything is lost.

    >>> round(cagr(0.21, 2.0), 9)
    0.1
    """
    if years <= 0:
        return math.nan
    return (1.0 + growth) ** (1.0 / years) - 1.0 if growth > -1.0 else -1.0


def sharpe(r: FloatArray, per_year: float) -> float:
    """Annualised mean over standard deviation (ddof 1) of returns float64[n], no riskless rate; NaN without variation."""
    return significance.moments(r).sharpe * math.sqrt(per_year)


def sortino(r: FloatArray, per_year: float) -> float:
    """Annualised mean over downside deviation (root mean square of losses over *all* bars); NaN without a loss."""
    down = math.sqrt(float((np.minimum(r, 0.0) ** 2).mean())) if r.size else 0.0
    return float(r.mean()) / down * math.sqrt(per_year) if down > 0 else math.nan


def drawdown(equity_quote: FloatArray) -> FloatArray:
    """Loss from the highest point so far, as a positive fraction; float64[T].

    >>> drawdown(np.array([100.0, 120.0, 90.0, 150.0])).tolist()
    [0.0, 0.0, 0.25, 0.0]
    """
    out: FloatArray = 1.0 - equity_quote / np.maximum.accumulate(equity_quote)
    return out


def monthly_returns(close_ts_ms: IntArray, equity_quote: FloatArray) -> dict[tuple[int, int], float]:
    """Return of every calendar month (UTC) that the curve touches, keyed (year, month); the products chain to the whole.

    A point that closes exactly at midnight on the first belongs to the month that it ends.
    """
    month = (close_ts_ms - 1).astype("datetime64[ms]").astype("datetime64[M]")
    last = np.flatnonzero(np.append(month[1:] != month[:-1], True))
    points = np.concatenate([equity_quote[:1], equity_quote[last]])
    labels = month[last].astype(int)
    change = points[1:] / points[:-1] - 1.0
    return {(1970 + m // 12, m % 12 + 1): float(x) for m, x in zip(labels.tolist(), change, strict=True)}


def hit_rate(signals: Signals, horizon_bars: int) -> float:
    """Share of forecasts whose median has the sign of what came; flat outcomes and unknown ones do not count."""
    hits, _ = _hits(signals, horizon_bars)
    return float(hits.mean()) if hits.size else math.nan


def hit_rate_by_confidence(signals: Signals, horizon_bars: int, num_groups: int = 10) -> tuple[FloatArray, FloatArray]:
    """Hit rate and mean stated confidence in groups of equal size, least confident first; float64[num_groups] each.

    Empty arrays where there are fewer than ten forecasts a group.
    """
    hits, confidence = _hits(signals, horizon_bars)
    if hits.size < 10 * num_groups:
        return np.empty(0), np.empty(0)
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, num_groups)
    return np.array([hits[p].mean() for p in parts]), np.array([confidence[p].mean() for p in parts])


def pit_counts(signals: Signals, horizon_bars: int) -> tuple[FloatArray, FloatArray]:
    """How often the outcome fell between neighbouring quantiles, beside the share that it should.

    Returns:
        ``(share float64[Q+1], expected float64[Q+1])``; both sum to 1; share is NaN where no outcome is known.
    """
    h = signals.horizons_bars.index(horizon_bars)
    came = signals.log_return_NH[:, h]
    known = np.isfinite(came)
    below = (signals.quantile_NHQ[known, h, :] < came[known, None]).sum(axis=1)
    counts = np.bincount(below, minlength=len(signals.levels) + 1).astype(np.float64)
    expected = np.diff(np.array([0.0, *signals.levels, 1.0]))
    return (counts / counts.sum() if known.any() else np.full(expected.size, np.nan)), expected


def _hits(signals: Signals, horizon_bars: int) -> tuple[FloatArray, FloatArray]:
    h = signals.horizons_bars.index(horizon_bars)
    median = signals.quantile_NHQ[:, h, signals.levels.index(0.5)]
    came = signals.log_return_NH[:, h]
    counts = np.isfinite(came) & (came != 0.0) & (median != 0.0)
    hits = (np.sign(median[counts]) == np.sign(came[counts])).astype(np.float64)
    return hits, signals.confidence_NH[counts, h]
