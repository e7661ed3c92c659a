"""How MEXC is asked: always with both ends, and with an end that is none of a bar's opens."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import ccxt.async_support as ccxt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Permanent, RateLimited, Retryable, SymbolGone, VenueTimeout
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, MINUTE_MS, parse
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.mexc import Mexc
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape
from heliograph.sources import catalog
from heliograph.sources.dialect import Ask
from heliograph.sources.errors import translate
from heliograph.sources.venues import mexc

T0 = 1_700_006_400_000
COUNT = 5_000
NOW = T0 + 400 * DAY_MS
DIALECT = catalog.dialect("mexc")


@pytest.fixture(scope="module")
def venue() -> Mexc:
    rows = [[T0 + i * MINUTE_MS, 100, 101, 99, 100.5, (1_000 + i) / 1000] for i in range(COUNT)]
    return Mexc.of(Tape({"BTC/USDT": {"1m": Candles.of(rows)}}, origin=""), VirtualClock(NOW, NOW))


class Wired:
    """Unmodified ccxt whose HTTP is a function call to the local venue; ``urls`` keeps what it asked."""

    def __init__(self, venue: Mexc, kind: str) -> None:
        self.urls: list[str] = []
        self._venue = venue
        self.exchange = ccxt.mexc({"enableRateLimit": False, "options": dict(DIALECT.options[kind])})
        self.exchange.fetch = self._fetch

    async def _fetch(self, url: str, *_: object) -> object:
        self.urls.append(url)
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return orjson.loads(self._venue.answer(Request(parts.netloc, parts.path, query)).body)


@pytest.mark.parametrize(("kind", "symbol"), [("spot", "BTC/USDT"), ("swap", "BTC/USDT:USDT")])
def test_every_timeframe_comes_whole(venue: Mexc, kind: str, symbol: str) -> None:
    rules = catalog.rules("mexc", kind)

    async def story() -> set[str]:
        wired = Wired(venue, kind)
        for name in rules.timeframes:
            bars, found = parse(name), []
            truth = venue.book.series(symbol, bars).candles.open_ts_ms.tolist()
            start_ms, end_ms = T0, T0 + COUNT * MINUTE_MS
            while start_ms <= truth[-1]:
                call = mexc.call(Ask(kind, bars, start_ms, end_ms, limit=rules.page_limit, now_ms=NOW))
                page = await wired.exchange.fetch_ohlcv(symbol, name, call.since_ms, call.limit, dict(call.params))
                found += [row[0] for row in page]
                start_ms = bars.next(found[-1])
            assert found == [ts for ts in truth if ts < end_ms]
        return {name for url in wired.urls for name in parse_qs(urlsplit(url).query)}

    sent = {"interval", "symbol", "startTime", "endTime", "limit"} if kind == "spot" else {"interval", "start", "end"}
    assert asyncio.run(story()) == sent, "nothing that the venue does not know, as ccxt's until"


@pytest.mark.parametrize(("kind", "path"), [("spot", "/api/v3/time"), ("swap", "/api/v1/contract/ping")])
def test_each_kind_reads_its_own_clock(venue: Mexc, kind: str, path: str) -> None:
    async def story() -> tuple[int, str]:
        wired = Wired(venue, kind)
        return await wired.exchange.fetch_time(), wired.urls[-1]

    now_ms, url = asyncio.run(story())
    assert (now_ms, urlsplit(url).path) == (NOW, path)


@given(
    kind=st.sampled_from(["spot", "swap"]),
    start_ms=st.integers(0, NOW + DAY_MS),
    length_bars=st.integers(0, 5_000),
    data=st.data(),
)
def test_window_is_the_same_whether_its_end_is_inclusive_or_not(
    kind: str, start_ms: int, length_bars: int, data: st.DataObject
) -> None:
    rules = catalog.rules("mexc", kind)
    bars = parse(data.draw(st.sampled_from(rules.timeframes)))
    end_ms = start_ms + length_bars * bars.ms
    call = mexc.call(Ask(kind, bars, start_ms, end_ms, limit=rules.page_limit, now_ms=NOW))
    told = int(str(call.params["endTime"])) if kind == "spot" else int(str(call.params["end"])) * 1_000
    seen = bars.opens(call.since_ms, told).tolist()
    assert bars.opens(call.since_ms, told + 1).tolist() == seen or start_ms >= min(end_ms, NOW)
    wanted = bars.opens(start_ms, min(end_ms, start_ms + rules.page_limit * bars.ms, NOW)).tolist()
    assert set(wanted) <= set(seen)
    assert len(seen) <= rules.page_limit


@pytest.mark.parametrize(
    ("error", "status", "body", "expected"),
    [
        (ccxt.RateLimitExceeded, 429, '{"code":429,"msg":"Too Many Requests"}', RateLimited),
        (
            ccxt.RateLimitExceeded,
            200,
            '{"success":false,"code":510,"message":"Requests are too frequent"}',
            RateLimited,
        ),
        (ccxt.ExchangeNotAvailable, 403, "<html>", RateLimited),
        (ccxt.BadSymbol, 400, '{"code":-1121,"msg":"Invalid symbol."}', SymbolGone),
        (ccxt.BadSymbol, 200, '{"success":false,"code":1001,"message":"Contract does not exist"}', SymbolGone),
        (ccxt.ExchangeError, 200, '{"code":500,"message":"Under maintenance, please try again later"}', Retryable),
        (ccxt.ExchangeNotAvailable, 200, '{"success":false,"code":501,"message":"System busy"}', Retryable),
        (ccxt.RequestTimeout, 200, '{"code":504,"msg":"Gateway Time-out"}', VenueTimeout),
        (ccxt.InvalidNonce, 400, '{"code":700003,"msg":"Timestamp for this request is outside …"}', Retryable),
        (ccxt.BadRequest, 200, '{"success":false,"code":600,"message":"Parameter error"}', Permanent),
    ],
)
def test_words_of_the_venue_decide(error: type[Exception], status: int, body: str, expected: type[Exception]) -> None:
    assert type(translate("mexc", error(body), status=status, body=body)) is expected
