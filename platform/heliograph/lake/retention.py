"""What a table's vacuum has cleaned away, and clear words for whoever asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from heliograph.core.errors import ConfigError, Retryable
from heliograph.core.ports import ObjectStore
from heliograph.lake.layout import retention_key


@dataclass(frozen=True, slots=True)
class Retention:
    """What vacuum remembers of one table.

    Attributes:
        oldest_kept: every version from this one on can be read; older ones only where their files are still in use.
        swept: the files that commits up to this version removed are gone.
        seen: when each file that no log names was first seen, UTC epoch ms, by path.
    """

    oldest_kept: int = 0
    swept: int = 0
    seen: Mapping[str, int] = field(default_factory=dict)


def read(store: ObjectStore, table: str) -> tuple[Retention, str | None]:
    """What vacuum wrote down last, and the tag of that."""
    found = store.get_tagged(retention_key(table))
    if found is None:
        return Retention(), None
    return Retention(**json.loads(found[0])), found[1]


def write(store: ObjectStore, table: str, retention: Retention, tag: str | None) -> str | None:
    """Replace what was read with ``tag``; returns the new tag.

    Raises:
        Retryable: somebody else wrote it meanwhile.
    """
    body = json.dumps(asdict(retention)).encode()
    store.put_if_match(retention_key(table), body, tag)
    found = store.get_tagged(retention_key(table))  # also right where the answer to the PUT was lost
    if found is None or found[0] != body:
        raise Retryable(f"another vacuum of {table} in {store.uri} wrote its notes meanwhile; run it again")
    return found[1]


def require_kept(store: ObjectStore, table: str, version: int, *, lost: str) -> None:
    """Say so where a version's file is gone because vacuum removed it.

    Args:
        lost: path of the file.

    Raises:
        ConfigError: naming the oldest version that is kept.
    """
    oldest = read(store, table)[0].oldest_kept
    if version < oldest:
        raise ConfigError(
            f"version {version} of {table} is no longer whole: vacuum removed files of it, such as {lost}. "
            f"The oldest kept version is {oldest}; give as_of={oldest} or newer"
        )
