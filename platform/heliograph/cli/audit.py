"""`helio audit`: what the lake has, why it lacks the rest, and what of it can't be true."""

# It imports what it needs when it runs, as the other commands do: `helio --help` must not wait for ccxt.
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.core.errors import ConfigError
from heliograph.telemetry.progress import CONSOLE, bar

if TYPE_CHECKING:
    from heliograph.core.market import Kind

Globs = list[str] | None


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
    from heliograph.audit import report, survey, text
    from heliograph.config.load import load

    settings = load(config, overrides or ())
    scope = survey.Scope(tuple(venue or "*"), tuple(symbol or "*"), tuple(timeframe or "*"))
    with bar("audit") as shown:
        found = survey.audit(settings.lake, fills_quiet(), shown, scope=scope, is_quick=quick)
    if not found.sheets:
        raise ConfigError("the lake has no series like that: run `helio fetch` first, or give other globs")
    page = report.write(out or settings.var / "audit.html", found, settings.lake.uri)
    for line in (*text.table(found), *text.summary(found)):
        CONSOLE.print(line)
    CONSOLE.print(str(page))


def fills_quiet() -> dict[tuple[str, Kind], bool]:
    """Which certified venues send flat bars where nothing was traded; nothing is known of the others."""
    from heliograph.sources import catalog

    return {key: rules.fills_quiet for key, rules in catalog.RULES.items()}
