"""One self-contained HTML page that tells what a search tried, what it chose and what decided."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import jinja2

from heliograph.train import selection, sweep_figures
from heliograph.train.selection import Standing
from heliograph.train.space import Axis, Point
from heliograph.train.sweep_figures import NARROW, WIDE

_UNITS = {"skill": "validation skill, %", "sharpe": "validation Sharpe ratio"}
_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Page:
    """What the page is made from.

    Attributes:
        name: the search's folder.
        origin: one sentence on where the data comes from.
        points, standings: of every candidate, in the order in which they were drawn.
        importance: share of each parameter; empty where too few candidates ran.
        errors: why a candidate failed, by number.
        took_s: of all folds together.
        tried: candidates that this project has ever tried.
    """

    name: str
    objective: Literal["skill", "sharpe"]
    origin: str
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    standings: tuple[Standing, ...]
    importance: Mapping[str, float]
    errors: Mapping[int, str]
    took_s: float
    tried: int


def write(path: Path, page: Page) -> Path:
    """Write the page and return its path; the same input gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(render(page), encoding="utf-8")
    return draft.replace(path)


def render(page: Page) -> str:
    """The page's text; see `write`."""
    best = selection.best(page.standings)
    context = {
        "page": page,
        "headline": _headline(page, best),
        "tiles": _tiles(page, best),
        "charts": _charts(page, None if best is None else best.number),
        "rows": _rows(page, best),
        "names": [axis.name for axis in page.axes],
        "folds": max((len(s.values) for s in page.standings), default=0),
        "stopped": [_stopped(page, s) for s in page.standings if s.state == "stopped"],
        "palette": {name.lower(): getattr(sweep_figures, name) for name in ("INK", "MUTED", "BEST", "DONE", "STOPPED")},
        "unit": _UNITS[page.objective],
    }
    source = files("heliograph.train").joinpath("sweep.html.j2").read_text(encoding="utf-8")
    engine = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return engine.from_string(source).render(context)


def _headline(page: Page, best: Standing | None) -> str:
    if best is None:
        return "No candidate ran through all folds."
    told = {
        "skill": f"a validation skill of {_number(best.value)} %",
        "sharpe": f"a Sharpe ratio of {_number(best.value)}",
    }
    first = page.standings[0]
    beside = (
        f"; the settings as they stood reached {_number(first.value)}"
        if first.state == "done" and first.number != best.number
        else "; the settings as they stood are still the best"
        if first.number == best.number
        else ""
    )
    return f"Candidate {best.number} is chosen with {told[page.objective]}{beside}."


def _tiles(page: Page, best: Standing | None) -> list[tuple[str, str, str]]:
    """Label, value, note."""
    states = [s.state for s in page.standings]
    num_folds = max((len(s.values) for s in page.standings), default=0)
    ran = sum(len(s.values) for s in page.standings)
    saved = 1 - ran / (len(states) * num_folds) if ran else 0.0
    spread = max(best.values) - min(best.values) if best and best.values else math.nan
    return [
        ("Best candidate", "–" if best is None else str(best.number), f"of {len(states)}"),
        ("Its mean value", "–" if best is None else _number(best.value), f"{_number(spread)} between its folds"),
        ("Ran through all folds", str(states.count("done")), "candidates"),
        ("Stopped early", str(states.count("stopped")), f"{saved:.0%} of the folds saved"),
        ("Failed", str(states.count("failed")), "candidates"),
        ("Fitting took", _duration(page.took_s), "of all folds together"),
        ("Ever tried", str(page.tried), "candidates, in the trial ledger"),
    ]


def _charts(page: Page, best: int | None) -> dict[str, str]:
    unit = _UNITS[page.objective]
    charts = {"folds": sweep_figures.folds(page.standings, best, name="folds", unit=unit), "importance": ""}
    if page.importance:
        charts["importance"] = sweep_figures.importance(page.importance, name="importance")
    for shape, size in (("wide", WIDE), ("narrow", NARROW)):
        charts[f"coordinates_{shape}"] = sweep_figures.coordinates(
            page.axes, page.points, page.standings, best, name=f"coordinates-{shape}", size=size
        )
        charts[f"course_{shape}"] = sweep_figures.course(
            page.standings, best, name=f"course-{shape}", unit=unit, size=size
        )
    return charts


def _rows(page: Page, best: Standing | None) -> list[dict[str, Any]]:
    """All candidates, the best first: those with all folds, then those stopped later, then earlier, then failed ones."""
    order = sorted(page.standings, key=lambda s: (-len(s.values), -s.value if s.values else 0.0, s.number))
    return [
        {
            "number": s.number,
            "is_best": best is not None and s.number == best.number,
            "state": sweep_figures.WORDS[s.state],
            "why": page.errors.get(s.number, ""),
            "mean": _number(s.value),
            "values": [_number(v) for v in s.values],
            "point": [sweep_figures.text(page.points[s.number][axis.name]) for axis in page.axes],
        }
        for s in order
    ]


def _stopped(page: Page, standing: Standing) -> str:
    """Why a candidate was stopped, in words."""
    rung = len(standing.values)
    others = [s.value for s in page.standings[: standing.number] if len(s.values) >= rung]
    after = "the first fold" if rung == 1 else f"{rung} folds"
    beside = (
        f"; those before it that came so far had {_number(min(others))} to {_number(max(others))}" if others else ""
    )
    return f"Candidate {standing.number} after {after}, at {_number(standing.value)}{beside}."


def _number(value: float) -> str:
    return f"{value:.{_DIGITS}f}".replace("-", "−") if math.isfinite(value) else "–"


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
