"""The Delta log: open and create tables, commit once or not at all, read what commits said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, Permanent, Retryable
from heliograph.core.market import slug
from heliograph.core.schema import CANDLES, COVERAGE, PARTITION_COLUMNS
from heliograph.lake.layout import CANDLES_TABLE, COVERAGE_TABLE, table_uri
from heliograph.lake.store import storage_options

ROWS_KEY = "heliograph.coverage"
"""A candle commit carries the coverage rows of its shards under this key, before any other table knows them."""

PROJECTED_KEY = "heliograph.candles_version"
"""A coverage commit says up to which candle commit it has taken their rows."""

BATCH_KEY = "heliograph.batch"
"""Names a commit, so that a writer whose answer was lost can tell whether it stands."""

_SCHEMAS = {CANDLES_TABLE: (CANDLES, PARTITION_COLUMNS), COVERAGE_TABLE: (COVERAGE, ())}
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
    schema, partitions = _SCHEMAS[name]
    return DeltaTable.create(
        table_uri(settings, name),
        Schema.from_arrow(schema),
        mode="ignore",
        partition_by=list(partitions),
        configuration=_KEEP_THE_LOG,
        storage_options=storage_options(settings),
    )


def append(table: DeltaTable, actions: Sequence[Any], metadata: Mapping[str, Any], *, batch: str) -> None:
    """One commit right after the version that ``table`` holds; then ``table`` holds it.

    Raises:
        Permanent: somebody else committed after that version; nothing was written.
        Retryable: the store failed; nothing was written.
    """
    properties = CommitProperties(custom_metadata={**metadata, BATCH_KEY: batch}, max_commit_retries=0)
    base = table.version()
    try:
        partitions = table.metadata().partition_columns
        table.create_write_transaction(actions, "append", table.schema(), partitions, commit_properties=properties)
    except (DeltaError, OSError) as e:
        newer = _reload(table, base)
        if batch in {entry.get(BATCH_KEY) for entry in newer}:
            return  # it stands; only the answer was lost
        if newer:
            raise Permanent(f"another writer committed to {table.table_uri} first; start the committer again") from e
        raise Retryable(f"the commit to {table.table_uri} failed: {e}") from e
    table.update_incremental()


def _reload(table: DeltaTable, base: int) -> list[dict[str, Any]]:
    try:
        table.update_incremental()
        return log_since(table, base)
    except (DeltaError, OSError) as e:
        raise Retryable(
            f"can't tell whether the commit to {table.table_uri} stands: {e}; the next run finds out"
        ) from e


def log_since(table: DeltaTable, version: int) -> list[dict[str, Any]]:
    """What every commit after ``version`` said of itself, oldest first."""
    newer = table.version() - version
    return sorted(table.history(newer), key=lambda entry: int(entry["version"])) if newer > 0 else []


def projected_version(coverage: DeltaTable | None) -> int:
    """The last candle commit whose rows the coverage table holds."""
    if coverage is None:
        return 0
    newest = coverage.history(1)
    entries = newest if PROJECTED_KEY in newest[0] else coverage.history()
    return next((int(entry[PROJECTED_KEY]) for entry in entries if PROJECTED_KEY in entry), 0)


def unprojected(candles: DeltaTable, coverage: DeltaTable | None) -> list[dict[str, Any]]:
    """Coverage rows that stand in the candles log and not yet in the coverage table."""
    entries = log_since(candles, projected_version(coverage))
    return [dict(zip(COVERAGE.names, row, strict=True)) for entry in entries for row in entry.get(ROWS_KEY, ())]


def add_part(manifest: Mapping[str, Any], now_ms: int) -> AddAction:
    """The log entry that makes a candle part live."""
    stats = {
        "numRecords": manifest["candles"],
        "minValues": {"open_ts_ms": manifest["first_ts_ms"]},
        "maxValues": {"open_ts_ms": manifest["last_ts_ms"]},
        "nullCount": {"open_ts_ms": 0},
    }
    values = {"venue": manifest["venue"], "timeframe": manifest["timeframe"], "symbol": slug(manifest["symbol"])}
    return AddAction(manifest["path"], manifest["size_bytes"], values, now_ms, True, json.dumps(stats))


def add_file(path: str, size_bytes: int, rows: int, now_ms: int) -> AddAction:
    """The log entry of a file of a table without partitions."""
    return AddAction(path, size_bytes, {}, now_ms, True, json.dumps({"numRecords": rows}))


def remove_part(part: Mapping[str, Any], now_ms: int) -> RemoveAction:
    """The log entry that retires a row of `live_parts`."""
    values = {name: part[name] for name in PARTITION_COLUMNS}
    return RemoveAction(part["path"], True, now_ms, part["size_bytes"], values)


def live_parts(candles: DeltaTable) -> pa.Table:
    """Parts of this version: venue, timeframe, symbol (slug), path, size_bytes, candles, first_ts_ms, last_ts_ms."""
    adds = pa.table(candles.get_add_actions(flatten=True))
    named = {
        **{name: f"partition.{name}" for name in PARTITION_COLUMNS},
        "size_bytes": "size_bytes",
        "candles": "num_records",
        "first_ts_ms": "min.open_ts_ms",
        "last_ts_ms": "max.open_ts_ms",
    }
    paths = [unquote(path) for path in adds.column("path").to_pylist()]
    return pa.table({"path": pa.array(paths, pa.string()), **{new: adds.column(old) for new, old in named.items()}})
