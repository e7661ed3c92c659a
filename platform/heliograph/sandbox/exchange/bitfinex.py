"""Bitfinex on the wire: https://docs.bitfinex.com/reference."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import HOUR_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Tape

_FOREVER_MS = 2**53
_PAGE, _DEFAULT = 10_000, 100
_SNAPSHOT = 100
_LISTED = 5
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT")
_CODES = {"USDT": "UST"}
_PER_MINUTE = {"candles": 30, "platform": 30}
_OTHERS_PER_MINUTE = 90
_WEIGHTS = {"platform": 8.0}
_WEIGHT = 2.7
_DUST = 1e-6  # what adding decimal weights leaves in a double
_FRAMES = {name: TIMEFRAMES[name] for name in ("1m", "5m", "15m", "30m", "1h", "4h", "6h", "12h", "1M")} | {
    "3h": Timeframe("3h", 3 * HOUR_MS),
    "1D": TIMEFRAMES["1d"],
    "1W": TIMEFRAMES["1w"],
    "7D": TIMEFRAMES["1w"],
}


class Bitfinex:
    """Candles as open, close, high, low, volume; newest first unless ``sort=1``; both bounds inclusive; quiet bars absent.

    It tells its time in the Date header only, and lists no delisted market, whose candles it still has.
    """

    name: ClassVar[str] = "bitfinex"
    domains: ClassVar[tuple[str, ...]] = ("bitfinex.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {f"t{_pair(symbol)}": symbol for symbol in book.symbols}
        self._keys = {
            f"trade:{frame}:{market}": Topic(f"trade:{frame}:{market}", symbol, timeframe)
            for market, symbol in self._symbols.items()
            for frame, timeframe in _FRAMES.items()
        }
        self._channels = {key: 10_000 + i for i, key in enumerate(self._keys)}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists: each as spot and as a perpetual."""
        spot = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        return cls(Book(tape, clock, {s: s for s in spot} | {f"{s}:{s.split('/')[1]}": s for s in spot}))

    def charge(self, request: Request) -> Charge:
        """Calls in a minute, for each endpoint; the weight of one is ccxt's."""
        endpoint = request.path.removeprefix("/v2/").partition("/")[0]
        weight, calls = _WEIGHTS.get(endpoint, _WEIGHT), _PER_MINUTE.get(endpoint, _OTHERS_PER_MINUTE)
        return Charge(endpoint, weight, limit=weight * calls + _DUST, window_s=60.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need, with the date."""
        match request.path.split("/")[1:]:
            case ["v2", "candles", key, "hist"]:
                reply = self._candles(key, request)
            case ["v2", "conf", labels]:
                reply = Reply(200, orjson.dumps([self._conf(label) for label in labels.split(",")]))
            case ["v2", "platform", "status"]:
                reply = Reply(200, b"[1]")
            case _:
                reply = _error(404, 10001, "not_found")
        return Reply(reply.status, reply.body, {"Date": formatdate(self.book.clock.now_ms() // 1000, usegmt=True)})

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """429 from the gate in front of it; 500 with a code in maintenance; 503 otherwise."""
        match kind:
            case "rate_limit" | "ban":
                return Reply(429, b'{"error":"ERR_RATE_LIMIT"}')
            case "maintenance":
                return _error(500, 20060, "maintenance")
        text = "Sorry, the service is temporarily unavailable. See https://www.bitfinex.com/ for more info."
        body = {"code": 503, "error": "temporarily_unavailable", "error_description": text}
        return Reply(503, orjson.dumps(body))

    def greet(self) -> tuple[str, ...]:
        """Version and state of the platform."""
        info = {"event": "info", "version": 2, "serverId": "b6d1e3a0", "platform": {"status": 1}}
        return (orjson.dumps(info).decode(),)

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe; a subscription has a number, and starts with the newest candles."""
        frame: dict[str, Any] = orjson.loads(text)
        match frame.get("event"):
            case "ping":
                return _talk({"event": "pong", "ts": self.book.clock.now_ms(), "cid": frame.get("cid")})
            case "subscribe":
                return self._subscribe(frame)
            case "unsubscribe":
                key = next((k for k, number in self._channels.items() if str(number) == str(frame.get("chanId"))), None)
                if key is not None:
                    done = {"event": "unsubscribed", "status": "OK", "chanId": self._channels[key]}
                    return Talk(_talk(done).replies, ended=(self._keys[key],))
                return _talk({"event": "error", "msg": "unsubscribe: invalid", "code": 10400})
        return _talk({"event": "error", "msg": "event: invalid", "code": 10000})

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """An update of a channel; nothing in it says whether the bar has closed."""
        row = _row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed)
        return f"[{self._channels[topic.name]},{row.decode()}]"

    def _subscribe(self, frame: dict[str, Any]) -> Talk:
        key = str(frame.get("key"))
        topic = self._keys.get(key)
        if frame.get("channel") != "candles" or topic is None:
            refused = {"channel": frame.get("channel"), "event": "error", "msg": "symbol: invalid", "code": 10300}
            return _talk(refused | {"key": key})
        channel = self._channels[key]
        done = {"event": "subscribed", "channel": "candles", "chanId": channel, "key": key}
        window = self.book.window(topic.symbol, topic.timeframe, 0, _FOREVER_MS).newest(_SNAPSHOT)
        rows = b",".join(reversed(window.rows(self.book.listing(topic.symbol), _row))).decode()
        return Talk((*_talk(done).replies, f"[{channel},[{rows}]]"), begun=(topic,))

    def _candles(self, key: str, request: Request) -> Reply:
        kind, _, rest = key.partition(":")
        frame, _, market = rest.partition(":")
        try:
            start_ms, end_ms, limit, sort = (integer(request.query, name) for name in ("start", "end", "limit", "sort"))
        except ValueError:
            return _error(500, 10020, "start: invalid")
        if kind != "trade" or frame not in _FRAMES:
            return _error(500, 10020, "timeframe: invalid")
        if market not in self._symbols:
            return _error(500, 10020, "symbol: invalid")
        count = _DEFAULT if limit is None else limit
        if not 0 < count <= _PAGE:
            return _error(500, 10020, "limit: invalid")
        symbol = self._symbols[market]
        end_ms = _FOREVER_MS if end_ms is None else end_ms
        window = self.book.window(symbol, _FRAMES[frame], start_ms or 0, end_ms + 1)
        window = window.oldest(count) if sort == 1 else window.newest(count)
        if request.is_cut:
            window = window.oldest(len(window) // 2)
        rows = window.rows(self.book.listing(symbol), _row)
        return Reply(200, b"[" + b",".join(rows if sort == 1 else reversed(rows)) + b"]")

    def _conf(self, label: str) -> object:
        """One list or map of the configuration; of a map that says nothing of these markets, the empty one."""
        spot, swaps = ([each for each in self.book.listings(kind) if not each.is_halted] for kind in ("spot", "swap"))
        codes = sorted({_CODES.get(code, code) for each in spot for code in (each.base, each.quote)})
        known: dict[str, Callable[[], object]] = {
            "pub:info:pair": lambda: [_info(each) for each in spot],
            "pub:info:pair:futures": lambda: [_info(each) for each in swaps],
            "pub:list:pair:margin": lambda: [_pair(each.symbol) for each in spot],
            "pub:list:currency": lambda: codes + [f"{code}F0" for code in codes],
            "pub:list:currency:margin": lambda: codes,
            "pub:map:currency:sym": lambda: [["UST", "USDt"], ["USTF0", "USDt0"]],
            "pub:map:currency:undl": lambda: [[f"{code}F0", code] for code in codes],
            "pub:map:currency:tx:fee": lambda: [[code, [0, 0.1]] for code in codes],
        }
        return known[label]() if label in known else []


def _pair(symbol: str) -> str:
    """``BTCUST``, ``DOGE:UST`` where the codes would run together, ``BTCF0:USTF0`` for a perpetual.

    >>> _pair("BTC/USDT"), _pair("DOGE/USDT"), _pair("BTC/USDT:USDT")
    ('BTCUST', 'DOGE:UST', 'BTCF0:USTF0')
    """
    spot, _, settled = symbol.partition(":")
    base, quote = (_CODES.get(code, code) for code in spot.split("/"))
    if settled:
        return f"{base}F0:{quote}F0"
    return base + quote if len(base) == len(quote) == 3 else f"{base}:{quote}"


def _info(listing: Listing) -> list[object]:
    """A pair's least and greatest order; its sixth fields tell margins."""
    least = _plain(10.0 ** -min(listing.scales.volume, 8), 8)
    return [_pair(listing.symbol), [None, None, None, least, "2000.0", None, None, None, 0.2, 0.1, None, None]]


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag, no length
    """A candle: its close stands before its high."""
    price, volume = listing.scales.price, listing.scales.volume
    prices = ",".join(_plain(number, price) for number in (bar.open, bar.close, bar.high, bar.low))
    return f"[{bar.open_ts_ms},{prices},{_plain(bar.volume, volume)}]".encode()


def _plain(number: float, scale: int) -> str:
    """A JSON number with no zeros behind it.

    >>> _plain(71400.0, 2), _plain(0.06560, 5)
    ('71400', '0.0656')
    """
    whole, _, fraction = f"{number:.{scale}f}".partition(".")
    return f"{whole}.{fraction.rstrip('0')}".rstrip(".")


def _talk(frame: dict[str, Any]) -> Talk:
    return Talk((orjson.dumps(frame).decode(),))


def _error(status: int, code: int, message: str) -> Reply:
    return Reply(status, orjson.dumps(["error", code, message]))
