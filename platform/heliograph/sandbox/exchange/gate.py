"""Gate spot and USDT swaps on the wire: https://www.gate.com/docs/developers/apiv4/en/."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.calendars import grid
from heliograph.core.market import Kind
from heliograph.core.ports import Clock
from heliograph.core.timeframe import Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

HORIZON = 9_998
_POINTS_AGO = 10_000
_PAGES: dict[Kind, int] = {"spot": 1_000, "swap": 2_000}
_DEFAULT_PAGE = 100
_LISTED = 6
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
_FOREVER_MS = 2**53
_INTERVALS = {name: grid("gate", name) for name in ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "1d")}
_INTERVALS["7d"] = grid("gate", "1w")
_NAMES = {timeframe: name for name, timeframe in _INTERVALS.items()}
_KINDS: dict[str, Kind] = {"spot": "spot", "futures": "swap"}


class Gate:
    """Candles ascending, both bounds inclusive, nothing from before the newest 10,000 points; quiet bars are filled in.

    A window that holds more points than a page is refused. Swaps' sizes are in contracts, here of one coin each.
    """

    name: ClassVar[str] = "gate"
    domains: ClassVar[tuple[str, ...]] = ("gateio.ws",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {(listing.kind, _id(listing)): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists."""
        spot = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        swaps = [f"{symbol}:USDT" for symbol in spot if symbol.endswith("/USDT")]
        return cls(Book(tape, clock, [*spot, *swaps], horizon=HORIZON, is_filled=True))

    def charge(self, request: Request) -> Charge:
        """200 calls in ten seconds, for each endpoint and address."""
        return Charge(request.path.lower(), 1.0, limit=200.0, window_s=10.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need."""
        path = request.path.lower()  # ccxt writes the settlement currency in capitals where it has no listing
        candles: dict[str, tuple[Kind, str]] = {
            "/api/v4/spot/candlesticks": ("spot", "currency_pair"),
            "/api/v4/futures/usdt/candlesticks": ("swap", "contract"),
        }
        if path in candles:
            return self._candles(request, *candles[path])
        lists: dict[str, tuple[Kind, Callable[[Listing], dict[str, Any]]]] = {
            "/api/v4/spot/currency_pairs": ("spot", _pair),
            "/api/v4/margin/currency_pairs": ("spot", _lent),
            "/api/v4/futures/usdt/contracts": ("swap", _contract),
        }
        if path in lists:
            kind, shape = lists[path]
            return _json([shape(listing) for listing in self.book.listings(kind)])
        if path == "/api/v4/spot/currencies":
            names = dict.fromkeys(n for x in self.book.listings("spot") for n in (x.base, x.quote))
            return _json([_currency(name) for name in names])
        if path == "/api/v4/spot/time":
            return _json({"server_time": self.book.clock.now_ms()})
        return Reply(404, b"404 page not found", {"Content-Type": "text/plain"})

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:
        """429 with the time of the next window; 503 and 500 otherwise."""
        match kind:
            case "rate_limit" | "ban":
                reset_s = self.book.clock.now_ms() // 1_000 + int(retry_after_s) + 1
                headers = {"X-Gate-RateLimit-Requests-Remain": "0", "X-Gate-RateLimit-Limit": "200"}
                headers["X-Gate-RateLimit-Reset-Timestamp"] = str(reset_s)
                return _error(429, "TOO_MANY_REQUESTS", "Request Rate Limit Exceeded", headers)
            case "maintenance":
                return _error(503, "SERVER_ERROR", "Service is under maintenance")
        return _error(500, "INTERNAL", "Internal server error")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe, one pair a frame; a new subscription starts with the open bar."""
        frame: dict[str, Any] = orjson.loads(text)
        channel, event = frame.get("channel", ""), frame.get("event")
        market, _, name = channel.partition(".")
        if name == "ping":
            return Talk((self._frame(f"{market}.pong", ""),))
        interval, pair = (*frame.get("payload", []), "", "")[:2]
        about = {"id": frame.get("id"), "payload": frame.get("payload")}
        topic = self._topic(channel, interval, pair)
        if topic is None:
            what = "currency pair" if market == "spot" else "contract"
            error = {"code": 2, "message": f"unknown {what}: {pair}"}
            return Talk((self._frame(channel, event, error=error, result={"status": "fail"}, **about),))
        done = self._frame(channel, event, result={"status": "success"}, **about)
        if event != "subscribe":
            return Talk((done,), ended=(topic,))
        bar = self.book.forming(topic.symbol, topic.timeframe)
        return Talk((done, self.tell(topic, bar, False)) if bar else (done,), begun=(topic,))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A push of a candle channel; ``v`` is the turnover on spot and the volume of swaps, ``w`` says closed."""
        listing = self.book.listing(topic.symbol)
        market, name = topic.name.split(":")
        price, volume = printed(listing.scales.price), printed(listing.scales.volume) % bar.volume
        candle = {"t": str(bar.open_ts_ms // 1_000), "n": name, "w": is_closed}
        candle |= {key: price % getattr(bar, of) for key, of in (("o", "open"), ("h", "high"), ("l", "low"))}
        candle |= {"c": price % bar.close, "a": volume, "v": "%.8f" % (bar.volume * bar.mean)}
        if market == "spot":
            return self._frame("spot.candlesticks", "update", result=candle)
        candle |= {"t": bar.open_ts_ms // 1_000, "v": volume}
        return self._frame("futures.candlesticks", "update", result=[candle])

    def _frame(self, channel: str, event: str | None, **rest: object) -> str:
        now_ms = self.book.clock.now_ms()
        head = {"time": now_ms // 1_000, "time_ms": now_ms, "channel": channel, "event": event}
        return orjson.dumps(head | rest).decode()

    def _topic(self, channel: str, interval: str, pair: str) -> Topic | None:
        market, _, name = channel.partition(".")
        kind, timeframe = _KINDS.get(market), _INTERVALS.get(interval)
        symbol = self._symbols.get((kind, pair)) if kind else None
        is_known = name == "candlesticks" and symbol and timeframe
        return Topic(f"{market}:{interval}_{pair}", symbol, timeframe) if is_known and symbol and timeframe else None

    def _candles(self, request: Request, kind: Kind, name: str) -> Reply:
        query = request.query
        try:
            start_s, end_s, limit = (integer(query, key) for key in ("from", "to", "limit"))
        except ValueError:
            return _invalid("invalid argument")
        symbol, timeframe = self._symbols.get((kind, query.get(name, ""))), _INTERVALS.get(query.get("interval", "30m"))
        if not symbol:
            is_spot = kind == "spot"
            label = "INVALID_CURRENCY_PAIR" if is_spot else "CONTRACT_NOT_FOUND"
            return _error(400, label, f"Invalid currency pair {query.get(name)}" if is_spot else "")
        if not timeframe:
            return _invalid("invalid interval")
        if wrong := self._wrong(timeframe, (start_s, end_s, limit), _PAGES[kind]):
            return _invalid(wrong)
        end_ms = _FOREVER_MS if end_s is None else end_s * 1_000 + 1
        window = self.book.window(symbol, timeframe, (start_s or 0) * 1_000, end_ms)
        if start_s is None:
            window = window.newest(limit or _DEFAULT_PAGE)
        if request.is_cut:
            window = window.newest(len(window) // 2)
        render = _row if kind == "spot" else _entry
        return Reply(200, b"[" + b",".join(window.rows(self.book.listing(symbol), render)) + b"]")

    def _wrong(self, timeframe: Timeframe, asked: tuple[int | None, int | None, int | None], page: int) -> str:
        """What is wrong with a window of seconds and a limit; the words about its size are not verified."""
        start_s, end_s, limit = asked
        now_ms = self.book.clock.now_ms()
        if limit is not None and (limit > page or start_s is not None or end_s is not None):
            return "limit must be within a page, and conflicts with from and to"
        if start_s is None:
            return ""
        if start_s * 1_000 < now_ms - _POINTS_AGO * timeframe.ms:
            return "Candlestick too long ago. Maximum 10000 points ago are allowed"
        end_ms = now_ms if end_s is None else min(end_s * 1_000 + 1, now_ms)
        is_long = timeframe.count(start_s * 1_000, end_ms) > page
        return f"Too many points, maximum is {page}" if is_long else ""


def _id(listing: Listing) -> str:
    return f"{listing.base}_{listing.quote}"


def _currency(name: str) -> dict[str, Any]:
    chain = {"name": name, "addr": "", "withdraw_disabled": False, "withdraw_delayed": False, "deposit_disabled": False}
    flags = dict.fromkeys(("delisted", "withdraw_disabled", "withdraw_delayed", "deposit_disabled"), False)
    return {"currency": name, "name": name, "trade_disabled": False, "chain": name, "chains": [chain]} | flags


def _pair(listing: Listing) -> dict[str, Any]:
    return {
        "id": _id(listing),
        "base": listing.base,
        "base_name": listing.base,
        "quote": listing.quote,
        "quote_name": listing.quote,
        "fee": "0.2",
        "min_base_amount": printed(listing.scales.volume) % 10.0**-listing.scales.volume,
        "min_quote_amount": "3",
        "max_quote_amount": "5000000",
        "amount_precision": listing.scales.volume,
        "precision": listing.scales.price,
        "trade_status": "untradable" if listing.is_halted else "tradable",
        "sell_start": listing.listed_ms // 1_000,
        "buy_start": listing.listed_ms // 1_000,
        "type": "normal",
    }


def _lent(listing: Listing) -> dict[str, Any]:
    """A pair's entry in the list of margin markets."""
    least = {"min_base_amount": "0.0001", "min_quote_amount": "1", "max_quote_amount": "5000000"}
    head = {"id": _id(listing), "base": listing.base, "quote": listing.quote, "leverage": 5}
    return head | least | {"status": 0 if listing.is_halted else 1}


def _contract(listing: Listing) -> dict[str, Any]:
    tick, step = (printed(scale) % 10.0**-scale for scale in (listing.scales.price, listing.scales.volume))
    return {
        "name": _id(listing),
        "type": "direct",
        "quanto_multiplier": "1",
        "enable_decimal": True,
        "order_price_round": tick,
        "mark_price_round": tick,
        "order_size_min": step,
        "order_size_max": "1000000",
        "order_price_deviate": "0.5",
        "mark_price": "1",
        "leverage_min": "1",
        "leverage_max": "100",
        "maker_fee_rate": "-0.00005",
        "taker_fee_rate": "0.00075",
        "funding_interval": 28_800,
        "in_delisting": listing.is_halted,
        "status": "suspend" if listing.is_halted else "trading",
        "create_time": listing.listed_ms // 1_000,
        "launch_time": listing.listed_ms // 1_000,
    }


@cache
def _format(scales: Scales) -> str:
    price = f'"{printed(scales.price)}"'
    return f'["%d","%.8f",{price},{price},{price},{price},"{printed(scales.volume)}","%s"]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - same at all lengths
    """A pair's candle; the turnover, which no tape holds, is estimated from the bar's mean price."""
    values = (bar.volume * bar.mean, bar.close, bar.high, bar.low, bar.open, bar.volume)
    return (_format(listing.scales) % (bar.open_ts_ms // 1_000, *values, str(is_closed).lower())).encode()


def _entry(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag
    """A swap's candle; sizes are strings, as the venue gives them to callers that ask for decimals."""
    price = f'"{printed(listing.scales.price)}"'
    shape = f'{{"o":{price},"v":"{printed(listing.scales.volume)}","t":%d,"c":{price},"l":{price},"h":{price},"sum":"%.8f"}}'
    values = (bar.open, bar.volume, bar.open_ts_ms // 1_000, bar.close, bar.low, bar.high, bar.volume * bar.mean)
    return (shape % values).encode()


def _json(body: Any) -> Reply:
    return Reply(200, orjson.dumps(body))


def _invalid(message: str) -> Reply:
    return _error(400, "INVALID_PARAM_VALUE", message)


def _error(status: int, label: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"label": label} | ({"message": message} if message else {})), headers or {})
