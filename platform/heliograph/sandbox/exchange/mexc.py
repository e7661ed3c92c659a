"""MEXC spot and perpetuals on the wire: https://www.mexc.com/api-docs/spot-v3/introduction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing, Window
from heliograph.sandbox.exchange.wire import Frame, Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT")
_LISTED = 6
_FOREVER_S = 2**43
_SPOT_PAGE, _SWAP_PAGE = 500, 2_000
_CANDLES, _KLINE = "spot@public.kline.v3.api.pb", "/api/v1/contract/kline/"
_SPOT_INTERVALS = {name: TIMEFRAMES[name] for name in ("1m", "5m", "15m", "30m", "4h", "1d", "1M")} | {
    "60m": TIMEFRAMES["1h"],
    "1W": TIMEFRAMES["1w"],
}
_INTERVALS = {f"Min{n}": TIMEFRAMES[f"{n}m"] for n in (1, 5, 15, 30)} | {
    "Min60": TIMEFRAMES["1h"],
    "Hour4": TIMEFRAMES["4h"],
    "Hour8": TIMEFRAMES["8h"],
    "Day1": TIMEFRAMES["1d"],
    "Week1": TIMEFRAMES["1w"],
    "Month1": TIMEFRAMES["1M"],
}
_NAMES = {timeframe: name for name, timeframe in _INTERVALS.items()}
_VARINT, _BYTES = 0, 2
_SYMBOL_ID = "2fb942154ef44a4ab2ef98c8afb6a4a7"


class Mexc:
    """Spot candles by rows, swaps' by columns, both ascending with an exclusive end; bars without a trade are left out.

    Spot frames are Protocol Buffers. A swap's volumes are in contracts, here of one coin each.
    """

    name: ClassVar[str] = "mexc"
    domains: ClassVar[tuple[str, ...]] = ("mexc.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_id(listing): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists, a halted one among them where the tape has one."""
        spot = sorted(tape.symbols, key=lambda s: (s not in _FIRST, tape.halt_ms(s) == tape.end_ms))[:_LISTED]
        return cls(Book(tape, clock, [*spot, *(f"{s}:USDT" for s in spot)]))

    def charge(self, request: Request) -> Charge:
        """Each endpoint has a limit of its own; the list of contracts one in five seconds, and two may come at once."""
        if request.path.startswith("/api/v3/"):
            weight = 10.0 if request.path == "/api/v3/exchangeInfo" else 1.0
            return Charge(request.path, weight, limit=200.0, window_s=10.0)
        if request.path == "/api/v1/contract/detail":
            return Charge(request.path, 1.0, limit=2.0, window_s=10.0)
        return Charge(_KLINE if request.path.startswith(_KLINE) else request.path, 1.0, limit=20.0, window_s=2.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need."""
        if request.path.startswith(_KLINE):
            return self._columns(request, request.path.removeprefix(_KLINE))
        now_ms = self.book.clock.now_ms()
        match request.path:
            case "/api/v3/klines":
                return self._rows(request)
            case "/api/v3/time" | "/api/v3/exchangeInfo" as path:
                pairs = [_pair(listing) for listing in self.book.listings("spot")]
                info = {"timezone": "CST", "rateLimits": [], "exchangeFilters": [], "symbols": pairs}
                return Reply(200, orjson.dumps({"serverTime": now_ms} | (info if path.endswith("Info") else {})))
            case "/api/v1/contract/ping":
                return _done(now_ms)
            case "/api/v1/contract/detail":
                return _done([_contract(listing) for listing in self.book.listings("swap")])
        return Reply(404, orjson.dumps({"code": 404, "msg": "Not Found"}))

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """429 with the seconds to wait, and 403 of the web firewall for callers that go on."""
        match kind:
            case "rate_limit":
                wait = {"Retry-After": str(max(int(retry_after_s), 1))}
                return Reply(429, orjson.dumps({"code": 429, "msg": "Too Many Requests"}), wait)
            case "ban":
                return Reply(403, b"<html><body>403 Forbidden</body></html>", {"Content-Type": "text/html"})
            case "maintenance":
                return Reply(200, orjson.dumps({"code": 500, "message": "Under maintenance, please try again later"}))
        return Reply(503, orjson.dumps({"code": 503, "msg": "service not available, please try again"}))

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Pings and subscriptions of both sockets; a new one starts with the open bar."""
        frame: dict[str, Any] = orjson.loads(text)
        match frame.get("method"):
            case "PING":
                return Talk((_said("PONG"),))
            case "ping":
                return Talk((self._channel("pong", self.book.clock.now_ms()),))
            case "SUBSCRIPTION" | "UNSUBSCRIPTION" as method:
                return self._hear_spot(frame.get("params", []), is_begun=method == "SUBSCRIPTION")
            case "sub.kline" | "unsub.kline" as method:
                return self._hear_swap(frame.get("param", {}), method)
        return Talk((self._channel("rs.error", "Unknown method"),))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> Frame:  # noqa: ARG002 - neither stream has a flag
        """A push of a candle: packed for spot, JSON for a swap."""
        listing, interval = self.book.listing(topic.symbol), _NAMES[topic.timeframe]
        now_ms, open_s = self.book.clock.now_ms(), bar.open_ts_ms // 1_000
        if listing.kind == "spot":
            close_s = topic.timeframe.close_ms(bar.open_ts_ms) // 1_000
            prices = [printed(listing.scales.price) % value for value in (bar.open, bar.close, bar.high, bar.low)]
            amounts = [printed(listing.scales.volume) % bar.volume, f"{bar.volume * bar.mean:.2f}"]
            kline = _packed(enumerate([interval, open_s, *prices, *amounts, close_s], 1))
            return _packed([(1, topic.name), (3, _id(listing)), (4, _SYMBOL_ID), (5, now_ms), (308, kline)])
        known = {"symbol": _id(listing), "interval": interval, "t": open_s, "o": bar.open, "c": bar.close}
        known |= {"h": bar.high, "l": bar.low, "q": float(bar.volume), "a": float(bar.volume * bar.mean)}
        real = {"ro": bar.open, "rc": bar.close, "rh": bar.high, "rl": bar.low}
        push = {"symbol": _id(listing), "data": known | real, "channel": "push.kline", "ts": now_ms}
        return orjson.dumps(push).decode()

    def _hear_spot(self, names: Sequence[str], *, is_begun: bool) -> Talk:
        replies: list[Frame] = []
        topics: list[Topic] = []
        for name in names:
            topic = self._topic(name)
            if topic is None:
                replies.append(_said(f"Not Subscribed successfully! [{name}]. Reason: Blocked!"))
                continue
            replies.append(_said(name))
            topics.append(topic)
            bar = self.book.forming(topic.symbol, topic.timeframe)
            if is_begun and bar:
                replies.append(self.tell(topic, bar, False))
        return Talk(tuple(replies), begun=tuple(topics)) if is_begun else Talk(tuple(replies), ended=tuple(topics))

    def _topic(self, name: str) -> Topic | None:
        channel, market, interval = (*name.rsplit("@", 2), "", "")[:3]
        symbol, timeframe = self._symbols.get(market), _INTERVALS.get(interval)
        return Topic(name, symbol, timeframe) if channel == _CANDLES and symbol and timeframe else None

    def _hear_swap(self, asked: dict[str, str], method: str) -> Talk:
        symbol, interval = self._symbols.get(asked.get("symbol", "")), asked.get("interval", "Min1")
        if symbol is None or ":" not in symbol or interval not in _INTERVALS:
            return Talk((self._channel("rs.error", "Contract does not exist"),))
        done = self._channel(f"rs.{method}", "success")
        if method == "unsub.kline":  # it names no interval: all end
            return Talk((done,), ended=tuple(Topic(n, symbol, t) for n, t in _INTERVALS.items()))
        topic = Topic(interval, symbol, _INTERVALS[interval])
        bar = self.book.forming(symbol, topic.timeframe)
        return Talk((done, self.tell(topic, bar, False)) if bar else (done,), begun=(topic,))

    def _channel(self, name: str, data: object) -> str:
        return orjson.dumps({"channel": name, "data": data, "ts": self.book.clock.now_ms()}).decode()

    def _rows(self, request: Request) -> Reply:
        query = request.query
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("startTime", "endTime", "limit"))
        except ValueError:
            return _refused(400, 700008, "Illegal characters found in parameter")
        symbol, timeframe = self._symbols.get(query.get("symbol", "")), _SPOT_INTERVALS.get(query.get("interval", ""))
        if symbol is None or ":" in symbol:
            return _refused(400, -1121, "Invalid symbol.")
        if timeframe is None:
            return _refused(400, 730002, "Your input param is invalid")
        count = min(limit or _SPOT_PAGE, _SPOT_PAGE)
        if start_ms is None or end_ms is None:  # one without the other is ignored: ccxt issue 17483
            window = self.book.window(symbol, timeframe, 0, _FOREVER_S * 1_000).newest(count)
        else:
            window = self.book.window(symbol, timeframe, start_ms, end_ms).oldest(count)
        rows = self._cut(request, window).rows(self.book.listing(symbol), _row)
        return Reply(200, b"[" + b",".join(rows) + b"]")

    def _columns(self, request: Request, market: str) -> Reply:
        query, symbol = request.query, self._symbols.get(market)
        try:
            start_s, end_s = (integer(query, name) for name in ("start", "end"))
        except ValueError:
            return _failed(600, "Parameter error")
        timeframe = _INTERVALS.get(query.get("interval", "Min1"))
        if symbol is None or ":" not in symbol:
            return _failed(1001, "Contract does not exist")
        if timeframe is None:
            return _failed(600, "Parameter error")
        end_ms = (_FOREVER_S if end_s is None else end_s) * 1_000
        window = self.book.window(symbol, timeframe, (start_s or 0) * 1_000, end_ms).newest(_SWAP_PAGE)
        bars = self._cut(request, window).bars(self.book.listing(symbol))
        prices = {name: [getattr(bar, name) for bar in bars] for name in ("open", "close", "high", "low")}
        amounts = {"vol": [float(bar.volume) for bar in bars], "amount": [float(bar.volume * bar.mean) for bar in bars]}
        real = {f"real{name.capitalize()}": column for name, column in prices.items()}
        return _done({"time": [bar.open_ts_ms // 1_000 for bar in bars]} | prices | amounts | real)

    def _cut(self, request: Request, window: Window) -> Window:
        return window.oldest(len(window) // 2) if request.is_cut else window


def _id(listing: Listing) -> str:
    return listing.base + ("_" if listing.kind == "swap" else "") + listing.quote


@cache
def _format(scales: Scales) -> str:
    price = f'"{printed(scales.price)}"'
    return f'[%d,{price},{price},{price},{price},"{printed(scales.volume)}",%d,"%.2f"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag here
    """A spot candle; the turnover, which no tape holds, is estimated from the bar's mean price."""
    known = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)
    close_ms = timeframe.close_ms(bar.open_ts_ms)
    return (_format(listing.scales) % (*known, close_ms, bar.volume * bar.mean)).encode()


def _packed(fields: Iterable[tuple[int, int | str | bytes]]) -> bytes:
    """A message of Protocol Buffers: https://protobuf.dev/programming-guides/encoding/.

    >>> _packed([(1, 150), (2, "testing")])
    b'\\x08\\x96\\x01\\x12\\x07testing'
    """
    told = b""
    for number, value in fields:
        if isinstance(value, int):
            told += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            body = value.encode() if isinstance(value, str) else value
            told += _varint(number << 3 | _BYTES) + _varint(len(body)) + body
    return told


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    told = bytearray()
    while value > 127:
        told.append(value & 127 | 128)
        value >>= 7
    return bytes((*told, value))


def _said(message: str) -> str:
    return orjson.dumps({"id": 0, "code": 0, "msg": message}).decode()


def _done(data: object) -> Reply:
    return Reply(200, orjson.dumps({"success": True, "code": 0, "data": data}))


def _failed(code: int, message: str) -> Reply:
    return Reply(200, orjson.dumps({"success": False, "code": code, "message": message}))


def _refused(status: int, code: int, message: str) -> Reply:
    return Reply(status, orjson.dumps({"code": code, "msg": message}))


def _pair(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": _id(listing),
        "status": "2" if listing.is_halted else "1",
        "baseAsset": listing.base,
        "baseAssetPrecision": listing.scales.volume,
        "quoteAsset": listing.quote,
        "quotePrecision": listing.scales.price,
        "quoteAssetPrecision": listing.scales.price,
        "baseCommissionPrecision": listing.scales.volume,
        "quoteCommissionPrecision": listing.scales.price,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": "0",
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecisionMarket": "1",
        "maxQuoteAmountMarket": "100000",
        "fullName": listing.base,
        "tradeSideType": "1",
    }


def _contract(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": _id(listing),
        "displayName": f"{_id(listing)}永续",
        "displayNameEn": f"{_id(listing)} SWAP",
        "positionOpenType": 3,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "settleCoin": listing.quote,
        "contractSize": 1,
        "minLeverage": 1,
        "maxLeverage": 125,
        "priceScale": listing.scales.price,
        "volScale": listing.scales.volume,
        "amountScale": 4,
        "priceUnit": float(printed(listing.scales.price) % 10.0**-listing.scales.price),
        "volUnit": float(printed(listing.scales.volume) % 10.0**-listing.scales.volume),
        "minVol": 1,
        "maxVol": 5_000_000,
        "takerFeeRate": 0.0006,
        "makerFeeRate": 0.0002,
        "state": 4 if listing.is_halted else 0,
        "isNew": False,
        "isHot": True,
        "isHidden": False,
        "apiAllowed": False,
    }
