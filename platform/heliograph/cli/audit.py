"""`helio audit`: what the lake has, why it lacks the rest, and what of it can't be true."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from heliograph.audit import report, survey
from heliograph.audit.survey import STATES, Audit, Scope
from heliograph.config.load import load
from heliograph.core.errors import ConfigError
from heliograph.core.market import Kind
from heliograph.sources import catalog
from heliograph.telemetry.progress import CONSOLE, bar

Globs = list[str] | None

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


def audit(
    venue: Annotated[Globs, typer.Option(help="a glob; may be given often")] = None,
    symbol: Annotated[Globs, typer.Option(help="a glob on unified names, e.g. BTC/*; may be given often")] = None,
    timeframe: Annotated[Globs, typer.Option(help="a glob; may be given often")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="leave out whether candles are true; only which are there")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="the page to write; default: audit.html in the settings' var")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="a YAML file of settings")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over the file")] = None,
) -> None:
    """Say what the lake has, why it lacks the rest and what of it can't be true; draw it as a page.

    In the table: bars that are there, that a market did not have yet, in which nobody traded, in which the venue was
    down, that could not be fetched, after the end of a market, beyond what the venue gives, and that have no reason; bars
    found wrong, and native bars that differ from what shorter ones add up to.
    """
    settings = load(config, overrides or ())
    scope = Scope(tuple(venue or "*"), tuple(symbol or "*"), tuple(timeframe or "*"))
    with bar("audit") as shown:
        found = survey.audit(settings.lake, fills_quiet(), shown, scope=scope, is_quick=quick)
    if not found.sheets:
        raise ConfigError("the lake has no series like that: run `helio fetch` first, or give other globs")
    page = report.write(out or settings.var / "audit.html", found, settings.lake.uri)
    for line in (*table(found), *summary(found)):
        CONSOLE.print(line)
    CONSOLE.print(str(page))


def fills_quiet() -> dict[tuple[str, Kind], bool]:
    """Which certified venues send flat bars where nothing was traded; nothing is known of the others."""
    return {key: rules.fills_quiet for key, rules in catalog.RULES.items()}


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
        checked = report.number(wrong[key]) if found.bars_checked else "–"
        pairs = report.number(differ[key]) if key in differ else "–"
        figures = [report.number(sheet.total(s)) for s in states]
        rows.append([*key, report.number(len(sheet.symbols)), *figures, checked, pairs])
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
    told = [f"{kind.replace('_', ' ')}: {report.number(n)} bars" for kind, n in bars.most_common()]
    if unexplained := sum(sheet.total("unexplained") for sheet in found.sheets):
        told.append(f"{report.number(unexplained)} absent bars have no reason; the page shows where")
    return told
