"""The format of one part: candles ↔ Parquet bytes, decimal-exact, with where they came from."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.core.errors import CorruptPart, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.money import MAX_SCALE, to_ticks
from heliograph.core.schema import CANDLES, PARTITION_COLUMNS
from heliograph.lake.layout import PROVENANCE_KEY

FILE_SCHEMA = pa.schema([f for f in CANDLES if f.name not in PARTITION_COLUMNS])
PRICES = ("open", "high", "low", "close")
POWERS_OF_TEN = tuple(10.0**scale for scale in range(MAX_SCALE + 1))
"""``price = ticks / POWERS_OF_TEN[scale]``: the very doubles that the encoder divided by."""

REMEDY = "`helio verify` lists every bad part and its interval, to be fetched again"

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def encode(candles: Candles, provenance: Mapping[str, Any]) -> bytes:
    """A part's bytes.

    Raises:
        SchemaMismatch: a number can't be stored exactly.
    """
    prices_N4, price_scale = _ticks(np.column_stack([getattr(candles, name) for name in PRICES]))
    volume_N1, volume_scale = _ticks(candles.volume[:, None])
    columns = [candles.open_ts_ms, *prices_N4.T, volume_N1[:, 0], price_scale, volume_scale]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, FILE_SCHEMA, strict=True)],
        schema=FILE_SCHEMA.with_metadata({PROVENANCE_KEY: json.dumps(provenance, separators=(",", ":"))}),
    )
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        column_encoding=dict.fromkeys(FILE_SCHEMA.names, "DELTA_BINARY_PACKED"),
        write_statistics=["open_ts_ms"],
        store_schema=False,
    )
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
    powers = np.asarray(POWERS_OF_TEN)
    price_power, volume_power = powers[columns["price_scale"]], powers[columns["volume_scale"]]
    prices = {name: columns[f"{name}_ticks"] / price_power for name in PRICES}
    return Candles(columns["open_ts_ms"], **prices, volume=columns["volume_ticks"] / volume_power)


def read_provenance(body: bytes) -> dict[str, Any]:
    """Where a part's candles came from: venue, interval, and every answer's endpoint, query, sha256 and time."""
    found: dict[str, Any] = json.loads(pq.read_metadata(io.BytesIO(body)).metadata[PROVENANCE_KEY.encode()])
    return found


def is_whole(body: bytes, path: str) -> bool:
    """True where the bytes' sha256 is the file's name."""
    return hashlib.sha256(body).hexdigest() == path.rpartition("/")[2].removesuffix(".parquet")


def _ticks(values_NK: FloatArray) -> tuple[IntArray, IntArray]:
    """Integers of ticks and each row's scale: one scale for all where it fits, else each row its own."""
    try:
        flat, scale = to_ticks(values_NK.ravel())
        return flat.reshape(values_NK.shape), np.full(len(values_NK), scale)
    except SchemaMismatch:
        rows = [to_ticks(row_K) for row_K in values_NK]
        return np.stack([ticks for ticks, _ in rows]), np.asarray([scale for _, scale in rows])
