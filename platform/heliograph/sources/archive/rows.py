"""Numbers straight from the bytes of a CSV: exact, and several times faster than a general reader.

A number is read as an integer and a power of ten, which gives the correctly rounded double as long as both are exact
doubles themselves (Clinger, 1990); the few others go through `float`.

Shapes: ``N`` rows, ``K`` columns that are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from heliograph.core.errors import SchemaMismatch

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]

_POWERS = np.asarray([10.0**e for e in range(23)])  # 10**22 is the last power of ten that is a double
_LINE_FEED, _COMMA, _POINT = 10, 44, 46
_BLOCK_BYTES = 2**18  # compared at once, so that the answers stay in the cache
_ODD = 512  # fields that need Python, for which there is room at once


class Lines:
    """The rows of a CSV without quotes.

    Attributes:
        header: the names in the first row; empty where it holds numbers.
    """

    def __init__(self, body: bytes) -> None:
        body = body.removeprefix(b"\xef\xbb\xbf")
        whole = body if body.endswith(b"\n") else body + b"\n"
        self._text = np.frombuffer(whole, dtype=np.uint8)
        ends = _line_feeds(self._text)
        starts = np.append(0, ends[:-1] + 1)
        first = whole[: ends[0]].strip()
        is_header = not first[:1].isdigit() and first[:1] not in (b"-", b"")
        self.header = tuple(first.decode(errors="replace").split(",")) if is_header else ()
        skipped = int(is_header)
        self._starts, self._ends = starts[skipped:], ends[skipped:]
        self._width = whole[: ends[0]].count(b",")
        is_blank = self._starts == self._ends
        if is_blank.any():
            self._starts, self._ends = self._starts[~is_blank], self._ends[~is_blank]

    def __len__(self) -> int:
        return int(self._starts.size)

    def numbers(self, columns: Sequence[int]) -> FloatArray:
        """Columns of every row, float64[K, N], each the same double as `float` of its text.

        Args:
            columns: positions, in any order; the columns after the last of them are not looked at.

        Raises:
            SchemaMismatch: a row has too few fields, a field is no number, or the last row is not as wide as the first.
        """
        if len(self) and self._row(len(self) - 1, None).count(b",") != self._width:
            raise SchemaMismatch(f"the file ends in the middle of a row: {self._row(len(self) - 1)!r}")
        slots = np.full(max(columns) + 1, -1)
        slots[list(columns)] = np.arange(len(columns))
        values_KN = np.empty((len(columns), len(self)))
        odd = np.empty((_ODD, 4), dtype=np.int64)
        num_odd, bad_row = _fill(self._text, self._starts, self._ends, slots, values_KN, odd, _POWERS)
        if num_odd > len(odd):
            odd = np.empty((num_odd, 4), dtype=np.int64)
            _fill(self._text, self._starts, self._ends, slots, values_KN, odd, _POWERS)
        if bad_row >= 0:
            raise SchemaMismatch(f"row {bad_row} has fewer than {slots.size} fields: {self._row(bad_row)!r}")
        for slot, row, begin, end in odd[:num_odd].tolist():
            values_KN[slot, row] = self._float(row, self._text[begin:end].tobytes())
        return values_KN

    def texts(self, width: int) -> npt.NDArray[np.bytes_]:
        """The first ``width`` bytes of every row, bytes[N].

        Raises:
            SchemaMismatch: a row is shorter.
        """
        if len(self) and int((self._ends - self._starts).min()) < width:
            raise SchemaMismatch(f"a row is shorter than {width} characters")
        block = np.ascontiguousarray(self._text[self._starts[:, None] + np.arange(width)])
        return np.asarray(block.view(f"S{width}").ravel())

    def _row(self, row: int, most: int | None = 200) -> bytes:
        return self._text[self._starts[row] : self._ends[row]][:most].tobytes()

    def _float(self, row: int, token: bytes) -> float:
        try:
            if b"_" in token:  # Python's own way to group digits
                raise ValueError
            return float(token)
        except ValueError as e:
            told = f"row {row} holds {token[:50]!r} where a number should stand: {self._row(row)!r}"
            raise SchemaMismatch(told) from e


def _line_feeds(text: ByteArray) -> IntArray:
    blocks = range(0, text.size, _BLOCK_BYTES)
    return np.concatenate([np.flatnonzero(text[at : at + _BLOCK_BYTES] == _LINE_FEED) + at for at in blocks])


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _eight(text: ByteArray, i: int) -> tuple[np.uint64, np.bool_]:
    """Eight digits at once, so that none waits for the one before it; and whether they all are digits."""
    zero, nine, ten = np.uint64(48), np.uint64(9), np.uint64(10)
    a, b = np.uint64(text[i]) - zero, np.uint64(text[i + 1]) - zero
    c, d = np.uint64(text[i + 2]) - zero, np.uint64(text[i + 3]) - zero
    e, f = np.uint64(text[i + 4]) - zero, np.uint64(text[i + 5]) - zero
    g, h = np.uint64(text[i + 6]) - zero, np.uint64(text[i + 7]) - zero
    low = (a <= nine) & (b <= nine) & (c <= nine) & (d <= nine)
    high = (e <= nine) & (f <= nine) & (g <= nine) & (h <= nine)
    left = (a * ten + b) * np.uint64(100) + (c * ten + d)
    right = (e * ten + f) * np.uint64(100) + (g * ten + h)
    return left * np.uint64(10_000) + right, low & high


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _number(text: ByteArray, begin: int, end: int, safe: int, powers: FloatArray) -> tuple[float, int, bool]:
    """The number that begins there, where it stops, and whether it is one, exact, and followed by the field's end.

    From before ``safe`` on, eight bytes can be looked at without leaving the text.
    """
    zero, nine, ten = np.uint64(48), np.uint64(9), np.uint64(10)
    i, mantissa, scale, points = begin, np.uint64(0), 0, 0
    digit = np.uint64(text[i]) - zero
    while digit <= nine:
        mantissa = mantissa * ten + digit
        i += 1
        digit = np.uint64(text[i]) - zero
    if text[i] == _POINT:
        points, i = 1, i + 1
        first = i
        if i < safe:
            eight, is_whole = _eight(text, i)
            if is_whole:
                mantissa = mantissa * np.uint64(100_000_000) + eight
                i += 8
        digit = np.uint64(text[i]) - zero
        while digit <= nine:
            mantissa = mantissa * ten + digit
            i += 1
            digit = np.uint64(text[i]) - zero
        scale = i - first
    if not points < i - begin <= 17 + points or mantissa > np.uint64(9007199254740992):
        return 0.0, i, False
    return mantissa / powers[scale], i, text[i] == _COMMA or i == end


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _field_end(text: ByteArray, i: int, end: int) -> int:
    while i < end and text[i] != _COMMA:
        i += 1
    return i


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    text: ByteArray,
    starts: IntArray,
    ends: IntArray,
    slots: IntArray,
    values_KN: FloatArray,
    odd: IntArray,
    powers: FloatArray,
) -> tuple[int, int]:
    """Read the wanted fields; those that need Python go to ``odd`` as (slot, row, begin, end).

    Returns:
        How many should go there, even if it has no room for all, and the first row with too few fields, or -1.
    """
    num_odd, width, safe = 0, slots.size, text.size - 9
    for row in range(starts.size):
        i, end = starts[row], ends[row]
        if i < 0:  # never so; told to the compiler, which then need not think of indices from the end
            return num_odd, row
        for column in range(width):
            slot, begin = slots[column], i
            if slot >= 0:
                value, i, is_exact = _number(text, begin, end, safe, powers)
                if is_exact:
                    values_KN[slot, row] = value
                else:
                    i = _field_end(text, begin, end)
                    if num_odd < len(odd):
                        odd[num_odd, 0], odd[num_odd, 1], odd[num_odd, 2], odd[num_odd, 3] = slot, row, begin, i
                    num_odd += 1
            else:
                i = _field_end(text, i, end)
            if i >= end and column < width - 1:
                return num_odd, row
            i += 1
    return num_odd, -1
