"""Kraken spot on the wire: https://docs.kraken.com/api-reference."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.calendars import grid
from heliograph.core.ports import Clock
from heliograph.core.timeframe import HOUR_MS, MINUTE_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape, Trade

HORIZON = 720
_LISTED = 4
_FIRST = ("BTC/USDT", "ETH/USDT", "DOGE/USDT", "XRP/USDT")
_FOREVER_MS = 2**53
_OLD_NAMES = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "DOGE": "XXDG", "LTC": "XLTC", "USD": "ZUSD", "EUR": "ZEUR"}
_INTERVALS = {
    TIMEFRAMES[name].ms // MINUTE_MS: grid("kraken", name)
    for name in ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w")
}
_MOST_TRADES, _SPAN_MS = 1_000, 4 * HOUR_MS
_LEAST_NS = 10**15  # a `since` below this is in seconds


def _asset(code: str) -> str:
    """Kraken's long name: the oldest coins have an X in front, the currencies of states a Z."""
    return _OLD_NAMES.get(code, code)


def _short(code: str) -> str:
    """The name without that letter: XBT for BTC, XDG for DOGE."""
    return _OLD_NAMES[code][1:] if code in _OLD_NAMES else code


class Kraken:
    """The newest 720 candles and the open one, ascending, whatever ``since`` says; quiet bars are filled in."""

    name: ClassVar[str] = "kraken"
    domains: ClassVar[tuple[str, ...]] = ("kraken.com", "kraken.zendesk.com")

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {name: listing.symbol for listing in book.listings() for name in _names(listing)}
        self._streams = {symbol: symbol for symbol in book.symbols}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""
        symbols = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        return cls(Book(tape, clock, symbols, horizon=HORIZON, is_filled=True))

    def charge(self, request: Request) -> Charge:
        """About one call a second for each endpoint and pair, and fifteen at once."""
        return Charge(request.path + request.query.get("pair", ""), 1.0, limit=15.0, window_s=15.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles and trades need."""
        match request.path:
            case "/0/public/OHLC":
                return self._ohlc(request)
            case "/0/public/Trades":
                return self._trades(request)
        now = datetime.fromtimestamp(self.book.clock.now_ms() // 1000, tz=UTC)
        codes = dict.fromkeys(code for symbol in self.book.symbols for code in symbol.split("/"))
        known: dict[str, Callable[[], dict[str, Any]]] = {
            "/0/public/AssetPairs": lambda: {_key(each): _pair(each) for each in self.book.listings()},
            "/0/public/Assets": lambda: {_asset(code): _asset_info(code) for code in codes},
            "/0/public/Time": lambda: {"unixtime": int(now.timestamp()), "rfc1123": f"{now:%a, %d %b %y %H:%M:%S %z}"},
            "/0/public/SystemStatus": lambda: {"status": "online", "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"},
        }
        result = known.get(request.path)
        return _error("EGeneral:Unknown method", status=404) if result is None else _json(result())

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """Errors stand in the body of a 200, as the venue has it."""
        match kind:
            case "rate_limit":
                return _error("EAPI:Rate limit exceeded")
            case "ban":
                return _error("EGeneral:Temporary lockout")
            case "maintenance":
                return _error("EService:Unavailable")
        return _error("EGeneral:Internal error", status=520)

    def greet(self) -> tuple[str, ...]:
        """The system's status."""
        data = [{"api_version": "v2", "connection_id": 1, "system": "online", "version": "2.0.10"}]
        return (orjson.dumps({"channel": "status", "type": "update", "data": data}).decode(),)

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe; a subscription starts with a snapshot of the newest candles."""
        frame: dict[str, Any] = orjson.loads(text)
        method, params = frame.get("method"), frame.get("params", {})
        request_id = {"req_id": frame["req_id"]} if "req_id" in frame else {}
        if method == "ping":
            return Talk((orjson.dumps({"method": "pong"} | request_id).decode(),))
        replies: list[dict[str, Any]] = []
        topics: list[Topic] = []
        for name in params.get("symbol", []):
            topic = self._topic(params.get("channel"), name, params.get("interval", 1))
            if topic is None:
                wrong = {
                    "method": method,
                    "success": False,
                    "error": f"Currency pair not supported {name}",
                    "symbol": name,
                }
                replies.append(wrong | request_id)
                continue
            topics.append(topic)
            result = {"channel": "ohlc", "interval": params.get("interval", 1), "snapshot": True, "symbol": name}
            replies.append({"method": method, "result": result, "success": True} | request_id)
            if method == "subscribe":
                replies.append(self._snapshot(topic))
        texts = tuple(orjson.dumps(reply).decode() for reply in replies)
        return Talk(texts, begun=tuple(topics)) if method == "subscribe" else Talk(texts, ended=tuple(topics))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:  # noqa: ARG002 - this stream has no flag
        """An update of the ohlc channel; it comes with trades only, so a bar without any is never told."""
        now = _stamp(self.book.clock.now_ms())
        frame = {"channel": "ohlc", "type": "update", "timestamp": now, "data": [_entry(topic, bar)]}
        return orjson.dumps(frame).decode()

    def _snapshot(self, topic: Topic) -> dict[str, Any]:
        window = self.book.window(topic.symbol, topic.timeframe, 0, _FOREVER_MS).newest(HORIZON)
        bars = window.bars(self.book.listing(topic.symbol))
        now = _stamp(self.book.clock.now_ms())
        return {"channel": "ohlc", "type": "snapshot", "timestamp": now, "data": [_entry(topic, bar) for bar in bars]}

    def _topic(self, channel: str | None, name: str, interval: int) -> Topic | None:
        symbol, timeframe = self._streams.get(name), _INTERVALS.get(interval)
        return (
            Topic(f"ohlc-{interval}:{name}", symbol, timeframe) if channel == "ohlc" and symbol and timeframe else None
        )

    def _ohlc(self, request: Request) -> Reply:
        try:
            interval, since_s = (integer(request.query, name) for name in ("interval", "since"))
        except ValueError:
            return _error("EGeneral:Invalid arguments")
        symbol, timeframe = (
            self._symbols.get(request.query.get("pair", "")),
            _INTERVALS.get(interval or 1),
        )
        if not symbol:
            return _error("EQuery:Unknown asset pair")
        if not timeframe:
            return _error("EGeneral:Invalid arguments:interval")
        listing = self.book.listing(symbol)
        window = self.book.window(symbol, timeframe, ((since_s or -1) * 1000) + 1, _FOREVER_MS)
        newest = self.book.window(symbol, timeframe, 0, _FOREVER_MS)
        last_s = int(newest.series.candles.open_ts_ms[newest.stop - 1]) // 1000 if newest.stop > newest.start else 0
        if request.is_cut:
            window = window.oldest(len(window) // 2)
        rows = window.rows(listing, _row)
        body = b'{"error":[],"result":{"%s":[%s],"last":%d}}' % (_key(listing).encode(), b",".join(rows), last_s)
        return Reply(200, body)

    def _trades(self, request: Request) -> Reply:
        """The first 1000 after ``since``, exclusive, oldest first; without it, the newest. ``last`` asks for the next."""
        try:
            since, count = (integer(request.query, name) for name in ("since", "count"))
        except ValueError:
            return _error("EGeneral:Invalid arguments")
        symbol, most = self._symbols.get(request.query.get("pair", "")), min(count or _MOST_TRADES, _MOST_TRADES)
        if not symbol:
            return _error("EQuery:Unknown asset pair")
        if most < 1:
            return _error("EGeneral:Invalid arguments:count")
        since_ns = since if since is None or since >= _LEAST_NS else since * 1_000_000_000
        page = self._newest(symbol, most) if since_ns is None else self._after(symbol, since_ns // 1_000_000, most)
        if request.is_cut:
            page = page[: len(page) // 2]
        last_ns = page[-1].ts_ms * 1_000_000 if page else since_ns
        listing = self.book.listing(symbol)
        rows = ",".join(_trade(listing, trade) for trade in page)
        return Reply(200, f'{{"error":[],"result":{{"{_key(listing)}":[{rows}],"last":"{last_ns}"}}}}'.encode())

    def _after(self, symbol: str, since_ms: int, most: int) -> list[Trade]:
        found: list[Trade] = []
        start_ms, span_ms = max(since_ms + 1, self.book.listing(symbol).listed_ms), _SPAN_MS
        while len(found) < most and start_ms <= self.book.clock.now_ms():
            found += self.book.trades(symbol, start_ms, start_ms + span_ms)
            start_ms, span_ms = start_ms + span_ms, 2 * span_ms
        return found[:most]

    def _newest(self, symbol: str, most: int) -> list[Trade]:
        found: list[Trade] = []
        end_ms, span_ms = self.book.clock.now_ms() + 1, _SPAN_MS
        while len(found) < most and end_ms > self.book.listing(symbol).listed_ms:
            found = self.book.trades(symbol, end_ms - span_ms, end_ms) + found
            end_ms, span_ms = end_ms - span_ms, 2 * span_ms
        return found[-most:]


def _key(listing: Listing) -> str:
    base, quote = _asset(listing.base), _asset(listing.quote)
    return (
        base + quote if quote.startswith("Z") and base.startswith("X") else _short(listing.base) + _short(listing.quote)
    )


def _names(listing: Listing) -> tuple[str, ...]:
    base, quote = _short(listing.base), _short(listing.quote)
    return (_key(listing), base + quote, f"{base}/{quote}")


def _asset_info(code: str) -> dict[str, Any]:
    return {"aclass": "currency", "altname": _short(code), "decimals": 8, "display_decimals": 5, "status": "enabled"}


def _pair(listing: Listing) -> dict[str, Any]:
    _, altname, wsname = _names(listing)
    return {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "currency",
        "base": _asset(listing.base),
        "aclass_quote": "currency",
        "quote": _asset(listing.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": listing.scales.price,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": printed(listing.scales.volume) % 10.0**-listing.scales.volume,
        "costmin": "0.5",
        "tick_size": printed(listing.scales.price) % 10.0**-listing.scales.price,
        "status": "cancel_only" if listing.is_halted else "online",
    }


@cache
def _format(scales: Scales, is_quiet: bool) -> str:
    price, volume = f'"{printed(scales.price)}"', f'"{printed(scales.volume, 8)}"'
    mean = '"%.1f"' if is_quiet else price
    return f"[%d,{price},{price},{price},{price},{mean},{volume},%d]"


def _trades(bar: Bar) -> int:
    return 1 + int(bar.volume * bar.mean // 2_000) if bar.volume else 0


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - one shape for all
    """A candle; its mean price and trade count, which no tape holds, are estimated from the bar itself."""
    known = (bar.open_ts_ms // 1000, bar.open, bar.high, bar.low, bar.close)
    mean = bar.mean if bar.volume else 0.0
    return (_format(listing.scales, not bar.volume) % (*known, mean, bar.volume, _trades(bar))).encode()


def _trade(listing: Listing, trade: Trade) -> str:
    price, volume = printed(listing.scales.price) % trade.price, printed(listing.scales.volume, 8) % trade.qty
    return f'["{price}","{volume}",{trade.ts_ms / 1000:.7f},"{"b" if trade.is_buy else "s"}","m","",{trade.id}]'


def _entry(topic: Topic, bar: Bar) -> dict[str, Any]:
    return {
        "symbol": topic.symbol,
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "trades": _trades(bar),
        "volume": bar.volume,
        "vwap": bar.mean if bar.volume else 0.0,
        "interval_begin": _stamp(bar.open_ts_ms),
        "interval": topic.timeframe.ms // 60_000,
        "timestamp": _stamp(topic.timeframe.close_ms(bar.open_ts_ms)),  # the venue stamps the END of the bar here
    }


def _stamp(ts_ms: int) -> str:
    return f"{datetime.fromtimestamp(ts_ms / 1000, tz=UTC):%Y-%m-%dT%H:%M:%S}.{ts_ms % 1000 * 1_000_000:09d}Z"


def _json(result: dict[str, Any]) -> Reply:
    return Reply(200, orjson.dumps({"error": [], "result": result}))


def _error(error: str, *, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps({"error": [error]}))
