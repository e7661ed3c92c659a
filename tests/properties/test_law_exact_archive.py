"""Exactness: what stands in an archive's file is what comes out, to the last bit, in every venue's layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.sources.archives import file_of, layout, named, packed, same

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import MINUTE_MS, parse
from heliograph.sources.archive.layout import Layout
from heliograph.sources.archive.read import of_trades, read
from heliograph.sources.archive.rows import Lines
from heliograph.sources.archive.venues import LAYOUTS
from heliograph.testing.strategies import candles

DAY_START_MS = 1_735_689_600_000  # 2025-01-01
DECIMALS = st.tuples(st.integers(0, 10**17), st.integers(0, 20)).map(
    lambda t: f"{t[0] // 10 ** min(t[1], 9)}.{t[0]:0{t[1]}d}"
)
PLAIN = st.integers(0, 10**18).map(str)
ANY_FLOAT = st.floats(allow_nan=False, allow_infinity=False).map(repr)
ODD = st.sampled_from(["5.", ".5", "-0.0", "+7", "1E5", "00012.50", "0.00000000", "9007199254740993", "1e-400"])
FIELDS = st.one_of(DECIMALS, PLAIN, ANY_FLOAT, ODD)
CANDLE_LAYOUTS = [x for x in LAYOUTS if not x.is_trades and x.times == "epoch"]


@settings(max_examples=100)
@given(rows=st.lists(st.lists(FIELDS, min_size=4, max_size=4), min_size=1, max_size=20), is_crlf=st.booleans())
def test_every_number_is_the_double_of_its_text(rows: list[list[str]], *, is_crlf: bool) -> None:
    rows = [[str(i), *row] for i, row in enumerate(rows)]  # a first field that no header could be
    text = ("\r\n" if is_crlf else "\n").join(",".join(row) for row in rows)
    wanted = (0, 3, 1, 2)
    got_KN = Lines(text.encode()).numbers(wanted)
    told = [[float(row[k]) for row in rows] for k in wanted]
    np.testing.assert_array_equal(got_KN, np.asarray(told))
    assert np.array_equal(np.signbit(got_KN), np.signbit(np.asarray(told)))


@settings(max_examples=200)
@given(text=st.text(alphabet="0123456789.,-e \nx\r", max_size=60))
def test_any_text_gives_numbers_or_is_refused(text: str) -> None:
    lines = Lines(text.encode())
    try:
        got_KN = lines.numbers((0, 1))
    except SchemaMismatch:
        return
    rows = [row.split(",") for row in text.split("\n") if row]
    kept = rows[len(rows) - len(lines) :]
    assert [[float(row[k]) for row in kept] for k in (0, 1)] == got_KN.tolist()


def test_numbers_that_need_python_may_be_many() -> None:
    count = 10_000
    rows = [f"{i},1e-{i % 9}" for i in range(count)]
    got_KN = Lines("\n".join(rows).encode()).numbers((0, 1))
    assert got_KN[1].tolist() == [float(f"1e-{i % 9}") for i in range(count)]


def text_of(told: Layout, sent: Candles, order: list[int]) -> str:
    """The candles as a file of the layout, its rows in any order; numbers as Python prints them."""
    width = max(told.columns) + 1
    unit = {"gate": 1 / 1_000, "binance": 1_000}.get(told.venue, 1)
    lines = []
    for i in order:
        fields = ["0"] * width
        numbers = (sent.open[i], sent.high[i], sent.low[i], sent.close[i], sent.volume[i])
        told_row = (str(round(int(sent.open_ts_ms[i]) * unit)), *(repr(float(x)) for x in numbers))
        for column, text in zip(told.columns, told_row, strict=True):
            fields[column] = text
        lines.append(",".join(fields))
    return "\n".join(lines)


@pytest.mark.parametrize("told", CANDLE_LAYOUTS, ids=named)
@settings(max_examples=10)
@given(data=st.data(), sent=candles(parse("1m"), first_ms=DAY_START_MS, bars=60, min_size=1))
def test_candles_come_out_of_a_file_as_they_went_in(told: Layout, data: st.DataObject, sent: Candles) -> None:
    order = data.draw(st.permutations(range(len(sent))))
    period = "month" if (told.venue, told.kind) == ("gate", "swap") else "day"
    file = file_of(told, "1m", DAY_START_MS, period)
    assert same(read(told, file, packed(told, text_of(told, sent, order))), sent)


TRADES = st.lists(
    st.tuples(st.integers(0, 10 * MINUTE_MS), st.integers(1, 10**7), st.integers(1, 10**9)), min_size=1, max_size=60
)


@given(TRADES, st.integers(0, 8), st.booleans())
def test_candles_of_trades_are_those_of_plain_arithmetic(
    trades: list[tuple[int, int, int]],
    scale: int,
    is_descending: bool,
) -> None:
    trades = sorted(trades, key=lambda t: t[0])
    bars: dict[int, list[tuple[int, int]]] = {}
    for ts_ms, price, qty in trades:
        bars.setdefault(ts_ms // MINUTE_MS * MINUTE_MS, []).append((price, qty))
    expected = [
        [open_ms, *(p / 100 for p in (t[0][0], max(p for p, _ in t), min(p for p, _ in t), t[-1][0])), sum(q for _, q in t) / 10**scale]
        for open_ms, t in bars.items()
    ]  # fmt: skip
    is_told = trades[0][0] < trades[-1][0]  # of one moment alone, nobody can tell the direction
    told = trades[::-1] if is_descending and is_told else trades
    columns = (
        np.asarray([t[0] for t in told]),
        np.asarray([t[1] / 100 for t in told]),
        np.asarray([t[2] / 10**scale for t in told]),
    )
    made = of_trades(*columns, parse("1m"))
    assert same(made, Candles.of(expected))


def test_layouts_under_this_law_are_all_that_hold_candles() -> None:
    assert {x.venue for x in CANDLE_LAYOUTS} == {"binance", "binanceusdm", "kucoin", "gate"}
    assert layout("bybit", "swap") not in CANDLE_LAYOUTS
