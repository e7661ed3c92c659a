"""How each venue publishes its history in files: paths, clocks, columns and check sums.

The facts and where they were seen stand in `heliograph.sources.archive.venues`; this is written apart from it, so that
each proves the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from heliograph.core.market import Kind
from heliograph.core.timeframe import DAY_MS, HOUR_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Listing
from heliograph.sandbox.exchange.wire import printed
from heliograph.sandbox.tape import Bar

_MICROSECONDS_FROM_MS = 1_735_689_600_000  # 2025-01-01
_HEADER_FROM_MS = 1_640_995_200_000  # 2022-01-01, futures only
_METATRADER_MS = 3 * HOUR_MS
_METATRADER_STOP_MS = 1_735_689_600_000 - _METATRADER_MS
_KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_TRADE_HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,RPI"

Rows = Callable[[Listing, Timeframe, Sequence[Bar]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Style:
    """How one venue publishes one kind of market.

    Attributes:
        path: named groups ``id``, ``y``, ``m``, and where there are such ``tf`` and ``d``.
        market: the id of a listing.
        timeframes: by their names in paths; of the candles, or of the finest bars that trades are made of.
        rows: the lines of a file.
        delay_ms: how long after its period's end a month, and a day, is published.
        digest: of the ``.CHECKSUM`` beside a file.
        is_trades: lines are trades.
        clock_ms: how much later than UTC its clock reads.
        stop_ms: no period that ends later is published.
    """

    venue: str
    kind: Kind
    host: str
    path: re.Pattern[str]
    market: Callable[[Listing], str]
    timeframes: Mapping[str, Timeframe]
    rows: Rows
    delay_ms: tuple[int, int]
    digest: Literal["sha256", "md5"] | None = None
    is_trades: bool = False
    clock_ms: int = 0
    stop_ms: int = 2**62


def _klines(listing: Listing, timeframe: Timeframe, bars: Sequence[Bar]) -> Iterator[str]:
    """Twelve columns; spot counts microseconds from 2025 on. What no tape holds is estimated from the mean price."""
    is_spot = listing.kind == "spot"
    if not is_spot and bars[0].open_ts_ms >= _HEADER_FROM_MS:
        yield _KLINE_HEADER
    price, volume = printed(listing.scales.price, 8), printed(listing.scales.volume, 8)
    line = f"%d,{price},{price},{price},{price},{volume},%d,%.8f,%d,%.8f,%.8f,0"
    for bar in bars:
        times = 1_000 if is_spot and bar.open_ts_ms >= _MICROSECONDS_FROM_MS else 1
        last = timeframe.close_ms(bar.open_ts_ms) * times - 1
        turnover = bar.volume * bar.mean
        known = (bar.open_ts_ms * times, bar.open, bar.high, bar.low, bar.close, bar.volume)
        yield line % (*known, last, turnover, 1 + turnover // 500, bar.volume / 2, turnover / 2)


def _kucoin_klines(listing: Listing, _: Timeframe, bars: Sequence[Bar]) -> Iterator[str]:
    """Spot's close stands before its high, in seconds; swaps count milliseconds. The newest row comes first."""
    is_spot = listing.kind == "spot"
    yield "time,open,close,high,low,volume,turnover" if is_spot else "time,open,high,low,close,volume"
    price, volume = printed(listing.scales.price), printed(listing.scales.volume)
    line = f"%d,{price},{price},{price},{price},{volume}"
    for bar in reversed(bars):
        if is_spot:
            told = (bar.open_ts_ms // 1_000, bar.open, bar.close, bar.high, bar.low, bar.volume)
            yield f"{line},%.8f" % (*told, bar.volume * bar.mean)
        else:
            yield line % (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _gate_klines(listing: Listing, _: Timeframe, bars: Sequence[Bar]) -> Iterator[str]:
    """No header; seconds, volume, and the open last."""
    price, volume = printed(listing.scales.price), printed(listing.scales.volume)
    line = f"%d,{volume},{price},{price},{price},{price}"
    for bar in bars:
        yield line % (bar.open_ts_ms // 1_000, bar.volume, bar.close, bar.high, bar.low, bar.open)


def _metatrader(listing: Listing, _: Timeframe, bars: Sequence[Bar]) -> Iterator[str]:
    """No header; times as text, three hours ahead of UTC."""
    price, volume = printed(listing.scales.price), printed(listing.scales.volume)
    line = f"%s,{price},{price},{price},{price},{volume}"
    clock = np.asarray([bar.open_ts_ms + _METATRADER_MS for bar in bars]).astype("datetime64[ms]")
    for bar, text in zip(bars, np.datetime_as_string(clock, unit="m").tolist(), strict=True):
        told = text.replace("-", ".").replace("T", " ")
        yield line % (told, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _spot_trades(listing: Listing, _: Timeframe, trades: Sequence[Bar]) -> Iterator[str]:
    """Milliseconds; ids count from one each day. A sale's volume is negative in ``trades``."""
    yield "id,timestamp,price,volume,side,rpi"
    line = f"%d,%d,{printed(listing.scales.price)},{printed(listing.scales.volume)},%s,0"
    for i, trade in enumerate(trades, 1):
        yield line % (i, trade.open_ts_ms, trade.open, abs(trade.volume), "sell" if trade.volume < 0 else "buy")


def _swap_trades(listing: Listing, _: Timeframe, trades: Sequence[Bar]) -> Iterator[str]:
    """Seconds with four decimals."""
    yield _TRADE_HEADER
    price, size, name = printed(listing.scales.price), printed(listing.scales.volume), f"{listing.base}{listing.quote}"
    line = f"%.4f,{name},%s,{size},{price},ZeroPlusTick,%032x,%.0f,{size},%.4f,0"
    for trade in trades:
        qty, side = abs(trade.volume), "Sell" if trade.volume < 0 else "Buy"
        value = qty * trade.open
        seconds = trade.open_ts_ms / 1_000
        yield line % (seconds, side, qty, trade.open, trade.open_ts_ms, value * 1e8, qty, value)


def _joined(listing: Listing) -> str:
    return f"{listing.base}{listing.quote}"


def _named(*names: str) -> dict[str, Timeframe]:
    return {name: TIMEFRAMES[name] for name in names}


def _binance(venue: str, kind: Kind, folder: str) -> Style:
    stem = r"klines/(?P<id>\w+)/(?P<tf>\w+)/(?P=id)-(?P=tf)-(?P<y>\d{4})-(?P<m>\d\d)(?(daily)-(?P<d>\d\d))\.zip"
    return Style(
        venue=venue,
        kind=kind,
        host="data.binance.vision",
        path=re.compile(rf"/data/{folder}/(?:monthly|(?P<daily>daily))/{stem}"),
        market=_joined,
        timeframes=_named("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"),
        rows=_klines,
        delay_ms=(5 * DAY_MS, 12 * HOUR_MS),
        digest="sha256",
    )


def _kucoin(kind: Kind, folder: str, suffix: str) -> Style:
    stem = r"(?P<id>\w+)/(?P<tf>\w+)/(?P=id)-(?P=tf)-(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)\.zip"
    return Style(
        venue="kucoin",
        kind=kind,
        host="historical-data.kucoin.com",
        path=re.compile(rf"/data/{folder}/daily/klines/{stem}"),
        market=lambda listing: f"{_joined(listing)}{suffix}",
        timeframes=_named("1m", "5m", "15m", "1h", "8h", "12h", "1d"),
        rows=_kucoin_klines,
        delay_ms=(0, DAY_MS),
        digest="md5",
    )


def _gate(kind: Kind, folder: str, date: str, *names: str) -> Style:
    stem = r"/(?P<y>\d{4})(?P<m>\d\d)/(?P<id>\w+)-(?P=y)(?P=m)"
    return Style(
        venue="gate",
        kind=kind,
        host="download.gatedata.org",
        path=re.compile(rf"/{folder}/candlesticks_(?P<tf>\w+){stem}{date}\.csv\.gz"),
        market=lambda listing: f"{listing.base}_{listing.quote}",
        timeframes=_named(*names),
        rows=_gate_klines,
        delay_ms=(DAY_MS, 6 * HOUR_MS),
    )


def _bybit(kind: Kind, stem: str, rows: Rows) -> Style:
    return Style(
        venue="bybit",
        kind=kind,
        host="public.bybit.com",
        path=re.compile(rf"{stem}(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)\.csv\.gz"),
        market=_joined,
        timeframes={"": TIMEFRAMES["1m"]},
        rows=rows,
        delay_ms=(0, DAY_MS),
        is_trades=True,
    )


STYLES: tuple[Style, ...] = (
    _binance("binance", "spot", "spot"),
    _binance("binanceusdm", "swap", "futures/um"),
    _kucoin("spot", "spot", ""),
    _kucoin("swap", "futures", "M"),
    _gate("spot", "spot", r"(?P<d>\d\d)", "1m", "5m"),
    _gate("spot", "spot", "", "1h", "4h", "1d"),
    _gate("swap", "futures_usdt", "", "1m", "5m", "1h", "4h", "1d"),
    _bybit("spot", r"/spot/(?P<id>\w+)/(?P=id)_", _spot_trades),
    _bybit("swap", r"/trading/(?P<id>\w+)/(?P=id)", _swap_trades),
    Style(
        venue="bybit",
        kind="swap",
        host="public.bybit.com",
        path=re.compile(
            r"/kline_for_metatrader4/(?P<id>\w+)/(?P<y>\d{4})/(?P=id)_(?P<tf>\d+)_(?P=y)-(?P<m>\d\d)-01"
            r"_(?P=y)-(?P=m)-(?P<last>\d\d)\.csv\.gz"
        ),
        market=_joined,
        timeframes={"1": TIMEFRAMES["1m"], "5": TIMEFRAMES["5m"], "15": TIMEFRAMES["15m"], "60": TIMEFRAMES["1h"]},
        rows=_metatrader,
        delay_ms=(5 * DAY_MS, 0),
        clock_ms=_METATRADER_MS,
        stop_ms=_METATRADER_STOP_MS,
    ),
)
"""Every archive. Gate's spot comes by the day up to 5m and by the month from 1h on."""
