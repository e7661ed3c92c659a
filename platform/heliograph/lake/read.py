"""Read the lake: one market as checked columns, or many lazily."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow.compute as pc
from deltalake import DeltaTable

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.core.market import Candles, slug
from heliograph.core.ports import ObjectStore
from heliograph.core.schema import TICK
from heliograph.core.series import Points, Trades
from heliograph.lake import delta, retention
from heliograph.lake.layout import CANDLES_TABLE, TRADES_TABLE
from heliograph.lake.part import PRICES, REMEDY, decode_rows
from heliograph.lake.store import open_store
from heliograph.lake.tables import Rows, Table, named, require_columns
from heliograph.lake.ticks import from_rows

_READERS = 8
_END_OF_TIME_MS = 2**62


def version(settings: LakeSettings, *, table: str = CANDLES_TABLE) -> int:
    """The newest version of a table.

    Raises:
        ConfigError: the lake has no such table yet.
    """
    return int(_table(settings, None, table).version())


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
        ConfigError: the lake is empty, there is no such version, or vacuum has removed files of it.
        CorruptPart: naming the part that is missing or does not hold what its name promises.
    """
    market = (venue, timeframe, slug(symbol))
    return cast("Candles", _rows(settings, CANDLES_TABLE, market, start_ms=start_ms, end_ms=end_ms, as_of=as_of))


def trades(
    settings: LakeSettings,
    venue: str,
    symbol: str,
    *,
    start_ms: int = 0,
    end_ms: int | None = None,
    as_of: int | None = None,
) -> Trades:
    """Every stored trade of a market in ``[start_ms, end_ms)``, ascending; see `candles`."""
    market = (venue, TICK, slug(symbol))
    return cast("Trades", _rows(settings, TRADES_TABLE, market, start_ms=start_ms, end_ms=end_ms, as_of=as_of))


def points(
    settings: LakeSettings,
    table: str,
    venue: str,
    symbol: str,
    timeframe: str = TICK,
    *,
    start_ms: int = 0,
    end_ms: int | None = None,
    as_of: int | None = None,
) -> Points:
    """Every stored point about a moment in ``[start_ms, end_ms)``, ascending by event; see `candles`.

    Args:
        table: ``funding`` or ``open_interest``.
        timeframe: `TICK` for funding; the period between points for open interest.
    """
    if named(table).rows is not Points:
        raise ConfigError(f"the table {table} holds no points: read funding or open_interest")
    market = (venue, timeframe, slug(symbol))
    return cast("Points", _rows(settings, table, market, start_ms=start_ms, end_ms=end_ms, as_of=as_of))


def read_part(
    store: ObjectStore, path: str, *, table: str = CANDLES_TABLE, start_ms: int = 0, end_ms: int | None = None
) -> Rows:
    """The rows of one part, checked.

    Raises:
        CorruptPart: it is missing, or does not hold what its name promises.
    """
    return decode_rows(part_bytes(store, path, table=table), path, table, start_ms=start_ms, end_ms=end_ms)


def part_bytes(store: ObjectStore, path: str, *, table: str = CANDLES_TABLE) -> bytes:
    """The bytes of one part, not checked.

    Raises:
        CorruptPart: it is missing.
    """
    try:
        return store.get(f"{table}/{path}")
    except FileNotFoundError as e:
        raise CorruptPart(f"{path} is missing from {store.uri}/{table}; {REMEDY}") from e


def scan(
    settings: LakeSettings,
    *,
    venue: str | None = None,
    timeframe: str | None = None,
    symbols: tuple[str, ...] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    as_of: int | None = None,
) -> pl.LazyFrame:
    """Candles of many markets as doubles: venue, timeframe, symbol (unified), open_ts_ms, open … close, volume.

    Lazy and without order; only parts that can hold a wanted row are read, and their bytes are not checked (`candles`
    checks them). What is None is not filtered.

    Raises:
        ConfigError: the lake is empty, there is no such version, or vacuum has removed files of it.
    """
    table = _table(settings, as_of)
    if as_of is not None:
        _require_files(settings, table)
    frame = pl.scan_delta(table)
    wanted = {"venue": venue, "timeframe": timeframe}
    frame = frame.filter(*(pl.col(name) == value for name, value in wanted.items() if value is not None))
    if symbols is not None:
        frame = frame.filter(pl.col("symbol").is_in([slug(symbol) for symbol in symbols]))
    if start_ms is not None:
        frame = frame.filter(pl.col("open_ts_ms") >= start_ms)
    if end_ms is not None:
        frame = frame.filter(pl.col("open_ts_ms") < end_ms)
    return frame.select(
        "venue",
        "timeframe",
        pl.col("symbol").str.replace("-", "/", literal=True).str.replace("_", ":", literal=True),
        "open_ts_ms",
        *(_decoded(ticks, "price_scale").alias(name) for name, ticks in _PRICE_TICKS.items()),
        _decoded(pl.col("volume_ticks"), "volume_scale").alias("volume"),
    )


def series(settings: LakeSettings, *, as_of: int | None = None) -> list[tuple[str, str, str]]:
    """Every (venue, timeframe, slug) that has candles, sorted.

    Raises:
        ConfigError: the lake is empty, or there is no such version.
    """
    return sorted({(part["venue"], part["timeframe"], part["symbol"]) for part in live_parts(settings, as_of=as_of)})


def parts(settings: LakeSettings, venue: str, symbol: str, timeframe: str, *, as_of: int | None = None) -> list[str]:
    """Paths of the parts of one market, sorted; content-addressed, so equal lists mean equal candles."""
    found = delta.live_parts(_table(settings, as_of), named(CANDLES_TABLE), (venue, timeframe, slug(symbol)))
    return sorted(found.column("path").to_pylist())


def live_parts(settings: LakeSettings, *, as_of: int | None = None, table: str = CANDLES_TABLE) -> list[dict[str, Any]]:
    """Every live part: venue, timeframe, symbol (slug), path, size_bytes, candles (rows), first_ts_ms, last_ts_ms."""
    rows: list[dict[str, Any]] = delta.live_parts(_table(settings, as_of, table), named(table)).to_pylist()
    return rows


def joined(frames: list[Rows], spec: Table) -> Rows:
    """One frame out of those of parts, given in order of time; rows are sorted only where two parts overlap."""
    frames = [frame for frame in frames if len(frame)]
    if len(frames) == 1:
        return frames[0]
    times = [getattr(frame, spec.time) for frame in frames]
    if not frames or any(one[-1] >= next_[0] for one, next_ in pairwise(times)):
        return spec.rows.concat(frames)  # type: ignore[arg-type]  # all are spec.rows
    names = [f.name for f in fields(spec.rows)]
    return spec.rows(*(np.concatenate([getattr(frame, name) for frame in frames]) for name in names))


def _rows(
    settings: LakeSettings,
    table: str,
    market: tuple[str, str, str],
    *,
    start_ms: int,
    end_ms: int | None,
    as_of: int | None,
) -> Rows:
    spec = named(table)
    found = delta.live_parts(_table(settings, as_of, table), spec, market)
    wanted = pc.field("last_ts_ms") >= start_ms
    if end_ms is not None:
        wanted &= pc.field("first_ts_ms") < end_ms
    rows = found.filter(wanted).sort_by([("first_ts_ms", "ascending"), ("path", "ascending")])
    paths: list[str] = rows.column("path").to_pylist()
    store = open_store(settings)

    def one(path: str) -> Rows:
        try:
            return read_part(store, path, table=table, start_ms=start_ms, end_ms=end_ms)
        except CorruptPart as e:
            if as_of is not None and isinstance(e.__cause__, FileNotFoundError):
                retention.require_kept(store, table, as_of, lost=path)
            raise

    if len(paths) == 1:  # a thread of its own would only cost
        return one(paths[0])
    with ThreadPoolExecutor(_READERS) as pool:
        return joined(list(pool.map(one, paths)), spec)


def _require_files(settings: LakeSettings, table: DeltaTable) -> None:
    """Refuse a version whose files vacuum has removed: a lazy reader would fail without saying why."""
    store = open_store(settings)
    oldest = retention.read(store, CANDLES_TABLE)[0].oldest_kept
    if table.version() >= oldest:
        return
    kept = delta.files(_table(settings, oldest))
    if lost := sorted(set(delta.files(table)) - set(kept)):
        retention.require_kept(store, CANDLES_TABLE, table.version(), lost=lost[0])


def _table(settings: LakeSettings, as_of: int | None, name: str = CANDLES_TABLE) -> DeltaTable:
    table = delta.open_table(settings, name, as_of)
    if table is None:
        raise ConfigError(f"there are no {name} in {settings.uri}: run `helio fetch` first, or set lake.uri")
    require_columns(table, name)
    return table


_OPEN, _CLOSE = pl.col("open_ticks"), pl.col("close_ticks")
_PRICE_TICKS = dict(
    zip(
        PRICES,
        (
            _OPEN,
            pl.max_horizontal(_OPEN, _CLOSE) + pl.col("upper_wick_ticks"),
            pl.min_horizontal(_OPEN, _CLOSE) - pl.col("lower_wick_ticks"),
            _CLOSE,
        ),
        strict=True,
    )
)


def _decoded(ticks: pl.Expr, scale: str) -> pl.Expr:
    def divide(pair: pl.Series) -> pl.Series:
        return pl.Series(from_rows(pair.struct.field("ticks").to_numpy(), pair.struct.field(scale).to_numpy()))

    return pl.struct(ticks.alias("ticks"), scale).map_batches(divide, return_dtype=pl.Float64, is_elementwise=True)
