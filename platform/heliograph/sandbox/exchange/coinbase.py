"""Coinbase Advanced Trade on the wire: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import HOUR_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing, Window
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, TradeTopic, integer
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Tape, Trade

LATE_MS = 300_000
"""So long after its close a candle, and every newer one, is missing in the history: ccxt issue 8400 tells of 1 to 5 minutes."""

_SPAN = 350  # candles that a request may ask for, exclusive
_SNAPSHOT, _SNAPSHOT_MS = 50, 6 * HOUR_MS
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT")
_LISTED = 4
_ALIASES = {"BTC/USDC": "BTC/USD"}  # one book under two names; trades are told under the second
_PRODUCTS, _TIME = "/api/v3/brokerage/market/products", "/api/v3/brokerage/time"
_FIVE_MINUTES = TIMEFRAMES["5m"]
_GRANULARITIES = {
    "ONE_MINUTE": "1m",
    "FIVE_MINUTE": "5m",
    "FIFTEEN_MINUTE": "15m",
    "THIRTY_MINUTE": "30m",
    "ONE_HOUR": "1h",
    "TWO_HOUR": "2h",
    "FOUR_HOUR": "4h",
    "SIX_HOUR": "6h",
    "ONE_DAY": "1d",
}


class Coinbase:
    """Candles descending, both bounds inclusive; fewer than 350 may be asked for, and the newest come minutes late.

    Its candle stream has five-minute bars only; the others have to be made of its trades.
    """

    name: ClassVar[str] = "coinbase"
    domains: ClassVar[tuple[str, ...]] = ("coinbase.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_id(symbol): symbol for symbol in book.symbols}
        self._sequence = itertools.count()

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists; one of them has two names."""
        chosen = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        names = {symbol: symbol for symbol in chosen}
        if "BTC/USDT" in names:
            names |= {symbol: "BTC/USDT" for pair in _ALIASES.items() for symbol in reversed(pair)}
        return cls(Book(tape, clock, names, late_ms=LATE_MS))

    def charge(self, request: Request) -> Charge:
        """Ten a second and address; the older endpoints 10,000 an hour, here by the minute."""
        if request.path.startswith("/v2/"):
            return Charge("v2", 1.0, limit=166.0, window_s=60.0)
        return Charge("v3", 1.0, limit=10.0, window_s=1.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need; there are no futures."""
        if request.path.startswith(f"{_PRODUCTS}/") and request.path.endswith("/candles"):
            return self._candles(request, request.path.removeprefix(f"{_PRODUCTS}/").removesuffix("/candles"))
        is_spot = request.query.get("product_type", "SPOT") == "SPOT"
        now_ms = self.book.clock.now_ms()
        iso = f"{datetime.fromtimestamp(now_ms // 1000, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"
        codes = list(dict.fromkeys(code for symbol in self.book.symbols for code in symbol.split("/")))
        known: dict[str, Callable[[], dict[str, Any]]] = {
            _PRODUCTS: lambda: _products(self.book.listings("spot" if is_spot else "swap")),
            _TIME: lambda: {"iso": iso, "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)},
            "/v2/time": lambda: {"data": {"iso": iso, "epoch": now_ms // 1000}},
            "/v2/currencies": lambda: {"data": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}]},
            "/v2/currencies/crypto": lambda: {"data": [_asset(code) for code in codes if code != "USD"]},
            "/v2/exchange-rates": lambda: {"data": {"currency": "USD", "rates": dict.fromkeys(codes, "1.0")}},
        }
        body = known.get(request.path)
        return _error(404, "NOT_FOUND", "Not Found") if body is None else Reply(200, orjson.dumps(body()))

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """429 without a header that would tell when; 503 and 500 with the codes of gRPC. Bodies are not verified."""
        match kind:
            case "rate_limit" | "ban":
                return _error(429, "RESOURCE_EXHAUSTED", "too many requests")
            case "maintenance":
                return _error(503, "UNAVAILABLE", "service unavailable")
        return _error(500, "INTERNAL", "internal error")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Subscribe and unsubscribe, one channel a frame; a new subscription starts with the newest trades."""
        frame: dict[str, Any] = orjson.loads(text)
        channel, verb = frame.get("channel"), frame.get("type")
        wanted = frame.get("product_ids", [])
        symbols = [self._symbols[name] for name in wanted if name in self._symbols]
        if verb not in ("subscribe", "unsubscribe") or len(symbols) < len(wanted):
            return Talk((orjson.dumps({"type": "error", "message": "failed to subscribe"}).decode(),))
        done = self._message("subscriptions", {"subscriptions": {str(channel): wanted if verb == "subscribe" else []}})
        if channel == "candles":
            bars = tuple(Topic("candles:", symbol, _FIVE_MINUTES) for symbol in symbols)
            return Talk((done,), begun=bars) if verb == "subscribe" else Talk((done,), ended=bars)
        topics = tuple(self._topic(symbol) for symbol in symbols) if channel == "market_trades" else ()
        if verb == "unsubscribe":
            return Talk((done,), ended=topics)
        now_ms = self.book.clock.now_ms()
        known = {s: self.book.trades(s, now_ms - _SNAPSHOT_MS, now_ms + 1)[-_SNAPSHOT:] for s in symbols if topics}
        return Talk((done, *(self._tell(s, "snapshot", trades) for s, trades in known.items() if trades)), begun=topics)

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """An update of the candles channel."""
        candle = orjson.loads(_row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed))
        return self._message("candles", {"type": "update", "candles": [candle | {"product_id": _id(topic.symbol)}]})

    def _topic(self, symbol: str) -> TradeTopic:
        return TradeTopic("market_trades:", symbol, partial(self._tell, symbol, "update"))

    def _tell(self, symbol: str, kind: str, trades: Sequence[Trade]) -> str:
        """Trades newest first; ``side`` is the maker's."""
        listing, product = self.book.listing(symbol), _id(_ALIASES.get(symbol, symbol))
        entries = [
            {
                "trade_id": str(trade.id),
                "product_id": product,
                "price": _plain(trade.price, listing.scales.price),
                "size": _plain(trade.qty, listing.scales.volume),
                "time": _stamp(trade.ts_ms),
                "side": "SELL" if trade.is_buy else "BUY",
            }
            for trade in reversed(trades)
        ]
        return self._message("market_trades", {"type": kind, "trades": entries})

    def _message(self, channel: str, event: dict[str, Any]) -> str:
        message = {
            "channel": channel,
            "client_id": "",
            "timestamp": _stamp(self.book.clock.now_ms()),
            "sequence_num": next(self._sequence),
            "events": [event],
        }
        return orjson.dumps(message).decode()

    def _candles(self, request: Request, product: str) -> Reply:
        symbol = self._symbols.get(product)
        if symbol is None:
            return _error(404, "NOT_FOUND", f"Product {product} not supported")
        timeframe = TIMEFRAMES.get(_GRANULARITIES.get(request.query.get("granularity", ""), ""))
        try:
            start_s, end_s = (integer(request.query, name) for name in ("start", "end"))
        except ValueError:
            start_s = end_s = None
        if timeframe is None or start_s is None or end_s is None:
            return _error(400, "INVALID_ARGUMENT", "start, end and granularity argument is invalid")
        if (end_s - start_s) * 1000 >= _SPAN * timeframe.ms:
            wrong = f"start and end argument is invalid - number of candles requested should be less than {_SPAN}"
            return _error(400, "INVALID_ARGUMENT", wrong)
        window = self._known(symbol, timeframe, start_s * 1000, end_s * 1000 + 1)
        if request.is_cut:
            window = window.oldest(len(window) // 2)
        rows = window.rows(self.book.listing(symbol), _row)
        return Reply(200, b'{"candles":[' + b",".join(reversed(rows)) + b"]}")

    def _known(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> Window:
        """Without the open bar while the one before it is late: the history just ends earlier."""
        window, now_ms = self.book.window(symbol, timeframe, start_ms, end_ms), self.book.clock.now_ms()
        return window.closed() if now_ms < timeframe.floor(now_ms) + LATE_MS else window


def _id(symbol: str) -> str:
    return symbol.replace("/", "-")


def _plain(number: float, scale: int) -> str:
    """A number as the venue prints it, with no zeros behind it.

    >>> _plain(66312.40, 2), _plain(67060.0, 2), _plain(12.0, 0)
    ('66312.4', '67060', '12')
    """
    text = f"{number:.{scale}f}"
    return text.rstrip("0").rstrip(".") if scale else text


def _stamp(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms // 1000, tz=UTC):%Y-%m-%dT%H:%M:%S}.{ts_ms % 1000:03d}000Z"


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag
    opened, high, low, close = (_plain(p, listing.scales.price) for p in (bar.open, bar.high, bar.low, bar.close))
    start_s, volume = bar.open_ts_ms // 1000, _plain(bar.volume, listing.scales.volume)
    return (
        f'{{"start":"{start_s}","low":"{low}","high":"{high}","open":"{opened}","close":"{close}","volume":"{volume}"}}'
    ).encode()


def _asset(code: str) -> dict[str, Any]:
    return {"asset_id": code.lower(), "code": code, "name": code, "sort_index": 100, "exponent": 8, "type": "crypto"}


def _products(listings: Sequence[Listing]) -> dict[str, Any]:
    return {"products": [_product(listing) for listing in listings], "num_products": len(listings)}


def _product(listing: Listing) -> dict[str, Any]:
    tick, step = (f"{10.0**-scale:.{scale}f}" for scale in (listing.scales.price, listing.scales.volume))
    target = _ALIASES.get(listing.symbol)
    return {
        "product_id": _id(listing.symbol),
        "price": "",
        "base_increment": step,
        "quote_increment": tick,
        "price_increment": tick,
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": step,
        "base_max_size": "3400",
        "base_name": listing.base,
        "quote_name": listing.quote,
        "is_disabled": False,
        "status": "delisted" if listing.is_halted else "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": listing.is_halted,
        "auction_mode": False,
        "product_type": "SPOT",
        "base_currency_id": listing.base,
        "quote_currency_id": listing.quote,
        "alias": _id(target) if target else "",
        "alias_to": [_id(name) for name, whole in _ALIASES.items() if whole == listing.symbol],
        "view_only": False,
        "display_name": _id(listing.symbol),
        "product_venue": "CBE",
    }


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, orjson.dumps({"error": code, "error_details": message, "message": message}))
