"""The format of one part: candles ↔ Parquet bytes, decimal-exact, with where they came from."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.core.errors import CorruptPart
from heliograph.core.market import Candles
from heliograph.core.schema import CANDLES, PARTITION_COLUMNS
from heliograph.lake.layout import PROVENANCE_KEY
from heliograph.lake.ticks import from_rows, to_rows

FILE_SCHEMA = pa.schema([f for f in CANDLES if f.name not in PARTITION_COLUMNS])
PRICES = ("open", "high", "low", "close")
REMEDY = "run `helio verify --repair` to fetch its candles again"


def encode(candles: Candles, provenance: Mapping[str, Any]) -> bytes:
    """A part's bytes.

    Raises:
        SchemaMismatch: a number can't be stored exactly.
    """
    prices_N4, price_scale = to_rows(np.column_stack([getattr(candles, name) for name in PRICES]))
    volume_N1, volume_scale = to_rows(candles.volume[:, None])
    columns = [candles.open_ts_ms, *prices_N4.T, volume_N1[:, 0], price_scale, volume_scale]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, FILE_SCHEMA, strict=True)], schema=FILE_SCHEMA)
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        FILE_SCHEMA,
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        column_encoding=dict.fromkeys(FILE_SCHEMA.names, "DELTA_BINARY_PACKED"),
        write_statistics=["open_ts_ms"],
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({PROVENANCE_KEY: json.dumps(provenance, separators=(",", ":"))})
    return sink.getvalue()


def decode(body: bytes, path: str) -> Candles:
    """The candles of a part whose file name is its sha256.

    Raises:
        CorruptPart: the bytes are not those that the name promises.
    """
    if not is_whole(body, path):
        raise CorruptPart(f"{path} does not hold the bytes that its name promises; {REMEDY}")
    table = pq.read_table(io.BytesIO(body))
    columns = {name: table.column(name).to_numpy() for name in FILE_SCHEMA.names}
    prices = {name: from_rows(columns[f"{name}_ticks"], columns["price_scale"]) for name in PRICES}
    volume = from_rows(columns["volume_ticks"], columns["volume_scale"])
    return Candles(columns["open_ts_ms"], **prices, volume=volume)


def read_provenance(body: bytes) -> dict[str, Any]:
    """Where a part's candles came from: venue, interval, and every answer's endpoint, query, sha256 and time."""
    found: dict[str, Any] = json.loads(pq.read_metadata(io.BytesIO(body)).metadata[PROVENANCE_KEY.encode()])
    return found


def is_whole(body: bytes, path: str) -> bool:
    """True where the bytes' sha256 is the file's name."""
    return hashlib.sha256(body).hexdigest() == path.rpartition("/")[2].removesuffix(".parquet")
