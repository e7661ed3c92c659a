"""Binance spot on the wire: https://developers.binance.com/docs/binance-spot-api-docs."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing, Window
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FOREVER_MS = 2**53
_WEIGHTS = {"/api/v3/klines": 2.0, "/api/v3/exchangeInfo": 20.0}


class Binance:
    """Klines ascending, both bounds inclusive, at most 1000, the unfinished one included; outages leave holes."""

    name: ClassVar[str] = "binance"
    domains: ClassVar[tuple[str, ...]] = ("binance.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {symbol.replace("/", ""): symbol for symbol in book.symbols}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""
        return cls(Book(tape, clock, tape.symbols))

    def charge(self, request: Request) -> Charge:
        """6000 a minute and address, over all endpoints; futures have their own pool."""
        pool = request.host.split(".")[0]
        return Charge(pool, _WEIGHTS.get(request.path, 1.0), limit=6_000.0, window_s=60.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need; the futures' lists are empty."""
        match request.path:
            case "/api/v3/klines":
                return self._klines(request)
            case "/api/v3/exchangeInfo":
                return _json(self._exchange_info())
            case "/fapi/v1/exchangeInfo" | "/dapi/v1/exchangeInfo":
                return _json({"timezone": "UTC", "serverTime": self.book.clock.now_ms(), "symbols": []})
            case "/api/v3/time" | "/fapi/v1/time" | "/dapi/v1/time":
                return _json({"serverTime": self.book.clock.now_ms()})
            case "/api/v3/ping":
                return _json({})
        return Reply(404, b"<html><body><h2>404 Not found</h2></body></html>", {"Content-Type": "text/html"})

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """429, then 418 for callers that go on; 503 and the maintenance code otherwise."""
        headers = {"Retry-After": str(max(int(retry_after_s), 1))}
        match kind:
            case "rate_limit":
                message = "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
                return _error(429, -1003, message, headers)
            case "ban":
                until_ms = int((datetime.now(UTC).timestamp() + retry_after_s) * 1000)
                return _error(418, -1003, f"Way too much request weight used; IP banned until {until_ms}.", headers)
            case "maintenance":
                return _error(503, -1000, "System is under maintenance.")
        return _error(503, -1008, "Request throttled by system-level protection. Please try again.")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """SUBSCRIBE and UNSUBSCRIBE; an unknown stream is accepted and stays silent, as on the venue."""
        frame: dict[str, Any] = orjson.loads(text)
        topics = tuple(topic for name in frame.get("params", []) if (topic := self._topic(name)))
        done = orjson.dumps({"result": None, "id": frame.get("id")}).decode()
        match frame.get("method"):
            case "SUBSCRIBE":
                bars = [(t, self.book.forming(t.symbol, t.timeframe)) for t in topics]
                return Talk((done, *(self.tell(topic, bar, False) for topic, bar in bars if bar)), begun=topics)
            case "UNSUBSCRIBE":
                return Talk((done,), ended=topics)
        wrong = {"error": {"code": 2, "msg": "Invalid request: unknown method"}, "id": frame.get("id")}
        return Talk((orjson.dumps(wrong).decode(),))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A kline event; ``x`` says that the bar has closed."""
        listing = self.book.listing(topic.symbol)
        row = orjson.loads(_row(listing, topic.timeframe, bar, is_closed))
        names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
        kline = dict(zip(names, row, strict=True)) | {"s": _id(topic.symbol), "i": topic.timeframe.name, "x": is_closed}
        event = {
            "e": "kline",
            "E": self.book.clock.now_ms(),
            "s": _id(topic.symbol),
            "k": kline | {"f": 0, "L": row[8]},
        }
        return orjson.dumps(event).decode()

    def _topic(self, name: str) -> Topic | None:
        market, _, channel = name.partition("@kline_")
        symbol, timeframe = self._symbols.get(market.upper()), TIMEFRAMES.get(channel)
        return Topic(name, symbol, timeframe) if symbol and timeframe else None

    def _klines(self, request: Request) -> Reply:
        query = request.query
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("startTime", "endTime", "limit"))
        except ValueError:
            return _error(400, -1100, "Illegal characters found in a parameter.")
        if not query.get("symbol"):
            return _error(400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        symbol, timeframe = self._symbols.get(query["symbol"]), TIMEFRAMES.get(query.get("interval", ""))
        if not symbol:
            return _error(400, -1121, "Invalid symbol.")
        if not timeframe:
            return _error(400, -1120, "Invalid interval.")
        count = min(500 if limit is None else limit, 1000)
        window = self.book.window(symbol, timeframe, start_ms or 0, (_FOREVER_MS if end_ms is None else end_ms) + 1)
        window = window.newest(count) if start_ms is None else window.oldest(count)
        if request.is_cut:
            window = window.oldest(len(window) // 2)
        return Reply(200, self._page(window, self.book.listing(symbol)))

    def _page(self, window: Window, listing: Listing) -> bytes:
        return b"[" + b",".join(window.rows(listing, _row)) + b"]"

    def _exchange_info(self) -> dict[str, Any]:
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
        ]
        return {
            "timezone": "UTC",
            "serverTime": self.book.clock.now_ms(),
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [_market(listing) for listing in self.book.listings()],
        }


def _id(symbol: str) -> str:
    return symbol.replace("/", "")


def _market(listing: Listing) -> dict[str, Any]:
    tick, step = (f"{10.0**-scale:.8f}" for scale in (listing.scales.price, listing.scales.volume))
    return {
        "symbol": _id(listing.symbol),
        "status": "BREAK" if listing.is_halted else "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True, "avgPriceMins": 5},
        ],
        "permissions": ["SPOT"],
    }


@cache
def _format(scales: Scales) -> str:
    price, volume = f'"{printed(scales.price, 8)}"', f'"{printed(scales.volume, 8)}"'
    return f'[%d,{price},{price},{price},{price},{volume},%d,"%.8f",%d,"%.8f","%.8f","0"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - REST has no flag
    """A kline; turnover and trade counts, which no tape holds, are estimated from the bar's mean price."""
    turnover = bar.volume * bar.mean
    known = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)
    guess = (turnover, 1 + turnover // 500, bar.volume / 2, turnover / 2)
    return (_format(listing.scales) % (*known, timeframe.close_ms(bar.open_ts_ms) - 1, *guess)).encode()


def _json(body: dict[str, Any]) -> Reply:
    return Reply(200, orjson.dumps(body))


def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"code": code, "msg": message}), headers or {})
