"""Bitstamp spot on the wire: https://www.bitstamp.net/api and https://www.bitstamp.net/websocket/v2."""

from __future__ import annotations

from email.utils import formatdate
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_PAGE = 1_000
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT", "LTC/USDT")
_LISTED = 5
_FOREVER_MS = 2**53
_OHLC, _TRADES = "/api/v2/ohlc/", "live_trades_"
_NAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "3d")
_STEPS = {TIMEFRAMES[name].ms // 1000: TIMEFRAMES[name] for name in _NAMES}
_AN_ORDER = 1_900_000_000_000_000


class _TradeByTrade(Book):
    """Tells each trade as a bar of its own, as this venue sends a frame for every one."""

    def news(self, symbol: str, timeframe: Timeframe, since_ms: int) -> list[tuple[Bar, bool]]:  # noqa: ARG002
        """The trades after ``since_ms``, each with whether its taker bought."""
        told = self.trades(symbol, since_ms + 1, self.clock.now_ms() + 1)
        return [(Bar(t.ts_ms, t.price, t.price, t.price, t.price, t.qty), t.is_buy) for t in told]


class Bitstamp:
    """Candles ascending, at most 1000, the unfinished one included; where both bounds are given, only the end counts.

    Quiet bars are filled in. There is no candle stream, only trades, and no endpoint that tells the time.
    """

    name: ClassVar[str] = "bitstamp"
    domains: ClassVar[tuple[str, ...]] = ("bitstamp.net",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_id(symbol): symbol for symbol in book.symbols}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""
        symbols = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        return cls(_TradeByTrade(tape, clock, symbols, is_filled=True))

    def charge(self, request: Request) -> Charge:  # noqa: ARG002 - every call costs the same
        """8000 in ten minutes and address, here by the minute."""
        return Charge("", 1.0, limit=800.0, window_s=60.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need; every answer says the time in its header."""
        match request.path:
            case "/api/v2/markets/":
                return self._json([_market(listing) for listing in self.book.listings()])
            case "/api/v2/eur_usd/":
                return self._json({"buy": "1.0852", "sell": "1.0841"})
        if request.path.startswith(_OHLC):
            return self._ohlc(request, self._symbols.get(request.path.removeprefix(_OHLC).rstrip("/")))
        return _page(404, "Not Found")

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """Too many calls are a 400 with a code, later a 429; in maintenance, a sentence. Bodies are not verified."""
        match kind:
            case "rate_limit":
                wrong = {"status": "error", "reason": "Request rate limit exceeded.", "response_code": "400.002"}
                return Reply(400, orjson.dumps(wrong))
            case "ban":
                return _page(429, "Too Many Requests")
            case "maintenance":
                closed = {"error": "Bitstamp.net is under scheduled maintenance. We'll be back soon."}
                return Reply(503, orjson.dumps(closed))
        return _page(502, "Bad Gateway")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Subscribe, unsubscribe and heartbeat, one channel a frame."""
        frame: dict[str, Any] = orjson.loads(text)
        channel = str(frame.get("data", {}).get("channel", ""))
        symbol = self._symbols.get(channel.removeprefix(_TRADES)) if channel.startswith(_TRADES) else None
        match frame.get("event"), symbol:
            case "bts:heartbeat", _:
                return Talk((_event("bts:heartbeat", "", {"status": "success"}),))
            case "bts:subscribe", str():
                topic = Topic(channel, symbol, TIMEFRAMES["1m"])
                return Talk((_event("bts:subscription_succeeded", channel, {}),), begun=(topic,))
            case "bts:unsubscribe", str():
                topic = Topic(channel, symbol, TIMEFRAMES["1m"])
                return Talk((_event("bts:unsubscription_succeeded", channel, {}),), ended=(topic,))
        return Talk((_event("bts:error", "", {"code": None, "message": "Bad subscription string."}),))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A trade, see `_TradeByTrade`; its type is 0 where the taker bought."""
        scales = self.book.listing(topic.symbol).scales
        data = {
            "id": bar.open_ts_ms,
            "timestamp": str(bar.open_ts_ms // 1000),
            "amount": bar.volume,
            "amount_str": printed(scales.volume, 8) % bar.volume,
            "price": bar.open,
            "price_str": printed(scales.price) % bar.open,
            "type": 0 if is_closed else 1,
            "microtimestamp": str(bar.open_ts_ms * 1000),
            "buy_order_id": _AN_ORDER,
            "sell_order_id": _AN_ORDER + 1,
        }
        return _event("trade", topic.name, data)

    def _ohlc(self, request: Request, symbol: str | None) -> Reply:
        query = request.query
        if symbol is None:
            return _page(404, "Not Found")
        try:
            step_s, limit, start_s, end_s = (integer(query, name) for name in ("step", "limit", "start", "end"))
        except ValueError:
            return _invalid("start")
        timeframe = _STEPS.get(step_s or 0)
        if timeframe is None:
            return _invalid("step")
        if limit is None or not 1 <= limit <= _PAGE:
            return _invalid("limit")
        if end_s is not None or start_s is None:
            end_ms = _FOREVER_MS if end_s is None else end_s * 1000 + 1
            window = self.book.window(symbol, timeframe, 0, end_ms).newest(limit)
        else:
            window = self.book.window(symbol, timeframe, start_s * 1000, _FOREVER_MS).oldest(limit)
        if query.get("exclude_current_candle") == "true":
            window = window.closed()
        if request.is_cut:
            window = window.oldest(len(window) // 2)
        listing = self.book.listing(symbol)
        pair, rows = f"{listing.base}/{listing.quote}".encode(), window.rows(listing, _row)
        return Reply(200, b'{"data":{"pair":"%s","ohlc":[%s]}}' % (pair, b",".join(rows)), self._date())

    def _json(self, body: object) -> Reply:
        return Reply(200, orjson.dumps(body), self._date())

    def _date(self) -> dict[str, str]:
        return {"Date": formatdate(self.book.clock.now_ms() // 1000, usegmt=True)}


def _id(symbol: str) -> str:
    return symbol.replace("/", "").lower()


@cache
def _format(scales: Scales) -> str:
    price, volume = f'"{printed(scales.price)}"', f'"{printed(scales.volume, 8)}"'
    return f'{{"timestamp":"%d","open":{price},"high":{price},"low":{price},"close":{price},"volume":{volume}}}'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag
    known = (bar.open_ts_ms // 1000, bar.open, bar.high, bar.low, bar.close, bar.volume)
    return (_format(listing.scales) % known).encode()


def _market(listing: Listing) -> dict[str, Any]:
    return {
        "name": f"{listing.base}/{listing.quote}",
        "market_symbol": _id(listing.symbol),
        "base_currency": listing.base,
        "base_decimals": listing.scales.volume,
        "counter_currency": listing.quote,
        "counter_decimals": listing.scales.price,
        "minimum_order_value": "10",
        "trading": "Disabled" if listing.is_halted else "Enabled",
        "instant_order_counter_decimals": listing.scales.price,
        "instant_and_market_orders": "Disabled" if listing.is_halted else "Enabled",
        "description": f"{listing.base} / {listing.quote}",
        "market_type": "SPOT",
    }


def _event(event: str, channel: str, data: dict[str, Any]) -> str:
    return orjson.dumps({"data": data, "channel": channel, "event": event}).decode()


def _invalid(field: str) -> Reply:
    wrong = {"field": field, "message": f"Invalid {field} param", "code": f"Invalid {field} param"}
    return Reply(400, orjson.dumps({"code": wrong["code"], "errors": [wrong]}))


def _page(status: int, title: str) -> Reply:
    text = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, text.encode(), {"Content-Type": "text/html"})
