"""Public files as they are found: every shape that can be meant in one way only, and a sentence for all others."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.train.public import table

DAY_MS = 86_400_000


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%d"])
def test_dates_of_the_public_files_are_read(tmp_path: Path, form: str):
    days = [datetime(1990, 1, 1, tzinfo=UTC) + timedelta(days=k) for k in range(3)]
    rows = "\n".join(f"{d.strftime(form)},{k},{-k}" for k, d in enumerate(days))
    first, second = table.read_wide(write(tmp_path / "t.csv", f"date,A,OT\n{rows}\n"))
    assert (first.name, second.name) == ("A", "OT")
    assert first.step_ms == DAY_MS
    np.testing.assert_array_equal(second.value_T, [0, -1, -2])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("2020-01-01,1\n2020-01-02,\n2020-01-03,3\n", "row 3 has no value"),
        ("2020-01-01,1\n2020-01-03,2\n2020-01-02,3\n", "must ascend, each once; row 4"),
        ("2020-01-01,1\n2020-01-02,x\n2020-01-03,3\n", "'x' in row 3 is no number"),
        ("first,1\nsecond,2\nthird,3\n", "must hold dates"),
        ("2020-01-01,1\n", "no series"),
    ],
)
def test_file_that_breaks_its_contract_is_told_with_its_row(tmp_path: Path, rows: str, told: str):
    path = write(tmp_path / "t.csv", "date,a\n" + rows)
    with pytest.raises((SchemaMismatch, ConfigError), match=told):
        table.read_wide(path)


DATED = "".join(f"2016-07-0{k},{k}.5,{-k}\n" for k in range(1, 5))
BARE = "".join(f"0.7{k},0.{k}2\n" for k in range(1, 5))


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("\ufeffdate,A,OT\n" + DATED, ["A", "OT"], [1.5, 2.5]),  # a byte order mark
        (("date,A,OT\n" + DATED).replace("\n", "\r\n"), ["A", "OT"], [1.5, 2.5]),
        ('"date","A","OT"\n"2016-07-01","1.5","2"\n"2016-07-02","2.5","2"\n"2016-07-03","3","2"\n', ["A", "OT"], [1.5, 2.5]),
        (("date;A;OT\n" + DATED).replace(",", ";"), ["A", "OT"], [1.5, 2.5]),
        ("date, A, OT\n" + DATED.replace(",", ", "), ["A", "OT"], [1.5, 2.5]),
        (",A,OT\n" + DATED, ["A", "OT"], [1.5, 2.5]),  # an index without a name
        (",A,date\n0,1.5,2016-07-01\n1,2.5,2016-07-02\n2,3.5,2016-07-03\n", ["A"], [1.5, 2.5]),  # rows counted
        ("date,A,\n" + "".join(f"2016-07-0{k},{k}.5,\n" for k in (1, 2, 3)) + "\n", ["A"], [1.5, 2.5]),
        (DATED, ["0", "1"], [1.5, 2.5]),  # no header
        (BARE, ["0", "1"], [0.71, 0.72]),  # nor dates: the original exchange_rate
        ("0,1\n" + BARE, ["0", "1"], [0.71, 0.72]),
        (",0,1\n" + "".join(f"{k},0.7{k},2\n" for k in range(4)), ["0", "1"], [0.70, 0.71]),
    ],
)  # fmt: skip
def test_wide_table_is_read_in_every_shape_that_public_files_have(tmp_path: Path, text: str, names: list[str], first):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    found = table.read_wide(path)
    assert [one.name for one in found] == names
    assert all(one.step_ms == DAY_MS for one in found)
    np.testing.assert_array_equal(found[0].value_T[:2], first)


def test_packed_table_is_read(tmp_path: Path):
    path = tmp_path / "exchange_rate.txt.gz"
    path.write_bytes(gzip.compress(BARE.encode()))
    assert len(table.read_wide(path)) == 2


@pytest.mark.parametrize("form", ["{} 00:00:00+00:00", "{}T00:00:00Z", "{}T00:00:00", "{} 00:00:00.000"])
def test_times_with_and_without_a_zone_are_the_same(tmp_path: Path, form: str):
    rows = "".join(f"{form.format(f'2016-07-0{k}')},{k}\n" for k in (1, 2, 3))
    (one,) = table.read_wide(write(tmp_path / "t.csv", "date,A\n" + rows))
    assert one.ts_ms[0] == datetime(2016, 7, 1, tzinfo=UTC).timestamp() * 1_000


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "no CSV|not a CSV"),
        (b"date,A\n", "has no series"),
        (b"date\n2016-01-01\n2016-01-02\n2016-01-03\n", "has no series"),
        (b"date,A\n2016-01-01,1,2\n2016-01-02,1\n", "not a CSV"),
        ("date,\u00c9\n2016-01-01,1\n".encode("latin-1"), "not a CSV"),
        (b"<html>\n<p>404</p>\n<p>gone</p>\n<p></p>\n", "has no series|must hold dates"),
        (b"date,A\n2016-01-01,1\n2016-01-02,inf\n2016-01-03,1\n", "row 3 has no value"),
    ],
)
def test_file_that_is_no_table_is_told_in_a_sentence(tmp_path: Path, raw: bytes, told: str):
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    with pytest.raises((SchemaMismatch, ConfigError), match=told):
        table.read_wide(path)


def test_absent_file_is_a_config_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"docs/benchmarks\.md"):
        table.read_wide(tmp_path / "none.csv")


LONG = (
    "date,Symbol,rv5,open_to_close\n2020-01-01,.B,1,0.1\n2020-01-01,.A,2,-0.2\n2020-01-02,.A,4,0.3\n2020-01-02,.B,0,0\n"
)


def test_long_table_gives_a_series_of_each_name(tmp_path: Path):
    first, second = table.logged(table.read_long(write(tmp_path / "t.csv", LONG)))
    assert (first.name, second.name) == (".A", ".B")
    np.testing.assert_allclose(first.value_T, np.log([2.0, 4.0]))
    np.testing.assert_allclose(first.leverage_T, [-0.2, 0.0])
    assert len(second.value_T) == 1  # a variance of zero has no log


def test_long_table_of_the_realised_library_needs_no_naming(tmp_path: Path):
    """Its index has no name, `rv5` is what its users take, and a day without a return is one without a fall."""
    rows = "".join(
        f"2000-01-0{k} 00:00:00+00:00,.{name},600.0,{k}e-5,{'' if k == 4 else -0.01 * k}\n"
        for name in ("SPX", "AEX")
        for k in (3, 4, 5)
    )
    first, second = table.read_long(write(tmp_path / "t.csv", ",Symbol,close_price,rv5,open_to_close\n" + rows))
    assert (first.name, second.name) == (".AEX", ".SPX")
    np.testing.assert_array_equal(first.value_T, [3e-5, 4e-5, 5e-5])
    np.testing.assert_array_equal(first.leverage_T, [-0.03, 0.0, -0.05])


def test_long_table_of_several_values_wants_one_named(tmp_path: Path):
    path = write(tmp_path / "t.csv", "date,Symbol,bv,rk\n2020-01-01,A,1,3\n2020-01-02,A,2,4\n2020-01-03,A,2,4\n")
    with pytest.raises(ConfigError, match="--value, one of bv, rk"):
        table.read_long(path)
    np.testing.assert_array_equal(table.read_long(path, value="rk")[0].value_T, [3, 4, 4])


def test_wide_table_of_indices_may_have_holidays(tmp_path: Path):
    path = write(tmp_path / "t.csv", "date,A,B\n2020-01-01,-1,-2\n2020-01-02,,-3\n2020-01-03,-4,-5\n")
    first, second = table.read_long(path)
    assert (len(first.value_T), len(second.value_T)) == (2, 3)
