"""The format of one part: rows ↔ Parquet bytes, decimal-exact, with where they came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.core.errors import CorruptPart
from heliograph.core.market import Candles
from heliograph.core.series import Points, Trades
from heliograph.lake import provenance as origin
from heliograph.lake.layout import CANDLES_TABLE, PROVENANCE_KEY
from heliograph.lake.tables import Rows, Table, named
from heliograph.lake.ticks import from_rows, to_rows

PRICES = ("open", "high", "low", "close")
REMEDY = "run `helio verify --repair` to fetch its candles again"
ROW_GROUP = 65_536
"""Rows that are decoded together; an interval of a large part is read without the rest."""

_DELTA, _PLAIN = "DELTA_BINARY_PACKED", "PLAIN"
_ENCODINGS = {"upper_wick_ticks": _PLAIN, "lower_wick_ticks": _PLAIN, "is_buy": _PLAIN, "id": "DELTA_BYTE_ARRAY"}
"""Those that differ from delta-packing. Wicks are small and near none of their neighbours: zstd packs their bytes by
frequency, a third better. DuckDB and Spark read all of these; BYTE_STREAM_SPLIT of integers, smaller still, they don't."""

_END_OF_TIME_MS = 2**62
_FEW_GROUPS = 3
Columns = dict[str, npt.NDArray[Any]]


def encode(rows: Rows, provenance: Mapping[str, Any], *, table: str = CANDLES_TABLE) -> bytes:
    """A part's bytes.

    Raises:
        SchemaMismatch: a number can't be stored exactly.
    """
    spec = named(table)
    columns = _PACKERS[spec.rows](rows)
    schema = pa.schema([field for field in spec.file_schema if field.name in columns])
    body = pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
    scales = [name for name in schema.names if name.endswith("_scale")]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=scales,
        column_encoding={n: _ENCODINGS.get(n, _DELTA) for n in schema.names if n not in scales},
        write_statistics=[spec.time],
        store_schema=False,
    ) as writer:
        writer.write_table(body, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata({PROVENANCE_KEY: origin.pack(provenance)})
    return cast("bytes", sink.getvalue().to_pybytes())


def decode(body: bytes, path: str, *, start_ms: int = 0, end_ms: int | None = None) -> Candles:
    """The candles of a part whose file name is its sha256; those that open in ``[start_ms, end_ms)``.

    Raises:
        CorruptPart: the bytes are not those that the name promises.
    """
    return cast("Candles", decode_rows(body, path, CANDLES_TABLE, start_ms=start_ms, end_ms=end_ms))


def decode_rows(body: bytes, path: str, table: str, *, start_ms: int = 0, end_ms: int | None = None) -> Rows:
    """The rows of a part of any table; see `decode`."""
    if not is_whole(body, path):
        raise CorruptPart(f"{path} does not hold the bytes that its name promises; {REMEDY}")
    spec = named(table)
    stop_ms = _END_OF_TIME_MS if end_ms is None else end_ms
    file = pq.ParquetFile(pa.BufferReader(body))
    spans = group_spans(file.metadata, spec)
    groups = [i for i, (first, last) in enumerate(spans) if last >= start_ms and first < stop_ms]
    rows = _read_groups(body, file, spec, groups)
    is_inside = not groups or (spans[groups[0]][0] >= start_ms and spans[groups[-1]][1] < stop_ms)
    return rows if is_inside else rows.between(start_ms, stop_ms)


def _read_groups(body: bytes, file: pq.ParquetFile, table: Table, groups: Sequence[int]) -> Rows:
    """Rows of some row groups; each is decoded on its own, so that temporaries stay small and cores work side by side."""
    ends = np.cumsum([0, *(file.metadata.row_group(i).num_rows for i in groups)])
    typed = zip(fields(table.rows), _DTYPES[table.rows], strict=True)
    into: Columns = {f.name: np.empty(int(ends[-1]), dtype) for f, dtype in typed}
    names = [name for name in table.file_schema.names if name in file.schema_arrow.names]

    def one(i: int) -> None:
        own = pq.ParquetFile(pa.BufferReader(body), metadata=file.metadata)  # one file is not for several threads
        held = own.read_row_group(groups[i], columns=names, use_threads=False)
        columns = {name: held.column(name).to_numpy() for name in names}
        _UNPACKERS[table.rows](columns, {name: column[ends[i] : ends[i + 1]] for name, column in into.items()})

    if len(groups) < _FEW_GROUPS:
        for i in range(len(groups)):
            one(i)
    else:
        list(_pool().map(one, range(len(groups))))
    return table.rows(**into)


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay: fresh ones would pay for their memory again at every read."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lake-decode")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has the pool and not its threads


def group_spans(metadata: Any, table: Table) -> list[tuple[int, int]]:
    """First and last time of every row group, as the footer tells them."""
    column = metadata.schema.names.index(table.time)
    told = (metadata.row_group(i).column(column).statistics for i in range(metadata.num_row_groups))
    return [(int(s.min), int(s.max)) for s in told]


def read_provenance(body: bytes) -> dict[str, Any]:
    """Where a part's rows came from: venue, interval, and every answer's endpoint, query, sha256 and time.

    A part that compaction made has ``merged`` instead: for each of its sources the sha256 and the provenance.
    """
    return origin.unpack(pq.read_metadata(pa.BufferReader(body)).metadata[PROVENANCE_KEY.encode()].decode())


def columns_of(body: bytes) -> set[str]:
    """Names of the columns in a part's file; a newer release may have written more than this one reads."""
    return set(pq.read_schema(pa.BufferReader(body)).names)


def is_whole(body: bytes, path: str) -> bool:
    """True where the bytes' sha256 is the file's name."""
    return hashlib.sha256(body).hexdigest() == path.rpartition("/")[2].removesuffix(".parquet")


def _pack_candles(candles: Candles) -> Columns:
    (opened, high, low, close), price_scale = to_rows(np.stack([getattr(candles, name) for name in PRICES]))
    (volume,), volume_scale = to_rows(candles.volume[None])
    return {
        "open_ts_ms": candles.open_ts_ms,
        "open_ticks": opened,
        "upper_wick_ticks": high - np.maximum(opened, close),
        "lower_wick_ticks": np.minimum(opened, close) - low,
        "close_ticks": close,
        "volume_ticks": volume,
        "price_scale": price_scale,
        "volume_scale": volume_scale,
    }


def _unpack_candles(columns: Columns, into: Columns) -> None:
    opened, close, scale = columns["open_ticks"], columns["close_ticks"], columns["price_scale"]
    into["open_ts_ms"][:] = columns["open_ts_ms"]
    from_rows(opened, scale, out=into["open"])
    from_rows(close, scale, out=into["close"])
    body = np.maximum(opened, close)
    from_rows(np.add(body, columns["upper_wick_ticks"], out=body), scale, out=into["high"])
    np.minimum(opened, close, out=body)
    from_rows(np.subtract(body, columns["lower_wick_ticks"], out=body), scale, out=into["low"])
    from_rows(columns["volume_ticks"], columns["volume_scale"], out=into["volume"])


def _pack_trades(trades: Trades) -> Columns:
    (price,), price_scale = to_rows(trades.price[None])
    (qty,), qty_scale = to_rows(trades.qty[None])
    return {
        "ts_ms": trades.ts_ms,
        "price_ticks": price,
        "qty_ticks": qty,
        "price_scale": price_scale,
        "qty_scale": qty_scale,
        "is_buy": trades.is_buy,
        "id": trades.ids,
    }


def _unpack_trades(columns: Columns, into: Columns) -> None:
    from_rows(columns["price_ticks"], columns["price_scale"], out=into["price"])
    from_rows(columns["qty_ticks"], columns["qty_scale"], out=into["qty"])
    for column, name in (("ts_ms", "ts_ms"), ("is_buy", "is_buy"), ("id", "ids")):
        into[name][:] = columns[column]


def _pack_points(points: Points) -> Columns:
    (value,), scale = to_rows(points.value[None])
    times = {"event_ts_ms": points.event_ts_ms, "known_ts_ms": points.known_ts_ms}
    return {**times, "value_ticks": value, "value_scale": scale}


def _unpack_points(columns: Columns, into: Columns) -> None:
    from_rows(columns["value_ticks"], columns["value_scale"], out=into["value"])
    for name in ("event_ts_ms", "known_ts_ms"):
        into[name][:] = columns[name]


_PACKERS: dict[type, Callable[[Any], Columns]] = {
    Candles: _pack_candles,
    Trades: _pack_trades,
    Points: _pack_points,
}
_DTYPES: dict[type, tuple[type, ...]] = {
    Candles: (np.int64, *[np.float64] * 5),
    Trades: (np.int64, np.float64, np.float64, np.bool_, np.object_),
    Points: (np.int64, np.int64, np.float64),
}
_UNPACKERS: dict[type, Callable[[Columns, Columns], None]] = {
    Candles: _unpack_candles,
    Trades: _unpack_trades,
    Points: _unpack_points,
}
