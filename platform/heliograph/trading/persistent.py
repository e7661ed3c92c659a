"""A mapping that never changes: a new version shares all but a 256th part with the old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Self, TypeVar
from zlib import crc32

V = TypeVar("V")

_SHARDS = 256


class ShardedMap(Mapping[str, V], Generic[V]):
    """An immutable mapping from text, cheap to copy with one entry changed.

    An engine that books many thousand orders keeps each version of its state for the price of one shard.

    >>> old = ShardedMap()
    >>> new = old.set("a", 1)
    >>> dict(old), dict(new)
    ({}, {'a': 1})
    """

    __slots__ = ("_length", "_shards")

    def __init__(self) -> None:
        self._shards: tuple[dict[str, V], ...] = ({},) * _SHARDS
        self._length = 0

    def __getitem__(self, key: str) -> V:
        return self._shards[crc32(key.encode()) % _SHARDS][key]

    def __iter__(self) -> Iterator[str]:
        for shard in self._shards:
            yield from shard

    def __len__(self) -> int:
        return self._length

    def set(self, key: str, value: V) -> Self:
        """A mapping with ``key`` set to ``value``; this one stays as it is."""
        place = crc32(key.encode()) % _SHARDS
        old = self._shards[place]
        new = type(self)()
        new._shards = (*self._shards[:place], {**old, key: value}, *self._shards[place + 1 :])
        new._length = self._length + (key not in old)
        return new
