"""Every variant of a file gives the same candles, and a damaged or misnamed one gives none."""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.sources.archives import file_of, layout, packed, zipped

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import MINUTE_MS, parse
from heliograph.sources.archive import read as reading
from heliograph.sources.archive.layout import Layout
from heliograph.sources.archive.read import of_trades, read
from heliograph.sources.archive.venues import LAYOUTS

T0 = 1_735_689_600_000  # 2025-01-01
METATRADER, SPOT_TRADES, SWAP_TRADES = (x for x in LAYOUTS if x.venue == "bybit")
TWO = Candles.of(
    [[T0, 93576.0, 93610.93, 93537.5, 93610.0, 8.21827], [T0 + MINUTE_MS, 93610.0, 93652, 93606, 93620, 10]]
)
# the rows that the sources of `heliograph.sources.archive.venues` print, cut to two minutes
MICROSECONDS = (
    "1735689600000000,93576.00000000,93610.93000000,93537.50000000,93610.00000000,8.21827000,1735689659999999,"
    "768978.00548430,2631,3.95157000,369757.32356890,0\n"
    "1735689660000000,93610.00000000,93652.00000000,93606.00000000,93620.00000000,10.00000000,1735689719999999,"
    "1020043.02560200,2210,7.22459000,676526.21281230,0\n"
)
MILLISECONDS = MICROSECONDS.replace("00000,93", "00,93").replace("0000,93", "0,93")


def got(told: Layout, text: str, timeframe: str = "1m", at_ms: int = T0) -> Candles:
    period = "month" if told is METATRADER else "day"
    return read(told, file_of(told, timeframe, at_ms, period), packed(told, text))


def equal(one: Candles, other: Candles) -> bool:
    names = ("open_ts_ms", "open", "high", "low", "close", "volume")
    return all(getattr(one, n).tolist() == getattr(other, n).tolist() for n in names)


BINANCE, FUTURES = layout("binance"), layout("binanceusdm", "swap")
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"


@pytest.mark.parametrize(
    "text",
    [
        MICROSECONDS,
        MICROSECONDS.rstrip("\n"),
        MICROSECONDS.replace("\n", "\r\n"),
        "\ufeff" + MICROSECONDS,
        MICROSECONDS + "\n",
        MILLISECONDS,
        HEADER + MILLISECONDS,
        "\n".join(reversed(MICROSECONDS.strip().split("\n"))),
        MICROSECONDS + MICROSECONDS,
    ],
    ids=["us", "no-last-newline", "crlf", "bom", "blank-line", "ms", "header", "descending", "rows-twice"],
)
def test_every_variant_of_a_file_gives_the_same_candles(text: str) -> None:
    assert equal(got(BINANCE, text), TWO)


def test_columns_are_found_by_the_files_own_header() -> None:
    names, *rows = (HEADER + MILLISECONDS).strip().split("\n")
    turned = "\n".join(",".join(reversed(line.split(","))) for line in (names, *rows))
    assert equal(got(FUTURES, turned), TWO)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (layout("kucoin"), "time,open,close,high,low,volume,turnover\n1735689660,93610,93620,93652,93606,10,9\n"
                           "1735689600,93576,93610,93610.93,93537.5,8.21827,768978.0\n"),
        (layout("kucoin", "swap"), "time,open,high,low,close,volume\n1735689600000,93576,93610.93,93537.5,93610,8.21827\n"
                                   "1735689660000,93610,93652,93606,93620,10\n"),
        (layout("gate"), "1735689600,8.21827,93610,93610.93,93537.5,93576\n1735689660,10,93620,93652,93606,93610\n"),
    ],
)  # fmt: skip
def test_each_venue_has_its_own_columns(told: Layout, text: str) -> None:
    assert equal(got(told, text), TWO)


def test_clock_of_utc_plus_3_is_turned_back() -> None:
    text = "2024.12.01 03:00,1,4,0.5,2,7.5\n2024.12.01 03:01,2,2,2,2,0\n"
    candles = got(METATRADER, text, at_ms=1_733_011_200_000)
    assert candles.open_ts_ms.tolist() == [1_733_011_200_000, 1_733_011_260_000]
    assert candles.volume.tolist() == [7.5, 0.0]
    with pytest.raises(SchemaMismatch, match="no time like"):
        got(METATRADER, "2024.13.01 03:00,1,4,0.5,2,7.5\n", at_ms=1_733_011_200_000)
    with pytest.raises(SchemaMismatch, match="shorter than 16"):
        got(METATRADER, "1,2,3\n", at_ms=1_733_011_200_000)


def test_candles_are_made_of_trades() -> None:
    spot = got(
        SPOT_TRADES,
        "id,timestamp,price,volume,side,rpi\n1,1735689600000,10,0.1,buy,0\n2,1735689659999,12,0.2,sell,0\n"
        "3,1735689660000,11,0.3,buy,0\n",
    )
    swap = got(
        SWAP_TRADES,
        "timestamp,symbol,side,size,price,tickDirection\n1735689660.0000,BTCUSDT,Buy,0.3,11,x\n"
        "1735689659.9999,BTCUSDT,Sell,0.2,12,x\n1735689600.0547,BTCUSDT,Buy,0.1,10,x\n",
    )
    assert equal(spot, Candles.of([[T0, 10, 12, 10, 12, 0.3], [T0 + MINUTE_MS, 11, 11, 11, 11, 0.3]]))
    assert equal(spot, swap)


def test_trades_of_one_moment_keep_the_order_of_the_file_both_ways() -> None:
    ts, price, qty = np.array([5, 5, 9]), np.array([1.0, 2.0, 3.0]), np.ones(3)
    up = of_trades(ts, price, qty, parse("1m"))
    down = of_trades(ts[::-1], price[::-1], qty[::-1], parse("1m"))
    assert (up.open[0], up.close[0]) == (1.0, 3.0)
    assert equal(up, down)


def test_quiet_file_has_no_candles() -> None:
    assert len(got(SPOT_TRADES, "id,timestamp,price,volume,side,rpi\n")) == 0
    assert len(got(BINANCE, "")) == 0
    assert len(got(METATRADER, "", at_ms=1_733_011_200_000)) == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (MICROSECONDS[:-20], "in the middle of a row"),
        ("1735689600000000,1,2,0\n" + MICROSECONDS, "row 0 has fewer than 6 fields|in the middle of a row"),
        (MICROSECONDS + "1735689720000000,1\n" + MICROSECONDS, "row 2 has fewer than 6 fields"),
        (MICROSECONDS.replace("93652.00000000", "93652.0x"), "where a number should stand"),
        (MICROSECONDS.replace("93652.00000000", ""), "where a number should stand"),
        (MICROSECONDS.replace("93652.00000000", "."), "where a number should stand"),
        (MICROSECONDS.replace("93652.00000000", "9_3652"), "where a number should stand"),
        (MICROSECONDS.replace("93652.00000000", "nan"), "not finite"),
        (MICROSECONDS.replace("1735689660000000", "1735689661000000"), "off the 1m grid"),
        (MICROSECONDS.replace("1735689660000000", "1735689600000000"), "two different rows"),
        (MICROSECONDS.replace("1735689660000000", "1735776000000000"), "holds rows from"),
        ("a,b,c\n" + MILLISECONDS, "the file's columns are"),
        ("<html>not found</html>", "the file's columns are"),
    ],
)
def test_damaged_rows_refuse_the_file(text: str, why: str) -> None:
    with pytest.raises(SchemaMismatch, match=why):
        got(BINANCE, text)


def test_header_where_none_is_known_refuses_the_file() -> None:
    with pytest.raises(SchemaMismatch, match="without a header"):
        got(layout("gate"), "t,v,c,h,l,o\n1735689600,8,1,1,1,1\n")


def test_damaged_packing_refuses_the_file() -> None:
    file, whole = file_of(BINANCE, "1m", T0), zipped(MICROSECONDS)
    flipped = bytearray(whole)
    flipped[60] ^= 1
    stored = bytearray(whole)
    stored[whole.rindex(b"PK\x01\x02") + 16] ^= 1  # the check sum in the directory
    for raw in (whole[: len(whole) // 2], bytes(flipped), bytes(stored), b"", b"PK", zipped(MICROSECONDS, members=2)):
        with pytest.raises(SchemaMismatch):
            read(BINANCE, file, raw)


def test_gzip_must_end_and_may_have_members() -> None:
    told = layout("gate")
    file = file_of(told, "1m", T0)
    first, second = "1735689600,8,1,1,1,1\n", "1735689660,8,1,1,1,1\n"
    whole = gzip.compress(first.encode()) + gzip.compress(second.encode())
    assert len(read(told, file, whole)) == 2
    for raw in (whole[:-4], whole[:-9] + b"123456789", b"not gzip", gzip.compress(b"x")[:5]):
        with pytest.raises(SchemaMismatch):
            read(told, file, raw)
    assert len(read(told, file, b"")) == 0  # files of no bytes were seen on gate


def test_stored_zip_is_read_too(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as plain:
        plain.writestr("a.csv", MICROSECONDS)
    assert equal(read(BINANCE, file_of(BINANCE, "1m", T0), (tmp_path / "a.zip").read_bytes()), TWO)


@pytest.mark.parametrize("told", [BINANCE, layout("gate")])
def test_file_that_unpacks_without_end_is_refused(told: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_UNPACKED_BYTES", 1_000)
    with pytest.raises(SchemaMismatch, match="would unpack"):
        read(told, file_of(told, "1m", T0), packed(told, "0" * 2_000))


def test_rows_of_another_month_refuse_the_file() -> None:
    """Gate once answered the URL of a perpetual that had not begun with a file of something else."""
    file = replace(file_of(BINANCE, "1m", T0), start_ms=T0 + MINUTE_MS)
    with pytest.raises(SchemaMismatch, match="not of"):
        read(BINANCE, file, zipped(MICROSECONDS))
