"""The tables of a lake that hold what venues sent: their columns, and the names that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema

from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.schema import CANDLES, COVERAGE, PARTITION_COLUMNS, POINTS, TRADES
from heliograph.core.series import Points, Trades
from heliograph.lake.layout import CANDLES_TABLE, COVERAGE_TABLE, FUNDING_TABLE, OPEN_INTEREST_TABLE, TRADES_TABLE

Rows = Candles | Trades | Points


@dataclass(frozen=True, slots=True)
class Table:
    """One table of parts.

    Attributes:
        name: its folder in the lake.
        schema: its columns; those that are partitions stand in no file.
        time: the column that its rows ascend by.
        rows: what a part of it is read as.
        coverage: the table that says what it has and why it lacks the rest.
    """

    name: str
    schema: pa.Schema
    time: str
    rows: type[Rows]
    coverage: str

    @property
    def file_schema(self) -> pa.Schema:
        """The columns of its files."""
        return pa.schema([field for field in self.schema if field.name not in PARTITION_COLUMNS])


TABLES = {
    table.name: table
    for table in (
        Table(CANDLES_TABLE, CANDLES, "open_ts_ms", Candles, COVERAGE_TABLE),
        Table(TRADES_TABLE, TRADES, "ts_ms", Trades, f"{TRADES_TABLE}_{COVERAGE_TABLE}"),
        Table(FUNDING_TABLE, POINTS, "event_ts_ms", Points, f"{FUNDING_TABLE}_{COVERAGE_TABLE}"),
        Table(OPEN_INTEREST_TABLE, POINTS, "event_ts_ms", Points, f"{OPEN_INTEREST_TABLE}_{COVERAGE_TABLE}"),
    )
}


def named(name: str) -> Table:
    """The table called ``name``.

    Raises:
        ConfigError: there is no such table; the message lists those that exist.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise ConfigError(f"there is no table {name!r}: use one of {', '.join(TABLES)}") from None


def delta_schema(name: str) -> tuple[pa.Schema, tuple[str, ...]]:
    """Columns and partitions of any table of the lake, coverage included."""
    if name in TABLES:
        return TABLES[name].schema, PARTITION_COLUMNS
    return COVERAGE, ()


def require_columns(table: DeltaTable, name: str) -> None:
    """Check that a table holds every column that this release needs.

    Raises:
        ConfigError: an older release wrote it.
    """
    held = {field.name for field in table.schema().fields}
    lost = [field.name for field in delta_schema(name)[0] if not field.nullable and field.name not in held]
    if lost:
        raise ConfigError(
            f"the table {name} in {table.table_uri} has no {', '.join(lost)}: an older release wrote it in another form; "
            "set lake.uri to a new place and fetch again"
        )


def missing_columns(table: DeltaTable, name: str) -> list[Any]:
    """Nullable columns that this release knows and the table does not yet, as Delta fields."""
    held = {field.name for field in table.schema().fields}
    return [field for field in Schema.from_arrow(delta_schema(name)[0]).fields if field.name not in held]
