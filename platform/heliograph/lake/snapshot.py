"""One version of a table as a lake of its own: nothing that is fetched, merged or cleaned later can reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.core.ports import ObjectStore
from heliograph.lake import delta, read, retention
from heliograph.lake.store import open_store

_COPIERS = 8


def copy(
    source: LakeSettings, target: LakeSettings, *, table: str, as_of: int, wanted: Callable[[Mapping[str, Any]], bool]
) -> int:
    """Copy a version of a table to a place that has none, under the same version number; returns how many parts.

    Args:
        wanted: says of a row of `read.live_parts` whether it comes along; the others are named in the copy's log and
            can't be read.

    Raises:
        ConfigError: there is no such version, vacuum has removed files of it, or ``target`` has the table already.
        CorruptPart: a part is missing.
    """
    parts = [part["path"] for part in read.live_parts(source, as_of=as_of, table=table) if wanted(part)]
    if delta.open_table(target, table) is not None:
        raise ConfigError(f"there are {table} in {target.uri} already: copy to an empty place")
    held, copied = open_store(source), open_store(target)

    def one(path: str) -> None:
        copied.put_if_absent(f"{table}/{path}", _bytes(held, table, path, as_of))

    with ThreadPoolExecutor(_COPIERS) as pool:
        list(pool.map(one, parts))
    for key in _log_keys(held.list(f"{table}/_delta_log/"), as_of):
        copied.put_if_absent(key, held.get(key))
    return len(parts)


def _bytes(store: ObjectStore, table: str, path: str, as_of: int) -> bytes:
    try:
        return read.part_bytes(store, path, table=table)
    except CorruptPart:
        retention.require_kept(store, table, as_of, lost=path)
        raise


def _log_keys(keys: list[str], as_of: int) -> list[str]:
    """What a reader of that version needs: the newest checkpoint up to it, and the commits from there on."""
    numbered = {key: int(stem) for key in keys if (stem := key.rpartition("/")[2].split(".")[0]).isdecimal()}
    sums = {number for key, number in numbered.items() if ".checkpoint" in key and number <= as_of}
    first = max(sums, default=0)
    return sorted(key for key, number in numbered.items() if first <= number <= as_of)
