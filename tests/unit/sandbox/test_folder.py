"""Candles from files, and what is said of files that hold none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000


def frame(count: int = 3, time: str = "ts") -> pl.DataFrame:
    rows = range(count)
    columns = {time: [T0 + i * HOUR_MS for i in rows]} | {n: [10.5 + i for i in rows] for n in ("open", "high", "low")}
    return pl.DataFrame(columns | {"close": [10.25 + i for i in rows], "volume": [0.125 * i for i in rows]})


def put(root: Path, place: str, table: pl.DataFrame | None = None) -> Path:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    (frame() if table is None else table).write_parquet(file)
    return file


@pytest.mark.parametrize("place", ["BTC-USDT/1h.parquet", "somevenue/BTC-USDT/1h.parquet"])
@pytest.mark.parametrize("time", ["ts", "open_ts_ms"])
def test_both_layouts_and_both_time_columns_are_read(tmp_path: Path, place: str, time: str) -> None:
    put(tmp_path, place, frame(time=time))
    tape = Tape.from_folder(tmp_path)
    assert tape.symbols == ("BTC/USDT",)
    assert str(tmp_path) in tape.origin
    bars = tape.candles("BTC/USDT", parse("1h"), T0, T0 + 2 * HOUR_MS)
    assert np.array_equal(bars.close, [10.25, 11.25])


def test_missing_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        Tape.from_folder(tmp_path / "nowhere")


def test_empty_folder_says_where_candles_belong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no candles.*BTC-USDT/1h\.parquet"):
        Tape.from_folder(tmp_path)


def test_corrupt_file_is_named(tmp_path: Path) -> None:
    file = put(tmp_path, "BTC-USDT/1h.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"BTC-USDT/1h\.parquet is not a Parquet file"):
        Tape.from_folder(tmp_path)


WRONG = {
    "lacks the column volume": frame().drop("volume"),
    "lacks the column ts": frame().rename({"ts": "time"}),
    "has no rows": frame().head(0),
    "is not after the bar before it": frame().reverse(),
    "off the 1h grid": frame().with_columns(pl.col("ts") + 1),
    "not finite": frame().with_columns(close=pl.lit(None, dtype=pl.Float64)),
    "does not hold candles": frame().with_columns(close=pl.lit("dear")),
}


@pytest.mark.parametrize("said", WRONG)
def test_unusable_file_is_named_with_its_fault(tmp_path: Path, said: str) -> None:
    put(tmp_path, "BTC-USDT/1h.parquet", WRONG[said])
    with pytest.raises(ConfigError, match=rf"1h\.parquet.*{said}"):
        Tape.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("place", "said"), [("btc/1h.parquet", "not a spot symbol"), ("BTC-USDT/7m.parquet", "not a timeframe")]
)
def test_unknown_names_are_refused(tmp_path: Path, place: str, said: str) -> None:
    put(tmp_path, place)
    with pytest.raises(ConfigError, match=said):
        Tape.from_folder(tmp_path)


def test_two_venues_with_the_same_candles_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a/BTC-USDT/1h.parquet")
    put(tmp_path, "b/BTC-USDT/1h.parquet")
    with pytest.raises(ConfigError, match="twice"):
        Tape.from_folder(tmp_path)


def test_prices_with_too_many_digits_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "BTC-USDT/1h.parquet", frame().with_columns(close=pl.lit(1 / 3)))
    with pytest.raises(ConfigError, match="BTC/USDT can't be replayed"):
        Tape.from_folder(tmp_path)
