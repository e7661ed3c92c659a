"""An audit as lines of text."""

from __future__ import annotations

from collections import Counter

from heliograph.audit.report import number
from heliograph.audit.survey import STATES, Audit

HEADS = {
    "have": "there",
    "not_listed": "unlisted",
    "no_trades": "quiet",
    "venue_outage": "outage",
    "fetch_failed": "failed",
    "delisted": "delisted",
    "beyond_history": "beyond",
    "unexplained": "unexplained",
}
"""States as column heads."""


def table(found: Audit) -> list[str]:
    """A line for every venue and timeframe, in columns; states that no bar is in are left out."""
    states = [s for s in STATES if any(sheet.total(s) for sheet in found.sheets)]
    wrong: Counter[tuple[str, str]] = Counter()
    differ: Counter[tuple[str, str]] = Counter()
    for f in found.findings:
        wrong[f.venue, f.timeframe] += f.bars
    for m in found.mismatches:
        differ[m.venue, m.timeframe] += len(m.differences)
    rows = [["venue", "timeframe", "markets", *(HEADS[s] for s in states), "wrong", "differ"]]
    for sheet in found.sheets:
        key = sheet.venue, sheet.timeframe
        checked = number(wrong[key]) if found.bars_checked else "–"
        pairs = number(differ[key]) if key in differ else "–"
        figures = [number(sheet.total(s)) for s in states]
        rows.append([*key, number(len(sheet.symbols)), *figures, checked, pairs])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def summary(found: Audit) -> list[str]:
    """Findings by kind in a line each, the most bars first; what is left unexplained."""
    bars: Counter[str] = Counter()
    for f in found.findings:
        bars[f.kind] += f.bars
    told = [f"{kind.replace('_', ' ')}: {number(n)} bars" for kind, n in bars.most_common()]
    if unexplained := sum(sheet.total("unexplained") for sheet in found.sheets):
        told.append(f"{number(unexplained)} absent bars have no reason; the page shows where")
    return told
