"""Read candles: as one checked frame of a market, or lazily over many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.core.market import Candles, slug
from heliograph.core.ports import ObjectStore
from heliograph.core.schema import PARTITION_COLUMNS
from heliograph.lake import delta
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.part import PRICES, REMEDY, decode
from heliograph.lake.store import open_store
from heliograph.lake.ticks import from_rows

_READERS = 8


def version(settings: LakeSettings) -> int:
    """The newest version of the candles table.

    Raises:
        ConfigError: the lake is empty.
    """
    return int(_table(settings, None).version())


def candles(
    settings: LakeSettings,
    venue: str,
    symbol: str,
    timeframe: str,
    *,
    start_ms: int = 0,
    end_ms: int | None = None,
    as_of: int | None = None,
) -> Candles:
    """Every stored candle of a market that opens in ``[start_ms, end_ms)``, ascending, each open once.

    The bytes of every part are checked against its name on the way.

    Args:
        symbol: unified, ``BTC/USDT``.
        as_of: a version of the table; None takes the newest.

    Raises:
        ConfigError: the lake is empty, or there is no such version.
        CorruptPart: naming the part that is missing or does not hold what its name promises.
    """
    paths = _paths(delta.live_parts(_table(settings, as_of)), (venue, timeframe, slug(symbol)), start_ms, end_ms)
    store = open_store(settings)
    with ThreadPoolExecutor(_READERS) as pool:
        frame = Candles.concat(list(pool.map(lambda path: read_part(store, path), paths)))
    return frame.between(start_ms, 2**62 if end_ms is None else end_ms)


def read_part(store: ObjectStore, path: str) -> Candles:
    """The candles of one part, checked.

    Raises:
        CorruptPart: it is missing, or does not hold what its name promises.
    """
    try:
        body = store.get(f"{CANDLES_TABLE}/{path}")
    except FileNotFoundError as e:
        raise CorruptPart(f"{path} is missing from {store.uri}/{CANDLES_TABLE}; {REMEDY}") from e
    return decode(body, path)


def scan(
    settings: LakeSettings,
    *,
    venue: str,
    timeframe: str,
    symbols: tuple[str, ...] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    as_of: int | None = None,
) -> pl.LazyFrame:
    """Candles of many markets as doubles: venue, timeframe, symbol (unified), open_ts_ms, open … close, volume.

    Lazy and without order; only parts that can hold a wanted row are read, and their bytes are not checked (`candles`
    checks them).

    Raises:
        ConfigError: the lake is empty, or there is no such version.
    """
    table = _table(settings, as_of)
    frame = pl.scan_delta(table).filter(pl.col("venue") == venue, pl.col("timeframe") == timeframe)
    if symbols is not None:
        frame = frame.filter(pl.col("symbol").is_in([slug(symbol) for symbol in symbols]))
    if start_ms is not None:
        frame = frame.filter(pl.col("open_ts_ms") >= start_ms)
    if end_ms is not None:
        frame = frame.filter(pl.col("open_ts_ms") < end_ms)
    unified = pl.col("symbol").str.replace("-", "/", literal=True).str.replace("_", ":", literal=True)
    return frame.select(
        "venue",
        "timeframe",
        unified,
        "open_ts_ms",
        *(_decoded(f"{name}_ticks", "price_scale").alias(name) for name in PRICES),
        _decoded("volume_ticks", "volume_scale").alias("volume"),
    )


def series(settings: LakeSettings, *, as_of: int | None = None) -> list[tuple[str, str, str]]:
    """Every (venue, timeframe, slug) that has candles, sorted.

    Raises:
        ConfigError: the lake is empty, or there is no such version.
    """
    return sorted({(part["venue"], part["timeframe"], part["symbol"]) for part in live_parts(settings, as_of=as_of)})


def parts(settings: LakeSettings, venue: str, symbol: str, timeframe: str, *, as_of: int | None = None) -> list[str]:
    """Paths of the parts of one market, sorted; content-addressed, so equal lists mean equal candles."""
    found = delta.live_parts(_table(settings, as_of))
    return sorted(_paths(found, (venue, timeframe, slug(symbol)), 0, None))


def live_parts(settings: LakeSettings, *, as_of: int | None = None) -> list[dict[str, Any]]:
    """Every live part: venue, timeframe, symbol (slug), path, size_bytes, candles, first_ts_ms, last_ts_ms."""
    rows: list[dict[str, Any]] = delta.live_parts(_table(settings, as_of)).to_pylist()
    return rows


def _paths(found: pa.Table, partition: tuple[str, str, str], start_ms: int, end_ms: int | None) -> list[str]:
    wanted = pc.field("last_ts_ms") >= start_ms
    for name, value in zip(PARTITION_COLUMNS, partition, strict=True):
        wanted &= pc.field(name) == value
    if end_ms is not None:
        wanted &= pc.field("first_ts_ms") < end_ms
    paths: list[str] = found.filter(wanted).column("path").to_pylist()
    return paths


def _table(settings: LakeSettings, as_of: int | None) -> DeltaTable:
    table = delta.open_table(settings, CANDLES_TABLE, as_of)
    if table is None:
        raise ConfigError(f"there are no candles in {settings.uri}: run `helio fetch` first, or set lake.uri")
    return table


def _decoded(ticks: str, scale: str) -> pl.Expr:
    def divide(pair: pl.Series) -> pl.Series:
        return pl.Series(from_rows(pair.struct.field(ticks).to_numpy(), pair.struct.field(scale).to_numpy()))

    return pl.struct(ticks, scale).map_batches(divide, return_dtype=pl.Float64, is_elementwise=True)
