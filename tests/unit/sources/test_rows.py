"""The byte parser against `json` and `float`: the same doubles, or a refusal."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.sources.dialect import Layout
from heliograph.sources.rows import Rows, find

NAMES = ("t", "o", "h", "l", "c", "v")
AS_IS = Layout((0, 1, 2, 3, 4, 5))
BY_NAME = Layout(NAMES)

digits = st.text(alphabet="0123456789", min_size=1, max_size=25)
whole = digits.map(lambda text: text.lstrip("0") or "0")
numbers = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    whole,
    digits.map(lambda text: f".{text}") | st.just(""),
    st.sampled_from(["", "", "", "e0", "E+5", "e-7", "e300", "e-300", "e999"]),
)
doubles = st.floats(allow_nan=False, allow_infinity=False).map(repr)
words = st.one_of(numbers, doubles, st.text(max_size=8), st.text(alphabet="-+.019eE_ ", max_size=6))
scalars = st.one_of(
    numbers,
    doubles,
    st.builds(json.dumps, words, ensure_ascii=st.booleans()),
    numbers.map(lambda text: '"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"'),
    st.sampled_from(["null", "true", "false"]),
)
opens_ms = st.integers(0, 2**42)
times = st.one_of(opens_ms.map(str), opens_ms.map(lambda t: f'"{t}"'), opens_ms.map(lambda t: f"{t}.000"))
spaces = st.text(alphabet=" \t\r\n", max_size=2)


@dataclass(frozen=True)
class Written:
    """Rows of JSON literals, the text that holds them, and where the six columns stand."""

    rows: list[list[str]]
    text: str
    columns: tuple[int, ...]


@st.composite
def written(draw: st.DrawFn, *, is_object: bool) -> Written:
    """An array of rows, with spaces wherever JSON may have them, but none between its own brackets and a row's."""
    literals = draw(st.lists(scalars, min_size=6, max_size=9))
    columns = tuple(draw(st.permutations(range(len(literals))))[:6])
    names = dict(zip(columns, NAMES, strict=True)) if is_object else {}
    space, other = draw(spaces), draw(spaces)
    rows, texts = [], []
    for shift in range(draw(st.integers(1, 4))):
        row = literals[shift:] + literals[:shift]
        row[columns[0]] = draw(times)
        fields = [f"{space}{literal}{other}" for literal in row]
        if is_object:
            keys = [f'{other}"{names.get(i, f"x{i}")}"{space}' for i in range(len(row))]
            fields = [f"{key}:{field}" for key, field in zip(keys, fields, strict=True)]
        rows.append(row)
        texts.append(("{%s}" if is_object else "[%s]") % ",".join(fields))
    return Written(rows, f"[{f'{space},{other}'.join(texts)}]", columns)


def meant(literal: str) -> float:
    """What `float` makes of a literal, or of the string in it; NaN where that is nothing."""
    value = json.loads(literal, parse_float=str, parse_int=str)
    try:
        return float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return math.nan


def rows_of(text: str) -> Rows:
    found = find(text)
    assert found is not None
    return found


def assert_same_doubles(found: Candles, page: Written, unit_ms: int = 1) -> None:
    time, *others = ([meant(row[column]) for row in page.rows] for column in page.columns)
    assert found.open_ts_ms.tolist() == [int(t) * unit_ms for t in time]
    for name, expected in zip(("open", "high", "low", "close", "volume"), others, strict=True):
        values = getattr(found, name)
        np.testing.assert_array_equal(values, expected, err_msg=name)  # a NaN equals a NaN
        real = ~np.isnan(values)
        np.testing.assert_array_equal(np.signbit(values)[real], np.signbit(expected)[real], err_msg=f"sign of {name}")


@given(written(is_object=False), st.sampled_from([1, 1_000]))
def test_arrays_give_the_doubles_that_float_gives(page: Written, unit_ms: int) -> None:
    assert_same_doubles(rows_of(page.text).candles(Layout(page.columns, unit_ms)), page, unit_ms)


@given(written(is_object=True))
def test_objects_give_the_doubles_that_float_gives(page: Written) -> None:
    assert_same_doubles(rows_of(page.text).candles(BY_NAME), page)


@pytest.mark.parametrize(
    "literal",
    [
        "0",
        "-0",
        "-0.0",
        '"-0.0000000000000000000000000"',
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "18014398509481985",
        "0.1",
        "0.30000000000000004",
        "1.7976931348623157e308",
        "5e-324",
        "1e999",
        "123456789012345678901234567890",
        "0.00000000000000000000001",
        '"181415061.90000000"',
        '"1.0000000000000000000000000"',
        '"0001.50"',
        '"+1.5"',
        '" 1.5 "',
        '"1_000"',
        '"1e-7"',
        '"1\\u002e5"',
        '"."',
        '"-."',
        '"-"',
        '"1."',
        '".5"',
        '"--1"',
        '"1.2.3"',
        '""',
        '"}]{["',
        '"a\\\\"',
        '"\\""',
        "null",
        "true",
    ],
)
def test_odd_numbers_are_what_float_says(literal: str) -> None:
    rows = [["7", *[literal] * 5]] * 2
    arrays = [f"[{','.join(row)}]" for row in rows]
    objects = [
        "{" + ",".join(f'"{name}":{value}' for name, value in zip(NAMES, row, strict=True)) + "}" for row in rows
    ]
    for texts, layout in ((arrays, AS_IS), (objects, BY_NAME)):
        page = Written(rows, f"[{','.join(texts)}]", (0, 1, 2, 3, 4, 5))
        assert_same_doubles(rows_of(page.text).candles(layout), page)


@pytest.mark.parametrize(
    "text",
    [
        "[[1,2,3,4,5,6],[1,2,3,4,5]]",
        "[[1,2,3,4,5],[1,2,3,4,5]]",
        "[[1,2,3,4,5,6],[1,2,3,4,5,6,7]]",
        "[[1,2,3,4,5,6],[]]",
        "[[1,2,3,4,5,[6]],[1,2,3,4,5,[6]]]",
        "[[[1,2,3,4,5,6]],[[1,2,3,4,5,6]]]",
        "[[1,2,3,4,5,6],7,[1,2,3,4,5,6]]",
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"v":6}]',
        '{"a":[[1,2,3,4,5,6]],"b":[[1,2,3,4,5,6]]}',
    ],
)
def test_arrays_of_another_shape_are_refused(text: str) -> None:
    with pytest.raises(SchemaMismatch):
        rows_of(text).candles(AS_IS)


@pytest.mark.parametrize(
    "text",
    [
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"v":6},{"t":1,"o":2,"h":3,"l":4,"c":5}]',
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"v":6},{"t":1,"h":2,"o":3,"l":4,"c":5,"v":6}]',
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"v":6},{}]',
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"v":{"w":6}}]',
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"volume":6}]',
        "[{}]",
        "[{t:1}]",
        "[[1,2,3,4,5,6]]",
        '[{"a":[1]},{"a":[2]}]',
    ],
)
def test_objects_of_another_shape_are_refused(text: str) -> None:
    with pytest.raises(SchemaMismatch):
        rows_of(text).candles(BY_NAME)


@pytest.mark.parametrize(
    "text",
    [
        '[[1,2,3,4,5,6],{"t":1,"o":2,"h":3,"l":4,"c":5,"v":6}]',
        '[{"t":1,"o":2,"h":3,"l":4,"c":5,"v":6},[1,2,3,4,5,6]]',
    ],
)
def test_arrays_and_objects_together_are_left_to_ccxt_or_refused(text: str) -> None:
    assert find(text) is None
    with pytest.raises(SchemaMismatch):
        Rows(text.encode(), 0, len(text)).candles(AS_IS if text.startswith("[[") else BY_NAME)


@pytest.mark.parametrize(
    ("one", "other"), [(("ab", "c"), ("a", "bc")), (("Aa", "z"), ("BB", "z")), (("a", ""), ("", "a"))]
)
def test_names_that_only_look_alike_are_refused(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Names run together, or hashed carelessly, would make these the same."""
    rows = (",".join(f'"{name}":1' for name in (*NAMES, *extra)) for extra in (one, other))
    with pytest.raises(SchemaMismatch, match="differ in shape"):
        rows_of("[" + ",".join(f"{{{row}}}" for row in rows) + "]").candles(BY_NAME)


@given(written(is_object=True), st.data())
def test_one_row_with_another_name_is_refused(page: Written, data: st.DataObject) -> None:
    rows = json.loads(page.text)
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(list(rows[at])))
    renamed = {("other" if k == name else k): v for k, v in rows[at].items()}
    text = json.dumps([*rows[:at], renamed, *rows[at + 1 :]])
    if len(rows) > 1 or name in NAMES:
        with pytest.raises(SchemaMismatch):
            rows_of(text).candles(BY_NAME)


@pytest.mark.parametrize("time", ["null", '"soon"', '""', "1e300", "-1e17", "true"])
def test_open_time_that_is_no_moment_is_refused(time: str) -> None:
    with pytest.raises(SchemaMismatch, match="open time"):
        rows_of(f"[[{time},2,3,4,5,6]]").candles(AS_IS)


def test_missing_field_is_named() -> None:
    with pytest.raises(SchemaMismatch, match=r"\['t', 'o', 'h', 'l', 'c', 'vol'\].*'v'"):
        rows_of('[{"t":1,"o":2,"h":3,"l":4,"c":5,"vol":6}]').candles(BY_NAME)


plain: st.SearchStrategy[object] = st.one_of(
    st.integers(), st.booleans(), st.none(), st.text(alphabet='ab{}"\\,: é', max_size=6), st.just([])
)


@given(
    st.booleans().flatmap(lambda is_object: written(is_object=is_object)),
    st.dictionaries(st.text(max_size=4), plain, max_size=3),
    st.dictionaries(st.text(alphabet="xyz", min_size=1, max_size=4), plain, max_size=3),
)
def test_around_is_the_answer_with_an_empty_array(
    page: Written, before: dict[str, object], after: dict[str, object]
) -> None:
    whole = json.dumps(before | {"data": "HERE"} | after).replace('"HERE"', page.text, 1)
    assert json.loads(rows_of(whole).around) == before | {"data": []} | after
    assert rows_of(page.text).around == "[]"


brackets = st.text(alphabet='[]{}",a', max_size=6)


@given(written(is_object=False), brackets, brackets)
def test_brackets_in_strings_never_move_the_rows(page: Written, before: str, after: str) -> None:
    """Such an answer is read rightly, left to ccxt, or refused; it never loses a row in silence."""
    text = json.dumps({"before": before, "data": "HERE", "after": after}).replace('"HERE"', page.text)
    rows = find(text)
    if rows is None:
        return
    try:
        found = rows.candles(Layout(page.columns))
    except SchemaMismatch:
        return
    assert_same_doubles(found, page)
    assert json.loads(rows.around) == {"before": before, "data": [], "after": after}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"data":[]}',
        '{"code":"51001","msg":"no such thing"}',
        "[1,2,3]",
        '["error",10020,"symbol: invalid"]',
        "[ [1,2,3,4,5,6] ]",
        '{"data":[[1,2,3,4,5,6],[1,2',
        '{"data":[[1,2,3,4,5,6]]',
        "<html>[[x]]</html>",
    ],
)
def test_answer_without_rows_that_stand_together_is_left_to_ccxt(text: str) -> None:
    assert find(text) is None
