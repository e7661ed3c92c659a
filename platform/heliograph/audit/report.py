"""An audit as one self-contained HTML page, and as lines of JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from heliograph.audit import heatmap
from heliograph.audit.finding import KINDS, Finding
from heliograph.audit.survey import STATES, Audit, Mismatch, Sheet
from heliograph.core.market import IntArray

COLOURS = {
    "have": "#2f6f9f",
    "not_listed": "#e4e7eb",
    "no_trades": "#a9cbe0",
    "venue_outage": "#d9a441",
    "fetch_failed": "#c0392b",
    "delisted": "#b5b0a6",
    "beyond_history": "#cfd4da",
    "unexplained": "#8e2a7b",
}
"""Of each state."""

_MOST_GROUPS = 200
_MOST_EXAMPLES = 3
_FIELDS = ("open", "high", "low", "close", "volume")


def write(path: Path, audit: Audit, lake: str) -> Path:
    """Write the page, and beside it a line of JSON for every finding and difference; the same audit gives the same bytes.

    Args:
        path: of the page; the lines get the ending ``.jsonl``.
        lake: where the lake lies, as its reader knows it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(audit, lake), encoding="utf-8")
    path.with_suffix(".jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in lines(audit)), encoding="utf-8")
    return path


def lines(audit: Audit) -> Iterator[dict[str, Any]]:
    """Every finding and every difference as a flat mapping."""
    for finding in audit.findings:
        yield {"what": "finding", **asdict(finding)}
    for m in audit.mismatches:
        for d in m.differences:
            key = {"venue": m.venue, "symbol": m.symbol, "timeframe": m.timeframe, "finer": m.finer}
            yield {"what": "difference", **key, **asdict(d)}


def render(audit: Audit, lake: str) -> str:
    """The page's text; see `write`."""
    shown = {state: sum(s.total(state) for s in audit.sheets) for state in STATES}
    context = {
        "headline": _headline(shown),
        "lake": lake,
        "tiles": _tiles(audit, shown),
        "states": [s for s in STATES if shown[s]],
        "words": heatmap.WORDS,
        "colours": COLOURS,
        "rows": [_row(s, audit) for s in audit.sheets],
        "sheets": [_sheet(s, audit.findings) for s in audit.sheets],
        "groups": _groups(audit.findings),
        "most_groups": _MOST_GROUPS,
        "kinds": KINDS,
        "is_checked": bool(audit.bars_checked),
        "mismatches": [_mismatch(m) for m in audit.mismatches if m.differences],
        "equal": _equal(audit.mismatches),
        "number": number,
    }
    source = files("heliograph.audit").joinpath("report.html.j2").read_text(encoding="utf-8")
    engine = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return engine.from_string(source).render(context)


def number(value: float) -> str:
    """A whole number with thousands apart.

    >>> number(1234567)
    '1\\u202f234\\u202f567'
    """
    return f"{value:,.0f}".replace(",", "\u202f")


def share(part: int, whole: int) -> str:
    """Per cent, never 100 of what is not whole.

    >>> share(9_999_999, 10_000_000), share(1, 2)
    ('99.99\\u202f%', '50\\u202f%')
    """
    return heatmap.percent(part, whole) if whole else "–"


def _headline(shown: dict[str, int]) -> str:
    absent = sum(n for state, n in shown.items() if state not in ("have", "not_listed", "delisted", "beyond_history"))
    there, open_bars = shown["have"], shown["unexplained"] + shown["fetch_failed"]
    text = f"{share(there, there + absent)} of {number(there + absent)} bars are there"
    if not absent:
        return f"All {number(there)} bars are there."
    if not open_bars:
        return f"{text}, and every absent one has a reason."
    return f"{text}; {number(open_bars)} of the absent ones have no reason or could not be fetched."


def _tiles(audit: Audit, shown: dict[str, int]) -> list[dict[str, str]]:
    markets = {(s.venue, symbol) for s in audit.sheets for symbol in s.symbols}
    bars = sum(f.bars for f in audit.findings)
    compared = sum(m.compared for m in audit.mismatches)
    differing = sum(len(m.differences) for m in audit.mismatches)
    return [
        {"label": "Markets", "value": number(len(markets)), "note": f"on {len({s.venue for s in audit.sheets})} venues", "tone": ""},
        {"label": "Series", "value": number(sum(len(s.symbols) for s in audit.sheets)), "note": "markets by timeframe", "tone": ""},
        {"label": "Bars there", "value": number(shown["have"]), "note": "as the venues sent them", "tone": ""},
        {"label": "Unexplained", "value": number(shown["unexplained"]), "note": "bars, worth another fetch", "tone": _tone(shown["unexplained"])},
        {"label": "Fetch failed", "value": number(shown["fetch_failed"]), "note": "bars, tried by the next run", "tone": _tone(shown["fetch_failed"])},
        {"label": "Findings", "value": number(len(audit.findings)) if audit.bars_checked else "–",
         "note": f"on {number(bars)} bars, {share(bars, audit.bars_checked)}" if audit.bars_checked else "not asked for", "tone": _tone(bars)},
        {"label": "Native ≠ derived", "value": number(differing) if audit.mismatches else "–",
         "note": f"of {number(compared)} bars" if audit.mismatches else "no two timeframes", "tone": _tone(differing)},
    ]  # fmt: skip


def _tone(bad: int) -> str:
    return "loss" if bad else ""


def _row(sheet: Sheet, audit: Audit) -> dict[str, Any]:
    """A line of the table by venue and timeframe."""
    mine = [f for f in audit.findings if (f.venue, f.timeframe) == (sheet.venue, sheet.timeframe)]
    pairs = [m for m in audit.mismatches if (m.venue, m.timeframe) == (sheet.venue, sheet.timeframe)]
    return {
        "venue": sheet.venue,
        "timeframe": sheet.timeframe,
        "anchor": _anchor(sheet),
        "symbols": len(sheet.symbols),
        "bars": {state: sheet.total(state) for state in STATES},
        "findings": sum(f.bars for f in mine),
        "differences": sum(len(m.differences) for m in pairs) if pairs else None,
    }


def _anchor(sheet: Sheet) -> str:
    return f"{sheet.venue}-{sheet.timeframe}"


def _sheet(sheet: Sheet, findings: Sequence[Finding]) -> dict[str, Any]:
    """A heat map with what stands above it."""
    there = sheet.total("have")
    lost = sum(sheet.total(s) for s in ("no_trades", "venue_outage", "fetch_failed", "unexplained"))
    first, last = _day(int(sheet.months_ms[0]))[:7], _day(int(sheet.months_ms[-1]) - 1)[:7]
    found: dict[str, IntArray] = defaultdict(lambda: np.zeros(sheet.months_ms.size - 1, dtype=np.int64))
    for f in findings:
        if (f.venue, f.timeframe) == (sheet.venue, sheet.timeframe):
            month = int(np.searchsorted(sheet.months_ms, f.start_ms, side="right")) - 1
            if 0 <= month < sheet.months_ms.size - 1:
                found[f.symbol][month] += 1
    return {
        "title": f"{sheet.venue} {sheet.timeframe}",
        "anchor": _anchor(sheet),
        "lead": f"{len(sheet.symbols)} markets, {first} to {last}: {share(there, there + lost)} of the bars that could be had",
        "heads": heatmap.heads(sheet),
        "map": heatmap.draw(sheet, found),
    }


def _groups(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings of one series and kind in one line, the most bars first."""
    groups: dict[tuple[str, str, str, str], list[Finding]] = defaultdict(list)
    for f in findings:
        groups[f.venue, f.timeframe, f.symbol, f.kind].append(f)
    told = [
        {
            "key": key,
            "runs": len(group),
            "bars": sum(f.bars for f in group),
            "first": _minute(min(f.start_ms for f in group)),
            "last": _minute(max(f.end_ms for f in group)),
            "detail": max(group, key=lambda f: f.bars).detail,
        }
        for key, group in groups.items()
    ]
    return sorted(told, key=lambda g: (-g["bars"], g["key"]))


def _mismatch(m: Mismatch) -> dict[str, Any]:
    fields = {name: sum(name in d.fields for d in m.differences) for name in _FIELDS}
    return {
        "venue": m.venue,
        "symbol": m.symbol,
        "timeframe": m.timeframe,
        "finer": m.finer,
        "compared": m.compared,
        "differing": len(m.differences),
        "fields": ", ".join(f"{name} {number(n)}" for name, n in fields.items() if n),
        "examples": [
            f"{_minute(d.open_ts_ms)}: "
            + "; ".join(
                f"{n} {d.native[_FIELDS.index(n)]:.12g}, added up {d.derived[_FIELDS.index(n)]:.12g}" for n in d.fields
            )
            for d in m.differences[:_MOST_EXAMPLES]
        ],
    }


def _equal(mismatches: Sequence[Mismatch]) -> str:
    same = [m for m in mismatches if not m.differences and m.compared]
    if not same:
        return ""
    return f"{number(sum(m.compared for m in same))} bars of {len(same)} other series are equal to the last digit."


def _day(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms / 1_000, tz=UTC):%Y-%m-%d}"


def _minute(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms / 1_000, tz=UTC):%Y-%m-%d %H:%M}"
