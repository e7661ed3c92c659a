"""A sheet as an inline SVG: a row a symbol, a column a month, filled from below by the share of bars that are there.

Above the filled part a cell has the colour of the main reason why the rest is absent. Months that look alike are drawn as
one cell, so that hundreds of symbols stay small. Text is text, no id is used, the same sheet gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np

from heliograph.audit.survey import STATES, Sheet
from heliograph.core.market import IntArray

WIDTH = 1_118
"""Pixels from the first label to the last month."""

LOUD = ("fetch_failed", "unexplained")
"""States that are shown however few their bars are."""

WORDS = {
    "have": "there",
    "not_listed": "not listed yet",
    "no_trades": "no trades",
    "venue_outage": "venue outage",
    "fetch_failed": "fetch failed",
    "delisted": "delisted",
    "beyond_history": "beyond the venue's history",
    "unexplained": "unexplained",
}
"""States as people say them."""

_LABEL, _ROW, _CELL, _HEAD = 148, 13, 11, 18
_NARROWEST, _WIDEST = 4.0, 30.0


@dataclass(frozen=True, slots=True)
class _Cell:
    """Months that look alike: first column, how many, their bars by state, whether anything was found in them."""

    first: int
    months: int
    bars: IntArray
    found: int


def heads(sheet: Sheet) -> str:
    """The years above the columns, as an SVG of the map's width."""
    parts = [_open(_HEAD)]
    for column, month in enumerate(sheet.months_ms[:-1]):
        moment = _moment(int(month))
        if moment.month == 1 or column == 0:
            x = _x(sheet, column)
            room = _x(sheet, min(column + 12 - moment.month + 1, sheet.months_ms.size - 1)) - x
            if room >= 28:
                parts.append(f'<text x="{x + 2:.1f}" y="13" class="year">{moment.year}</text>')
    return "".join([*parts, "</svg>"])


def draw(sheet: Sheet, found: Mapping[str, IntArray]) -> str:
    """The map itself.

    Args:
        found: by symbol, int64[M], findings in each month; symbols without any may be absent.
    """
    height = _ROW * len(sheet.symbols) + 2
    parts = [_open(height)]
    for row, symbol in enumerate(sheet.symbols):
        bars, marks = sheet.bars[row], found.get(symbol, np.zeros(sheet.bars.shape[1], dtype=np.int64))
        is_loud = bool(bars[:, [STATES.index(s) for s in LOUD]].any())
        label = f'<text x="{_LABEL - 8}" y="{row * _ROW + 10}" class="{"loud" if is_loud else "name"}">'
        parts.append(f"{label}{escape(symbol)}</text>")
        for cell in _cells(bars, marks):
            parts += _drawn(sheet, symbol, cell, row * _ROW + 1)
    for column, month in enumerate(sheet.months_ms[1:-1], start=1):
        if _moment(int(month)).month == 1:
            parts.append(f'<path d="M{_x(sheet, column):.1f} 0V{height}" class="cut"/>')
    return "".join([*parts, "</svg>"])


def _open(height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">'


def _x(sheet: Sheet, column: int) -> float:
    width = (WIDTH - _LABEL) / (sheet.months_ms.size - 1)
    return _LABEL + column * min(max(width, _NARROWEST), _WIDEST)


def _cells(bars: IntArray, marks: IntArray) -> Iterator[_Cell]:
    """Runs of months that look alike; months of which nothing is known are left out."""
    looks = [(_look(month), int(mark > 0)) for month, mark in zip(bars, marks, strict=True)]
    first = 0
    for column in range(1, len(looks) + 1):
        if column == len(looks) or looks[column] != looks[first]:
            if looks[first][0] is not None:
                run = slice(first, column)
                yield _Cell(first, column - first, bars[run].sum(axis=0), int(marks[run].sum()))
            first = column


def _look(bars: IntArray) -> tuple[int, int] | None:
    """Filled pixels and the state above them; None for a month without bars."""
    total = int(bars.sum())
    if not total:
        return None
    lost = bars.copy()
    lost[0] = 0
    if not lost.any():
        return _CELL, 0
    loud = [STATES.index(s) for s in LOUD if lost[STATES.index(s)]]
    main = loud[-1] if loud else int(lost.argmax())
    most = _CELL - (3 if loud else 1)
    return min(int(_CELL * int(bars[0]) / total), most) if bars[0] else 0, main


def _drawn(sheet: Sheet, symbol: str, cell: _Cell, y: int) -> Iterator[str]:
    look = _look(cell.bars)
    if look is None:
        return
    filled, main = look
    x, width = _x(sheet, cell.first), _x(sheet, cell.first + cell.months) - _x(sheet, cell.first)
    box = f'x="{x:.1f}" width="{width:.1f}"'
    yield f"<g><title>{escape(_told(sheet, symbol, cell))}</title>"
    if filled < _CELL:
        yield f'<rect {box} y="{y}" height="{_CELL - filled}" class="{STATES[main]}"/>'
    if filled:
        yield f'<rect {box} y="{y + _CELL - filled}" height="{filled}" class="have"/>'
    if cell.found:
        yield f'<circle cx="{x + width / 2:.1f}" cy="{y + _CELL / 2}" r="2.4"/>'
    yield "</g>"


def _told(sheet: Sheet, symbol: str, cell: _Cell) -> str:
    """What a cell says when it is pointed at."""
    first, last = (_moment(int(sheet.months_ms[c])) for c in (cell.first, cell.first + cell.months - 1))
    when = f"{first:%Y-%m}" if first == last else f"{first:%Y-%m} to {last:%Y-%m}"
    total, have = int(cell.bars.sum()), int(cell.bars[0])
    lines = [f"{symbol} {sheet.timeframe}, {when}", f"{have:,} of {total:,} bars ({percent(have, total)})"]
    lines += [f"{int(n):,} {WORDS[state]}" for state, n in zip(STATES[1:], cell.bars[1:], strict=True) if n]
    if cell.found:
        lines.append(f"{cell.found} finding{'s' * (cell.found != 1)}")
    return "\n".join(lines).replace(",", "\u202f").replace("\u202f ", ", ")


def percent(part: int, whole: int) -> str:
    """Never 100 % of what is not whole, nor 0 % of what is something."""
    share = 100.0 * part / whole
    if 0 < part < whole:
        share = min(max(share, 0.01), 99.99)
    return f"{share:.2f}".rstrip("0").rstrip(".") + "\u202f%"


def _moment(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1_000, tz=UTC)
