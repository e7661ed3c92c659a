"""`helio lake`: see what is in the lake, ask it in SQL, and keep it small."""

# Commands import what they need when they run: `helio --help` must not wait for Polars and deltalake.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.cli.options import Config, Override, settings_of
from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.telemetry.progress import CONSOLE, bar

if TYPE_CHECKING:
    import polars as pl

    from heliograph.lake.commit import Committer

app = typer.Typer(no_args_is_help=True, help="See what is in the lake, ask it in SQL, and keep it small.")

Csv = Annotated[bool, typer.Option("--csv", help="comma-separated values instead of a table")]

_SHOWN_ROWS = 100
_HEADS = ("table", "venue", "tf", "symbols", "rows", "parts", "bytes", "B/row", "first", "last", "covered %")


@app.command()
def ls(config: Config = None, overrides: Override = None) -> None:
    """List venues and timeframes: symbols, rows, bytes, first and last row, and how much of the time is covered."""
    from heliograph.lake.overview import shelves

    settings = _lake(config, overrides)
    rows = [
        (
            s.table, s.venue, s.timeframe, str(s.symbols), f"{s.rows:,}", str(s.parts), f"{s.size_bytes:,}",
            f"{s.bytes_per_row:.2f}", _time(s.first_ts_ms), _time(s.last_ts_ms), f"{s.covered_pct:.2f}",
        )
        for s in shelves(settings)
    ]  # fmt: skip
    if not rows:
        raise ConfigError(f"there is nothing in {settings.uri}: run `helio fetch` first, or set lake.uri")
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    for row in (_HEADS, *rows):
        cells = (
            f"{cell:<{w}}" if i < 3 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        CONSOLE.print("  ".join(cells).rstrip())


@app.command()
def head(
    venue: str,
    symbol: Annotated[str, typer.Argument(help="unified, e.g. BTC/USDT")],
    timeframe: str,
    count: Annotated[int, typer.Option("-n", min=1, help="how many")] = 10,
    last: Annotated[bool, typer.Option("--last", help="the newest instead of the oldest")] = False,
    csv: Csv = False,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Show a market's first candles, as doubles."""
    import polars as pl

    from heliograph.lake import read

    frame = read.scan(_lake(config, overrides), venue=venue, timeframe=timeframe, symbols=(symbol,))
    found = frame.sort("open_ts_ms", descending=last).head(count).sort("open_ts_ms").collect()
    if not found.height:
        raise ConfigError(
            f"there are no {timeframe} candles of {symbol} on {venue}; `helio lake ls` tells what there is"
        )
    opened = pl.from_epoch("open_ts_ms", time_unit="ms").alias("open_utc")
    _show(found.select(opened, *found.columns[3:]), csv)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='e.g. "SELECT symbol, max(high) FROM candles GROUP BY symbol"')],
    csv: Csv = False,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Ask in SQL: ``candles`` (prices and volume as doubles) and ``coverage`` are the tables."""
    import polars as pl

    from heliograph.lake import coverage, read

    settings = _lake(config, overrides)
    covered = pl.from_arrow(coverage.read(settings))
    with pl.SQLContext(candles=read.scan(settings), coverage=covered) as tables:
        try:
            found = tables.execute(query).collect()
        except pl.exceptions.PolarsError as e:
            raise ConfigError(f"can't answer {query!r}: {e}") from e
    _show(found, csv)


@app.command()
def compact(config: Config = None, overrides: Override = None) -> None:
    """Merge small parts into large ones; no row changes, older versions stay readable."""
    from heliograph.lake.compact import compact as merge

    settings = _lake(config, overrides)
    skipped: list[str] = []
    for name in _tables(settings):
        with _committer(settings, name) as committer, bar(f"compact {name}") as shown:
            told = merge(settings, committer, shown)
        _tell(name, asdict(told))
        skipped += told.skipped
    if skipped:
        raise HeliographError(f"{len(skipped)} were left as they are; the first: {skipped[0]}")


@app.command()
def vacuum(config: Config = None, overrides: Override = None) -> None:
    """Remove files that no version within lake.retention_days needs, and what killed fetches left."""
    from heliograph.lake.vacuum import vacuum as clean

    settings = _lake(config, overrides)
    for name in _tables(settings):
        with _committer(settings, name) as committer:
            _tell(name, asdict(clean(settings, committer)))


def _lake(config: Path | None, overrides: list[str] | None) -> LakeSettings:
    return settings_of(config, overrides).lake


def _tables(settings: LakeSettings) -> list[str]:
    """Names of the tables that there are."""
    from heliograph.lake import delta
    from heliograph.lake.tables import TABLES

    found = [name for name in TABLES if delta.open_table(settings, name) is not None]
    if not found:
        raise ConfigError(f"there is nothing in {settings.uri}: run `helio fetch` first, or set lake.uri")
    return found


def _committer(settings: LakeSettings, table: str) -> Committer:
    from heliograph.lake.commit import Committer
    from heliograph.lake.store import open_store

    return Committer(settings, open_store(settings), f"{socket.gethostname()}:{os.getpid()}", table=table)


def _show(frame: pl.DataFrame, csv: bool) -> None:
    import polars as pl

    if csv:
        sys.stdout.write(frame.write_csv())
        return
    shape = pl.Config(
        tbl_rows=_SHOWN_ROWS, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
        tbl_formatting="ASCII_MARKDOWN", tbl_width_chars=10_000, fmt_str_lengths=200, float_precision=None,
    )  # fmt: skip
    with shape:
        CONSOLE.print(str(frame))


def _tell(table: str, told: dict[str, Any]) -> None:
    CONSOLE.print_json(json.dumps({"table": table, **told}))


def _time(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
