"""Candles from Parquet files on disk."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles, unslug
from heliograph.core.timeframe import TIMEFRAMES, Timeframe

_COLUMNS = ("open", "high", "low", "close", "volume")
_TIME_COLUMNS = ("ts", "open_ts_ms")
_LAYOUT = "<symbol>/<timeframe>.parquet or <venue>/<symbol>/<timeframe>.parquet, e.g. BTC-USDT/1h.parquet"
_SYMBOL = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")


def read(path: Path) -> dict[str, dict[str, Candles]]:
    """Every candle file of a folder, as symbol → timeframe name → candles.

    Raises:
        ConfigError: there is no such folder or no candle file in it, or a file that can't be used.
    """
    if not path.is_dir():
        raise ConfigError(f"there is no folder {path}: give one that holds {_LAYOUT}")
    files = sorted([*path.glob("*/*.parquet"), *path.glob("*/*/*.parquet")])
    if not files:
        raise ConfigError(f"the folder {path} holds no candles: put them at {_LAYOUT}")
    bases: dict[str, dict[str, Candles]] = {}
    for file in files:
        symbol, timeframe = _named(file)
        series = bases.setdefault(symbol, {})
        if timeframe.name in series:
            raise ConfigError(f"{path} holds {timeframe} of {symbol} twice, once at {file}: give one venue's folder")
        series[timeframe.name] = read_candles(file, timeframe)
    return bases


def read_candles(file: Path, timeframe: Timeframe) -> Candles:
    """The candles of one file.

    Raises:
        ConfigError: naming the file, and the column or the bar that is wrong.
    """
    if not file.is_file():
        raise ConfigError(f"there is no candle file {file}")
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as e:
        raise ConfigError(f"{file} is not a Parquet file that can be read ({e}); write it again") from e
    time = next((name for name in _TIME_COLUMNS if name in table.column_names), None)
    missing = [name for name in _COLUMNS if name not in table.column_names] + ([] if time else ["ts"])
    if missing or time is None:
        raise ConfigError(f"{file} lacks the column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    if not table.num_rows:
        raise ConfigError(f"{file} has no rows; remove the file or fill it")
    try:
        columns = [_doubles(table, name) for name in _COLUMNS]
        candles = Candles(table.column(time).cast(pa.int64()).to_numpy(), *columns)
        candles.require_sound(timeframe)
    except (pa.ArrowException, SchemaMismatch) as e:
        raise ConfigError(f"{file} does not hold candles of {timeframe}: {e}") from e
    return candles


def _doubles(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = table.column(name).cast(pa.float64()).to_numpy()
    return values


def _named(file: Path) -> tuple[str, Timeframe]:
    symbol, name = file.parent.name, file.stem
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"{file}: the folder {symbol!r} is not a spot symbol like BTC-USDT")
    if name not in TIMEFRAMES:
        raise ConfigError(f"{file}: {name!r} is not a timeframe; name the file after one of {', '.join(TIMEFRAMES)}")
    return unslug(symbol), TIMEFRAMES[name]
