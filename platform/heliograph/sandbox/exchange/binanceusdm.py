"""Binance USDⓈ-M perpetuals on the wire: https://developers.binance.com/docs/derivatives/usds-margined-futures."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import DAY_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FOREVER_MS = 2**53
_PERPETUAL_MS = 4_133_404_800_000  # when a perpetual is said to be delivered: in the year 2100
_PAGE, _DEFAULT_PAGE = 1_500, 500
_LIMIT = 2_400
_KLINES = "/fapi/v1/klines"
_FUNDING, _FUNDING_PAGE, _FUNDING_DEFAULT = "/fapi/v1/fundingRate", 1_000, 100
_INTEREST, _INTEREST_PAGE, _INTEREST_DEFAULT = "/futures/data/openInterestHist", 500, 30
_INTEREST_MS = 30 * DAY_MS
_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
_OWN_LIMITS = {_FUNDING: 500.0, _INTEREST: 1_000.0}


class BinanceUsdm:
    """Klines ascending, both bounds inclusive, at most 1500, weighed by the limit that is asked for."""

    name: ClassVar[str] = "binanceusdm"
    domains: ClassVar[tuple[str, ...]] = ("fapi.binance.com", "fstream.binance.com")

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_id(listing): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists: all are perpetuals."""
        return cls(Book(tape, clock, [f"{symbol}:{symbol.partition('/')[2]}" for symbol in tape.symbols]))

    def charge(self, request: Request) -> Charge:
        """2400 a minute and address, over all endpoints but two, which count calls in five minutes."""
        if request.path in _OWN_LIMITS:
            return Charge(request.path, 1.0, limit=_OWN_LIMITS[request.path], window_s=300.0)
        text = request.query.get("limit", "")
        size = int(text) if text.isdigit() else _DEFAULT_PAGE
        klines = next(w for most, w in ((99, 1.0), (499, 2.0), (1_000, 5.0), (_FOREVER_MS, 10.0)) if size <= most)
        return Charge("all", klines if request.path == _KLINES else 1.0, limit=_LIMIT, window_s=60.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles, funding rates and open interest need."""
        match request.path:
            case "/fapi/v1/klines":
                return self._klines(request)
            case "/fapi/v1/fundingRate":
                return self._fundings(request)
            case "/futures/data/openInterestHist":
                return self._interest(request)
            case "/fapi/v1/exchangeInfo":
                return _json(self._exchange_info())
            case "/fapi/v1/time":
                return _json({"serverTime": self.book.clock.now_ms()})
        return Reply(404, b"<html><body><h2>404 Not found</h2></body></html>", {"Content-Type": "text/html"})

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """429, then 418 for callers that go on; 503 with a code otherwise."""
        headers = {"Retry-After": str(max(int(retry_after_s), 1))}
        match kind:
            case "rate_limit":
                message = f"Too many requests; current limit of IP is {_LIMIT} requests per minute. Please use the websocket for live updates to avoid polling the API."
                return _error(429, -1003, message, headers)
            case "ban":
                until_ms = int((datetime.now(UTC).timestamp() + retry_after_s) * 1000)
                return _error(418, -1003, f"Way too many requests; IP banned until {until_ms}.", headers)
            case "maintenance":
                return _error(503, -1000, "System is under maintenance.")
        return _error(
            503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes."
        )

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """SUBSCRIBE and UNSUBSCRIBE; an unknown stream is accepted and stays silent."""
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
        kline = dict(zip(names, row, strict=True)) | {"s": _id(listing), "i": topic.timeframe.name, "x": is_closed}
        event = {"e": "kline", "E": self.book.clock.now_ms(), "s": _id(listing), "k": kline | {"f": 1, "L": row[8]}}
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
            return _error(400, -1102, "Mandatory parameter was not sent, was empty/null, or malformed.")
        symbol, timeframe = self._symbols.get(query.get("symbol", "")), TIMEFRAMES.get(query.get("interval", ""))
        if not symbol:
            return _error(400, -1121, "Invalid symbol.")
        if not timeframe:
            return _error(400, -1120, "Invalid interval.")
        count = min(_DEFAULT_PAGE if limit is None else limit, _PAGE)
        end_ms = _FOREVER_MS if end_ms is None else end_ms + 1
        window = self.book.window(symbol, timeframe, start_ms or 0, end_ms)
        window = window.newest(count) if start_ms is None else window.oldest(count)
        if request.is_cut:
            window = window.oldest(len(window) // 2)
        return Reply(200, b"[" + b",".join(window.rows(self.book.listing(symbol), _row)) + b"]")

    def _fundings(self, request: Request) -> Reply:
        """The first rates of an inclusive interval, ascending; without a start, the newest."""
        query = request.query
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("startTime", "endTime", "limit"))
        except ValueError:
            return _error(400, -1102, "Mandatory parameter was not sent, was empty/null, or malformed.")
        symbol = self._symbols.get(query.get("symbol", ""))
        if not symbol:
            return _error(400, -1121, "Invalid symbol.")
        count = min(limit or _FUNDING_DEFAULT, _FUNDING_PAGE)
        found = self.book.funding(symbol, start_ms or 0, _FOREVER_MS if end_ms is None else end_ms + 1)
        rates = _part(found[-count:] if start_ms is None else found[:count], is_cut=request.is_cut)
        # the mark price, which no tape holds, is left out, as it is for the oldest rates
        rows = [
            {"symbol": query["symbol"], "fundingTime": t, "fundingRate": f"{r:.8f}", "markPrice": ""} for t, r in rates
        ]
        return _json(rows)

    def _interest(self, request: Request) -> Reply:
        """The last points of an inclusive interval, ascending (which ones of more, not verified); of thirty days."""
        query = request.query
        try:
            start_ms, end_ms, limit = (integer(query, name) for name in ("startTime", "endTime", "limit"))
        except ValueError:
            return _error(400, -1102, "Mandatory parameter was not sent, was empty/null, or malformed.")
        symbol, oldest_ms = self._symbols.get(query.get("symbol", "")), self.book.clock.now_ms() - _INTEREST_MS
        if not symbol:
            return _error(400, -1121, "Invalid symbol.")
        if query.get("period") not in _PERIODS:
            return _error(400, -1130, "parameter 'period' is invalid.")
        if start_ms is not None and start_ms < oldest_ms:
            return _error(400, -1130, "parameter 'startTime' is invalid.")
        end_ms = _FOREVER_MS if end_ms is None else end_ms + 1
        timeframe = TIMEFRAMES[query["period"]]
        found = self.book.open_interest(symbol, timeframe, oldest_ms if start_ms is None else start_ms, end_ms)
        points = _part(found[-min(limit or _INTEREST_DEFAULT, _INTEREST_PAGE) :], is_cut=request.is_cut)
        listing = self.book.listing(symbol)
        today = self.book.window(symbol, TIMEFRAMES["1d"], 0, _FOREVER_MS).newest(1).bars(listing)
        return _json([_interest_row(listing, ts_ms, v, v * today[-1].close) for ts_ms, v in points])

    def _exchange_info(self) -> dict[str, Any]:
        return {
            "timezone": "UTC",
            "serverTime": self.book.clock.now_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": _LIMIT}
            ],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [_market(listing) for listing in self.book.listings()],
        }


def _part(rows: list[tuple[int, float]], *, is_cut: bool) -> list[tuple[int, float]]:
    return rows[: len(rows) // 2] if is_cut else rows


def _interest_row(listing: Listing, ts_ms: int, amount: float, value: float) -> dict[str, Any]:
    """A point; its value in quote units, which no tape holds, is estimated at today's price."""
    return {
        "symbol": _id(listing),
        "sumOpenInterest": printed(listing.scales.volume, max(listing.scales.volume, 8)) % amount,
        "sumOpenInterestValue": f"{value:.8f}",
        "CMCCirculatingSupply": "0.00000000",
        "timestamp": ts_ms,
    }


def _id(listing: Listing) -> str:
    return listing.base + listing.quote


def _market(listing: Listing) -> dict[str, Any]:
    tick, step = (printed(scale) % 10.0**-scale for scale in (listing.scales.price, listing.scales.volume))
    return {
        "symbol": _id(listing),
        "pair": _id(listing),
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_MS,
        "onboardDate": listing.listed_ms,
        "status": "SETTLING" if listing.is_halted else "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": listing.scales.price,
        "quantityPrecision": listing.scales.volume,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012000",
        "marketTakeBound": "0.30",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000", "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": "9000000", "stepSize": step},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


@cache
def _format(scales: Scales) -> str:
    price, volume = f'"{printed(scales.price)}"', f'"{printed(scales.volume)}"'
    return f'[%d,{price},{price},{price},{price},{volume},%d,"%.5f",%d,{volume},"%.5f","0"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - REST has no flag
    """A kline; turnover and trade counts, which no tape holds, are estimated from the bar's mean price."""
    turnover = bar.volume * bar.mean
    known = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)
    guess = (turnover, 1 + turnover // 500, bar.volume / 2, turnover / 2)
    return (_format(listing.scales) % (*known, timeframe.close_ms(bar.open_ts_ms) - 1, *guess)).encode()


def _json(body: Any) -> Reply:
    return Reply(200, orjson.dumps(body))


def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"code": code, "msg": message}), headers or {})
