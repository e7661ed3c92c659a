"""How Bitget is asked: both ends are said, and unmodified ccxt sends them as they are."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import ccxt.async_support as ccxt
import numpy as np
import orjson
import pytest
from ccxt import pro
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Permanent, RateLimited, Retryable, SymbolGone
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.bitget import Bitget
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape
from heliograph.sources import catalog
from heliograph.sources.dialect import Ask, shortest_ms
from heliograph.sources.errors import translate
from heliograph.sources.venues import bitget

T0 = 1_700_006_400_000
COUNT = 3_000
NOW = T0 + 400 * DAY_MS
DIALECT = catalog.dialect("bitget")


@pytest.fixture(scope="module")
def venue() -> Bitget:
    rows = [[T0 + i * MINUTE_MS, 100, 101, 99, 100.5, (1_000 + i) / 1000] for i in range(COUNT)]
    end = [[NOW - HOUR_MS, 100, 101, 99, 100.5, 1.5]]
    return Bitget.of(Tape({"BTC/USDT": {"1m": Candles.of(rows + end)}}, origin=""), VirtualClock(NOW, NOW))


class Wired:
    """Unmodified ccxt whose HTTP is a function call to the local venue; ``urls`` keeps what it asked."""

    def __init__(self, venue: Bitget, kind: str) -> None:
        self.urls: list[str] = []
        self._venue = venue
        self.exchange = ccxt.bitget({"enableRateLimit": False, "options": dict(DIALECT.options[kind])})
        self.exchange.fetch = self._fetch
        self.exchange.milliseconds = lambda: NOW

    async def _fetch(self, url: str, *_: object) -> object:
        self.urls.append(url)
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return orjson.loads(self._venue.answer(Request(parts.netloc, parts.path, query)).body)


@pytest.mark.parametrize(("kind", "symbol"), [("spot", "BTC/USDT"), ("swap", "BTC/USDT:USDT")])
@pytest.mark.parametrize("age_ms", [3 * DAY_MS, 300 * DAY_MS])
def test_ccxt_sends_every_timeframes_bounds_as_they_are(venue: Bitget, kind: str, symbol: str, age_ms: int) -> None:
    async def story() -> None:
        wired = Wired(venue, kind)
        await wired.exchange.load_markets()
        for name in catalog.rules("bitget", kind).timeframes:
            ask = Ask(kind, parse(name), NOW - age_ms, NOW, limit=200, now_ms=NOW)
            call = bitget.call(ask)
            await wired.exchange.fetch_ohlcv(symbol, name, call.since_ms, call.limit, dict(call.params))
            parts = urlsplit(wired.urls[-1])
            sent = {k: int(v[0]) for k, v in parse_qs(parts.query).items() if k in call.params}
            assert sent == call.params
            assert parts.path.endswith("/history-candles") == (age_ms > 29 * DAY_MS)

    asyncio.run(story())


def test_naive_loop_gets_one_bar_in_five_and_ours_gets_all(venue: Bitget) -> None:
    """ccxt's trap: for an old ``since`` and limit=1000 it asks for the last 200 bars of the thousand, and says nothing."""

    async def naive(exchange: ccxt.bitget) -> list[int]:
        found: list[int] = []
        since_ms = T0
        while since_ms < T0 + COUNT * MINUTE_MS:
            rows = await exchange.fetch_ohlcv("BTC/USDT", "1m", since_ms, 1_000)
            found += [row[0] for row in rows if row[0] < T0 + COUNT * MINUTE_MS]
            since_ms = rows[-1][0] + MINUTE_MS
        return found

    async def ours(exchange: ccxt.bitget) -> list[int]:
        found: list[int] = []
        for start_ms in range(T0, T0 + COUNT * MINUTE_MS, 200 * MINUTE_MS):
            ask = Ask("spot", parse("1m"), start_ms, T0 + COUNT * MINUTE_MS, limit=200, now_ms=NOW)
            call = bitget.call(ask)
            found += [
                row[0] for row in await exchange.fetch_ohlcv("BTC/USDT", "1m", call.since_ms, 200, dict(call.params))
            ]
        return found

    wired = Wired(venue, "spot")
    lost = asyncio.run(naive(wired.exchange))
    assert len(lost) == COUNT // 5
    assert asyncio.run(ours(wired.exchange)) == [T0 + i * MINUTE_MS for i in range(COUNT)]


@pytest.mark.parametrize("kind", ["spot", "swap"])
def test_streamed_bars_are_those_of_the_history(venue: Bitget, kind: str) -> None:
    """ccxt alone would subscribe long bars by names that mean days of UTC+8."""
    names = pro.bitget({"options": dict(DIALECT.options[kind])}).options["timeframes"]
    arg = {"instType": "SPOT" if kind == "spot" else "USDT-FUTURES", "instId": "BTCUSDT"}
    for name in catalog.rules("bitget", kind).timeframes:
        asked = {"op": "subscribe", "args": [arg | {"channel": f"candle{names[name]}"}]}
        (topic,) = venue.hear(orjson.dumps(asked).decode()).begun
        assert topic.timeframe == parse(name)


@given(
    kind=st.sampled_from(["spot", "swap"]),
    age_bars=st.integers(0, 5_000),
    length_bars=st.integers(0, 5_000),
    off_ms=st.integers(0, 60_000),
    data=st.data(),
)
def test_window_holds_the_first_page_and_no_bar_more(
    kind: str, age_bars: int, length_bars: int, off_ms: int, data: st.DataObject
) -> None:
    rules = catalog.rules("bitget", kind)
    bars = parse(data.draw(st.sampled_from(rules.timeframes)))
    start_ms = max(NOW - age_bars * bars.ms + off_ms, off_ms)
    end_ms = start_ms + length_bars * bars.ms
    asked = bitget.call(Ask(kind, bars, start_ms, end_ms, limit=rules.page_limit, now_ms=NOW)).params
    seen = bars.opens(int(str(asked["startTime"])) + 1, int(str(asked["endTime"])))  # both ends exclusive
    wanted = bars.opens(start_ms, min(end_ms, NOW))[: rules.page_limit]
    assert set(wanted.tolist()) <= set(seen.tolist())
    assert np.all(seen >= start_ms)
    assert len(seen) <= rules.page_limit
    if kind == "swap":
        assert int(str(asked["endTime"])) - int(str(asked["startTime"])) <= 90 * DAY_MS
    assert rules.page_limit * shortest_ms(bars) <= 90 * DAY_MS or kind == "spot"


@pytest.mark.parametrize(
    ("error", "status", "body", "expected"),
    [
        (ccxt.DDoSProtection, 429, '{"code":"429","msg":"Too Many Requests"}', RateLimited),
        (ccxt.ExchangeError, 400, '{"code":"40034","msg":"Parameter NOPE does not exist"}', SymbolGone),
        (ccxt.BadSymbol, 400, '{"code":"40309","msg":"The contract has been removed"}', SymbolGone),
        (ccxt.ExchangeError, 400, '{"code":"40015","msg":"System is abnormal, please try again later"}', Retryable),
        (ccxt.OnMaintenance, 400, '{"code":"40200","msg":"Server upgrade, please try again later"}', Retryable),
        (ccxt.InvalidNonce, 400, '{"code":"40008","msg":"Request timestamp expired"}', Retryable),
        (ccxt.BadRequest, 400, '{"code":"40017","msg":"Parameter verification failed"}', Permanent),
        (ccxt.ExchangeNotAvailable, 502, "<html>", Retryable),
    ],
)
def test_words_of_the_venue_decide(error: type[Exception], status: int, body: str, expected: type[Exception]) -> None:
    found = translate("bitget", error(body), status=status, body=body)
    assert type(found) is expected
