"""KuCoin spot and swaps on the wire: https://www.kucoin.com/docs-new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.calendars import grid
from heliograph.core.market import Kind
from heliograph.core.ports import Clock
from heliograph.core.timeframe import MINUTE_MS, Timeframe
from heliograph.sandbox.book import Book, Listing, Window
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FOREVER_MS = 2**53
_PAGE, _SWAP_PAGE = 1_500, 500
_LISTED = 6
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
_INTERVALS = {f"{n}min": grid("kucoin", f"{n}m") for n in (1, 3, 5, 15, 30)}
_INTERVALS |= {f"{n}hour": grid("kucoin", f"{n}h") for n in (1, 2, 4, 6, 8, 12)}
_INTERVALS |= {"1day": grid("kucoin", "1d"), "1week": grid("kucoin", "1w"), "1month": grid("kucoin", "1M")}
_SWAP_NAMES = ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "1w")
_GRANULARITIES = {str(t.ms // MINUTE_MS): t for t in (grid("kucoin", name) for name in _SWAP_NAMES)}
_WEIGHTS = {"/api/v1/bullet-public": 10.0, "/api/v2/symbols": 4.0}
_CHANNELS: dict[str, Kind] = {"/market/candles": "spot", "/contractMarket/limitCandle": "swap"}
_TOKEN = "2neAiuYvAU61ZDXANAGAsiL4-iAExhsBXZxftpOeh_55i3Ysy2q2LEsEWU64mdzUOPusi34M"


class Kucoin:
    """Pairs: candles descending, seconds, the end exclusive. Swaps: ascending, milliseconds, both bounds inclusive.

    Bars without a trade are left out. Swaps' volumes are in contracts, here of one coin each.
    """

    name: ClassVar[str] = "kucoin"
    domains: ClassVar[tuple[str, ...]] = ("kucoin.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {(listing.kind, _id(listing)): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""
        spot = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        swaps = [f"{symbol}:USDT" for symbol in spot if symbol.endswith("/USDT")]
        return cls(Book(tape, clock, [*spot, *swaps]))

    def charge(self, request: Request) -> Charge:
        """2,000 units in 30 seconds, for each host and address."""
        return Charge(request.host, _WEIGHTS.get(request.path, 3.0), limit=2_000.0, window_s=30.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles and sockets need."""
        answers: dict[str, Callable[[Request], Reply]] = {
            "/api/v1/market/candles": self._candles,
            "/api/v1/kline/query": self._klines,
            "/api/v1/bullet-public": _bullet,
        }
        if answer := answers.get(request.path):
            return answer(request)
        listings = self.book.listings()
        names = dict.fromkeys(name for listing in listings for name in (listing.base, listing.quote))
        lists: dict[str, Any] = {
            "/api/v2/symbols": [_pair(x) for x in listings if x.kind == "spot"],
            "/api/v1/contracts/active": [_contract(x) for x in listings if x.kind == "swap" and not x.is_halted],
            "/api/v3/currencies": [_currency(name) for name in names],
            "/api/v1/timestamp": self.book.clock.now_ms(),
        }
        return _json(lists[request.path]) if request.path in lists else _error(404, "404", "Not Found")

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """429000 with the milliseconds to wait; a text of the shield before the venue; 503 and 500000 otherwise."""
        match kind:
            case "rate_limit":
                left = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "0"}
                left["gw-ratelimit-reset"] = str(int(retry_after_s * 1_000))
                return _error(429, "429000", "Too many requests in a short period of time, please retry later", left)
            case "ban":
                return Reply(429, b"error code: 1015", {"Content-Type": "text/plain"})
            case "maintenance":
                return _error(503, "503", "Service Unavailable")
        return _error(500, "500000", "Internal Server Error")

    def greet(self) -> tuple[str, ...]:
        """A welcome."""
        return (orjson.dumps({"id": "hQvf8jkno", "type": "welcome"}).decode(),)

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe; a new subscription starts with the open bar."""
        frame: dict[str, Any] = orjson.loads(text)
        kind, name = frame.get("type"), frame.get("topic", "")
        if kind == "ping":
            return Talk((orjson.dumps({"id": frame.get("id"), "type": "pong"}).decode(),))
        channel, _, markets = name.partition(":")
        topics = [self._topic(channel, market) for market in markets.split(",")]
        known = tuple(topic for topic in topics if topic)
        if len(known) < len(topics):
            wrong = {"id": frame.get("id"), "type": "error", "code": 404, "data": f"topic {name} is not found"}
            return Talk((orjson.dumps(wrong).decode(),))
        done = orjson.dumps({"id": frame.get("id"), "type": "ack"}).decode()
        if kind != "subscribe":
            return Talk((done,), ended=known)
        bars = [(t, self.book.forming(t.symbol, t.timeframe)) for t in known]
        return Talk((done, *(self.tell(topic, bar, False) for topic, bar in bars if bar)), begun=known)

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A push of a candle channel: the order of the pairs' candles, in seconds, for swaps, too."""
        listing, now_ms = self.book.listing(topic.symbol), self.book.clock.now_ms()
        row = orjson.loads(_row(listing, topic.timeframe, bar, is_closed))
        data = {"symbol": _id(listing), "candles": row, "time": now_ms * 1_000_000}
        subject = "trade.candles.update"
        if listing.kind == "swap":
            data |= {"candles": [*row[:6], row[5]], "time": now_ms}
            subject = "candle.stick"
        return orjson.dumps({"type": "message", "topic": topic.name, "subject": subject, "data": data}).decode()

    def _topic(self, channel: str, market: str) -> Topic | None:
        name, _, interval = market.partition("_")
        kind, timeframe = _CHANNELS.get(channel), _INTERVALS.get(interval)
        symbol = self._symbols.get((kind, name)) if kind else None
        return Topic(f"{channel}:{market}", symbol, timeframe) if symbol and timeframe else None

    def _candles(self, request: Request) -> Reply:
        query = request.query
        try:
            start_s, end_s = (integer(query, name) or 0 for name in ("startAt", "endAt"))
        except ValueError:
            return _error(400, "400100", "Param error")
        symbol, timeframe = self._symbols.get(("spot", query.get("symbol", ""))), _INTERVALS.get(query.get("type", ""))
        if not symbol:
            return _error(400, "400100", "Unsupported trading pair.")
        if not timeframe:
            return _error(400, "400100", "Incorrect candlestick type")
        end_ms = end_s * 1_000 or _FOREVER_MS
        window = _cut(request, self.book.window(symbol, timeframe, start_s * 1_000, end_ms).newest(_PAGE))
        return _rows(list(reversed(window.rows(self.book.listing(symbol), _row))))

    def _klines(self, request: Request) -> Reply:
        query = request.query
        try:
            start_ms, end_ms = (integer(query, name) for name in ("from", "to"))
        except ValueError:
            return _error(400, "400100", "Param error")
        symbol = self._symbols.get(("swap", query.get("symbol", "")))
        timeframe = _GRANULARITIES.get(query.get("granularity", ""))
        if not symbol:  # the words are not verified
            return _error(404, "404000", "Contract does not exist")
        if not timeframe:
            return _error(400, "400100", "granularity invalid")
        end_ms = _FOREVER_MS if end_ms is None else end_ms + 1
        window = _cut(request, self.book.window(symbol, timeframe, start_ms or 0, end_ms).newest(_SWAP_PAGE))
        return _rows(window.rows(self.book.listing(symbol), _entry))


def _cut(request: Request, window: Window) -> Window:
    return window.newest(len(window) // 2) if request.is_cut else window


def _id(listing: Listing) -> str:
    """``BTC-USDT`` for pairs, ``XBTUSDTM`` for swaps."""
    if listing.kind == "spot":
        return f"{listing.base}-{listing.quote}"
    return f"{_swap_base(listing)}{listing.quote}M"


def _swap_base(listing: Listing) -> str:
    return "XBT" if listing.base == "BTC" else listing.base


def _currency(name: str) -> dict[str, Any]:
    return {"currency": name, "name": name, "fullName": name, "precision": 8, "isMarginEnabled": True, "chains": []}


def _bullet(request: Request) -> Reply:
    """Where sockets are, and the token that opens one."""
    kind = "futures" if request.host.startswith("api-futures.") else "spot"
    server = {"endpoint": f"wss://ws-api-{kind}.kucoin.com/", "encrypt": True, "protocol": "websocket"}
    return _json({"token": _TOKEN, "instanceServers": [server | {"pingInterval": 18_000, "pingTimeout": 10_000}]})


def _pair(listing: Listing) -> dict[str, Any]:
    tick, step = (printed(scale) % 10.0**-scale for scale in (listing.scales.price, listing.scales.volume))
    return {
        "symbol": _id(listing),
        "name": _id(listing),
        "baseCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "feeCurrency": listing.quote,
        "market": "USDS",
        "baseMinSize": step,
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": step,
        "quoteIncrement": "0.000001",
        "priceIncrement": tick,
        "priceLimitRate": "0.1",
        "minFunds": "0.1",
        "isMarginEnabled": True,
        "enableTrading": not listing.is_halted,
    }


def _contract(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": _id(listing),
        "rootSymbol": listing.quote,
        "type": "FFWCSX",
        "firstOpenDate": listing.listed_ms,
        "expireDate": None,
        "settleDate": None,
        "baseCurrency": _swap_base(listing),
        "quoteCurrency": listing.quote,
        "settleCurrency": listing.quote,
        "maxOrderQty": 1_000_000,
        "maxPrice": 1_000_000.0,
        "lotSize": 10.0**-listing.scales.volume,
        "tickSize": 10.0**-listing.scales.price,
        "multiplier": 1.0,
        "makerFeeRate": 0.0002,
        "takerFeeRate": 0.0006,
        "isQuanto": False,
        "isInverse": False,
        "markMethod": "FairPrice",
        "fairMethod": "FundingRate",
        "status": "Open",
        "nextFundingRateTime": 18_000_000,
        "maxLeverage": 125,
    }


@cache
def _format(scales: Scales) -> str:
    price = f'"{printed(scales.price)}"'
    return f'["%d",{price},{price},{price},{price},"{printed(scales.volume)}","%.8f"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - one shape for all
    """A pair's candle; the turnover, which no tape holds, is estimated from the bar's mean price."""
    values = (bar.open, bar.close, bar.high, bar.low, bar.volume, bar.volume * bar.mean)
    return (_format(listing.scales) % (bar.open_ts_ms // 1_000, *values)).encode()


def _entry(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - one shape for all
    """A swap's candle, in numbers."""
    price, volume = printed(listing.scales.price), printed(listing.scales.volume)
    values = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.volume * bar.mean)
    return (f"[%d,{price},{price},{price},{price},{volume},%.4f]" % values).encode()


def _rows(rows: Sequence[bytes]) -> Reply:
    return Reply(200, b'{"code":"200000","data":[' + b",".join(rows) + b"]}")


def _json(data: Any) -> Reply:
    return Reply(200, orjson.dumps({"code": "200000", "data": data}))


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"code": code, "msg": message}), headers or {})
