"""Candle rows straight from the bytes of an answer: exact, and several times faster than through Python objects.

The answer is searched for its one array of rows (arrays or objects of scalars). Every number is read as an integer and
a power of ten, which gives the correctly rounded double as long as both are exact doubles themselves (Clinger, 1990);
the few others go through `float`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
from numba import njit

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.sources.dialect import Layout

_POWERS = np.asarray([10.0**e for e in range(23)])
_EXACT = 2**53
_RAGGED = -1
_QUOTE, _COMMA, _COLON, _BACKSLASH = 34, 44, 58, 92
_OPEN, _CLOSE, _OPEN_OBJECT, _CLOSE_OBJECT = 91, 93, 123, 125


@dataclass(frozen=True, slots=True)
class Rows:
    """The array of rows in an answer.

    Attributes:
        body: the whole answer.
        start, stop: where the array stands, its brackets included.
    """

    body: bytes
    start: int
    stop: int

    @property
    def around(self) -> str:
        """The answer with an empty array instead: all that ccxt needs to see whether it is an error."""
        return (self.body[: self.start] + b"[]" + self.body[self.stop :]).decode()

    def candles(self, layout: Layout) -> Candles:
        """The rows as they stand: unsorted, unchecked.

        Raises:
            SchemaMismatch: rows differ in length or fields, or lack one that the layout names.
        """
        is_object = self.body[self.start + 1 : self.start + 2] == b"{"
        columns = self._fields(layout) if is_object else layout.columns
        text = np.frombuffer(self.body, dtype=np.uint8)[self.start : self.stop]
        count = self.body.count(b"{" if is_object else b"[", self.start + 1, self.stop)
        wanted = np.asarray(columns, dtype=np.int64)
        values = np.empty((count, 6))
        odd = np.empty((count * 6, 4), dtype=np.int64)
        found, num_odd = _read(text, wanted, values, odd, _POWERS)
        if found != count:
            raise SchemaMismatch(f"the venue's candle rows differ in shape: {self.body[self.start :][:200]!r}")
        for row, column, begin, end in odd[:num_odd].tolist():
            values[row, column] = _float(bytes(text[begin:end]))
        values[:, 0] *= layout.unit_ms
        return Candles.of(values)

    def _fields(self, layout: Layout) -> list[int]:
        """Positions of the layout's fields in the first object; the others have the same order, or are refused."""
        end = self.body.index(b"}", self.start) + 1
        names = list(orjson.loads(self.body[self.start + 1 : end]))
        try:
            return [names.index(name) for name in layout.columns]
        except ValueError as e:
            raise SchemaMismatch(f"the venue's candles have the fields {names}, not all of {layout.columns}") from e


def find(body: str) -> Rows | None:
    """The array of rows in an answer; None where it holds none.

    >>> find('{"code":"0","data":[["1","2"],["3","4"]]}').around
    '{"code":"0","data":[]}'
    """
    raw = body.encode()
    for opens, closes in ((b"[[", b"]]"), (b"[{", b"}]")):
        start, stop = raw.find(opens), raw.rfind(closes)
        if 0 <= start < stop:
            return Rows(raw, start, stop + 2)
    return None


def _float(token: bytes) -> float:
    try:
        return float(token)
    except ValueError:
        return float("nan")


@njit(cache=True)  # type: ignore[untyped-decorator]
def _number(text: npt.NDArray[np.uint8], begin: int, end: int, powers: npt.NDArray[np.float64]) -> tuple[float, bool]:
    """The token's value, and whether it is exact."""
    i, is_negative = begin, False
    if i < end and text[i] == 45:
        is_negative, i = True, i + 1
    mantissa, scale, digits, is_fraction = 0, 0, 0, False
    while i < end:
        c = text[i]
        if 48 <= c <= 57:
            mantissa = mantissa * 10 + (c - 48)
            digits += mantissa > 0
            scale += is_fraction
        elif c == 46 and not is_fraction:
            is_fraction = True
        else:
            return 0.0, False
        i += 1
    if end == begin + is_negative or digits > 17 or mantissa > 9007199254740992:
        return 0.0, False
    while scale > 22 and mantissa % 10 == 0 and mantissa:
        mantissa //= 10
        scale -= 1
    if scale > 22:
        return 0.0, mantissa == 0
    value = mantissa / powers[scale]
    return (-value if is_negative else value), True


@njit(cache=True)  # type: ignore[untyped-decorator]
def _read(  # noqa: C901, PLR0912 - one pass over the bytes: each branch is one kind of byte
    text: npt.NDArray[np.uint8],
    wanted: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    odd: npt.NDArray[np.int64],
    powers: npt.NDArray[np.float64],
) -> tuple[int, int]:
    """Fill ``values`` row by row; tokens that need Python go to ``odd`` as (row, column, begin, end).

    Returns:
        Rows read, or -1 where two rows differ in their number of fields or in the fields' names; and tokens in ``odd``.
    """
    row, num_odd, first_width, first_names = -1, 0, -1, 0
    position, begin, end, names = 0, -1, -1, 0
    i, last = 1, len(text) - 1
    while i < last:
        c = text[i]
        if c in (_OPEN, _OPEN_OBJECT):
            row, position, begin, end, names = row + 1, 0, -1, -1, 0
        elif c == _QUOTE:
            begin = i + 1
            i += 1
            while i < last and text[i] != _QUOTE:
                i += 2 if text[i] == _BACKSLASH else 1
            end = i
        elif c == _COLON:
            for k in range(begin, end):
                names = (names * 31 + text[k]) % 1_000_000_007
            begin, end = -1, -1
        elif c in (_COMMA, _CLOSE, _CLOSE_OBJECT):
            if row >= 0 and begin >= 0:
                for k in range(6):
                    if wanted[k] == position:
                        value, is_exact = _number(text, begin, end, powers)
                        values[row, k] = value
                        if not is_exact:
                            odd[num_odd] = (row, k, begin, end)
                            num_odd += 1
                position, begin, end = position + 1, -1, -1
            if c != _COMMA:
                if first_width < 0:
                    first_width, first_names = position, names
                if position != first_width or names != first_names or position <= wanted.max():
                    return _RAGGED, num_odd
        elif c > 32:
            if begin < 0:
                begin = i
            end = i + 1
        i += 1
    return row + 1, num_odd
