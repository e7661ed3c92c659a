"""Delta tables: open and make them, and read what their commits said; `log` writes commits."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, Retryable
from heliograph.core.schema import COVERAGE, PARTITION_COLUMNS
from heliograph.lake.layout import table_uri
from heliograph.lake.store import storage_options
from heliograph.lake.tables import Table, delta_schema, missing_columns, require_columns

ROWS_KEY = "heliograph.coverage"
"""A commit carries the coverage rows of its shards under this key, before any other table knows them."""

PROJECTED_KEY = "heliograph.candles_version"
"""A coverage commit says up to which commit of its table it has taken their rows."""

_KEEP_THE_LOG = {"delta.enableExpiredLogCleanup": "false", "delta.logRetentionDuration": "interval 36500 days"}


def open_table(settings: LakeSettings, name: str, version: int | None = None) -> DeltaTable | None:
    """The table at its newest or a given version; None where there is none.

    Raises:
        ConfigError: there is a table, but not that version.
        Retryable: the store failed.
    """
    try:
        return DeltaTable(table_uri(settings, name), version=version, storage_options=storage_options(settings))
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as e:
        if version is not None:
            raise ConfigError(f"can't read version {version} of {name}: {e}; give another as_of") from e
        raise Retryable(f"can't read the table {table_uri(settings, name)}: {e}") from e


def create_table(settings: LakeSettings, name: str) -> DeltaTable:
    """The table, made empty where there is none; its log is never cleaned, for ``as_of`` reads it."""
    schema, partitions = delta_schema(name)
    return DeltaTable.create(
        table_uri(settings, name),
        Schema.from_arrow(schema),
        mode="ignore",
        partition_by=list(partitions),
        configuration=_KEEP_THE_LOG,
        storage_options=storage_options(settings),
    )


def writable_table(settings: LakeSettings, name: str) -> DeltaTable:
    """The table with every column that this release knows; made where there is none.

    A nullable column that the table lacks is added to it: its old parts read as null there, and readers that name
    their columns go on as before.

    Raises:
        ConfigError: an older release wrote the table in a form that can't be added to.
        Retryable: the store failed.
    """
    table = open_table(settings, name) or create_table(settings, name)
    require_columns(table, name)
    if fields := missing_columns(table, name):
        try:
            table.alter.add_columns(fields, commit_properties=CommitProperties(max_commit_retries=0))
        except (DeltaError, OSError) as e:
            raise Retryable(f"can't add {', '.join(f.name for f in fields)} to {table.table_uri}: {e}") from e
        table.update_incremental()
    return table


def commits(table: DeltaTable, count: int) -> list[dict[str, Any]]:
    """What the ``count`` commits up to the version that ``table`` holds said of themselves, newest first."""
    newest = int(table.version())
    count = min(count, newest + 1)
    if count <= 0:
        return []
    told = table.history(count)[-count:]  # it starts at the log's newest commit, whatever version the table holds
    return [entry | {"version": newest - i} for i, entry in enumerate(told)]


def log_since(table: DeltaTable, version: int) -> list[dict[str, Any]]:
    """What every commit after ``version`` said of itself, oldest first."""
    return commits(table, int(table.version()) - version)[::-1]


def projected_version(coverage: DeltaTable | None) -> int:
    """The last commit of parts whose rows the coverage table holds."""
    if coverage is None:
        return 0
    newest = commits(coverage, 1)
    entries = newest if PROJECTED_KEY in newest[0] else commits(coverage, int(coverage.version()) + 1)
    return next((int(entry[PROJECTED_KEY]) for entry in entries if PROJECTED_KEY in entry), 0)


def unprojected(parts: DeltaTable, coverage: DeltaTable | None) -> list[dict[str, Any]]:
    """Coverage rows that stand in the log of a table of parts and not yet in its coverage table."""
    entries = log_since(parts, projected_version(coverage))
    return [dict(zip(COVERAGE.names, row, strict=True)) for entry in entries for row in entry.get(ROWS_KEY, ())]


def live_parts(table: DeltaTable, spec: Table, partition: tuple[str, str, str] | None = None) -> pa.Table:
    """Parts of this version: venue, timeframe, symbol (slug), path, size_bytes, candles, first_ts_ms, last_ts_ms.

    Args:
        partition: venue, timeframe and slug of the only market that is wanted; None takes all.
    """
    adds = pa.table(table.get_add_actions(flatten=True))
    for name, value in zip(PARTITION_COLUMNS, partition or (), strict=bool(partition)):
        adds = adds.filter(pc.field(f"partition.{name}") == value)
    named = {
        **{name: f"partition.{name}" for name in PARTITION_COLUMNS},
        "size_bytes": "size_bytes",
        "candles": "num_records",
        "first_ts_ms": f"min.{spec.time}",
        "last_ts_ms": f"max.{spec.time}",
    }
    paths = [unquote(path) for path in adds.column("path").to_pylist()]
    return pa.table({"path": pa.array(paths, pa.string()), **{new: adds.column(old) for new, old in named.items()}})


def files(table: DeltaTable) -> dict[str, int]:
    """Every file of this version and its bytes."""
    adds = pa.table(table.get_add_actions(flatten=True))
    names = (unquote(path) for path in adds.column("path").to_pylist())
    return dict(zip(names, adds.column("size_bytes").to_pylist(), strict=True))
