"""What the big venues of Asia are asked for: unmodified ccxt's own request brings just the bars of a page, each once."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any
from urllib.parse import parse_qs, urlsplit

import ccxt.async_support as ccxt
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.calendars import grid
from heliograph.core.market import Candles, Kind
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.binanceusdm import BinanceUsdm
from heliograph.sandbox.exchange.bybit import Bybit
from heliograph.sandbox.exchange.gate import Gate
from heliograph.sandbox.exchange.kucoin import Kucoin
from heliograph.sandbox.exchange.okx import Okx
from heliograph.sandbox.exchange.wire import Request, Venue
from heliograph.sandbox.tape import Tape
from heliograph.sources import catalog
from heliograph.sources.dialect import Ask, Call
from heliograph.sources.rest import closed
from heliograph.sources.rows import find

T0 = 1_672_531_200_000  # 2023-01-01
NOW = T0 + 700 * DAY_MS + 7 * HOUR_MS + 13 * MINUTE_MS + 29_000
MINUTES = 12_000
SYMBOLS: dict[Kind, str] = {"spot": "BTC/USDT", "swap": "BTC/USDT:USDT"}
CLASSES: tuple[type[Venue], ...] = (BinanceUsdm, Bybit, Gate, Kucoin, Okx)
SERVED = [(kind, cls) for cls in CLASSES for kind in catalog.dialect(cls.name).rules]


def bars(start_ms: int, count: int, length_ms: int) -> Candles:
    rows = [[start_ms + i * length_ms, 100 + i, 102.25 + i, 99.5, 101 + i, (1_000 + i) / 1000] for i in range(count)]
    return Candles.of(rows)


@pytest.fixture(scope="module")
def tape() -> Tape:
    hours = bars(T0, 701 * 24, HOUR_MS)
    minutes = bars(NOW // HOUR_MS * HOUR_MS - MINUTES * MINUTE_MS, MINUTES + 120, MINUTE_MS)
    return Tape({"BTC/USDT": {"1h": hours.between(0, int(minutes.open_ts_ms[0])), "1m": minutes}}, origin="")


class Wired:
    """Unmodified ccxt whose HTTP is a function call to the local venue."""

    def __init__(self, venue: Venue, kind: Kind) -> None:
        self.venue, self.kind, self.body = venue, kind, ""
        options = catalog.dialect(venue.name).options.get(kind, {})
        self.exchange = getattr(ccxt, venue.name)({"enableRateLimit": False, "options": dict(options)})
        self.exchange.fetch = self._fetch
        self.requests = 0
        self.query: dict[str, str] = {}

    async def _fetch(self, url: str, method: str = "GET", *_: object) -> object:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        reply = self.venue.answer(Request(parts.netloc, parts.path, query, method=method))
        assert reply.status == 200, reply.body
        self.requests, self.query, self.body = self.requests + 1, query, reply.body.decode()
        return orjson.loads(self.body)

    def page(self, ask: Ask) -> Candles:
        """As `CcxtSource.fetch_page` reads it."""
        call: Call = catalog.dialect(self.venue.name).call(ask)
        before = self.requests
        params = dict(call.params)
        asyncio.run(
            self.exchange.fetch_ohlcv(SYMBOLS[self.kind], ask.timeframe.name, call.since_ms, call.limit, params)
        )
        assert self.requests == before + 1
        rows = find(self.body)
        came = rows.candles(catalog.dialect(self.venue.name).layouts[self.kind]) if rows else Candles.empty()
        return closed(came, ask.timeframe, NOW).between(ask.start_ms, ask.end_ms)


@pytest.fixture(scope="module", params=SERVED, ids=lambda served: f"{served[1].name}-{served[0]}")
def wired(request: Any, tape: Tape) -> Wired:
    kind, cls = request.param
    found = Wired(cls.of(tape, VirtualClock(NOW, NOW)), kind)
    asyncio.run(found.exchange.load_markets())
    return found


@settings(max_examples=60)
@given(data=st.data())
def test_every_page_is_the_venues_truth(wired: Wired, data: st.DataObject) -> None:
    rules = catalog.rules(wired.venue.name, wired.kind)
    timeframe = grid(rules.venue, data.draw(st.sampled_from(rules.timeframes)))
    back = data.draw(st.integers(-5, int(min(2.2 * rules.page_limit, (NOW - T0) / timeframe.ms + 5))))
    start_ms = max(timeframe.floor(NOW) - back * timeframe.ms + data.draw(st.sampled_from((0, 1, -1, 999, 1_000))), 0)
    length = data.draw(st.one_of(st.integers(0, 3), st.just(10**6), st.just(rules.page_limit)))
    end_ms = start_ms + length * timeframe.ms + data.draw(st.sampled_from((0, 1)))
    ask = Ask(wired.kind, timeframe, start_ms, end_ms, rules.page_limit, NOW)
    window = wired.venue.book.window(SYMBOLS[wired.kind], timeframe, start_ms, min(end_ms, NOW)).closed()
    truth = window.series.candles.take(slice(window.start, window.stop))
    truth = truth.take(slice(0, rules.page_limit)) if rules.seeks_first else truth.between(start_ms, ask.window_end_ms)
    found = wired.page(ask)
    for name in ("open_ts_ms", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(found, name), getattr(truth, name))


def test_page_from_before_the_listing_is_empty(wired: Wired) -> None:
    rules = catalog.rules(wired.venue.name, wired.kind)
    day = grid(rules.venue, "1d")
    assert len(wired.page(Ask(wired.kind, day, T0 - 90 * DAY_MS, T0, rules.page_limit, NOW))) == 0


def test_listing_takes_few_requests(wired: Wired) -> None:
    """One to three: the markets of the kind, and what ccxt cannot be kept from asking besides."""
    fresh = Wired(wired.venue, wired.kind)
    asyncio.run(fresh.exchange.load_markets())
    expected = {"gate-spot": 3, "gate-swap": 2, "kucoin-spot": 2, "kucoin-swap": 2, "bybit-swap": 2}
    assert fresh.requests == expected.get(f"{wired.venue.name}-{wired.kind}", 1)


def test_a_stale_clock_does_not_make_okx_lose_bars(tape: Tape) -> None:
    """Its endpoint of the newest 1,440 bars drops what is older, and says nothing."""
    okx = Wired(Okx.of(tape, VirtualClock(NOW, NOW)), "spot")
    asyncio.run(okx.exchange.load_markets())
    minute = grid("okx", "1m")
    for hours, back in product(range(12), (300, 719, 1_000, 1_400)):
        read_ms = NOW - hours * HOUR_MS
        start_ms = minute.floor(read_ms) - back * MINUTE_MS
        page = okx.page(Ask("spot", minute, start_ms, start_ms + 300 * MINUTE_MS, 300, read_ms))
        assert len(page) == 300


@pytest.mark.parametrize("kind", ["spot", "swap"])
def test_gate_is_never_asked_for_a_point_beyond_its_horizon(tape: Tape, kind: Kind) -> None:
    """It would refuse the whole page; the oldest bar that it still shows is had, whatever the start."""
    gate = Wired(Gate.of(tape, VirtualClock(NOW, NOW)), kind)
    asyncio.run(gate.exchange.load_markets())
    rules, minute = catalog.rules("gate", kind), grid("gate", "1m")
    oldest_ms = minute.floor(NOW) - (rules.horizon_candles or 0) * MINUTE_MS
    for start_ms in (0, oldest_ms - 5 * MINUTE_MS, oldest_ms):
        end_ms = oldest_ms + 10 * MINUTE_MS
        page = gate.page(Ask(kind, minute, start_ms, end_ms, rules.page_limit, NOW))
        assert page.open_ts_ms.tolist() == ([] if start_ms == 0 else list(range(oldest_ms, end_ms, MINUTE_MS)))


def test_bybit_weeks_are_asked_for_by_their_own_opens(tape: Tape) -> None:
    """ccxt would move the start to a multiple of seven days, a Thursday; bybit's weeks open on Monday."""
    bybit = Wired(Bybit.of(tape, VirtualClock(NOW, NOW)), "spot")
    asyncio.run(bybit.exchange.load_markets())
    week = grid("bybit", "1w")
    monday_ms = week.ceil(T0)
    page = bybit.page(Ask("spot", week, monday_ms, monday_ms + 2 * week.ms, 1_000, NOW))
    assert page.open_ts_ms.tolist() == [monday_ms, monday_ms + week.ms]
    assert int(bybit.query["start"]) == monday_ms
