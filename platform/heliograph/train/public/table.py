"""Series from a plain CSV: dates, then one series a column, or one row for each date and series.

Public files come in many shapes: with and without a header, with a column of row numbers before the dates, separated by
semicolons, packed with gzip. What can be meant in one way only is read; else a sentence says what is missing.
"""

from __future__ import annotations

import gzip
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
RETURNS = ("return", "returns", "ret", "log_return", "open_to_close", "close_to_close")
"""Columns of a long table that hold the day's log-return: what HAR's leverage is made of."""
VALUES = ("log_rv", "log_rv5", "log_vol", "rv5", "rv", "rv5_ss")
"""Columns of a long table that are taken as its values where none is named, the first that is there."""

_DATES = ("date", "datetime", "timestamp")
_SYMBOLS = ("symbol", "ticker", "index", "name", "id", "unique_id")
_ZONES = ("", "%:z", "%z")
_FORMATS = tuple(
    day + clock + zone
    for clock in ("", " %H:%M:%S%.f", " %H:%M", "T%H:%M:%S%.f", "T%H:%M")
    for day in ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%b-%Y")
    for zone in (_ZONES if clock else ("",))
)
_NO_VALUE = ["", "NA", "NaN", "nan", "N/A", "#N/A", "null", "NULL", "None"]


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
    """One series of each column beside the dates; where a file has no dates, its rows are days.

    Args:
        may_miss: leave empty cells out of their series (each index has holidays of its own); else they are refused.

    Raises:
        ConfigError: there is no such file, or it has no series.
        SchemaMismatch: dates or values can't be read, dates don't ascend, a cell is empty.
    """
    table = _read(path)
    if not table.names or table.frame.height < 3:
        raise ConfigError(f"{path} has no series: it needs dates, numbers beside them, and three rows or more")
    _require_ascending(table, table.ts_ms, "the file")
    found = []
    for name in table.names:
        value_T = _numbers(table, table.frame[name])
        there = np.isfinite(value_T)
        if not may_miss and not there.all():
            row = int(np.argmin(there)) + table.first_line
            raise SchemaMismatch(f"{path}, column {name!r}: row {row} has no value; this protocol takes no gaps")
        found.append(Series(name, table.ts_ms[there], value_T[there]))
    return tuple(found)


def read_long(path: Path, *, value: str | None = None) -> tuple[Series, ...]:
    """One series of each name in the column of names; `read_wide` where there is no such column.

    Names stand in the column called ``Symbol`` or the like, else in the first one of text. A day without a return is one
    without a fall.

    Args:
        value: the column of values; without it the only one of numbers, or the first of `VALUES`.

    Raises:
        ConfigError, SchemaMismatch: as `read_wide`; also where several columns could be meant.
    """
    table = _read(path)
    texts = [name for name in table.names if _is_text(table.frame[name])]
    if not texts:
        return read_wide(path, may_miss=True)
    symbol = next((name for name in texts if name.lower() in _SYMBOLS), texts[0])
    numbers = [name for name in table.names if name not in texts and name.lower() not in RETURNS]
    column = value or next((v for v in VALUES if v in numbers), numbers[0] if len(numbers) == 1 else None)
    if column not in numbers:
        raise ConfigError(f"{path}: name the column of values with --value, one of {', '.join(numbers)}")
    of_return = next((name for name in table.names if name.lower() in RETURNS), None)
    value_R = _numbers(table, table.frame[column])
    fall_R = None if of_return is None else np.minimum(np.nan_to_num(_numbers(table, table.frame[of_return])), 0.0)
    names_R = table.frame[symbol].to_numpy()
    found = []
    for name in sorted({str(n) for n in names_R if n is not None}):
        row_T = np.flatnonzero((names_R == name) & np.isfinite(value_R))
        row_T = row_T[np.argsort(table.ts_ms[row_T], kind="stable")]
        _require_ascending(table, table.ts_ms[row_T], name)
        found.append(Series(name, table.ts_ms[row_T], value_R[row_T], None if fall_R is None else fall_R[row_T]))
    return tuple(found)


def are_logs(series: Sequence[Series]) -> bool:
    """Whether values may be logs of realised variance: some are negative, which no variance is."""
    return any((one.value_T < 0).any() for one in series)


def logged(series: Sequence[Series]) -> tuple[Series, ...]:
    """The logs of positive values; a value of zero or less (a day without trades) is left out."""
    kept = []
    for one in series:
        there = one.value_T > 0
        leverage_T = None if one.leverage_T is None else one.leverage_T[there]
        kept.append(Series(one.name, one.ts_ms[there], np.log(one.value_T[there]), leverage_T))
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _Table:
    """A file as it stands.

    Attributes:
        names: of the columns beside the dates.
        first_line: of the file, that has values: what errors count from.
    """

    path: Path
    frame: pl.DataFrame
    names: tuple[str, ...]
    ts_ms: IntArray
    first_line: int


def _read(path: Path) -> _Table:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}: docs/benchmarks.md tells where the public ones come from")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
            line = str(file.readline()).strip()
        separator = max(",;\t", key=line.count)
        cells = [cell.strip().strip('"') for cell in line.split(separator)]
        has_header = _is_header(cells)
        frame = pl.read_csv(
            path, has_header=has_header, separator=separator, infer_schema_length=None, null_values=_NO_VALUE
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as e:
        raise SchemaMismatch(f"{path} is not a CSV table: {str(e).splitlines()[0]}") from e
    if not has_header:
        is_dated = not _is_number(cells[0])
        frame.columns = ["date"] * is_dated + [str(k) for k in range(frame.width - is_dated)]
    frame = frame.rename({name: name.strip() for name in frame.columns})
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    frame = frame.select(column for column in frame if column.null_count() < frame.height or not frame.height)
    return _dated(path, frame, 1 + has_header)


def _dated(path: Path, frame: pl.DataFrame, first_line: int) -> _Table:
    """Dates from the column of that name, else from the first one; a column of numbers is none: there rows are days."""
    if not frame.width:
        raise ConfigError(f"{path} has no series: it has no values")
    named = next((name for name in frame.columns if name.lower() in _DATES), None)
    first, others = frame.to_series(0), tuple(frame.columns[1:])
    if named is None and (first.dtype == pl.Float64 or _counts(first)):
        ts_ms = DAY_MS * np.arange(frame.height, dtype=np.int64)
        return _Table(path, frame, others if _counts(first) else tuple(frame.columns), ts_ms, first_line)
    dates = named or first.name
    names = tuple(name for name in (others if _counts(first) else frame.columns) if name != dates)
    return _Table(path, frame, names, _dates(path, frame[dates]), first_line)


def _is_header(cells: list[str]) -> bool:
    """Whether a first line names columns: by a word that is no number, after the first cell, which may be a date.

    >>> [_is_header(line.split(",")) for line in ("date,0,OT", ",0,1", "0,1,2", "0.78,0.61", "1990/1/1 0:00,0.78")]
    [True, True, True, False, False]
    """
    if not cells[0] or cells == [str(k) for k in range(len(cells))]:
        return True
    return not all(_is_number(cell) for cell in cells[1:]) or (not cells[0][0].isdigit() and not _is_number(cells[0]))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in _NO_VALUE
    return True


def _is_text(column: pl.Series) -> bool:
    return column.dtype == pl.String and bool(column.str.strip_chars().cast(pl.Float64, strict=False).is_null().all())


def _counts(column: pl.Series) -> bool:
    """Whether a column is the row numbers that pandas writes before the others."""
    return column.dtype.is_integer() and column[0] in {0, 1} and bool((column.diff().drop_nulls() == 1).all())


def _dates(path: Path, column: pl.Series) -> IntArray:
    text = column.cast(pl.String).str.strip_chars().str.replace("Z$", "+00:00")
    for form in _FORMATS:
        has_zone = form.endswith("z")
        if text[:2].str.to_datetime(form, strict=False, time_zone="UTC" if has_zone else None).null_count():
            continue
        parsed = text.str.to_datetime(form, strict=False, time_unit="ms", time_zone="UTC" if has_zone else None)
        if parsed.null_count() == 0:
            return parsed.dt.epoch("ms").to_numpy().astype(np.int64)
    raise SchemaMismatch(
        f"{path}: the first column, or the one named date, must hold dates such as 2016-07-01 00:00:00, not {text[0]!r}"
    )


def _numbers(table: _Table, column: pl.Series) -> FloatArray:
    stripped = column.str.strip_chars() if column.dtype == pl.String else column
    value = stripped.cast(pl.Float64, strict=False)
    if value.null_count() > column.null_count():
        row = int((value.is_null() & column.is_not_null()).arg_max() or 0)
        raise SchemaMismatch(
            f"{table.path}, column {column.name!r}: {column[row]!r} in row {row + table.first_line} is no number"
        )
    return value.fill_null(float("nan")).to_numpy().astype(np.float64)


def _require_ascending(table: _Table, ts_ms: IntArray, what: str) -> None:
    is_back = np.diff(ts_ms) <= 0
    if is_back.any():
        where = int(np.argmax(is_back)) + 1
        raise SchemaMismatch(
            f"{table.path}: the dates of {what} must ascend, each once; row {where + table.first_line} does not"
        )
