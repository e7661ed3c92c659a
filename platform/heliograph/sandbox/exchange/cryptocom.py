"""Crypto.com Exchange on the wire: https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html."""

from __future__ import annotations

from email.utils import formatdate
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import DAY_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_PAGE, _DEFAULT = 300, 25
_LISTED = 6
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "SOL/USDT")
_LIMITS = {"public/get-instruments": 30.0}
_LIMIT = 100.0
_DUST = 1e-6  # what adding decimal weights leaves in a double
_FRAMES = {name: TIMEFRAMES[name] for name in ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1M")} | {
    "1D": TIMEFRAMES["1d"],
    "7D": TIMEFRAMES["1w"],
}


class Cryptocom:
    """Candles ascending, the newest 300 between two bounds that are both exclusive, 25 if no count is asked for.

    Quiet bars are absent (crypto-com/cdcx-cli PR 3). That the bounds are exclusive and the oldest bars are dropped is
    not verified; of all that may be true, it is what asks most of a client. Its time stands in the Date header only.
    """

    name: ClassVar[str] = "cryptocom"
    domains: ClassVar[tuple[str, ...]] = ("crypto.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {_instrument(symbol): symbol for symbol in book.symbols}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists: spot against USDT, perpetuals against USD."""
        chosen = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        swaps = {f"{symbol.split('/')[0]}/USD:USD": symbol for symbol in chosen}
        return cls(Book(tape, clock, {symbol: symbol for symbol in chosen} | swaps))

    def charge(self, request: Request) -> Charge:
        """Calls in a second, for each method; in ccxt's units, of which there are 100 a second."""
        method = request.path.removeprefix("/exchange/v1/")
        return Charge(method, _LIMIT / _LIMITS.get(method, _LIMIT), limit=_LIMIT + _DUST, window_s=1.0)

    def answer(self, request: Request) -> Reply:
        """The public methods that candles need, with the date."""
        method = request.path.removeprefix("/exchange/v1/")
        match method:
            case "public/get-candlestick":
                reply = self._candles(request)
            case "public/get-instruments":
                listed = [_listed(each) for each in self.book.listings()]
                reply = _done(method, {"data": [*listed, self._future()]})
            case "public/get-risk-parameters":
                limits = {"default_max_product_leverage_for_spot": "1", "base_currency_config": []}
                reply = _done(method, limits | {"update_timestamp_ms": self.book.clock.now_ms()})
            case _:
                reply = _error(404, method, 10008, "BAD_REQUEST")
        return Reply(reply.status, reply.body, {"Date": formatdate(self.book.clock.now_ms() // 1000, usegmt=True)})

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """42901 with 429; 10006 for callers that go on; 9010001 in maintenance; 50001 otherwise."""
        method = "public/get-candlestick"
        match kind:
            case "rate_limit":
                return _error(429, method, 42901, "RATE_LIMIT_EXCEEDED")
            case "ban":
                return _error(429, method, 10006, "TOO_MANY_REQUESTS")
            case "maintenance":
                text = "Crypto.com Exchange is currently under maintenance. Please refer to https://status.crypto.com for more details."
                body = {"code": 9010001, "message": "SYSTEM_MAINTENANCE", "details": text}
                return Reply(503, orjson.dumps(body))
        return _error(500, method, 50001, "ERR_INTERNAL")

    def greet(self) -> tuple[str, ...]:
        """A heartbeat, which the client has to answer."""
        return (orjson.dumps({"id": self.book.clock.now_ms(), "method": "public/heartbeat", "code": 0}).decode(),)

    def hear(self, text: str) -> Talk:
        """Heartbeats, subscribe and unsubscribe; a subscription starts with the newest candles."""
        frame: dict[str, Any] = orjson.loads(text)
        method, number = frame.get("method"), frame.get("id", -1)
        if method == "public/respond-heartbeat":
            return Talk()
        channels = frame.get("params", {}).get("channels", [])
        topics = [self._topic(channel) for channel in channels]
        if method not in ("subscribe", "unsubscribe") or not all(topics):
            wrong = f"Unknown channel - {orjson.dumps(channels).decode()}"
            refused = {"id": number, "method": method, "code": 40003, "message": wrong}
            return Talk((orjson.dumps(refused).decode(),))
        known = tuple(topic for topic in topics if topic)
        done = orjson.dumps({"id": number, "method": method, "code": 0}).decode()
        if method == "unsubscribe":
            return Talk((done,), ended=known)
        return Talk((done, *(self._snapshot(topic) for topic in known)), begun=known)

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """An update of a channel; nothing in it says whether the bar has closed."""
        return self._push(topic, [_row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed)])

    def _topic(self, channel: str) -> Topic | None:
        """``candlestick.1h.BTC_USDT``."""
        kind, frame, instrument = (*channel.split("."), "", "", "")[:3]
        symbol, timeframe = self._symbols.get(instrument), _FRAMES.get(frame)
        return Topic(channel, symbol, timeframe) if kind == "candlestick" and symbol and timeframe else None

    def _snapshot(self, topic: Topic) -> str:
        window = self.book.window(topic.symbol, topic.timeframe, 0, self.book.clock.now_ms() + 1).newest(_PAGE)
        return self._push(topic, window.rows(self.book.listing(topic.symbol), _row))

    def _push(self, topic: Topic, rows: list[bytes]) -> str:
        _, frame, instrument = topic.name.split(".")
        result = {
            "instrument_name": instrument,
            "subscription": topic.name,
            "channel": "candlestick",
            "depth": _PAGE,
            "interval": frame,
            "data": [orjson.Fragment(row) for row in rows],
        }
        return orjson.dumps({"id": -1, "method": "subscribe", "code": 0, "result": result}).decode()

    def _candles(self, request: Request) -> Reply:
        method, query, now_ms = "public/get-candlestick", request.query, self.book.clock.now_ms()
        try:
            start_ms, end_ms, count = (integer(query, name) for name in ("start_ts", "end_ts", "count"))
        except ValueError:
            return _error(400, method, 40004, "Missing or invalid argument")
        instrument, frame = query.get("instrument_name", ""), query.get("timeframe", "1m")
        if frame not in _FRAMES:
            return _error(400, method, 40003, f"Invalid timeframe - [{frame}]")
        if instrument not in self._symbols:
            return _error(400, method, 30003, "SYMBOL_NOT_FOUND")
        symbol = self._symbols[instrument]
        start_ms, end_ms = now_ms - DAY_MS if start_ms is None else start_ms, now_ms + 1 if end_ms is None else end_ms
        window = self.book.window(symbol, _FRAMES[frame], start_ms + 1, end_ms)
        window = window.newest(min(_DEFAULT if count is None else count, _PAGE))
        if request.is_cut:
            window = window.newest(len(window) // 2)
        rows = [orjson.Fragment(row) for row in window.rows(self.book.listing(symbol), _row)]
        return _done(method, {"interval": frame, "data": rows, "instrument_name": instrument})

    def _future(self) -> dict[str, Any]:
        """A dated contract, as it stands among the others."""
        expiry_ms = (self.book.clock.now_ms() // DAY_MS + 30) * DAY_MS
        dated = {"inst_type": "FUTURE", "symbol": "BTCUSD-F30", "expiry_timestamp_ms": expiry_ms}
        return _listed(self.book.listings("swap")[0]) | dated


def _instrument(symbol: str) -> str:
    """``BTC_USDT``, ``BTCUSD-PERP``.

    >>> _instrument("BTC/USDT"), _instrument("BTC/USD:USD")
    ('BTC_USDT', 'BTCUSD-PERP')
    """
    spot, _, settled = symbol.partition(":")
    return f"{spot.replace('/', '')}-PERP" if settled else spot.replace("/", "_")


def _listed(listing: Listing) -> dict[str, Any]:
    price, volume = listing.scales.price, listing.scales.volume
    is_swap = listing.kind == "swap"
    return {
        "symbol": _instrument(listing.symbol),
        "inst_type": "PERPETUAL_SWAP" if is_swap else "CCY_PAIR",
        "display_name": f"{listing.base}{listing.quote} Perpetual" if is_swap else listing.symbol,
        "base_ccy": listing.base,
        "quote_ccy": listing.quote,
        "quote_decimals": price,
        "quantity_decimals": volume,
        "price_tick_size": printed(price) % 10.0**-price,
        "qty_tick_size": printed(volume) % 10.0**-volume,
        "max_leverage": "50",
        "tradable": not listing.is_halted,
        "expiry_timestamp_ms": 0,
        "beta_product": False,
        "margin_buy_enabled": False,
        "margin_sell_enabled": not is_swap,
    } | ({"underlying_symbol": f"{listing.base}{listing.quote}-INDEX", "contract_size": "1"} if is_swap else {})


@cache
def _format(scales: Scales) -> str:
    price = f'"{printed(scales.price)}"'
    return f'{{"o":{price},"h":{price},"l":{price},"c":{price},"v":"{printed(scales.volume)}","t":%d}}'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - one shape for all
    values = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_ts_ms)
    return (_format(listing.scales) % values).encode()


def _done(method: str, result: dict[str, Any]) -> Reply:
    return Reply(200, orjson.dumps({"id": -1, "method": method, "code": 0, "result": result}))


def _error(status: int, method: str, code: int, message: str) -> Reply:
    return Reply(status, orjson.dumps({"id": -1, "method": method, "code": code, "message": message}))
