"""Bitget spot and perpetuals on the wire: https://www.bitget.com/api-doc/common/intro."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Self

import orjson

from heliograph.core.ports import Clock
from heliograph.core.timeframe import DAY_MS, HOUR_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.book import Book, Listing
from heliograph.sandbox.exchange.wire import Refusal, Reply, Request, Talk, Topic, integer, printed
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Bar, Scales, Tape

_FOREVER_MS = 2**53
_FIRST = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT")
_LISTED = 6
_SPOT, _SWAP = "SPOT", "USDT-FUTURES"
_RECENT_PAGE, _HISTORY_PAGE = 1_000, 200
_SNAPSHOT = 1_000
_SPAN_MS = 90 * DAY_MS  # of one history call for contracts
_CALLS_A_S = {"/api/v2/spot/public/coins": 3.0}
# how far back `candles` goes, in days, as ccxt found by trying; the documents say something else
_RECENT_DAYS = {"1h": 60, "2h": 120, "4h": 240, "6h": 360, "12h": 720, "1d": 1_440, "3d": 4_320, "1w": 10_080}
_LEAST_RECENT_DAYS = 30


def _intervals(minute: str, hour: str, longer: dict[str, str]) -> dict[str, Timeframe]:
    """By their names: from six hours on, a plain name means days of UTC+8, and one with ``utc`` those of UTC."""
    bars = {f"{n}{minute}": TIMEFRAMES[f"{n}m"] for n in (1, 3, 5, 15, 30)}
    bars |= {f"{n}{hour}": TIMEFRAMES[f"{n}h"] for n in (1, 2, 4)}
    for name, plain in ({"6h": f"6{hour}", "12h": f"12{hour}"} | longer).items():
        utc = TIMEFRAMES[name]
        bars[f"{name[:-1]}{name[-1].upper()}utc"] = utc
        bars[plain] = replace(utc, offset_ms=utc.offset_ms - 8 * HOUR_MS)
    return bars


_SPOT_INTERVALS = _intervals("min", "h", {"1d": "1day", "3d": "3day", "1w": "1week", "1M": "1M"})
_INTERVALS = _intervals("m", "H", {"1d": "1D", "3d": "3D", "1w": "1W", "1M": "1M"})
del _SPOT_INTERVALS["2h"]  # spot has none


class Bitget:
    """Candles ascending, both bounds exclusive, the newest of the interval; quiet bars are filled in.

    ``candles`` gives 1000 of the last month or more, ``history-candles`` 200 of any time; for spot the latter knows no
    start at all.
    """

    name: ClassVar[str] = "bitget"
    domains: ClassVar[tuple[str, ...]] = ("bitget.com",)

    def __init__(self, book: Book) -> None:
        self.book = book
        self._symbols = {(_product(listing), _id(listing)): listing.symbol for listing in book.listings()}

    @classmethod
    def of(cls, tape: Tape, clock: Clock) -> Self:
        """The venue with the markets that it lists, a halted one among them where the tape has one."""
        spot = sorted(tape.symbols, key=lambda s: (s not in _FIRST, tape.halt_ms(s) == tape.end_ms))[:_LISTED]
        return cls(Book(tape, clock, [*spot, *(f"{s}:USDT" for s in spot)], is_filled=True))

    def charge(self, request: Request) -> Charge:
        """Calls a second, for each endpoint."""
        return Charge(request.path, 1.0, limit=_CALLS_A_S.get(request.path, 20.0), window_s=1.0)

    def answer(self, request: Request) -> Reply:
        """The public endpoints that candles need; of the contracts only those settled in USDT exist."""
        product = request.query.get("productType", "").upper()
        match request.path.removeprefix("/api/v2/").split("/"):
            case ["spot", "market", "candles" | "history-candles" as name]:
                return self._candles(request, _SPOT, name)
            case ["mix", "market", "candles" | "history-candles" as name]:
                return self._candles(request, product, name)
            case ["public", "time"]:
                return self._json({"serverTime": str(self.book.clock.now_ms())})
            case ["spot" | "margin" | "mix", *_, "symbols" | "coins" | "currencies" | "contracts" as name]:
                return self._json(self._listed(name, product))
        return self._error(404, "40404", "Request URL NOT FOUND")

    def _listed(self, name: str, product: str) -> list[dict[str, Any]]:
        spot, swaps = self.book.listings("spot"), self.book.listings("swap")
        match name:
            case "symbols":
                return [_pair(listing) for listing in spot]
            case "currencies":
                return [_margin(listing) for listing in spot]
            case "contracts":
                return [_contract(listing) for listing in swaps] if product == _SWAP else []
        return [_coin(code) for code in dict.fromkeys(code for x in spot for code in (x.base, x.quote))]

    def refuse(self, kind: Refusal, *, retry_after_s: float) -> Reply:  # noqa: ARG002 - this venue does not say when
        """429; business codes stand in a 400. That a ban looks like a 429 is not verified."""
        match kind:
            case "rate_limit" | "ban":
                return self._error(429, "429", "Too Many Requests")
            case "maintenance":
                return self._error(400, "40200", "Server upgrade, please try again later")
        return self._error(400, "40015", "System is abnormal, please try again later")

    def greet(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def hear(self, text: str) -> Talk:
        """Ping, subscribe and unsubscribe; a new subscription starts with a snapshot of the newest candles."""
        if text == "ping":
            return Talk(("pong",))
        frame: dict[str, Any] = orjson.loads(text)
        replies: list[str] = []
        topics: list[Topic] = []
        for arg in frame.get("args", []):
            topic = self._topic(arg)
            if topic is None:
                said = f"instType:{arg.get('instType')},channel:{arg.get('channel')},instId:{arg.get('instId')} doesn't exist"
                replies.append(orjson.dumps({"event": "error", "code": 30001, "msg": said}).decode())
                continue
            topics.append(topic)
            replies.append(orjson.dumps({"event": frame.get("op"), "arg": arg}).decode())
            if frame.get("op") == "subscribe":
                window = self.book.window(topic.symbol, topic.timeframe, 0, _FOREVER_MS).newest(_SNAPSHOT)
                rows = window.rows(self.book.listing(topic.symbol), _row)
                replies.append(self._push("snapshot", topic, rows))
        if frame.get("op") == "subscribe":
            return Talk(tuple(replies), begun=tuple(topics))
        return Talk(tuple(replies), ended=tuple(topics))

    def tell(self, topic: Topic, bar: Bar, is_closed: bool) -> str:
        """An update of a candle channel."""
        return self._push("update", topic, [_row(self.book.listing(topic.symbol), topic.timeframe, bar, is_closed)])

    def _push(self, action: str, topic: Topic, rows: list[bytes]) -> str:
        listing = self.book.listing(topic.symbol)
        arg = {"instType": _product(listing), "channel": topic.name, "instId": _id(listing)}
        head = orjson.dumps({"action": action, "arg": arg, "data": []}).removesuffix(b"]}")
        return (b'%s%s],"ts":%d}' % (head, b",".join(rows), self.book.clock.now_ms())).decode()

    def _topic(self, arg: dict[str, str]) -> Topic | None:
        channel = arg.get("channel", "")
        symbol = self._symbols.get((arg.get("instType", ""), arg.get("instId", "")))
        timeframe = _INTERVALS.get(channel.removeprefix("candle"))
        return Topic(channel, symbol, timeframe) if symbol and timeframe and channel.startswith("candle") else None

    def _candles(self, request: Request, product: str, name: str) -> Reply:
        query, is_history = request.query, name == "history-candles"
        try:
            start_ms, end_ms, limit = (integer(query, key) for key in ("startTime", "endTime", "limit"))
        except ValueError:
            return self._error(400, "40017", "Parameter verification failed")
        symbol = self._symbols.get((product, query.get("symbol", "")))
        timeframe = (_SPOT_INTERVALS if product == _SPOT else _INTERVALS).get(query.get("granularity", ""))
        if not symbol:
            return self._error(400, "40034", f"Parameter {query.get('symbol')} does not exist")
        if not timeframe:
            return self._error(400, "400171", "Parameter verification failed granularity")
        if is_history and product == _SPOT:
            if end_ms is None:
                return self._error(400, "40019", "Parameter endTime cannot be empty")
            start_ms = None
        if product != _SPOT and start_ms is not None and end_ms is not None and end_ms - start_ms > _SPAN_MS:
            return self._error(400, "40705", "The start and end time cannot exceed 90 days")
        first_ms = 0 if start_ms is None else start_ms + 1
        if not is_history:
            days = _RECENT_DAYS.get(timeframe.name, _LEAST_RECENT_DAYS)
            first_ms = max(first_ms, self.book.clock.now_ms() - days * DAY_MS)
        count = min(limit or 100, _HISTORY_PAGE if is_history else _RECENT_PAGE)
        window = self.book.window(symbol, timeframe, first_ms, _FOREVER_MS if end_ms is None else end_ms).newest(count)
        if request.is_cut:
            window = window.newest(len(window) // 2)
        rows = b",".join(window.rows(self.book.listing(symbol), _row))
        now_ms = self.book.clock.now_ms()
        return Reply(200, b'{"code":"00000","msg":"success","requestTime":%d,"data":[%s]}' % (now_ms, rows))

    def _json(self, data: object) -> Reply:
        told = {"code": "00000", "msg": "success", "requestTime": self.book.clock.now_ms(), "data": data}
        return Reply(200, orjson.dumps(told))

    def _error(self, status: int, code: str, message: str) -> Reply:
        told = {"code": code, "msg": message, "requestTime": self.book.clock.now_ms(), "data": None}
        return Reply(status, orjson.dumps(told))


def _product(listing: Listing) -> str:
    return _SPOT if listing.kind == "spot" else _SWAP


def _id(listing: Listing) -> str:
    return listing.base + listing.quote


@cache
def _format(scales: Scales, kind: str) -> str:
    price = f'"{printed(scales.price)}"'
    turnovers = ',"%.6f","%.6f"' if kind == "spot" else ',"%.6f"'
    return f'["%d",{price},{price},{price},{price},"{printed(scales.volume)}"{turnovers}]'


def _row(listing: Listing, timeframe: Timeframe, bar: Bar, is_closed: bool) -> bytes:  # noqa: ARG001 - no flag here
    """A candle; the turnover, which no tape holds, is estimated from the bar's mean price."""
    turnover = bar.volume * bar.mean
    known = (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)
    guess = (turnover, turnover) if listing.kind == "spot" else (turnover,)
    return (_format(listing.scales, listing.kind) % (*known, *guess)).encode()


def _coin(code: str) -> dict[str, Any]:
    return {"coinId": str(sum(code.encode())), "coin": code, "transfer": "true", "chains": [], "areaCoin": "no"}


def _margin(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": _id(listing),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "maxCrossedLeverage": "3",
        "maxIsolatedLeverage": "10",
        "isBorrowable": True,
        "isCrossBorrowable": True,
        "isIsolatedBaseBorrowable": True,
        "isIsolatedQuoteBorrowable": True,
        "status": "1",
    }


def _pair(listing: Listing) -> dict[str, str]:
    return {
        "symbol": _id(listing),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "minTradeAmount": "0",
        "maxTradeAmount": "900000000000000000000",
        "takerFeeRate": "0.002",
        "makerFeeRate": "0.002",
        "pricePrecision": str(listing.scales.price),
        "quantityPrecision": str(listing.scales.volume),
        "quotePrecision": str(listing.scales.price + listing.scales.volume),
        "status": "halt" if listing.is_halted else "online",
        "minTradeUSDT": "1",
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "areaSymbol": "no",
        "orderQuantity": "200",
        "openTime": str(listing.listed_ms),
        "offTime": "",
    }


def _contract(listing: Listing) -> dict[str, Any]:
    step = printed(listing.scales.volume) % 10.0**-listing.scales.volume
    return {
        "symbol": _id(listing),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "feeRateUpRatio": "0.005",
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0006",
        "openCostUpRatio": "0.01",
        "supportMarginCoins": [listing.quote],
        "minTradeNum": step,
        "priceEndStep": "1",
        "volumePlace": str(listing.scales.volume),
        "pricePlace": str(listing.scales.price),
        "sizeMultiplier": step,
        "symbolType": "perpetual",
        "minTradeUSDT": "5",
        "maxSymbolOrderNum": "200",
        "maxProductOrderNum": "400",
        "maxPositionNum": "150",
        "symbolStatus": "off" if listing.is_halted else "normal",
        "offTime": "-1",
        "limitOpenTime": "-1",
        "deliveryTime": "",
        "deliveryStartTime": "",
        "launchTime": str(listing.listed_ms),
        "fundInterval": "8",
        "minLever": "1",
        "maxLever": "125",
        "posLimit": "0.05",
        "maintainTime": "",
    }
