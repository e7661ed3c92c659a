"""Hyperliquid on the wire: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeGuard

import orjson

from heliograph.core.calendars import grid
from heliograph.core.ports import Clock
from heliograph.core.timeframe import HOUR_MS, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Tape

HORIZON = 5_000
_FUNDINGS = 500
_LISTED = 5
_FIRST = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
_BRIDGED = ("BTC", "ETH", "SOL")  # their tokens are those of the bridge called Unit, with a U in front
_PAIRS = {"BTC": 142, "ETH": 151, "SOL": 156}  # the venue's own numbers; the others follow
_NEXT_PAIR = 160
_WEIGHTS = {"candleSnapshot": 4.0, "exchangeStatus": 2.0}
_OTHER_WEIGHT = 10.0
_NAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "3d", "1w", "1M")
_INTERVALS = {name: grid("hyperliquid", name) for name in _NAMES}


class Hyperliquid:
    """Candles ascending, both bounds inclusive: the newest 5000 and the open one; quiet bars are filled in.

    Everything is asked by POST to one path. Spot pairs are called ``@142``, perpetuals by their coin.
    """

    name: ClassVar[str] = "hyperliquid"
    domains: ClassVar[tuple[str, ...]] = ("hyperliquid.xyz",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._coins = {_coin(listing, i): listing.symbol for i, listing in enumerate(book.listings("spot"))}
        self._coins |= {listing.base: listing.symbol for listing in book.listings("swap")}
        self._names = {symbol: coin for coin, symbol in self._coins.items()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists: all against USDC, spot first."""
        chosen = sorted(tape.symbols, key=lambda s: s not in _FIRST)[:_LISTED]
        bases = {symbol.split("/")[0]: symbol for symbol in chosen}
        spot = {f"{base}/USDC": symbol for base, symbol in bases.items()}
        swaps = {f"{base}/USDC:USDC": symbol for base, symbol in bases.items()}
        return cls(Book(tape, clock, spot | swaps, horizon=HORIZON, is_filled=True, funding_every_ms=HOUR_MS))

    def charge(self, request: Request) -> Charge:
        """1200 a minute and address, over everything; the weights are ccxt's."""
        weight = _WEIGHTS.get(str(_object(request.body).get("type")), _OTHER_WEIGHT)
        return Charge("info", weight, limit=1_200.0, window_s=60.0)

    def answer(self, request: Request) -> Reply:
        """The questions that candles and funding rates need; what it can't read is a 422."""
        if request.path != "/info" or request.method != "POST":
            return Reply(404, b"")
        asked = _object(request.body)
        known: dict[object, Callable[[], object]] = {
            "spotMeta": self._spot_meta,
            "spotMetaAndAssetCtxs": lambda: [self._spot_meta(), self._spot_contexts()],
            "metaAndAssetCtxs": lambda: [self._meta(), [self._context(each) for each in self.book.listings("swap")]],
            "perpDexs": lambda: [None],  # nobody else deploys any here
            "exchangeStatus": lambda: {"time": self.book.clock.now_ms(), "specialStatuses": None},
        }
        if asked.get("type") == "candleSnapshot":
            return self._candles(asked.get("req"), is_cut=request.is_cut)
        if asked.get("type") == "fundingHistory":
            return self._fundings(asked, is_cut=request.is_cut)
        answer = known.get(asked.get("type"))
        return _unreadable() if answer is None else Reply(200, orjson.dumps(answer()))

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """429 with ``null``; the gateway's own pages otherwise."""
        match kind:
            case "rate_limit" | "ban":
                return Reply(429, b"null")
            case "maintenance":
                return _page(503, "Service Temporarily Unavailable")
        return _page(502, "Bad Gateway")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe; a new subscription starts with the open bar."""
        frame: dict[str, Any] = orjson.loads(text)
        method, subscription = frame.get("method"), frame.get("subscription", {})
        if method == "ping":
            return Talk(('{"channel":"pong"}',))
        topic = self._topic(subscription)
        if topic is None or method not in ("subscribe", "unsubscribe"):
            wrong = {"channel": "error", "data": f"Invalid subscription {orjson.dumps(subscription).decode()}"}
            return Talk((orjson.dumps(wrong).decode(),))
        done = orjson.dumps({"channel": "subscriptionResponse", "data": frame}).decode()
        if method == "unsubscribe":
            return Talk((done,), ended=(topic,))
        bar = self.book.forming(topic.symbol, topic.timeframe)
        return Talk((done, *((self.tell(topic, bar, False),) if bar else ())), begun=(topic,))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """A candle; nothing in it says whether it has closed."""
        row = self._row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed)
        return f'{{"channel":"candle","data":{row.decode()}}}'

    def _topic(self, subscription: dict[str, Any]) -> Topic | None:
        symbol = self._coins.get(str(subscription.get("coin")))
        timeframe = _INTERVALS.get(str(subscription.get("interval")))
        if subscription.get("type") != "candle" or symbol is None or timeframe is None:
            return None
        return Topic(f"candle:{timeframe}:", symbol, timeframe)

    def _candles(self, req: object, *, is_cut: bool) -> Reply:
        if not isinstance(req, dict):
            return _unreadable()
        start_ms, end_ms = req.get("startTime"), req.get("endTime", self.book.clock.now_ms())
        timeframe = _INTERVALS.get(str(req.get("interval")))
        if timeframe is None or not _is_moment(start_ms) or not _is_moment(end_ms):
            return _unreadable()
        symbol = self._coins.get(str(req.get("coin")))
        if symbol is None:
            return Reply(500, b"null")
        window = self.book.window(symbol, timeframe, start_ms, end_ms + 1)
        if is_cut:
            window = window.oldest(len(window) // 2)
        return Reply(200, b"[" + b",".join(window.rows(self.book.listing(symbol), self._row)) + b"]")

    def _fundings(self, asked: dict[str, Any], *, is_cut: bool) -> Reply:
        """The first 500 rates from an inclusive start on, ascending, up to an inclusive end; swaps alone have any."""
        start_ms, end_ms = asked.get("startTime"), asked.get("endTime", self.book.clock.now_ms())
        if not _is_moment(start_ms) or not _is_moment(end_ms):
            return _unreadable()
        coin = str(asked.get("coin"))
        symbol = self._coins.get(coin)
        if symbol is None:
            return Reply(500, b"null")
        found = [] if coin.startswith("@") else self.book.funding(symbol, start_ms, end_ms + 1)[:_FUNDINGS]
        rates = found[: len(found) // 2] if is_cut else found
        # the premium, which no tape holds, is taken to be what the rate says of eight hours
        rows = [{"coin": coin, "fundingRate": _plain(r, 8), "premium": _plain(8 * r, 8), "time": ts} for ts, r in rates]
        return Reply(200, orjson.dumps(rows))

    def _row(self, listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG002 - no flag
        """A candle; its number of trades, which no tape holds, is estimated from its volume."""
        opened, high, low, close = (_plain(p, listing.scales.price) for p in (bar.open, bar.high, bar.low, bar.close))
        volume, trades = _plain(bar.volume, listing.scales.volume), _trades(bar)
        closed_ms = timeframe.close_ms(bar.open_ts_ms) - 1
        return (
            f'{{"t":{bar.open_ts_ms},"T":{closed_ms},"s":"{self._names[listing.symbol]}","i":"{timeframe}","o":"{opened}",'
            f'"c":"{close}","h":"{high}","l":"{low}","v":"{volume}","n":{trades}}}'
        ).encode()

    def _spot_meta(self) -> dict[str, Any]:
        listings = self.book.listings("spot")
        tokens = [
            _token("USDC", 8, 0),
            *(_token(each.base, each.scales.volume, i + 1) for i, each in enumerate(listings)),
        ]
        pairs = [
            {"tokens": [i + 1, 0], "name": _coin(each, i), "index": _pair(each, i), "isCanonical": False}
            for i, each in enumerate(listings)
        ]
        return {"universe": pairs, "tokens": tokens}

    def _spot_contexts(self) -> list[dict[str, Any]]:
        """One for each number up to the last pair's, as the venue has it: most belong to pairs that nobody trades."""
        known = {_pair(each, i): self._context(each) for i, each in enumerate(self.book.listings("spot"))}
        quiet = {"prevDayPx": "0.0", "dayNtlVlm": "0.0", "markPx": "0.0", "midPx": None, "circulatingSupply": "0.0"}
        return [known.get(n, quiet | {"coin": f"@{n}"}) for n in range(max(known, default=-1) + 1)]

    def _meta(self) -> dict[str, Any]:
        universe = [
            {"szDecimals": each.scales.volume, "name": each.base, "maxLeverage": 40, "marginTableId": 56}
            | ({"isDelisted": True} if each.is_halted else {})
            for each in self.book.listings("swap")
        ]
        return {"universe": universe, "marginTables": [], "collateralToken": 0}

    def _context(self, listing: Listing) -> dict[str, Any]:
        price = _plain(self._price(listing), listing.scales.price)
        middle = None if listing.is_halted and listing.kind == "swap" else price
        return {
            "coin": self._names[listing.symbol],
            "prevDayPx": price,
            "dayNtlVlm": "0.0",
            "markPx": price,
            "midPx": middle,
        }

    def _price(self, listing: Listing) -> float:
        """The newest close that is known."""
        window = self.book.window(listing.symbol, _INTERVALS["1d"], 0, self.book.clock.now_ms())
        bars = [*window.newest(1).bars(listing)]
        return bars[-1].close if bars else 0.0


def _pair(listing: Listing, position: int) -> int:
    return _PAIRS.get(listing.base, _NEXT_PAIR + position)


def _coin(listing: Listing, position: int) -> str:
    return f"@{_pair(listing, position)}"


def _token(code: str, size_decimals: int, index: int) -> dict[str, Any]:
    is_bridged = code in _BRIDGED
    return {
        "name": f"U{code}" if is_bridged else code,
        "szDecimals": size_decimals,
        "weiDecimals": 8,
        "index": index,
        "tokenId": f"0x{index:032x}",
        "isCanonical": index == 0,
        "evmContract": None,
        "fullName": f"Unit {code}" if is_bridged else None,
    }


def _trades(bar: Bar) -> int:
    return 1 + int(bar.volume * bar.mean // 5_000) if bar.volume else 0


def _plain(number: float, scale: int) -> str:
    """A number as the venue prints it: no zeros behind it but one after the point.

    >>> _plain(71400.0, 2), _plain(0.06560, 5), _plain(12.0, 0)
    ('71400.0', '0.0656', '12.0')
    """
    whole, _, fraction = f"{number:.{scale}f}".partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def _object(body: bytes) -> dict[str, Any]:
    """The question; empty where it can't be read."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _is_moment(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value >= 0


def _unreadable() -> Reply:
    text = b"Failed to deserialize the JSON body into the target type"
    return Reply(422, text, {"Content-Type": "text/plain; charset=utf-8"})


def _page(status: int, title: str) -> Reply:
    text = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n</body>\r\n</html>\r\n"
    return Reply(status, text.encode(), {"Content-Type": "text/html"})
