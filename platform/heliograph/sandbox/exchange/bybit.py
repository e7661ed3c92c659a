"""Bybit spot and linear swaps on the wire: https://bybit-exchange.github.io/docs/v5/market/kline."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import MINUTE_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FOREVER_MS = 2**53
_PAGE, _DEFAULT_PAGE = 1_000, 200
_SERIES_PAGE, _INTEREST_DEFAULT = 200, 50
_LISTED = 6
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
_SPOT_ARGS = 10  # of one subscribe frame; linear takes any number
_MINUTES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h")
_INTERVALS = {str(TIMEFRAMES[name].ms // MINUTE_MS): TIMEFRAMES[name] for name in _MINUTES}
_INTERVALS |= {"D": TIMEFRAMES["1d"], "W": TIMEFRAMES["1w"], "M": TIMEFRAMES["1M"]}
_NAMES = {timeframe: name for name, timeframe in _INTERVALS.items()}
_PERIODS = {"5min": "5m", "15min": "15m", "30min": "30m", "1h": "1h", "4h": "4h", "1d": "1d"}
_CATEGORIES = {"spot": "spot", "swap": "linear"}


class Bybit:
    """Candles descending, both bounds inclusive, the newest 1000 of the interval, the unfinished one included.

    The bar that holds the start counts as inside (ccxt issue 26736). Bars without a trade are filled in (not verified).
    """

    name: ClassVar[str] = "bybit"
    domains: ClassVar[tuple[str, ...]] = ("bybit.com",)

    def __init__(self, book: Book, category: str = "spot") -> None:
        self.book = book
        self._category = category
        self._symbols = {(_category(listing), _id(listing)): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists: one swap is settled in USDC."""
        spot = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        swaps = {f"{symbol}:{symbol.partition('/')[2]}": symbol for symbol in spot[: _LISTED - 1]}
        swaps[f"{spot[0].partition('/')[0]}/USDC:USDC"] = spot[0]
        return cls(Book(tape, clock, {s: s for s in spot} | swaps, is_filled=True))

    def charge(self, request: Request) -> Charge:  # noqa: ARG002 - every call costs the same
        """600 calls in five seconds and address, whatever they ask for."""
        return Charge("all", 1.0, limit=600.0, window_s=5.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles, funding rates and open interest need."""
        match request.path:
            case "/v5/market/kline":
                return self._klines(request)
            case "/v5/market/funding/history":
                return self._fundings(request)
            case "/v5/market/open-interest":
                return self._interest(request)
            case "/v5/market/instruments-info":
                return self._instruments(request)
            case "/v5/market/time":
                now_ms = self.book.clock.now_ms()
                return self._ok({"timeSecond": str(now_ms // 1_000), "timeNano": str(now_ms * 1_000_000)})
        return Reply(404, b"404 page not found", {"Content-Type": "text/plain"})

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """10006 in the body of a 200; 403 for the address; 10016 otherwise."""
        match kind:
            case "rate_limit":
                reset_ms = self.book.clock.now_ms() + int(retry_after_s * 1_000)
                headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(reset_ms)}
                return self._error(10006, "Too many visits. Exceeded the API Rate Limit.", headers=headers)
            case "ban":  # the documentation gives the words, not the shape
                return Reply(403, b"403, access too frequent", {"Content-Type": "text/plain"})
            case "maintenance":
                return self._error(10016, "System is under maintenance. Please try again later.")
        return self._error(10016, "System error. Please try again later.", status=500)

    def at(self, path: str) -> Self:
        """The venue as it speaks on a socket: topics are named alike everywhere, so only the path tells the category."""
        return type(self)(self.book, path.rpartition("/")[2])

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe, all topics of a frame or none."""
        frame: dict[str, Any] = orjson.loads(text)
        op, args = frame.get("op"), frame.get("args", [])
        if op == "ping":
            return Talk((_said(frame, True, "pong"),))
        if self._category == "spot" and len(args) > _SPOT_ARGS:
            return Talk((_said(frame, False, f"args size >{_SPOT_ARGS}"),))
        topics = {name: self._topic(name) for name in args}
        if unknown := [name for name, topic in topics.items() if topic is None]:
            return Talk((_said(frame, False, f"Invalid symbol :[{','.join(unknown)}]"),))
        known = tuple(topic for topic in topics.values() if topic)
        if op != "subscribe":
            return Talk((_said(frame, True, ""),), ended=known)
        bars = [(t, self.book.forming(t.symbol, t.timeframe)) for t in known]
        news = (self.tell(topic, bar, False) for topic, bar in bars if bar)
        return Talk((_said(frame, True, "subscribe" if self._category == "spot" else ""), *news), begun=known)

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A push of a kline topic; ``confirm`` says that the bar has closed."""
        row = orjson.loads(_row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed))
        now_ms = self.book.clock.now_ms()
        names = ("open", "high", "low", "close", "volume", "turnover")
        candle = {"start": bar.open_ts_ms, "end": topic.timeframe.close_ms(bar.open_ts_ms) - 1}
        candle |= {"interval": _NAMES[topic.timeframe]} | dict(zip(names, row[1:], strict=True))
        candle |= {"confirm": is_closed, "timestamp": now_ms}
        return orjson.dumps({"type": "snapshot", "topic": topic.name, "data": [candle], "ts": now_ms}).decode()

    def _topic(self, name: str) -> Topic | None:
        channel, interval, market = (*name.split("."), "", "")[:3]
        symbol, timeframe = self._symbols.get((self._category, market)), _INTERVALS.get(interval)
        return Topic(name, symbol, timeframe) if channel == "kline" and symbol and timeframe else None

    def _klines(self, request: Request) -> Reply:
        query = request.query
        category = query.get("category", "linear")
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("start", "end", "limit"))
        except ValueError:
            return self._error(10001, "Request parameter error.")
        symbol, timeframe = (
            self._symbols.get((category, query.get("symbol", ""))),
            _INTERVALS.get(query.get("interval", "")),
        )
        if not symbol:
            return self._error(10001, "Not supported symbols" if category == "spot" else "params error: Symbol Invalid")
        if not timeframe:
            return self._error(10001, "Invalid period!")
        end_ms = _FOREVER_MS if end_ms is None else end_ms + 1
        window = self.book.window(symbol, timeframe, timeframe.floor(start_ms or 0), end_ms)
        count = min(limit or _DEFAULT_PAGE, _PAGE)
        window = window.oldest(count) if start_ms and "end" not in query else window.newest(count)
        if request.is_cut:
            window = window.newest(len(window) // 2)
        rows = window.rows(self.book.listing(symbol), _row)
        head = b'{"retCode":0,"retMsg":"OK","result":{"category":"%s","symbol":"%s","list":['
        tail = b']},"retExtInfo":{},"time":%d}' % self.book.clock.now_ms()
        head %= (category.encode(), query["symbol"].encode())
        return Reply(200, head + b",".join(reversed(rows)) + tail)

    def _fundings(self, request: Request) -> Reply:
        """The newest 200 rates up to an inclusive end, descending; a start alone is refused."""
        query = request.query
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("startTime", "endTime", "limit"))
        except ValueError:
            return self._error(10001, "Request parameter error.")
        symbol = self._symbols.get(("linear", query.get("symbol", "")))
        if not symbol or query.get("category") != "linear":
            return self._error(10001, "params error: Symbol Invalid")
        if start_ms is not None and end_ms is None:
            return self._error(10001, "Request parameter error.")  # the documentation gives no words
        found = self.book.funding(symbol, start_ms or 0, _FOREVER_MS if end_ms is None else end_ms + 1)
        rates = _newest(found, min(limit or _SERIES_PAGE, _SERIES_PAGE), is_cut=request.is_cut)
        name = query["symbol"]
        rows = [{"symbol": name, "fundingRate": f"{r:.8f}", "fundingRateTimestamp": str(t)} for t, r in rates]
        return self._ok({"category": "linear", "list": rows})

    def _interest(self, request: Request) -> Reply:
        """The newest 200 points up to an inclusive end, descending; a start alone means nothing (ccxt PR 30016)."""
        query = request.query
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("startTime", "endTime", "limit"))
        except ValueError:
            return self._error(10001, "Request parameter error.")
        symbol = self._symbols.get(("linear", query.get("symbol", "")))
        period = _PERIODS.get(query.get("intervalTime", ""))
        if not symbol or query.get("category") != "linear":
            return self._error(10001, "params error: Symbol Invalid")
        if not period:
            return self._error(10001, "Invalid period!")
        start_ms = 0 if end_ms is None else start_ms or 0
        end_ms = _FOREVER_MS if end_ms is None else end_ms + 1
        found = self.book.open_interest(symbol, TIMEFRAMES[period], start_ms, end_ms)
        points = _newest(found, min(limit or _INTEREST_DEFAULT, _SERIES_PAGE), is_cut=request.is_cut)
        rows = [_interest_row(self.book.listing(symbol), ts_ms, amount) for ts_ms, amount in points]
        return self._ok({"symbol": query["symbol"], "category": "linear", "list": rows, "nextPageCursor": ""})

    def _instruments(self, request: Request) -> Reply:
        """Markets that trade, or those that have closed; there are none before their launch."""
        category, status = request.query.get("category", ""), request.query.get("status", "Trading")
        shape = {"spot": _pair, "linear": _contract}.get(category)
        listings = [x for x in self.book.listings() if _category(x) == category and _status(x) == status]
        found = [shape(listing) for listing in listings] if shape else []
        return self._ok({"category": category, "list": found, "nextPageCursor": ""})

    def _ok(self, result: dict[str, Any]) -> Reply:
        return self._said(0, "OK", result)

    def _error(self, code: int, message: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
        return self._said(code, message, {}, status=status, headers=headers)

    def _said(
        self,
        code: int,
        message: str,
        result: dict[str, Any],
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        body = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}}
        return Reply(status, orjson.dumps(body | {"time": self.book.clock.now_ms()}), headers or {})


def _newest(rows: list[tuple[int, float]], count: int, *, is_cut: bool) -> list[tuple[int, float]]:
    """The last ``count`` rows, the newest first."""
    return rows[: -1 - (count // 2 if is_cut else count) : -1]


def _interest_row(listing: Listing, ts_ms: int, amount: float) -> dict[str, str]:
    """A point: coins of both sides, and of one."""
    coins = printed(listing.scales.volume + 1)
    return {"openInterest": coins % amount, "singleOpenInterest": coins % (amount / 2), "timestamp": str(ts_ms)}


def _category(listing: Listing) -> str:
    return _CATEGORIES[listing.kind]


def _id(listing: Listing) -> str:
    """``BTCUSDT`` for pairs and for swaps settled in USDT, ``BTCPERP`` for those settled in USDC."""
    is_usdc = listing.kind == "swap" and listing.quote == "USDC"
    return listing.base + ("PERP" if is_usdc else listing.quote)


def _status(listing: Listing) -> str:
    return "Closed" if listing.is_halted else "Trading"


def _steps(listing: Listing) -> tuple[str, str]:
    price, volume = (f"{10.0**-scale:.{scale}f}" for scale in (listing.scales.price, listing.scales.volume))
    return price, volume


def _pair(listing: Listing) -> dict[str, Any]:
    tick, step = _steps(listing)
    return {
        "symbol": _id(listing),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": _status(listing),
        "marginTrading": "utaOnly",
        "lotSizeFilter": {
            "basePrecision": step,
            "quotePrecision": "0.0000001",
            "minOrderQty": step,
            "maxOrderQty": "71.73956243",
            "minOrderAmt": "5",
            "maxOrderAmt": "4000000",
        },
        "priceFilter": {"tickSize": tick},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _contract(listing: Listing) -> dict[str, Any]:
    tick, step = _steps(listing)
    return {
        "symbol": _id(listing),
        "contractType": "LinearPerpetual",
        "status": _status(listing),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "launchTime": str(listing.listed_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(listing.scales.price),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "119.000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": listing.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
    }


@cache
def _format(scales: Scales) -> str:
    price = f'"{printed(scales.price)}"'
    return f'["%d",{price},{price},{price},{price},"{printed(scales.volume)}","%.8f"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag in REST
    """A candle; the turnover, which no tape holds, is estimated from the bar's mean price."""
    known = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)
    return (_format(listing.scales) % (*known, bar.volume * bar.mean)).encode()


def _said(frame: dict[str, Any], is_good: bool, message: str) -> str:
    said = {"success": is_good, "ret_msg": message, "conn_id": "2324d924-aa4d-45b0-a858-7b8be29ab52b"}
    return orjson.dumps(said | {"req_id": frame.get("req_id", ""), "op": frame.get("op")}).decode()
