"""OKX on the wire: https://www.okx.com/docs-v5/en/."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.market import Kind, kind_of
from heliograph.core.ports import Clock
from heliograph.core.timeframe import DAY_MS, HOUR_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FOREVER_MS = 2**53
_PAGE = 300
_LISTED = 6
_FIRST = ("BTC/USDT", "ETH/USDT")
_CONTRACTS = 10  # of a swap, in one coin
_RECENT = 1_440
_SERIES_PAGE = 100
_FUNDING_MS, _INTERESTS = 90 * DAY_MS, 1_440
_FUNDING, _INTEREST = "/api/v5/public/funding-rate-history", "/api/v5/rubik/stat/contracts/open-interest-history"
_PERIODS = {"5m": TIMEFRAMES["5m"], "1H": TIMEFRAMES["1h"], "1D": TIMEFRAMES["1d"]}
_CANDLES, _HISTORY = "/api/v5/market/candles", "/api/v5/market/history-candles"
_LIMITS = {_CANDLES: 40.0, _HISTORY: 20.0, "/api/v5/public/instruments": 20.0, "/api/v5/public/time": 10.0}

_LIMITS |= {_FUNDING: 10.0, _INTEREST: 10.0}


def _bars() -> dict[str, Timeframe]:
    """Bar names: from six hours on, a plain name means days of Hong Kong (UTC+8), and one with ``utc`` those of UTC."""
    bars = {name: TIMEFRAMES[name] for name in ("1m", "3m", "5m", "15m", "30m")}
    bars |= {f"{n}H": TIMEFRAMES[f"{n}h"] for n in (1, 2, 4)}
    for name in ("6h", "12h", "1d", "1w"):
        utc = TIMEFRAMES[name]
        bars[f"{name.upper()}utc"] = utc
        bars[name.upper()] = Timeframe(utc.name, utc.ms, (utc.offset_ms - 8 * HOUR_MS) % utc.ms)
    bars["1Mutc"] = TIMEFRAMES["1M"]
    return bars


BARS = _bars()


class Okx:
    """Candles descending, both bounds exclusive, the newest 300 of the interval; the ninth field says if closed.

    The sixth field of a swap's candle counts contracts, the seventh coins.
    """

    name: ClassVar[str] = "okx"
    domains: ClassVar[tuple[str, ...]] = ("okx.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_id(listing): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""
        spot = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        swaps = [f"{symbol}:{symbol.partition('/')[2]}" for symbol in spot]
        return cls(Book(tape, clock, [*spot, *swaps]))

    def charge(self, request: Request) -> Charge:
        """Calls in two seconds, for each endpoint and, for instruments, each type; for rates and interest, each swap."""
        pool = request.path + request.query.get("instType", "") + request.query.get("uly", "")
        if request.path in (_FUNDING, _INTEREST):
            pool += request.query.get("instId", "")
        return Charge(pool, 1.0, limit=_LIMITS.get(request.path, 20.0), window_s=2.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles, funding rates and open interest need."""
        match request.path:
            case "/api/v5/market/candles" | "/api/v5/market/history-candles":
                return self._candles(request)
            case "/api/v5/public/funding-rate-history":
                return self._fundings(request)
            case "/api/v5/rubik/stat/contracts/open-interest-history":
                return self._interest(request)
            case "/api/v5/public/instruments":
                wanted = request.query.get("instType", "").lower()
                return _json([_instrument(listing) for listing in self.book.listings() if listing.kind == wanted])
            case "/api/v5/public/time":
                return _json([{"ts": str(self.book.clock.now_ms())}])
        return _error(404, "404", "Not Found")

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """50011 with 429; 50001 with 503 in maintenance; 50026 with 500 otherwise."""
        match kind:
            case "rate_limit" | "ban":
                return _error(429, "50011", "Too Many Requests")
            case "maintenance":
                return _error(503, "50001", "Service temporarily unavailable. Please try again later.")
        return _error(500, "50026", "System error. Try again later")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe; a new subscription starts with the open bar."""
        if text == "ping":
            return Talk(("pong",))
        frame: dict[str, Any] = orjson.loads(text)
        replies: list[str] = []
        topics: list[Topic] = []
        for arg in frame.get("args", []):
            topic = self._topic(arg)
            if topic is None:
                message = f"Wrong URL or channel:{arg.get('channel')},instId:{arg.get('instId')} doesn't exist."
                wrong = {"event": "error", "code": "60018", "msg": message, "connId": "a4d3ae55"}
                replies.append(orjson.dumps(wrong).decode())
                continue
            topics.append(topic)
            replies.append(orjson.dumps({"event": frame.get("op"), "arg": arg, "connId": "a4d3ae55"}).decode())
        if frame.get("op") != "subscribe":
            return Talk(tuple(replies), ended=tuple(topics))
        bars = [(t, self.book.forming(t.symbol, t.timeframe)) for t in topics]
        return Talk((*replies, *(self.tell(topic, bar, False) for topic, bar in bars if bar)), begun=tuple(topics))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A push of a candle channel."""
        listing = self.book.listing(topic.symbol)
        arg = {"channel": topic.name, "instId": _id(listing)}
        row = orjson.loads(_row(listing, topic.timeframe, bar, is_closed))
        return orjson.dumps({"arg": arg, "data": [row]}).decode()

    def _topic(self, arg: dict[str, str]) -> Topic | None:
        channel = arg.get("channel", "")
        symbol, timeframe = self._symbols.get(arg.get("instId", "")), BARS.get(channel.removeprefix("candle"))
        return Topic(channel, symbol, timeframe) if symbol and timeframe and channel.startswith("candle") else None

    def _candles(self, request: Request) -> Reply:
        query = request.query
        try:
            before_ms, after_ms, limit = (integer(query, name) for name in ("before", "after", "limit"))
        except ValueError:
            return _error(200, "51000", "Parameter before, after or limit error")
        symbol, timeframe = self._symbols.get(query.get("instId", "")), BARS.get(query.get("bar", "1m"))
        if not symbol:
            return _error(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        if not timeframe:
            return _error(200, "51000", "Parameter bar error")
        end_ms = _FOREVER_MS if after_ms is None else after_ms
        start_ms = 0 if before_ms is None else before_ms + 1
        if request.path == _CANDLES:
            start_ms = max(start_ms, self.book.clock.now_ms() - _RECENT * timeframe.ms)
        window = self.book.window(symbol, timeframe, start_ms, end_ms).newest(min(limit or 100, _PAGE))
        if request.is_cut:
            window = window.newest(len(window) // 2)
        rows = window.rows(self.book.listing(symbol), _row)
        return Reply(200, b'{"code":"0","msg":"","data":[' + b",".join(reversed(rows)) + b"]}")

    def _fundings(self, request: Request) -> Reply:
        """The newest 100 rates of three months between exclusive bounds, descending."""
        try:
            before_ms, after_ms, limit = (integer(request.query, name) for name in ("before", "after", "limit"))
        except ValueError:
            return _error(200, "51000", "Parameter before, after or limit error")
        name = request.query.get("instId", "")
        symbol = self._symbols.get(name)
        if not symbol or kind_of(symbol) != "swap":
            return _error(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        oldest_ms = self.book.clock.now_ms() - _FUNDING_MS
        start_ms = max(oldest_ms, 0 if before_ms is None else before_ms + 1)
        found = self.book.funding(symbol, start_ms, _FOREVER_MS if after_ms is None else after_ms)
        rates = _newest(found, min(limit or _SERIES_PAGE, _SERIES_PAGE), is_cut=request.is_cut)
        both = {"instType": "SWAP", "instId": name, "formulaType": "withRate", "method": "current_period"}
        rows = [{"fundingTime": str(t), "fundingRate": f"{r:.8f}", "realizedRate": f"{r:.8f}"} for t, r in rates]
        return _json([both | row for row in rows])

    def _interest(self, request: Request) -> Reply:
        """The newest 100 of 1440 points between exclusive bounds, descending: contracts, coins, dollars."""
        query = request.query
        try:
            begin_ms, end_ms, limit = (integer(query, name) for name in ("begin", "end", "limit"))
        except ValueError:
            return _error(200, "51000", "Parameter begin, end or limit error")
        symbol, period = self._symbols.get(query.get("instId", "")), _PERIODS.get(query.get("period", "5m"))
        if not symbol or kind_of(symbol) != "swap":
            return _error(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        if not period:
            return _error(200, "51000", "Parameter period error")
        oldest_ms = self.book.clock.now_ms() - _INTERESTS * period.ms
        start_ms = max(oldest_ms, 0 if begin_ms is None else begin_ms + 1)
        found = self.book.open_interest(symbol, period, start_ms, _FOREVER_MS if end_ms is None else end_ms)
        points = _newest(found, min(limit or _SERIES_PAGE, _SERIES_PAGE), is_cut=request.is_cut)
        listing = self.book.listing(symbol)
        today = self.book.window(symbol, TIMEFRAMES["1d"], 0, _FOREVER_MS).newest(1).bars(listing)
        amount = printed(listing.scales.volume)
        # the dollars, which no tape holds, are estimated at today's price
        return _json([[str(t), amount % (v * _CONTRACTS), amount % v, f"{v * today[-1].close:.4f}"] for t, v in points])


def _newest(rows: list[tuple[int, float]], count: int, *, is_cut: bool) -> list[tuple[int, float]]:
    """The last ``count`` rows, the newest first."""
    return rows[: -1 - (count // 2 if is_cut else count) : -1]


def _id(listing: Listing) -> str:
    return f"{listing.base}-{listing.quote}" + ("-SWAP" if listing.kind == "swap" else "")


@cache
def _format(scales: Scales, kind: Kind) -> str:
    price, volume = f'"{printed(scales.price)}"', f'"{printed(scales.volume)}"'
    turnover = '"%.6f"'
    second = volume if kind == "swap" else turnover
    return f'["%d",{price},{price},{price},{price},{volume},{second},{turnover},"%d"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - same at all lengths
    """A candle; the turnover, which no tape holds, is estimated from the bar's mean price."""
    turnover = bar.volume * bar.mean
    amounts = (bar.volume * _CONTRACTS, bar.volume) if listing.kind == "swap" else (bar.volume, turnover)
    known = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close)
    return (_format(listing.scales, listing.kind) % (*known, *amounts, turnover, is_closed)).encode()


def _instrument(listing: Listing) -> dict[str, str]:
    tick, step = (f"{10.0**-scale:.{scale}f}" for scale in (listing.scales.price, listing.scales.volume))
    empty = ("alias", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime", "optType", "settleCcy", "stk", "uly")
    both = dict.fromkeys(empty, "") | {
        "instType": listing.kind.upper(),
        "instId": _id(listing),
        "baseCcy": listing.base,
        "quoteCcy": listing.quote,
        "lever": "1",
        "listTime": str(listing.listed_ms),
        "lotSz": step,
        "minSz": step,
        "tickSz": tick,
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
        "state": "suspend" if listing.is_halted else "live",
    }
    if listing.kind == "spot":
        return both
    contract = {"ctMult": "1", "ctType": "linear", "ctVal": str(1 / _CONTRACTS), "ctValCcy": listing.base}
    names = {"baseCcy": "", "quoteCcy": "", "settleCcy": listing.quote, "uly": f"{listing.base}-{listing.quote}"}
    return both | contract | names | {"lotSz": "0.1", "minSz": "0.1", "lever": "100"}


def _json(data: list[Any]) -> Reply:
    return Reply(200, orjson.dumps({"code": "0", "msg": "", "data": data}))


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, orjson.dumps({"code": code, "msg": message, "data": []}))
