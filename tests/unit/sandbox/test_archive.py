"""The local archives are what the venues publish, quirks included; no network."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from email.utils import parsedate_to_datetime

import pytest
from tests.unit.sources.archives import DAYS, END_MS, NOW_MS, START_MS, books, tape

from heliograph.core.timeframe import DAY_MS
from heliograph.sandbox.archive.host import Archive
from heliograph.sandbox.exchange.wire import Reply, Request
from heliograph.sandbox.meter import Meter

TRUTH = tape()
VISION, KUCOIN, GATE, BYBIT = (
    "data.binance.vision",
    "historical-data.kucoin.com",
    "download.gatedata.org",
    "public.bybit.com",
)
SPOT = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12-31.zip"
NEW_YEAR = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip"


@pytest.fixture
def archive() -> Archive:
    return Archive(books(TRUTH))


def ask(archive: Archive, host: str, path: str) -> Reply:
    return archive.answer(Request(host, path, {}))


def lines(archive: Archive, host: str, path: str) -> list[str]:
    body = ask(archive, host, path).body
    if path.endswith(".gz"):
        return gzip.decompress(body).decode().strip().split("\n")
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        [name] = packed.namelist()
        return packed.read(name).decode().strip().split("\n")


def test_spot_counts_microseconds_from_2025_on_and_has_no_header(archive: Archive) -> None:
    last, first = lines(archive, VISION, SPOT)[-1], lines(archive, VISION, NEW_YEAR)[0]
    assert (last.split(",")[0], last.split(",")[6]) == ("1735689540000", "1735689599999")
    assert (first.split(",")[0], first.split(",")[6]) == ("1735689600000000", "1735689659999999")
    assert len(first.split(",")) == 12
    assert first.split(",")[1].rpartition(".")[2].isdigit()
    assert len(first.split(",")[5].rpartition(".")[2]) == 8


def test_futures_have_a_header_and_milliseconds(archive: Archive) -> None:
    header, first = lines(archive, VISION, NEW_YEAR.replace("/spot/", "/futures/um/"))[:2]
    assert header.startswith("open_time,open,high,low,close,volume,close_time")
    assert first.startswith("1735689600000,")


def test_checksum_names_the_file(archive: Archive) -> None:
    line = ask(archive, VISION, f"{SPOT}.CHECKSUM").body
    assert (
        line == f"{hashlib.sha256(ask(archive, VISION, SPOT).body).hexdigest()}  BTCUSDT-1m-2024-12-31.zip\n".encode()
    )


def test_kucoin_has_its_own_columns_and_md5(archive: Archive) -> None:
    path = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip"
    header, newest, *_, oldest = lines(archive, KUCOIN, path)
    assert header == "time,open,close,high,low,volume,turnover"
    assert int(newest.split(",")[0]) > int(oldest.split(",")[0]) == 1_735_689_600
    _, first, last, high, low, *_ = (float(x) for x in oldest.split(","))
    assert low <= min(first, last) <= max(first, last) <= high
    told = ask(archive, KUCOIN, f"{path}.CHECKSUM").body.split()[0].decode()
    assert told == hashlib.md5(ask(archive, KUCOIN, path).body).hexdigest()
    assert lines(archive, KUCOIN, "/data/futures/daily/klines/BTCUSDTM/1m/BTCUSDTM-1m-2025-01-01.zip")[0] == (
        "time,open,high,low,close,volume"
    )


def test_gate_has_no_header_no_checksum_and_days_for_minutes_only(archive: Archive) -> None:
    day = "/spot/candlesticks_1m/202412/BTC_USDT-20241210.csv.gz"
    seconds, volume, _close, high, low, first = lines(archive, GATE, day)[0].split(",")
    assert (seconds, float(volume) < float(low) <= float(first) <= float(high)) == ("1733788800", True)
    statuses = {
        path: ask(archive, GATE, path).status
        for path in (
            f"{day}.CHECKSUM",
            "/spot/candlesticks_1m/202412/BTC_USDT-202412.csv.gz",
            "/spot/candlesticks_1h/202412/BTC_USDT-202412.csv.gz",
            "/spot/candlesticks_1h/202412/BTC_USDT-20241210.csv.gz",
            "/futures_usdt/candlesticks_5m/202412/BTC_USDT-202412.csv.gz",
        )
    }
    assert list(statuses.values()) == [404, 404, 200, 404, 200]


def test_bybit_publishes_trades_and_old_candles_by_another_clock(archive: Archive) -> None:
    spot = lines(archive, BYBIT, "/spot/BTCUSDT/BTCUSDT_2024-12-31.csv.gz")
    assert spot[0] == "id,timestamp,price,volume,side,rpi"
    assert spot[1].startswith("1,1735603200000,")
    swap = lines(archive, BYBIT, "/trading/BTCUSDT/BTCUSDT2024-12-31.csv.gz")
    assert swap[0].startswith("timestamp,symbol,side,size,price,")
    assert swap[1].startswith("1735603200.0000,BTCUSDT,")
    stem = "/kline_for_metatrader4/BTCUSDT/2024/BTCUSDT_60_2024-12-01_2024-12-"
    assert lines(archive, BYBIT, f"{stem}31.csv.gz")[0].startswith("2024.12.01 00:00,")
    assert ask(archive, BYBIT, f"{stem}30.csv.gz").status == 404
    ended = "/kline_for_metatrader4/BTCUSDT/2025/BTCUSDT_60_2025-01-01_2025-01-31.csv.gz"
    assert ask(archive, BYBIT, ended).status == 404


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (VISION, SPOT.replace("BTC", "ETH")),
        (VISION, SPOT.replace("1m", "7m")),
        (VISION, SPOT.replace("12-31", "12-32")),
        (VISION, SPOT.replace("2024-12-31", "2024-11-20")),
        (VISION, SPOT.replace("daily", "monthly")),
        (VISION, "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-03.zip"),
        (VISION, "/"),
        (GATE, SPOT),
        ("example.org", SPOT),
    ],
)
def test_what_is_not_published_is_404(archive: Archive, host: str, path: str) -> None:
    assert ask(archive, host, path).status == 404
    assert ask(archive, host, f"{path}.CHECKSUM").status == 404


def test_today_and_the_open_month_are_not_out() -> None:
    young = Archive(books(TRUTH, END_MS - DAY_MS // 2))  # noon of 2025-01-06
    stem = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-"
    assert [ask(young, VISION, f"{stem}{day}.zip").status for day in ("04", "05", "06", "07")] == [200, 200, 404, 404]
    assert ask(young, VISION, "/data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01.zip").status == 404
    assert DAYS * DAY_MS == END_MS - START_MS


def test_damage_is_seen_until_it_is_mended(archive: Archive) -> None:
    def told() -> tuple[bytes, str, str]:
        reply, checksum = ask(archive, VISION, SPOT), ask(archive, VISION, f"{SPOT}.CHECKSUM")
        return reply.body, reply.headers.get("ETag", ""), checksum.body[:64].decode(errors="replace")

    whole, etag, promised = told()
    archive.spoil(f"https://{VISION}{SPOT}", "wrong_checksum")
    assert told()[:2] == (whole, etag)
    assert told()[2] != promised
    archive.spoil(f"https://{VISION}{SPOT}", "truncated")
    assert (told()[0], told()[2]) == (whole[: len(whole) // 2], promised)
    archive.spoil(f"https://{VISION}{SPOT}", "missing")
    assert ask(archive, VISION, SPOT).status == 404
    for damage in ("stale", "lacking"):
        archive.spoil(f"https://{VISION}{SPOT}", damage)
        body, other, digest = told()
        assert body != whole
        assert other != etag
        assert digest == hashlib.sha256(body).hexdigest()
    assert len(lines(archive, VISION, SPOT)) == 960
    archive.mend(f"https://{VISION}{SPOT}")
    assert told() == (whole, etag, promised)
    modified = parsedate_to_datetime(ask(archive, VISION, SPOT).headers["Last-Modified"])
    assert modified.timestamp() * 1000 == NOW_MS


def test_same_path_on_two_hosts_is_two_files(archive: Archive) -> None:
    """They once shared the file that was rendered first."""
    assert lines(archive, VISION, NEW_YEAR)[0].startswith("1735689600000000,")
    assert lines(archive, KUCOIN, NEW_YEAR)[0].startswith("time,")


def test_asking_costs_nothing_and_hosts_are_all_told(archive: Archive) -> None:
    meter = Meter(1.0)
    assert all(meter.take(archive.charge(Request(VISION, SPOT, {})), 0.0) for _ in range(100))
    assert set(archive.domains) == {VISION, KUCOIN, GATE, BYBIT}
    reply = archive.refuse("rate_limit", retry_after_s=3.4)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "3")
