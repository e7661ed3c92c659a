"""The bytes of an archive file → candles: unpacked whole, every row used or the file refused."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.money import from_ticks, to_ticks
from heliograph.core.timeframe import Timeframe
from heliograph.sources.archive.layout import ArchiveFile, Layout
from heliograph.sources.archive.rows import Lines

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_UNPACKED_BYTES = 2**30
_LOCAL_HEADER_BYTES = 30  # before the name, APPNOTE.TXT 4.3.7
_GZIP, _RAW = 31, -15  # zlib's wbits
_MS_FROM, _US_FROM = 10**11, 10**14  # smaller times are seconds, milliseconds: 1966 is in no archive


def read(layout: Layout, file: ArchiveFile, raw: bytes) -> Candles:
    """The candles of a file, ascending, each open once.

    Args:
        raw: the file as it was published.

    Raises:
        SchemaMismatch: the file is cut or damaged, has other columns than the layout says, holds rows of another time
            or two different rows for one bar, or a bar off the grid.
    """
    lines = Lines(unpacked(layout, raw))
    table_KN = lines.numbers(_columns(layout, lines.header)) if layout.times == "epoch" else _dated(layout, lines)
    ts_ms = _epoch_ms(table_KN[0])
    if ts_ms.size and not file.start_ms <= int(ts_ms.min()) <= int(ts_ms.max()) < file.end_ms:
        raise SchemaMismatch(
            f"{file.url} holds rows from {int(ts_ms.min())} to {int(ts_ms.max())}, not of [{file.start_ms}, {file.end_ms})"
        )
    if layout.is_trades:
        candles = of_trades(ts_ms, table_KN[1], table_KN[2], file.timeframe)
    else:
        candles = _ordered(Candles(ts_ms, *table_KN[1:]))
    candles.require_sound(file.timeframe)
    return candles


def unpacked(layout: Layout, raw: bytes) -> bytes:
    """What is packed in a file, its check sum proved.

    Raises:
        SchemaMismatch: it is cut, damaged, larger than `MOST_UNPACKED_BYTES`, or holds more than one file.
    """
    try:
        return _from_zip(raw) if layout.packing == "zip" else _from_gzip(raw)
    except (zipfile.BadZipFile, zlib_ng.error) as e:  # type: ignore[misc] # its stub calls the class an instance
        raise SchemaMismatch(f"the file can't be unpacked: {e}") from e


def of_trades(ts_ms: IntArray, price: FloatArray, qty: FloatArray, timeframe: Timeframe) -> Candles:
    """Candles out of trades; a bar without a trade has none.

    Quantities are added as integers of ticks, so that a sum has no more decimals than its parts.

    Args:
        ts_ms: int64[N], ascending or descending; of one moment, in the order of the file.
        price, qty: float64[N].

    Raises:
        SchemaMismatch: the quantities are no decimals that can be added exactly.

    >>> minute = Timeframe("1m", 60_000)
    >>> made = of_trades(np.array([5, 7]), np.array([3.0, 2.0]), np.array([0.1, 0.2]), minute)
    >>> made.open_ts_ms.tolist(), made.close.tolist(), made.volume.tolist()
    ([0], [2.0], [0.3])
    """
    if not ts_ms.size:
        return Candles.empty()
    if ts_ms[0] > ts_ms[-1]:
        ts_ms, price, qty = ts_ms[::-1], price[::-1], qty[::-1]
    order = np.argsort(ts_ms, kind="stable")
    bars, price, qty = timeframe.floor_array(ts_ms[order]), price[order], qty[order]
    first = np.flatnonzero(np.append(True, np.diff(bars) > 0))
    last = np.append(first[1:], bars.size) - 1
    ticks, scale = to_ticks(qty)
    return Candles(
        open_ts_ms=bars[first],
        open=price[first],
        high=np.maximum.reduceat(price, first),
        low=np.minimum.reduceat(price, first),
        close=price[last],
        volume=from_ticks(np.add.reduceat(ticks, first), scale),
    )


def _from_zip(raw: bytes) -> bytes:
    members = [m for m in zipfile.ZipFile(io.BytesIO(raw)).infolist() if not m.is_dir()]
    if len(members) != 1 or members[0].compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        raise SchemaMismatch(f"the zip holds {[m.filename for m in members]}, not one deflated file")
    [member] = members
    if member.file_size > MOST_UNPACKED_BYTES:
        raise SchemaMismatch(f"{member.filename} would unpack to {member.file_size} bytes")
    head = member.header_offset + _LOCAL_HEADER_BYTES
    lengths = np.frombuffer(raw[head - 4 : head], dtype="<u2")  # of the name and of the extra field
    start = head + int(lengths.sum())
    packed = memoryview(raw)[start : start + member.compress_size]
    is_deflated = member.compress_type == zipfile.ZIP_DEFLATED
    body = (
        zlib_ng.decompress(packed, _RAW, member.file_size + 1) if is_deflated else bytes(packed)
    )  # room to spare: in one go
    if len(body) != member.file_size or zlib_ng.crc32(body) != member.CRC:
        raise SchemaMismatch(f"{member.filename} is not what its check sum promises")
    return body


def _from_gzip(raw: bytes) -> bytes:
    if not raw:
        return raw
    told = int.from_bytes(raw[-4:], "little")  # the last member's size; with room to spare it is done in one go
    parts, size, left, inflater = list[bytes](), 0, raw, zlib_ng.decompressobj(_GZIP)
    while left:
        parts.append(inflater.decompress(left, min(told, MOST_UNPACKED_BYTES) + 1))
        size += len(parts[-1])
        if size > MOST_UNPACKED_BYTES:
            raise SchemaMismatch(f"the file would unpack to more than {MOST_UNPACKED_BYTES} bytes")
        left = inflater.unconsumed_tail
        if inflater.eof:
            left, inflater = inflater.unused_data, zlib_ng.decompressobj(_GZIP)
        elif not left:
            raise SchemaMismatch("the gzip file ends in the middle")
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _columns(layout: Layout, header: tuple[str, ...]) -> tuple[int, ...]:
    """Where the layout's columns stand, by the file's own header where it has one."""
    if not header:
        return layout.columns
    lacking = [name for name in layout.header if name not in header]
    if lacking or not layout.header:
        raise SchemaMismatch(f"the file's columns are {header}, not {layout.header or 'without a header'}")
    return tuple(header.index(name) for name in layout.header)


def _dated(layout: Layout, lines: Lines) -> FloatArray:
    """As `Lines.numbers`, the times read from text like ``2024.01.31 23:59`` on the layout's clock."""
    columns = _columns(layout, lines.header)
    if not len(lines):
        return np.empty((len(columns), 0))
    text = np.char.replace(np.char.replace(lines.texts(16), b".", b"-"), b" ", b"T")
    try:
        ts_ms = text.astype("datetime64[m]").astype("datetime64[ms]").astype(np.int64) - layout.clock_ms
    except ValueError as e:
        raise SchemaMismatch(f"a row begins with no time like 2024.01.31 23:59: {e}") from e
    return np.vstack([ts_ms.astype(np.float64), lines.numbers(columns[1:])])


def _epoch_ms(times: FloatArray) -> IntArray:
    """Milliseconds, whatever unit the file counts in; parts of a millisecond are cut off."""
    if not times.size:
        return times.astype(np.int64)
    newest = float(times.max())
    if newest < _MS_FROM:
        return (times * 1_000.0).astype(np.int64)
    return times.astype(np.int64) // (1 if newest < _US_FROM else 1_000)


def _ordered(candles: Candles) -> Candles:
    """Ascending; a row that stands twice counts once."""
    steps = np.diff(candles.open_ts_ms)
    if (steps > 0).all():
        return candles
    if (steps < 0).all():
        return candles.take(slice(None, None, -1))
    ordered = candles.take(np.argsort(candles.open_ts_ms, kind="stable"))
    again = np.flatnonzero(np.diff(ordered.open_ts_ms) == 0)
    one, other = ordered.take(again), ordered.take(again + 1)
    if differ := [int(t) for t in one.open_ts_ms[~same(one, other)]]:
        raise SchemaMismatch(f"two different rows stand for the bar that opens at {differ[0]}")
    return Candles.concat([ordered])


def same(one: Candles, other: Candles) -> npt.NDArray[np.bool_]:
    """Which of two equally long frames' bars are the same to the last bit; bool[n]."""
    names = ("open_ts_ms", "open", "high", "low", "close", "volume")
    is_same: npt.NDArray[np.bool_] = np.logical_and.reduce([getattr(one, n) == getattr(other, n) for n in names])
    return is_same
