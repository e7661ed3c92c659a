"""Write a Delta log: a commit is one object that must not exist yet, so its cost does not grow with the table.

deltalake reads the log, makes tables and checkpoints. Its own transaction loads every live file before and after each
commit: half a second at 30,000 parts, for a commit of 200.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version as release
from typing import Any
from urllib.parse import quote, unquote

import structlog
from deltalake.exceptions import DeltaError

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import Permanent, Retryable
from heliograph.core.market import slug
from heliograph.core.ports import ObjectStore
from heliograph.core.schema import PARTITION_COLUMNS
from heliograph.lake import delta
from heliograph.lake.tables import Table, delta_schema

BATCH_KEY = "heliograph.batch"
"""Names a commit, so that a writer whose answer was lost can tell whether it stands."""

CHECKPOINT_EVERY = 100
"""Commits; readers start at the newest checkpoint."""

Action = dict[str, dict[str, Any]]


def commit(
    store: ObjectStore,
    table: str,
    version: int,
    actions: Sequence[Action],
    metadata: Mapping[str, Any],
    *,
    batch: str,
    now_ms: int,
) -> None:
    """Make the commit ``version`` of a table, the one right after the version that the writer knows.

    Raises:
        Permanent: somebody else made it first; nothing was written.
        Retryable: the store failed; nothing was written, or the next run finds it.
        ConfigError: the store refuses, or has no room; nothing was written.
    """
    key = commit_key(table, version)
    info = {
        "timestamp": now_ms,
        "operation": "WRITE",
        "operationParameters": {"mode": "Append", "partitionBy": json.dumps(delta_schema(table)[1])},
        "engineInfo": f"heliograph/{release('heliograph')}",
        **metadata,
        BATCH_KEY: batch,
    }
    lines = ({"commitInfo": info}, *actions)
    body = "\n".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines).encode()
    try:
        if store.put_if_absent(key, body):
            return
    except Retryable as e:
        if not _stands(store, key, batch):
            raise Retryable(f"the commit to {store.uri}/{table} failed: {e}") from e
        return
    if not _stands(store, key, batch):
        raise Permanent(f"another writer committed to {store.uri}/{table} first; start the committer again")


def checkpoint(settings: LakeSettings, table: str, version: int) -> None:
    """Sum the log up where it is time for it; without one, readers only take longer."""
    if version % CHECKPOINT_EVERY:
        return
    try:
        held = delta.open_table(settings, table)
        if held is not None:
            held.create_checkpoint()
    except (DeltaError, OSError, Retryable) as e:
        structlog.get_logger().warning("checkpoint.failed", table=table, version=version, error=str(e))


def commit_key(table: str, version: int) -> str:
    """Where a commit lies."""
    return f"{table}/_delta_log/{version:020d}.json"


def files_of_commit(store: ObjectStore, table: str, version: int) -> tuple[set[str], set[str]]:
    """Paths that one commit added and removed."""
    actions = [json.loads(line) for line in store.get(commit_key(table, version)).decode().splitlines() if line]
    added, removed = ({unquote(a[kind]["path"]) for a in actions if kind in a} for kind in ("add", "remove"))
    return added, removed


def add_part(manifest: Mapping[str, Any], now_ms: int, table: Table, *, is_news: bool = True) -> Action:
    """The log entry that makes a part live.

    Args:
        is_news: False where its rows were in the table before, in other parts.
    """
    stats = {
        "numRecords": manifest["candles"],
        "minValues": {table.time: manifest["first_ts_ms"]},
        "maxValues": {table.time: manifest["last_ts_ms"]},
        "nullCount": {table.time: 0},
    }
    values = {"venue": manifest["venue"], "timeframe": manifest["timeframe"], "symbol": slug(manifest["symbol"])}
    return _add(manifest["path"], manifest["size_bytes"], values, stats, now_ms=now_ms, is_news=is_news)


def add_file(path: str, size_bytes: int, rows: int, now_ms: int, *, is_news: bool = True) -> Action:
    """The log entry of a file of a table without partitions."""
    return _add(path, size_bytes, {}, {"numRecords": rows}, now_ms=now_ms, is_news=is_news)


def remove_part(part: Mapping[str, Any], now_ms: int, *, is_news: bool = True) -> Action:
    """The log entry that retires a row of `read.live_parts`."""
    values = {name: part[name] for name in PARTITION_COLUMNS}
    return _remove(part["path"], part["size_bytes"], values, now_ms=now_ms, is_news=is_news)


def remove_file(path: str, size_bytes: int, now_ms: int) -> Action:
    """The log entry that retires a file of a table without partitions, whose rows stay in another."""
    return _remove(path, size_bytes, {}, now_ms=now_ms, is_news=False)


def _add(
    path: str, size: int, values: Mapping[str, str], stats: Mapping[str, Any], *, now_ms: int, is_news: bool
) -> Action:
    action = {"path": _quoted(path), "partitionValues": dict(values), "size": size, "modificationTime": now_ms}
    return {"add": {**action, "dataChange": is_news, "stats": json.dumps(stats)}}


def _remove(path: str, size: int, values: Mapping[str, str], *, now_ms: int, is_news: bool) -> Action:
    action = {"path": _quoted(path), "deletionTimestamp": now_ms, "dataChange": is_news, "size": size}
    return {"remove": {**action, "extendedFileMetadata": True, "partitionValues": dict(values)}}


def _quoted(path: str) -> str:
    """A path as the log writes it: readers decode it once."""
    return quote(path, safe="/=")


def _stands(store: ObjectStore, key: str, batch: str) -> bool:
    """Whether the commit there is ours.

    Raises:
        Retryable: the store can't tell.
    """
    found = store.get_tagged(key)
    if found is None:
        return False
    info = json.loads(found[0].decode().partition("\n")[0])
    return bool(info.get("commitInfo", {}).get(BATCH_KEY) == batch)
