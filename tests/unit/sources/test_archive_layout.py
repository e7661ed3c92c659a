"""Files are where the venues put them, and cover what their names say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.sources.archives import file_of, layout, market

from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sources.archive.layout import Layout, Period, spans
from heliograph.sources.archive.venues import LAYOUTS, layouts


def ms(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


METATRADER, SPOT_TRADES, SWAP_TRADES = (x for x in LAYOUTS if x.venue == "bybit")


@pytest.mark.parametrize(
    ("told", "timeframe", "period", "url"),
    [
        # binance/binance-public-data, README
        (
            layout("binance"),
            "1m",
            "month",
            "https://data.binance.vision/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02.zip",
        ),
        # freqtrade/exchange/binance_public_data.py
        (
            layout("binanceusdm", "swap"),
            "1h",
            "day",
            "https://data.binance.vision/data/futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-02-29.zip",
        ),
        # PBGui's notes on the archive
        (
            layout("kucoin", "swap"),
            "1m",
            "day",
            "https://historical-data.kucoin.com/data/futures/daily/klines/BTCUSDTM/1m/BTCUSDTM-1m-2024-02-29.zip",
        ),
        (
            layout("kucoin"),
            "1m",
            "day",
            "https://historical-data.kucoin.com/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-29.zip",
        ),
        # two surveys of the bucket
        (
            layout("gate"),
            "1m",
            "day",
            "https://download.gatedata.org/spot/candlesticks_1m/202402/BTC_USDT-20240229.csv.gz",
        ),
        (
            layout("gate", "swap"),
            "1m",
            "month",
            "https://download.gatedata.org/futures_usdt/candlesticks_1m/202402/BTC_USDT-202402.csv.gz",
        ),
        # a survey of the host, and a downloader of delisted symbols
        (SPOT_TRADES, "1m", "day", "https://public.bybit.com/spot/BTCUSDT/BTCUSDT_2024-02-29.csv.gz"),
        (SWAP_TRADES, "1m", "day", "https://public.bybit.com/trading/BTCUSDT/BTCUSDT2024-02-29.csv.gz"),
        (
            METATRADER,
            "5m",
            "month",
            "https://public.bybit.com/kline_for_metatrader4/BTCUSDT/2024/BTCUSDT_5_2024-02-01_2024-02-29.csv.gz",
        ),
    ],
)
def test_file_lies_where_the_venue_puts_it(told: Layout, timeframe: str, period: Period, url: str) -> None:
    assert file_of(told, timeframe, ms(2024, 2, 29), period).url == url


def test_name_that_is_not_ascii_is_escaped() -> None:
    spelled = market(layout("binance"))
    odd = type(spelled)(**{n: getattr(spelled, n) for n in spelled.__slots__} | {"base": "币安人生"})
    [file] = layout("binance").files(odd, "1m", "day", ms(2025, 11), ms(2025, 11) + 1)
    assert file.url.endswith("/%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT-1m-2025-11-01.zip")


def test_files_cover_an_interval_without_gap_or_overlap() -> None:
    files = layout("binance").files(market(layout("binance")), "1h", "month", ms(2023, 11, 20), ms(2024, 3, 2))
    assert [(f.start_ms, f.end_ms) for f in files] == [
        (ms(2023, 11), ms(2023, 12)),
        (ms(2023, 12), ms(2024, 1)),
        (ms(2024, 1), ms(2024, 2)),
        (ms(2024, 2), ms(2024, 3)),
        (ms(2024, 3), ms(2024, 4)),
    ]


def test_nothing_lies_before_the_archive_began_or_after_it_ended() -> None:
    assert layout("kucoin").files(market(layout("kucoin")), "1m", "day", 0, ms(2022, 12, 2))[0].start_ms == ms(2022, 12)
    months = METATRADER.files(market(METATRADER), "1m", "month", ms(2024, 12, 30), ms(2026, 1))
    assert [f.end_ms for f in months] == [ms(2025, 1) - 3 * HOUR_MS]


def test_clock_ahead_of_utc_begins_its_months_earlier() -> None:
    file = file_of(METATRADER, "1h", ms(2024, 3) - 1, "month")
    assert (file.start_ms, file.end_ms) == (ms(2024, 3) - 3 * HOUR_MS, ms(2024, 4) - 3 * HOUR_MS)
    assert "2024-03-01_2024-03-31" in file.url


def test_timeframe_or_period_that_is_not_published_has_no_files() -> None:
    whole = (0, ms(2026, 1))
    assert layout("binance").files(market(layout("binance")), "1w", "month", *whole) == []
    assert layout("kucoin").files(market(layout("kucoin")), "1m", "month", *whole) == []
    assert layout("gate").files(market(layout("gate")), "1h", "day", *whole) == []


def test_empty_interval_has_no_periods() -> None:
    assert spans("day", 5 * DAY_MS, 5 * DAY_MS) == []


def test_archives_of_candles_come_before_those_of_trades() -> None:
    assert [x.is_trades for x in layouts("bybit", "swap")] == [False, True]
    assert layouts("kraken", "spot") == ()


@pytest.mark.parametrize("told", LAYOUTS, ids=lambda x: f"{x.venue}-{x.kind}-{x.is_trades}")
def test_layout_is_complete(told: Layout) -> None:
    periods = {period for offer in told.offers.values() for period in offer.periods}
    assert periods <= set(told.paths) == set(told.delay_ms)
    assert len(told.columns) == (3 if told.is_trades else 6) == len(told.header or told.columns)
