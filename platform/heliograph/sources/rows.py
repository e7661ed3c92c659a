"""Candle rows straight from the bytes of an answer: exact, and several times faster than through Python objects.

The answer is searched for its one array of rows (arrays or objects of scalars). Every number is read as an integer and
a power of ten, which gives the correctly rounded double as long as both are exact doubles themselves (Clinger, 1990);
the few others go through `float`.
"""

from __future__ import annotations

import json
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
        """The rows as they stand: unsorted, unchecked but for their shape and open times; what is no number is NaN.

        Raises:
            SchemaMismatch: rows differ in length or fields, lack one that the layout names, or have no open time.
        """
        bracket = self.body[self.start + 1 : self.start + 2]
        names = self._names() if bracket == b"{" else []
        text = np.frombuffer(self.body, dtype=np.uint8)[self.start : self.stop]
        most = self.body.count(bracket, self.start + 1, self.stop)  # strings may hold brackets, too
        wanted = np.asarray(_positions(layout, names), dtype=np.int64)
        values = np.empty((most, 6))
        odd = np.empty((most * 6, 4), dtype=np.int64)
        found, num_odd = _read(text, wanted, np.empty((len(names), 2), dtype=np.int64), values, odd, _POWERS)
        if found == _RAGGED:
            raise SchemaMismatch(f"the venue's candle rows differ in shape: {self.body[self.start :][:200]!r}")
        for row, column, begin, end in odd[:num_odd].tolist():
            values[row, column] = _float(bytes(text[begin:end]))
        values = values[:found]
        values[:, 0] *= layout.unit_ms
        if not (np.abs(values[:, 0]) < _EXACT).all():
            raise SchemaMismatch(f"a candle has no open time: {self.body[self.start :][:200]!r}")
        return Candles.of(values)

    def _names(self) -> list[str]:
        """Fields of the first object; the others have the same in the same order, or are refused."""
        try:
            first: dict[str, object] = json.JSONDecoder().raw_decode(self.body[self.start + 1 : self.stop].decode())[0]
        except json.JSONDecodeError as e:
            raise SchemaMismatch(f"the venue's candles are no JSON: {self.body[self.start :][:200]!r}") from e
        return list(first)


def find(body: str) -> Rows | None:
    """The array of rows in an answer; None where it holds none, or where ccxt had better look for it.

    >>> find('{"code":"0","data":[["1","2"],["3","4"]]}').around
    '{"code":"0","data":[]}'
    """
    raw = body.encode()
    for opens, closes in ((b"[[", b"]]"), (b"[{", b"}]")):
        start, stop = raw.find(opens), raw.rfind(closes)
        if 0 <= start < stop:
            rows = Rows(raw, start, stop + 2)
            return rows if _is_json(rows.around) else None
    return None


def _is_json(text: str) -> bool:
    """False where brackets in a string were taken for those of the rows, or the answer is cut."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _positions(layout: Layout, names: list[str]) -> list[int]:
    """Where a row has the layout's columns, given the names of its fields; none are those of an array."""
    try:
        return [names.index(str(c)) if names or isinstance(c, str) else c for c in layout.columns]
    except ValueError as e:
        raise SchemaMismatch(f"the venue's candles have the fields {names}, not all of {layout.columns}") from e


def _float(token: bytes) -> float:
    try:
        return float(orjson.loads(b'"%b"' % token) if b"\\" in token else token.decode())
    except ValueError:
        return float("nan")


@njit(cache=True)  # type: ignore[untyped-decorator]
def _number(text: npt.NDArray[np.uint8], begin: int, end: int, powers: npt.NDArray[np.float64]) -> tuple[float, bool]:
    """The token's value, and whether it is exact."""
    i, is_negative = begin, False
    if i < end and text[i] == 45:
        is_negative, i = True, i + 1
    mantissa, scale, digits, is_fraction, is_number = 0, 0, 0, False, False
    while i < end:
        c = text[i]
        if 48 <= c <= 57:
            mantissa = mantissa * 10 + (c - 48)
            digits += mantissa > 0
            scale += is_fraction
            is_number = True
        elif c == 46 and not is_fraction:
            is_fraction = True
        else:
            return 0.0, False
        i += 1
    if not is_number or digits > 17 or mantissa > 9007199254740992:
        return 0.0, False
    while scale > 22 and mantissa % 10 == 0:
        mantissa //= 10
        scale -= 1
    if scale > 22:
        return 0.0, False
    value = mantissa / powers[scale]
    return (-value if is_negative else value), True


@njit(cache=True)  # type: ignore[untyped-decorator]
def _is_same(text: npt.NDArray[np.uint8], begin: int, end: int, other: npt.NDArray[np.int64]) -> bool:
    """The bytes from ``begin`` to ``end`` are those from ``other[0]`` to ``other[1]``."""
    if end - begin != other[1] - other[0]:
        return False
    for k in range(end - begin):  # noqa: SIM110 - compiled
        if text[begin + k] != text[other[0] + k]:
            return False
    return True


@njit(cache=True)  # type: ignore[untyped-decorator]
def _read(  # noqa: C901, PLR0912 - one pass over the bytes: each branch is one kind of byte
    text: npt.NDArray[np.uint8],
    wanted: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    odd: npt.NDArray[np.int64],
    powers: npt.NDArray[np.float64],
) -> tuple[int, int]:
    """Fill ``values`` row by row; tokens that need Python go to ``odd`` as (row, column, begin, end).

    Args:
        keys: one for each name that an object has, none for arrays; begin and end of the first row's are put here.

    Returns:
        Rows read, or -1 where two rows differ in their number of fields or in the fields' names, or where what stands
        between the brackets is no list of rows; and tokens in ``odd``.
    """
    num_keys = len(keys)
    opening, closing = (_OPEN_OBJECT, _CLOSE_OBJECT) if num_keys else (_OPEN, _CLOSE)
    row, num_odd, width, is_inside = -1, 0, num_keys, False
    position, num_named, begin, end = 0, 0, -1, -1
    i, last = 1, len(text) - 1
    while i < last:
        c = text[i]
        if not is_inside:
            if c == opening:
                row, position, num_named, begin, end, is_inside = row + 1, 0, 0, -1, -1, True
            elif c > 32 and c != _COMMA:
                return _RAGGED, num_odd
        elif c == _QUOTE:
            begin = i + 1
            i += 1
            while i < last and text[i] != _QUOTE:
                i += 2 if text[i] == _BACKSLASH else 1
            end = i
        elif c == _COLON:
            if num_named >= num_keys or num_named != position:
                return _RAGGED, num_odd
            if row == 0:
                keys[position, 0], keys[position, 1] = begin, end
            elif not _is_same(text, begin, end, keys[position]):
                return _RAGGED, num_odd
            num_named, begin, end = num_named + 1, -1, -1
        elif c in (_COMMA, closing):
            if begin >= 0:
                for k in range(6):
                    if wanted[k] == position:
                        value, is_exact = _number(text, begin, end, powers)
                        values[row, k] = value
                        if not is_exact:
                            odd[num_odd] = (row, k, begin, end)
                            num_odd += 1
                position, begin, end = position + 1, -1, -1
            if c == closing:
                is_inside = False
                if row == 0 and not num_keys:
                    width = position
                if position != width or num_named != num_keys or position <= wanted.max():
                    return _RAGGED, num_odd
        elif c > 32:
            if c in (_OPEN, _OPEN_OBJECT, _CLOSE, _CLOSE_OBJECT):
                return _RAGGED, num_odd
            if begin < 0:
                begin = i
            end = i + 1
        i += 1
    return (_RAGGED if is_inside or row < 0 else row + 1), num_odd
