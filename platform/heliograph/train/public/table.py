"""Series from a plain CSV: dates in the first column, then one series a column, or one row for each date and series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from heliograph.core.errors import ConfigError, SchemaMismatch

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAY_MS = 86_400_000
RETURNS = ("return", "open_to_close")
"""Columns of a long table that hold the day's log-return: what HAR's leverage is made of."""

_FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d",
    "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%:z", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """One series without gaps in its own order of time.

    Attributes:
        ts_ms: int64[T], ascending.
        value_T: float64[T], finite.
        leverage_T: float64[T], the negative part of the day's return; None where the file has no returns.
    """

    name: str
    ts_ms: IntArray
    value_T: FloatArray
    leverage_T: FloatArray | None = None

    @property
    def step_ms(self) -> int:
        """The usual distance of two values."""
        return int(np.median(np.diff(self.ts_ms)))


def read_wide(path: Path, *, may_miss: bool = False) -> tuple[Series, ...]:
    """One series of each column after the first.

    Args:
        may_miss: leave empty cells out of their series (each index has holidays of its own); else they are refused.

    Raises:
        ConfigError: there is no such file, or it has no series.
        SchemaMismatch: dates or values can't be read, dates don't ascend, a cell is empty.
    """
    frame = _read(path)
    names = frame.columns[1:]
    if not names or frame.height < 3:
        raise ConfigError(f"{path} has no series: it needs a header, dates in the first column and values beside them")
    ts_ms = _dates(path, frame.to_series(0))
    _require_ascending(path, ts_ms, "the file")
    found = []
    for name in names:
        value_T = _numbers(path, frame[name])
        there = np.isfinite(value_T)
        if not may_miss and not there.all():
            raise SchemaMismatch(
                f"{path}, column {name!r}: row {int(np.argmin(there)) + 2} has no value; this protocol takes no gaps"
            )
        found.append(Series(name, ts_ms[there], value_T[there]))
    return tuple(found)


def read_long(path: Path, *, value: str | None = None) -> tuple[Series, ...]:
    """One series of each name in the first column of text, after the dates; `read_wide` where there is no such column.

    Args:
        value: the column of values; the only one of numbers needs no naming, nor does ``log_rv``.

    Raises:
        ConfigError, SchemaMismatch: as `read_wide`; also where several columns could be meant.
    """
    frame = _read(path)
    texts = [
        c
        for c in frame.columns[1:]
        if frame[c].dtype == pl.String and frame[c].cast(pl.Float64, strict=False).is_null().all()
    ]
    if not texts:
        return read_wide(path, may_miss=True)
    symbol = texts[0]
    numbers = [c for c in frame.columns[1:] if c not in texts and c not in RETURNS]
    column = value or ("log_rv" if "log_rv" in numbers else numbers[0] if len(numbers) == 1 else None)
    if column not in numbers:
        raise ConfigError(f"{path}: name the column of values with --value, one of {', '.join(numbers)}")
    of_return = next((c for c in RETURNS if c in frame.columns), None)
    frame = frame.with_columns(pl.Series("_ts_ms", _dates(path, frame.to_series(0))))
    found = []
    for (name,), part in sorted(frame.group_by([symbol]), key=lambda item: str(item[0])):
        value_T = _numbers(path, part[column])
        leverage_T = None if of_return is None else np.minimum(_numbers(path, part[of_return]), 0.0)
        there = np.isfinite(value_T) & (np.isfinite(leverage_T) if leverage_T is not None else True)
        order = np.argsort(part["_ts_ms"].to_numpy()[there], kind="stable")
        ts_ms = part["_ts_ms"].to_numpy()[there][order]
        _require_ascending(path, ts_ms, str(name))
        found.append(
            Series(str(name), ts_ms, value_T[there][order], None if leverage_T is None else leverage_T[there][order])
        )
    return tuple(found)


def logged(series: Sequence[Series]) -> tuple[Series, ...]:
    """The logs of positive values; a value of zero or less (a day without trades) is left out."""
    kept = []
    for one in series:
        there = one.value_T > 0
        leverage_T = None if one.leverage_T is None else one.leverage_T[there]
        kept.append(Series(one.name, one.ts_ms[there], np.log(one.value_T[there]), leverage_T))
    return tuple(kept)


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}: docs/benchmarks.md tells where the public ones come from")
    try:
        return pl.read_csv(path, infer_schema_length=None, null_values=["", "NA", "NaN", "nan"])
    except (pl.exceptions.ComputeError, pl.exceptions.NoDataError) as e:
        raise SchemaMismatch(f"{path} is not a CSV table: {e}") from e


def _dates(path: Path, column: pl.Series) -> IntArray:
    text = column.cast(pl.String).str.strip_chars()
    for form in _FORMATS:
        parsed = text.str.to_datetime(form, strict=False, time_unit="ms", time_zone="UTC" if "%:z" in form else None)
        if parsed.null_count() == 0:
            return parsed.dt.epoch("ms").to_numpy().astype(np.int64)
    raise SchemaMismatch(f"{path}: the first column must hold dates such as 2016-07-01 00:00:00, not {text[0]!r}")


def _numbers(path: Path, column: pl.Series) -> FloatArray:
    value = column.cast(pl.Float64, strict=False)
    if value.null_count() > column.null_count():
        row = int((value.is_null() & column.is_not_null()).arg_max() or 0)
        raise SchemaMismatch(f"{path}, column {column.name!r}: {column[row]!r} in row {row + 2} is no number")
    return value.fill_null(float("nan")).to_numpy().astype(np.float64)


def _require_ascending(path: Path, ts_ms: IntArray, what: str) -> None:
    if (np.diff(ts_ms) <= 0).any():
        raise SchemaMismatch(
            f"{path}: the dates of {what} must ascend, each once; row {int(np.argmax(np.diff(ts_ms) <= 0)) + 3} does not"
        )
