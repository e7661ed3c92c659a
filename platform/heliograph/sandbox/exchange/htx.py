"""HTX spot and linear perpetuals on the wire: https://www.htx.com/en-us/opend/newApiPages/."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.calendars import grid
from heliograph.core.ports import Clock
from heliograph.core.timeframe import MINUTE_MS, Timeframe
from heliograph.sandbox.book import Book, Listing, Window
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT")
_LISTED = 6
_SETTLES_MS = 10 * MINUTE_MS
_FROM_S, _TO_S = 1_501_174_800, 2_556_115_200
_SPOT_PAGE, _SWAP_PAGE = 1_000, 2_000
_DEFAULT_PAGE = 150
_PERIODS = {
    "1min": "1m",
    "5min": "5m",
    "15min": "15m",
    "30min": "30m",
    "60min": "1h",
    "4hour": "4h",
    "1day": "1d",
    "1week": "1w",
    "1mon": "1M",
}
INTERVALS = {period: grid("htx", name) for period, name in _PERIODS.items()}


class Htx:
    """Candles between two whole seconds, both inclusive; revised for minutes after their close; days of UTC+8."""

    name: ClassVar[str] = "htx"
    domains: ClassVar[tuple[str, ...]] = ("huobi.pro", "hbdm.vn", "hbdm.com", "htx.com")

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_id(listing): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists, a halted one among them where the tape has one."""
        spot = sorted(tape.symbols, key=lambda s: (s not in _FIRST, tape.halt_ms(s) == tape.end_ms))[:_LISTED]
        symbols = [*spot, *(f"{s}:USDT" for s in spot)]
        return cls(Book(tape, clock, symbols, is_filled=True, settles_ms=_SETTLES_MS))

    def charge(self, request: Request) -> Charge:
        """Ten calls a second of each of the two hosts."""
        return Charge("spot" if request.host.endswith("huobi.pro") else "swap", 1.0, limit=20.0, window_s=2.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need."""
        match request.path:
            case "/market/history/candles":
                return self._spot_candles(request)
            case "/linear-swap-ex/market/history/kline":
                return self._swap_candles(request)
            case "/v1/common/timestamp":
                return self._json({"data": self.book.clock.now_ms()})
            case "/api/v1/timestamp":
                return self._json({"ts": self.book.clock.now_ms()})
            case "/v1/common/symbols" | "/v2/reference/currencies" | "/linear-swap-api/v1/swap_contract_info" as path:
                return self._listing(path)
        return Reply(404, b'{"status":"error","err-code":"invalid-path","err-msg":"not found"}')

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """Errors stand in the body of a 200; that a ban looks like a 429 is not verified."""
        now_ms = self.book.clock.now_ms()
        match kind:
            case "rate_limit":
                limit = {"err_code": 1032, "err_msg": "The number of access exceeded the limit.", "ts": now_ms}
                return Reply(200, orjson.dumps({"status": "error"} | limit))
            case "ban":
                return self._error("api-limit", "too many requests", status=429)
            case "maintenance":
                return self._error("system-maintenance", "System is in maintenance!")
        return self._error("gateway-internal-error", "Failed to load data. Try again later.")

    def greet(self) -> tuple[bytes, ...]:
        """A ping; the venue hangs up on those who never answer one."""
        return (_packed({"ping": self.book.clock.now_ms()}),)

    def hear(self, text: str) -> Talk:
        """Pong, sub and unsub; a new subscription starts with the open bar."""
        frame: dict[str, Any] = orjson.loads(text)
        now_ms, request_id = self.book.clock.now_ms(), {"id": frame.get("id")}
        if "ping" in frame:
            return Talk((_packed({"pong": frame["ping"]}),))
        name = frame.get("sub", frame.get("unsub"))
        if name is None:
            return Talk()
        topic = self._topic(name)
        if topic is None:
            wrong = {"status": "error", "ts": now_ms, "err-code": "bad-request", "err-msg": f"invalid topic {name}"}
            return Talk((_packed(wrong | request_id),))
        if "unsub" in frame:
            done = _packed(request_id | {"status": "ok", "unsubbed": name, "ts": now_ms})
            return Talk((done,), ended=(topic,))
        done = _packed(request_id | {"status": "ok", "subbed": name, "ts": now_ms})
        bar = self.book.forming(topic.symbol, topic.timeframe)
        return Talk((done, self.tell(topic, bar, False)) if bar else (done,), begun=(topic,))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> bytes:
        """A tick of a kline channel, packed by gzip."""
        row = _row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed)
        now_ms = self.book.clock.now_ms()
        return gzip.compress(b'{"ch":"%s","ts":%d,"tick":%s}' % (topic.name.encode(), now_ms, row), mtime=0)

    def _topic(self, name: str) -> Topic | None:
        match name.split("."):
            case ["market", market, "kline", period]:
                symbol, timeframe = self._symbols.get(market), INTERVALS.get(period)
                return Topic(name, symbol, timeframe) if symbol and timeframe else None
        return None

    def _spot_candles(self, request: Request) -> Reply:
        """Descending; the newest where there are more than ``size``. A size over 1000 brings nothing (not verified)."""
        asked = self._asked(request, "symbol")
        if isinstance(asked, Reply):
            return asked
        symbol, timeframe = asked
        size = integer(request.query, "size") or _DEFAULT_PAGE
        window = self._window(request, symbol, timeframe).newest(size if size <= _SPOT_PAGE else 0)
        return self._page(request, symbol, window, is_descending=True)

    def _swap_candles(self, request: Request) -> Reply:
        """Ascending; a size makes both ends ignored."""
        asked = self._asked(request, "contract_code")
        if isinstance(asked, Reply):
            return asked
        symbol, timeframe = asked
        size = integer(request.query, "size")
        if size is not None:
            window = self.book.window(symbol, timeframe, 0, _TO_S * 1_000).newest(min(size, _SWAP_PAGE))
        elif "from" in request.query and "to" in request.query:
            window = self._window(request, symbol, timeframe).newest(_SWAP_PAGE)
        else:
            return self._error("bad-request", "size or from and to are required")
        return self._page(request, symbol, window, is_descending=False)

    def _asked(self, request: Request, name: str) -> tuple[str, Timeframe] | Reply:
        """Which market and timeframe; or the error, where one of them or a number is wrong."""
        symbol = self._symbols.get(request.query.get(name, ""))
        timeframe = INTERVALS.get(request.query.get("period", ""))
        try:
            start_s, _, _ = (integer(request.query, key) for key in ("from", "to", "size"))
        except ValueError:
            return self._error("bad-request", "invalid size, valid range: [1,2000]")
        if symbol is None or (name == "symbol") == (":" in symbol):
            return self._error("invalid-parameter", "invalid symbol")
        if timeframe is None:
            return self._error("invalid-parameter", "invalid period")
        if start_s is not None and start_s < _FROM_S:
            return self._error("base-date-limit-error", "date less than system limit")
        return symbol, timeframe

    def _window(self, request: Request, symbol: str, timeframe: Timeframe) -> Window:
        start_s, end_s = (integer(request.query, name) for name in ("from", "to"))
        start_ms, end_ms = (start_s or 0) * 1_000, (_TO_S if end_s is None else end_s) * 1_000
        return self.book.window(symbol, timeframe, start_ms, end_ms + 1)

    def _page(self, request: Request, symbol: str, window: Window, *, is_descending: bool) -> Reply:
        if request.is_cut:
            window = window.newest(len(window) // 2)
        listing = self.book.listing(symbol)
        rows = window.rows(listing, _row)
        channel = f"market.{_id(listing)}.kline.{request.query['period']}".encode()
        body = b",".join(reversed(rows) if is_descending else rows)
        now_ms = self.book.clock.now_ms()
        return Reply(200, b'{"ch":"%s","status":"ok","ts":%d,"data":[%s]}' % (channel, now_ms, body))

    def _listing(self, path: str) -> Reply:
        spot = self.book.listings("spot")
        match path:
            case "/v1/common/symbols":
                return self._json({"data": [_pair(listing) for listing in spot]})
            case "/v2/reference/currencies":
                codes = dict.fromkeys(code for x in spot for code in (x.base, x.quote))
                data = [{"currency": c.lower(), "assetType": 1, "chains": [], "instStatus": "normal"} for c in codes]
                return Reply(200, orjson.dumps({"code": 200, "data": data}))
        contracts = [_contract(listing) for listing in self.book.listings("swap")]
        return self._json({"data": contracts, "ts": self.book.clock.now_ms()})

    def _json(self, told: dict[str, Any]) -> Reply:
        return Reply(200, orjson.dumps({"status": "ok"} | told))

    def _error(self, code: str, message: str, *, status: int = 200) -> Reply:
        told = {"ts": self.book.clock.now_ms(), "status": "error", "err-code": code, "err-msg": message}
        return Reply(status, orjson.dumps(told))


def _packed(frame: dict[str, Any]) -> bytes:
    return gzip.compress(orjson.dumps(frame), mtime=0)


def _id(listing: Listing) -> str:
    is_spot = listing.kind == "spot"
    return (listing.base + listing.quote).lower() if is_spot else f"{listing.base}-{listing.quote}"


@cache
def _format(scales: Scales, kind: str) -> str:
    price, volume = printed(scales.price), printed(scales.volume)
    known = f'"id":%d,"open":{price},"close":{price},"low":{price},"high":{price},"amount":{volume}'
    return (
        "{" + known + (',"vol":%.6f,"count":%d}' if kind == "spot" else ',"vol":%d,"trade_turnover":%.4f,"count":%d}')
    )


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag here
    """A candle; ``vol`` is the turnover of spot and contracts of a swap, which no tape holds: estimated."""
    turnover = bar.volume * bar.mean
    known = (bar.open_ts_ms // 1_000, bar.open, bar.close, bar.low, bar.high, bar.volume)
    count = 1 + turnover // 500 if bar.volume else 0
    contracts = bar.volume / _contract_size(listing)
    guess = (turnover, count) if listing.kind == "spot" else (contracts, turnover, count)
    return (_format(listing.scales, listing.kind) % (*known, *guess)).encode()


def _contract_size(listing: Listing) -> float:
    size: float = 10.0**-listing.scales.volume
    return size


def _pair(listing: Listing) -> dict[str, Any]:
    step = _contract_size(listing)
    return {
        "base-currency": listing.base.lower(),
        "quote-currency": listing.quote.lower(),
        "price-precision": listing.scales.price,
        "amount-precision": listing.scales.volume,
        "symbol-partition": "main",
        "symbol": _id(listing),
        "state": "offline" if listing.is_halted else "online",
        "value-precision": 8,
        "min-order-amt": step,
        "max-order-amt": 1_000_000,
        "min-order-value": 5,
        "limit-order-min-order-amt": step,
        "limit-order-max-order-amt": 1_000_000,
        "sell-market-min-order-amt": step,
        "sell-market-max-order-amt": 100_000,
        "buy-market-max-order-value": 1_000_000,
        "api-trading": "enabled",
        "tags": "",
    }


def _contract(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.base,
        "contract_code": _id(listing),
        "contract_size": _contract_size(listing),
        "price_tick": float(printed(listing.scales.price) % 10.0**-listing.scales.price),
        "delivery_date": "",
        "delivery_time": "",
        "create_date": f"{datetime.fromtimestamp(listing.listed_ms / 1_000, tz=UTC):%Y%m%d}",
        "contract_status": 3 if listing.is_halted else 1,
        "settlement_date": "",
        "support_margin_mode": "all",
        "business_type": "swap",
        "pair": _id(listing),
        "contract_type": "swap",
        "trade_partition": listing.quote,
    }
