"""Charts of a backtest as inline SVG: text stays text, no id is used twice, the same input gives the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from heliograph.backtest.words import number, percent
from heliograph.core.market import FloatArray, IntArray

INK, MUTED, HAIRLINE = "#1c2430", "#667080", "#dfe2e6"
STRATEGY, BENCHMARK, GROSS, LOSS = "#14507a", "#c08a2d", "#7fa6c2", "#b3493a"

WIDE, NARROW, HALF = (11.2, 3.5), (4.7, 3.3), (5.4, 3.2)
REGIME_MARKS = ("v", "o", "^")
"""Calm, usual, wild."""

_MOST_POINTS = 1_200

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": HAIRLINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#eceef1",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}

Size = tuple[float, float]


def equity(
    close_ts_ms: IntArray,
    curves: Sequence[tuple[FloatArray, str, str]],
    boundaries_ms: Sequence[int],
    *,
    name: str,
    size: Size,
) -> str:
    """Account values over time on one axis, with hairlines where folds begin; logarithmic when they spread over a factor of 3.

    Args:
        curves: (float64[T] in quote units, colour, line style), the most important last.
    """
    with _style(name):
        figure, ax = _canvas(size)
        _mark_folds(ax, boundaries_ms, close_ts_ms, named=True)
        for values, colour, style in curves:
            at = _thin(values)
            ax.plot(
                _dates(close_ts_ms[at]),
                values[at],
                color=colour,
                linestyle=style,
                linewidth=1.6 if style == "-" else 1.1,
            )
        every = np.concatenate([values for values, _, _ in curves])
        if every.min() > 0 and every.max() / every.min() > 3:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
            ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v, 0)))
        _time_axis(ax)
        return _svg(figure, name, "Account value over time")


def underwater(
    close_ts_ms: IntArray,
    strategy: FloatArray,
    benchmark: FloatArray,
    boundaries_ms: Sequence[int],
    *,
    name: str,
    size: Size,
) -> str:
    """Drawdowns (positive fractions, float64[T]) hanging from zero."""
    with _style(name):
        figure, ax = _canvas((size[0], size[1] * 0.72))
        _mark_folds(ax, boundaries_ms, close_ts_ms, named=False)
        at = _thin(benchmark)
        ax.plot(_dates(close_ts_ms[at]), -benchmark[at], color=BENCHMARK, linewidth=1.1)
        at = _thin(strategy)
        ax.fill_between(_dates(close_ts_ms[at]), -strategy[at], 0.0, color=STRATEGY, alpha=0.22, linewidth=0)
        ax.plot(_dates(close_ts_ms[at]), -strategy[at], color=STRATEGY, linewidth=1.2)
        _percent_axis(ax)
        _time_axis(ax)
        return _svg(figure, name, "Loss from the highest point so far")


def exposure(close_ts_ms: IntArray, gross: FloatArray, net: FloatArray, *, name: str, size: Size) -> str:
    """Gross exposure as an area, net as a line; fractions of equity, float64[T]."""
    with _style(name):
        figure, ax = _canvas((size[0], size[1] * 0.72))
        at = _thin(gross)
        ax.fill_between(_dates(close_ts_ms[at]), gross[at], 0.0, color=GROSS, alpha=0.35, linewidth=0, step="pre")
        at = _thin(net)
        ax.plot(_dates(close_ts_ms[at]), net[at], color=STRATEGY, linewidth=1.1, drawstyle="steps-pre")
        ax.axhline(0.0, color=MUTED, linewidth=0.6)
        _percent_axis(ax)
        _time_axis(ax)
        return _svg(figure, name, "Gross and net exposure over time")


def coverage(labels: Sequence[str], folds_80: FloatArray, folds_95: FloatArray, *, name: str) -> str:
    """How often outcomes fell into the 80 and 95 % intervals: a dot a fold, a bar for their mean, lines at the promise.

    Args:
        folds_80, folds_95: fractions, float64[folds, H].
    """
    with _style(name):
        figure, ax = _canvas(HALF)
        x = np.arange(len(labels))
        for values, nominal, colour in ((folds_80, 0.80, STRATEGY), (folds_95, 0.95, BENCHMARK)):
            ax.axhline(nominal, color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
            for row in values:
                ax.plot(x, row, "o", color=colour, markersize=4.5, alpha=0.40, markeredgewidth=0)
            ax.plot(x, values.mean(axis=0), "_", color=colour, markersize=26, markeredgewidth=2.6)
            ax.annotate(
                f"{nominal:.0%}", (len(labels) - 0.45, nominal), color=colour, fontsize=9, va="center", ha="left"
            )
        ax.set_xlim(-0.6, len(labels) - 0.5)
        lowest = min(0.75, float(np.concatenate([folds_80, folds_95]).min()) - 0.02)
        ax.set_ylim(max(0.0, lowest), 1.0)
        ax.set_xticks(x, labels)
        _percent_axis(ax)
        return _svg(figure, name, "Coverage of the 80 and 95 per cent intervals by horizon")


def calibration(share: FloatArray, levels: Sequence[float], *, name: str) -> str:
    """How often the outcome fell between neighbouring quantiles, over the probability promised there; 1 is right.

    Args:
        share: float64[Q+1], sums to 1.
    """
    edges = np.array([0.0, *levels, 1.0])
    with _style(name):
        figure, ax = _canvas(HALF)
        density = share / np.diff(edges)
        ax.bar(
            edges[:-1], density, np.diff(edges), align="edge", color=GROSS, alpha=0.65, edgecolor="white", linewidth=0.8
        )
        ax.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        ax.set_xlim(0, 1)
        ax.set_xlabel("forecast quantile in which the outcome fell")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        return _svg(figure, name, "How often outcomes fell into each part of the forecast distribution")


def hits(rates: FloatArray, stated: FloatArray, *, name: str) -> str:
    """Hit rate in groups of rising confidence, with the confidence stated (where known) as ticks; fractions, float64[G]."""
    with _style(name):
        figure, ax = _canvas(HALF)
        x = np.arange(1, rates.size + 1)
        colours = [STRATEGY if r >= 0.5 else LOSS for r in rates]
        ax.bar(x, rates - 0.5, 0.72, bottom=0.5, color=colours, alpha=0.75)
        if stated.size:
            ax.plot(x, stated, "_", color=INK, markersize=18, markeredgewidth=1.6)
        ax.axhline(0.5, color=INK, linewidth=0.8)
        every = np.concatenate([rates, stated, [0.48, 0.53]])
        ax.set_ylim(float(every.min()) - 0.01, float(every.max()) + 0.01)
        ax.set_xticks(x)
        ax.set_xlabel("group by stated confidence, least confident first")
        _percent_axis(ax)
        return _svg(figure, name, "Hit rate by confidence")


def reliability(stated: FloatArray, came: FloatArray, *, name: str) -> str:
    """Share of rises over the probability of a rise that was stated, by classes; the diagonal is right; float64[G]."""
    with _style(name):
        figure, ax = _canvas(HALF)
        every = np.concatenate([stated, came, [0.45, 0.55]])
        lo, hi = float(every.min()) - 0.01, float(every.max()) + 0.01
        ax.plot([lo, hi], [lo, hi], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        ax.plot(stated, came, "o-", color=STRATEGY, linewidth=1.2, markersize=5, markeredgewidth=0)
        ax.set_xlim(lo, hi)
        ax.set_ylim(lo, hi)
        ax.set_xlabel("stated probability of a rise")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        return _svg(figure, name, "Share of rises by the probability that was stated")


def regimes(labels: Sequence[str], share_80: FloatArray, share_95: FloatArray, *, name: str) -> str:
    """Coverage of the 80 and 95 % intervals by horizon, a mark for each volatility regime; fractions, float64[H, R]."""
    with _style(name):
        figure, ax = _canvas(HALF)
        x = np.arange(len(labels))
        for values, nominal, colour in ((share_80, 0.80, STRATEGY), (share_95, 0.95, BENCHMARK)):
            ax.axhline(nominal, color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
            for r, mark in enumerate(REGIME_MARKS):
                ax.plot(
                    x + 0.18 * (r - 1), values[:, r], mark, color=colour, markersize=6, alpha=0.8, markeredgewidth=0
                )
        ax.set_xlim(-0.6, len(labels) - 0.4)
        every = np.concatenate([share_80, share_95])
        ax.set_ylim(max(0.0, min(0.75, float(np.nanmin(every)) - 0.02)), 1.0)
        ax.set_xticks(x, labels)
        _percent_axis(ax)
        return _svg(figure, name, "Coverage by horizon and volatility regime")


def abstention(hit_rate: FloatArray, *, name: str) -> str:
    """Hit rate of the most confident share, from all forecasts down to a tenth by tenths; fractions, float64[10]."""
    with _style(name):
        figure, ax = _canvas(HALF)
        kept = np.arange(hit_rate.size, 0, -1) / hit_rate.size
        ax.plot(kept, hit_rate, "o-", color=STRATEGY, linewidth=1.4, markersize=5, markeredgewidth=0)
        ax.axhline(0.5, color=INK, linewidth=0.8)
        ax.set_xlim(1.04, 0.06)
        ax.set_ylim(min(0.48, float(hit_rate.min()) - 0.01), max(0.53, float(hit_rate.max()) + 0.01))
        ax.set_xlabel("share of forecasts kept, the most confident")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        _percent_axis(ax)
        return _svg(figure, name, "Hit rate by the share of forecasts kept")


def _style(name: str) -> AbstractContextManager[None]:
    settings: Any = {**_STYLE, "svg.hashsalt": name}
    return mpl.rc_context(settings)


def _canvas(size: Size) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _dates(ts_ms: IntArray) -> Any:
    return ts_ms.astype("datetime64[ms]")


def _thin(values: FloatArray) -> IntArray:
    """Row numbers that keep the curve's shape: lowest and highest of every stretch, and both ends."""
    if values.size <= _MOST_POINTS:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, _MOST_POINTS // 2 + 1).astype(np.int64)
    rows = {0, values.size - 1}
    for lo, hi in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows |= {lo + int(values[lo:hi].argmin()), lo + int(values[lo:hi].argmax())}
    return np.array(sorted(rows), dtype=np.int64)


def _mark_folds(ax: Axes, boundaries_ms: Sequence[int], close_ts_ms: IntArray, *, named: bool) -> None:
    for fold, start_ms in enumerate(boundaries_ms, start=1):
        moment = _dates(np.array([max(start_ms, int(close_ts_ms[0]))]))[0]
        ax.axvline(moment, color="#b4bcc6", linewidth=0.8, linestyle=(0, (2, 2)))
        if named:
            label, at = f"fold {fold}", (moment, 1.0)
            ax.annotate(
                label, at, xycoords=("data", "axes fraction"), fontsize=8.5, color=MUTED, va="bottom", ha="left"
            )


def _time_axis(ax: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    ax.margins(x=0.01)


def _percent_axis(ax: Axes) -> None:
    lo, hi = ax.get_ylim()
    digits = 1 if hi - lo < 0.05 else 0
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: percent(v, digits)))


def _svg(figure: Figure, name: str, label: str) -> str:
    """The drawing as an element of an HTML page: no prolog, no namespaces, sized by the page."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>|; font-family: [^;]*(?=;)", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"(\d\.\d{2})\d+", r"\1", text.replace("xlink:href", "href"))
    text = re.sub(r' (width|height)="[^"]*pt"', "", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" data-figure="{name}"', 1)
