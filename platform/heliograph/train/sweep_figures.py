"""Charts of a search as inline SVG: text stays text, no id is used twice, the same input gives the same bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from heliograph.train.selection import Standing
from heliograph.train.space import Axis, Point, Value, label

INK, MUTED, HAIRLINE = "#1c2430", "#667080", "#dfe2e6"
BEST, DONE, STOPPED = "#b3493a", "#14507a", "#b9c0c9"
WORDS = {"done": "all folds", "stopped": "stopped early", "failed": "failed", "open": "not ended"}

WIDE, NARROW = (11.2, 3.9), (4.7, 5.6)
Size = tuple[float, float]

_SCALE = LinearSegmentedColormap.from_list("value", ["#cfdbe5", "#7fa6c2", DONE])
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": HAIRLINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#eceef1",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_MOST_WORDS = 14
_HALO = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.86}


def coordinates(
    axes: Sequence[Axis],
    points: Sequence[Point],
    standings: Sequence[Standing],
    best: int | None,
    *,
    name: str,
    size: Size,
) -> str:
    """Parallel coordinates: a line a candidate through its settings to its mean value; the best one stands out.

    Upright axes where there is width for them, lying ones on a narrow page.
    """
    is_wide = size[0] >= size[1]
    shown = [s for s in standings if s.values]
    low, high = min((s.value for s in shown), default=0.0), max((s.value for s in shown), default=1.0)
    with _style(name):
        figure = Figure(figsize=size if is_wide else (size[0], 1.0 + 0.85 * len(axes)), layout="constrained")
        ax = figure.add_subplot()
        ax.set_axis_off()
        for s in sorted(shown, key=lambda s: (s.number == best, s.state == "done", s.value)):
            heights = [_share(axis, points[s.number][axis.name]) for axis in axes]
            heights.append((s.value - low) / (high - low) if high > low else 0.5)
            along = np.arange(len(heights))
            xy = (along, heights) if is_wide else (heights, -along)
            is_done = s.state == "done"
            colour = BEST if s.number == best else _SCALE(heights[-1]) if is_done else STOPPED
            ax.plot(*xy, color=colour, linewidth=2.4 if s.number == best else 1.3, alpha=1.0 if is_done else 0.55)
        for place, axis in enumerate(axes):
            _scale(ax, place, axis.name, _ticks(axis), is_wide=is_wide)
        _scale(ax, len(axes), "mean value", [(0.0, _figure(low)), (1.0, _figure(high))], is_wide=is_wide)
        return _svg(figure, name, "Settings and value of every candidate")


def importance(shares: Mapping[str, float], *, name: str) -> str:
    """Bars, the most important on top; shares of one."""
    with _style(name):
        figure = Figure(figsize=(5.4, 0.6 + 0.36 * len(shares)), layout="constrained")
        ax = figure.add_subplot()
        names = sorted(shares, key=lambda n: shares[n])
        bars = ax.barh(names, [shares[n] for n in names], height=0.62, color=DONE, alpha=0.8)
        ax.bar_label(bars, [f" {shares[n]:.0%}" for n in names], fontsize=9.5, color=MUTED)
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(left=False, bottom=False, labelbottom=False)
        ax.set_xlim(0, 1.18 * max(shares.values()))
        return _svg(figure, name, "Importance of each parameter")


def folds(standings: Sequence[Standing], best: int | None, *, name: str, unit: str) -> str:
    """Value on each fold: a line a candidate, which ends where it was stopped."""
    with _style(name):
        figure, ax = _canvas((5.4, 3.2))
        most = max((len(s.values) for s in standings), default=1)
        for s in sorted(standings, key=lambda s: (s.number == best, s.state == "done")):
            colour = BEST if s.number == best else DONE if s.state == "done" else STOPPED
            ax.plot(
                np.arange(1, len(s.values) + 1),
                s.values,
                color=colour,
                marker="o",
                markersize=4,
                linewidth=2.2 if s.number == best else 1.1,
                alpha=1.0 if s.number == best else 0.7,
            )
        ax.set_xticks(np.arange(1, most + 1))
        ax.set_xlim(0.8, most + 0.2)
        ax.set_xlabel("fold, the oldest first")
        ax.set_ylabel(unit)
        return _svg(figure, name, "Value on each fold")


def course(standings: Sequence[Standing], best: int | None, *, name: str, unit: str, size: Size) -> str:
    """Mean value by candidate in the order in which they were drawn, and the best that had run through all folds."""
    with _style(name):
        figure, ax = _canvas((size[0], 3.0))
        for state, colour, mark in (("stopped", STOPPED, "x"), ("done", DONE, "o")):
            chosen = [s for s in standings if s.state == state]
            ax.plot([s.number for s in chosen], [s.value for s in chosen], mark, color=colour, markersize=5.5)
        done = [s.value if s.state == "done" else -math.inf for s in standings]
        leading = np.maximum.accumulate(done) if done else np.empty(0)
        leading[~np.isfinite(leading)] = np.nan
        ax.plot(np.arange(leading.size), leading, color=BEST, linewidth=1.4, drawstyle="steps-post")
        if best is not None:
            ax.plot([best], [standings[best].value], "o", color=BEST, markersize=8)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("candidate")
        ax.set_ylabel(unit)
        return _svg(figure, name, "Value of the candidates in the order in which they were drawn")


def text(value: Value) -> str:
    """A setting's value to read.

    >>> text(0.00123456), text(["core", "har_*"]), text(32)
    ('0.00123', 'core, har_*', '32')
    """
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return _figure(value) if isinstance(value, float) else str(value)


def _share(axis: Axis, value: Value) -> float:
    """Where a value stands on its axis, from 0 to 1."""
    if axis.kind == "choice":
        place = [label(c) for c in axis.choices].index(label(value))
        return place / (len(axis.choices) - 1) if len(axis.choices) > 1 else 0.5
    assert isinstance(value, int | float)
    low, high, at = (math.log(v) if axis.is_log else v for v in (axis.low, axis.high, value))
    return (at - low) / (high - low)


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if axis.kind == "choice":
        return [(_share(axis, c), _short(text(c))) for c in axis.choices]
    return [(0.0, _figure(axis.low)), (1.0, _figure(axis.high))]


def _scale(ax: Axes, place: int, name: str, ticks: Sequence[tuple[float, str]], *, is_wide: bool) -> None:
    """An axis of the parallel coordinates with its name and ends."""
    ends = ([place, place], [0.0, 1.0]) if is_wide else ([0.0, 1.0], [-place, -place])
    ax.plot(*ends, color="#98a2ae", linewidth=1.0, zorder=5)
    for height, told in ticks:
        at = (place, height) if is_wide else (height, -place)
        ax.plot(*at, "_" if is_wide else "|", color="#98a2ae", markersize=6, zorder=6)
        shift, align = (
            ((6, -3), "left")
            if is_wide
            else ((0, -13), "left" if height < 0.3 else "right" if height > 0.7 else "center")
        )
        ax.annotate(
            told, at, shift, textcoords="offset points", ha=align, fontsize=9, color=MUTED, zorder=7, bbox=_HALO
        )
    at, shift = ((place, 1.0), (0, 12)) if is_wide else ((0.0, -place), (0, 5))
    align = "center" if is_wide else "left"
    ax.annotate(name, at, shift, textcoords="offset points", ha=align, fontsize=9.5, color=INK, zorder=7, bbox=_HALO)


def _short(words: str) -> str:
    return words if len(words) <= _MOST_WORDS else words[: _MOST_WORDS - 1] + "…"


def _figure(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _style(name: str) -> AbstractContextManager[None]:
    settings: Any = {**_STYLE, "svg.hashsalt": name}
    return mpl.rc_context(settings)


def _canvas(size: Size) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.add_subplot()
    ax.grid(visible=True, axis="y")
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure, ax


def _svg(figure: Figure, name: str, told: str) -> str:
    """The drawing as an element of an HTML page: no prolog, no namespaces, sized by the page."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = out.getvalue()
    for noise in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"; font-family: [^;]*(?=;)"):
        drawn = re.sub(noise, "", drawn, flags=re.DOTALL)
    for noise in (r' id="[A-Za-z0-9.]+_\d+"', r' xmlns(:\w+)?="[^"]*"', r' (width|height)="[^"]*pt"'):
        drawn = re.sub(noise, "", drawn)
    drawn = drawn[drawn.index("<svg") :].replace("xlink:href", "href")
    drawn = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d\.\d{2})\d+", r"\1", tag.group()), drawn)
    return drawn.replace("<svg", f'<svg role="img" aria-label="{told}" data-figure="{name}"', 1)
