"""Feature columns beside the lake's tables, by tile and by what they depend on; a cache: all of it may be deleted.

``features/venue=…/timeframe=…/symbol=…/<tile>/<chain>/<inputs>.<set>.<sha256>.parquet`` holds the columns of one tile that
one run computed, ``….state`` beside it what their nodes carried after the tile's last bar. A set is a list of features'
keys, ``features/sets/<set>.json``: a listing of names tells what is there. Whatever is not the bytes that its name
promises is removed when it is met, and counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.core.market import slug
from heliograph.core.ports import ObjectStore

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Carried = tuple[tuple[int, ...], FloatArray]
"""What one node carries: how many bars of each of its outputs, then these bars and its state in one array."""

COLUMNS, STATE = "parquet", "state"
TIME = "open_ts_ms"
_PLACE_KEY = "heliograph.place"
_SETS = "features/sets"


class Place(NamedTuple):
    """What columns depend on besides their definition.

    Attributes:
        start_ms: of the tile.
        chain: names the candles up to the tile's end.
        inputs: names the other series up to there.
    """

    start_ms: int
    chain: str
    inputs: str

    def __str__(self) -> str:
        return f"{self.start_ms}/{self.chain}/{self.inputs}"


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its key, and the features that it has columns or states of."""

    key: str
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Held:
    """What a listing of one market told, by place."""

    columns: Mapping[Place, tuple[Stored, ...]]
    states: Mapping[Place, tuple[Stored, ...]]


class FeatureStore:
    """The cached tiles of one market; any number of processes may use them at once."""

    def __init__(self, store: ObjectStore, venue: str, symbol: str, timeframe: str) -> None:
        folder = quote(slug(symbol), safe="")
        self._store = store
        self._root = f"features/venue={venue}/timeframe={timeframe}/symbol={folder}/"
        self._sets: dict[str, frozenset[str]] = {}

    def held(self) -> Held:
        """List what is there; bytes are checked when they are read."""
        found: dict[str, dict[Place, list[Stored]]] = {COLUMNS: {}, STATE: {}}
        for key in self._store.list(self._root):
            words = _words(key.removeprefix(self._root))
            if words is not None and (members := self._members(words[1])):
                found[words[2]].setdefault(words[0], []).append(Stored(key, members))
        columns, states = ({place: tuple(s) for place, s in found[kind].items()} for kind in (COLUMNS, STATE))
        return Held(columns, states)

    def write_columns(self, place: Place, open_ts_ms: IntArray, columns: Mapping[str, FloatArray]) -> None:
        """Store columns of a tile; doubles stay exact, NaN too. Harmless where they are there already.

        Args:
            open_ts_ms: int64[n].
            columns: float64[n] by feature key.
        """
        schema = pa.schema([(TIME, pa.int64()), *((key, pa.float64()) for key in columns)])
        encodings = {TIME: "DELTA_BINARY_PACKED"} | dict.fromkeys(columns, "BYTE_STREAM_SPLIT")
        self._write(place, COLUMNS, columns, pa.table([open_ts_ms, *columns.values()], schema=schema), encodings)

    def write_states(self, place: Place, members: Collection[str], carried: Mapping[str, Carried]) -> None:
        """Store what the nodes of these features carried after the tile's last bar."""
        schema = pa.schema([("node", pa.string()), ("kept", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))])
        rows = [[*carried], [list(kept) for kept, _ in carried.values()], [values for _, values in carried.values()]]
        self._write(place, STATE, members, pa.table(rows, schema=schema), {})

    def read_columns(
        self, place: Place, stored: Iterable[Stored], wanted: Collection[str]
    ) -> dict[str, npt.NDArray[Any]] | None:
        """``open_ts_ms`` and the wanted columns, each from the first object that has it.

        Returns:
            None where an object is gone or was not whole; list again.
        """
        found: dict[str, npt.NDArray[Any]] = {}
        for one in stored:
            names = [key for key in wanted if key in one.members and key not in found]
            if not names:
                continue
            table = self._read(one, place, [TIME, *names])
            if table is None:
                return None
            found |= {name: table.column(name).to_numpy() for name in table.column_names}
        return found

    def read_states(self, place: Place, stored: Stored) -> dict[str, Carried] | None:
        """What `write_states` stored; None where it is gone or was not whole."""
        table = self._read(stored, place, ["node", "kept", "values"])
        if table is None:
            return None
        nodes, kept = table.column("node").to_pylist(), table.column("kept").to_pylist()
        values = [row.values.to_numpy() for row in table.column("values")]
        return {node: (tuple(bars), array) for node, bars, array in zip(nodes, kept, values, strict=True)}

    def remove(self, stored: Stored) -> None:
        """Drop an object that is of no use; it will be computed again."""
        self._store.delete(stored.key)

    def prune(self, chains: Mapping[int, str]) -> int:
        """Remove tiles of candles that are no longer so; returns how many objects.

        Args:
            chains: by start of a tile, the only content that counts.
        """
        removed = 0
        for key in self._store.list(self._root):
            words = _words(key.removeprefix(self._root))
            if words is not None and chains.get(words[0].start_ms) != words[0].chain:
                self._store.delete(key)
                removed += 1
        return removed

    def _write(
        self, place: Place, kind: str, members: Collection[str], table: pa.Table, encodings: Mapping[str, str]
    ) -> None:
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            table.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            column_encoding=dict(encodings) or None,
            write_statistics=False,
            store_schema=False,
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_PLACE_KEY: str(place)})
        body = cast("bytes", sink.getvalue().to_pybytes())
        name, words = _set_of(members)
        if not self._members(name):
            self._store.put_if_absent(f"{_SETS}/{name}.json", words)
            self._sets[name] = frozenset(members)
        self._store.put_if_absent(f"{self._root}{place}.{name}.{hashlib.sha256(body).hexdigest()}.{kind}", body)

    def _read(self, stored: Stored, place: Place, names: list[str]) -> pa.Table | None:
        try:
            body = self._store.get(stored.key)
        except FileNotFoundError:
            return None
        if hashlib.sha256(body).hexdigest() == stored.key.split(".")[-2]:
            file = pq.ParquetFile(pa.BufferReader(body))
            if (file.metadata.metadata or {}).get(_PLACE_KEY.encode()) == str(place).encode():
                return file.read(columns=names)
        self._store.delete(stored.key)
        return None

    def _members(self, name: str) -> frozenset[str]:
        """The features of a set; none where it is gone or not whole."""
        if name not in self._sets:
            held = self._store.get_tagged(f"{_SETS}/{name}.json")
            if held is None:
                return frozenset()
            if _name_of(held[0]) != name:
                self._store.delete(f"{_SETS}/{name}.json")
                return frozenset()
            self._sets[name] = frozenset(json.loads(held[0]))
        return self._sets[name]


def _set_of(members: Collection[str]) -> tuple[str, bytes]:
    body = json.dumps(sorted(members)).encode()
    return _name_of(body), body


def _name_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _words(path: str) -> tuple[Place, str, str] | None:
    """Place, set and kind that an object's path tells; None where it is not ours."""
    folders, dots = path.split("/"), path.rpartition("/")[2].split(".")
    if len(folders) != 3 or len(dots) != 4 or dots[3] not in (COLUMNS, STATE):
        return None
    if not folders[0].removeprefix("-").isdecimal():
        return None
    return Place(int(folders[0]), folders[1], dots[0]), dots[1], dots[3]
