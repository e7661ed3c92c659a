"""The archives that are known, and where each fact about them was seen.

None of the hosts could be asked from here; all of this was read in public repositories.

* binance: binance/binance-public-data, README (paths, twelve columns, ``.CHECKSUM`` with sha256, all timeframes) and
  its issue 283 (futures have a header row from about 2022, spot has none); spot counts microseconds from 2025-01-01.
  Its issues 186, 253 and 359: monthly files lacked whole days that the daily files had, and were re-issued later.
* kucoin: the packages `veldra` and `kucoin_lake`, PBGui's notes on 1,288 files, StockSharp's `KucoinHistory`: a header
  row, spot's close before its high, rows not sorted, and a ``.CHECKSUM`` that holds **MD5**. A minute without a trade is
  left out: PBGui found no trade in any minute that a file lacked. Swaps are counted in contracts, as over REST.
* gate: two surveys of the bucket: no header, ``ts, volume, close, high, low, open``, volume in base units (contracts for
  swaps) as settled against ``spot/deals``; spot's 1m and 5m come by the day and were monthly once, all else by the month.
* bybit: a survey of the host, and a downloader of delisted symbols: ``spot`` (ms) and ``trading`` (seconds with four
  decimals) hold trades by the day. ``kline_for_metatrader4`` has 23 markets until the end of 2024 and a clock of UTC+3
  without summer time, measured to the minute over ten months. Whether bybit's own candles equal those made of its trades
  was seen nowhere; comparing the seam decides.

Left out: timeframes above 1d (a single REST page brings them all), bybit's monthly spot files and perpetuals settled in
USDC (no sample was seen), okx (trades in days of UTC+8), htx (the last months only) and bitget (spreadsheets).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from heliograph.core.market import Kind
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.sources.archive.layout import Layout, Offer, Period

_BOTH: tuple[Period, ...] = ("month", "day")
_MONTHS: tuple[Period, ...] = ("month",)
_DAYS: tuple[Period, ...] = ("day",)
_TO_A_DAY = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
_CANDLE_HEADER = ("time", "open", "high", "low", "close", "volume")


def layouts(venue: str, kind: Kind) -> tuple[Layout, ...]:
    """The archives of a venue, those of candles before those of trades; none where it has none."""
    return tuple(layout for layout in LAYOUTS if (layout.venue, layout.kind) == (venue, kind))


def _ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000


def _same(names: Sequence[str], periods: tuple[Period, ...]) -> dict[str, Offer]:
    return {name: Offer(name, periods) for name in names}


def _binance(venue: str, kind: Kind, folder: str, first_ms: int) -> Layout:
    stem = "klines/{id}/{tf}/{id}-{tf}-{y}-{m}"
    return Layout(
        venue=venue,
        kind=kind,
        origin="https://data.binance.vision",
        market="{base}{quote}",
        paths={"month": f"data/{folder}/monthly/{stem}.zip", "day": f"data/{folder}/daily/{stem}-{{d}}.zip"},
        offers=_same(_TO_A_DAY, _BOTH),
        columns=(0, 1, 2, 3, 4, 5),
        first_ms=first_ms,
        delay_ms={"month": 8 * DAY_MS, "day": DAY_MS},  # months appear on the first Monday, days on the next day
        header=("open_time", *_CANDLE_HEADER[1:]),
        digest="sha256",
    )


def _kucoin(kind: Kind, folder: str, market: str, columns: tuple[int, ...]) -> Layout:
    return Layout(
        venue="kucoin",
        kind=kind,
        origin="https://historical-data.kucoin.com",
        market=market,
        paths={"day": f"data/{folder}/daily/klines/{{id}}/{{tf}}/{{id}}-{{tf}}-{{y}}-{{m}}-{{d}}.zip"},
        offers=_same(("1m", "5m", "15m", "1h", "8h", "12h", "1d"), _DAYS),
        columns=columns,
        first_ms=_ms(2022, 12),
        delay_ms={"day": 2 * DAY_MS},  # nobody says how late they are
        header=_CANDLE_HEADER,
        digest="md5",
    )


def _gate(kind: Kind, folder: str, short: tuple[Period, ...]) -> Layout:
    stem = f"{folder}/candlesticks_{{tf}}/{{y}}{{m}}/{{id}}-{{y}}{{m}}"
    return Layout(
        venue="gate",
        kind=kind,
        origin="https://download.gatedata.org",
        market="{base}_{quote}",
        paths={"month": f"{stem}.csv.gz", "day": f"{stem}{{d}}.csv.gz"},
        offers=_same(("1m", "5m"), short) | _same(("1h", "4h", "1d"), _MONTHS),
        columns=(0, 5, 3, 4, 2, 1),
        first_ms=_ms(2018, 1),
        delay_ms={"month": 7 * DAY_MS, "day": DAY_MS},
        packing="gzip",
    )


def _bybit(kind: Kind, path: str, columns: tuple[int, ...], header: tuple[str, ...], first_ms: int) -> Layout:
    return Layout(
        venue="bybit",
        kind=kind,
        origin="https://public.bybit.com",
        market="{base}{quote}",
        paths={"day": path},
        offers=_same(_TO_A_DAY, _DAYS),
        columns=columns,
        first_ms=first_ms,
        delay_ms={"day": 2 * DAY_MS},
        header=header,
        packing="gzip",
        is_trades=True,
    )


_METATRADER = Layout(
    venue="bybit",
    kind="swap",
    origin="https://public.bybit.com",
    market="{base}{quote}",
    paths={"month": "kline_for_metatrader4/{id}/{y}/{id}_{tf}_{y}-{m}-01_{y}-{m}-{last}.csv.gz"},
    offers={n: Offer(s, _MONTHS) for n, s in (("1m", "1"), ("5m", "5"), ("15m", "15"), ("30m", "30"), ("1h", "60"))},
    columns=(0, 1, 2, 3, 4, 5),
    first_ms=_ms(2020, 1),
    delay_ms={"month": 8 * DAY_MS},
    last_ms=_ms(2025, 1) - 3 * HOUR_MS,
    packing="gzip",
    clock_ms=3 * HOUR_MS,
    times="text",
)

LAYOUTS: tuple[Layout, ...] = (
    _binance("binance", "spot", "spot", _ms(2017, 8)),
    _binance("binanceusdm", "swap", "futures/um", _ms(2020, 1)),
    _kucoin("spot", "spot", "{base}{quote}", (0, 1, 3, 4, 2, 5)),
    _kucoin("swap", "futures", "{base}{quote}M", (0, 1, 2, 3, 4, 5)),
    _gate("spot", "spot", _BOTH),
    _gate("swap", "futures_{settle}", _MONTHS),
    _METATRADER,
    _bybit("spot", "spot/{id}/{id}_{y}-{m}-{d}.csv.gz", (1, 2, 3), ("timestamp", "price", "volume"), _ms(2022, 11)),
    _bybit("swap", "trading/{id}/{id}{y}-{m}-{d}.csv.gz", (0, 4, 3), ("timestamp", "price", "size"), _ms(2019, 10)),
)
"""Every archive; of one venue, the ones that hold candles first."""
