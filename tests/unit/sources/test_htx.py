"""How HTX is asked: whole seconds, both ends, and never a size where a size undoes them."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import ccxt.async_support as ccxt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.calendars import grid
from heliograph.core.errors import Permanent, RateLimited, Retryable, SymbolGone, VenueTimeout
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, MINUTE_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.htx import Htx
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape
from heliograph.sources import catalog
from heliograph.sources.dialect import Ask
from heliograph.sources.errors import translate
from heliograph.sources.venues import htx

T0 = 1_700_006_400_000
COUNT = 5_000
NOW = T0 + 400 * DAY_MS
DIALECT = catalog.dialect("htx")
HISTORY_MS = 1_501_174_800_000


@pytest.fixture(scope="module")
def venue() -> Htx:
    rows = [[T0 + i * MINUTE_MS, 100, 101, 99, 100.5, (1_000 + i) / 1000] for i in range(COUNT)]
    return Htx.of(Tape({"BTC/USDT": {"1m": Candles.of(rows)}}, origin=""), VirtualClock(NOW, NOW))


class Wired:
    """Unmodified ccxt whose HTTP is a function call to the local venue; ``urls`` keeps what it asked."""

    def __init__(self, venue: Htx, kind: str) -> None:
        self.urls: list[str] = []
        self._venue = venue
        self.exchange = ccxt.htx({"enableRateLimit": False, "options": dict(DIALECT.options[kind])})
        self.exchange.fetch = self._fetch

    async def _fetch(self, url: str, *_: object) -> object:
        self.urls.append(url)
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return orjson.loads(self._venue.answer(Request(parts.netloc, parts.path, query)).body)


@pytest.mark.parametrize(("kind", "symbol"), [("spot", "BTC/USDT"), ("swap", "BTC/USDT:USDT")])
def test_every_timeframe_comes_whole_on_the_venues_own_calendar(venue: Htx, kind: str, symbol: str) -> None:
    rules = catalog.rules("htx", kind)

    async def story() -> None:
        wired = Wired(venue, kind)
        for name in rules.timeframes:
            bars, found = grid("htx", name), []
            truth = venue.book.series(symbol, bars).candles.open_ts_ms.tolist()
            start_ms, end_ms = bars.floor(T0), bars.floor(T0 + COUNT * MINUTE_MS)
            while start_ms < end_ms:
                call = htx.call(Ask(kind, bars, start_ms, end_ms, limit=rules.page_limit, now_ms=NOW))
                page = await wired.exchange.fetch_ohlcv(symbol, name, call.since_ms, call.limit, dict(call.params))
                found += [row[0] for row in page]
                start_ms = bars.next(found[-1])
            assert found == truth
        assert not any("size" in url for url in wired.urls if "linear-swap" in url)

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["spot", "swap"])
def test_listing_and_clock_ask_one_host_only(venue: Htx, kind: str) -> None:
    async def story() -> tuple[int, list[str]]:
        wired = Wired(venue, kind)
        await wired.exchange.load_markets()
        return await wired.exchange.fetch_time(), wired.urls

    now_ms, urls = asyncio.run(story())
    assert now_ms == NOW
    hosts = [urlsplit(url).netloc for url in urls if "currencies" not in url]  # ccxt asks spot for those in any case
    assert hosts == ["api.huobi.pro" if kind == "spot" else "api.hbdm.vn"] * 2


@given(
    kind=st.sampled_from(["spot", "swap"]),
    start_ms=st.integers(0, NOW + DAY_MS),
    length_bars=st.integers(0, 5_000),
    data=st.data(),
)
def test_window_holds_the_first_page_and_no_bar_more(
    kind: str, start_ms: int, length_bars: int, data: st.DataObject
) -> None:
    rules = catalog.rules("htx", kind)
    bars = grid("htx", data.draw(st.sampled_from(rules.timeframes)))
    end_ms = start_ms + length_bars * bars.ms
    call = htx.call(Ask(kind, bars, start_ms, end_ms, limit=rules.page_limit, now_ms=NOW))
    until_ms = int(str(call.params["until"]))
    assert HISTORY_MS <= call.since_ms <= until_ms
    assert call.since_ms % 1_000 == until_ms % 1_000 == 0
    seen = bars.opens(call.since_ms, until_ms + 1)  # both ends inclusive
    window_ms = start_ms + rules.page_limit * (28 * DAY_MS if bars.is_calendar else bars.ms)
    wanted = bars.opens(max(start_ms, HISTORY_MS), min(end_ms, window_ms, NOW))
    assert set(wanted.tolist()) <= set(seen.tolist())
    assert len(seen) <= rules.page_limit
    assert call.limit == (rules.page_limit if kind == "spot" else None)


@pytest.mark.parametrize(
    ("error", "status", "body", "expected"),
    [
        (ccxt.ExchangeError, 429, '{"status":"error","err-code":"api-limit","err-msg":"…"}', RateLimited),
        (ccxt.ExchangeError, 200, '{"status":"error","err_code":1032,"err_msg":"The number of access …"}', RateLimited),
        (ccxt.ExchangeError, 200, '{"code":429,"message":"…"}', RateLimited),
        (ccxt.BadRequest, 200, '{"err-code":"invalid-parameter","err-msg":"request limit"}', RateLimited),
        (ccxt.BadSymbol, 200, '{"err-code":"invalid-parameter","err-msg":"invalid symbol"}', SymbolGone),
        (ccxt.ExchangeError, 200, '{"err_code":1013,"err_msg":"This contract symbol doesnt exist."}', SymbolGone),
        (ccxt.OnMaintenance, 200, '{"err-code":"system-maintenance","err-msg":"System is in maintenance!"}', Retryable),
        (ccxt.ExchangeError, 200, '{"err-code":"gateway-internal-error","err-msg":"Failed to load data."}', Retryable),
        (ccxt.ExchangeError, 200, '{"err-code":"timeout","err-msg":"Request Timeout"}', VenueTimeout),
        (ccxt.BadRequest, 200, '{"err-code":"invalid-parameter","err-msg":"invalid period"}', Permanent),
        (ccxt.ExchangeNotAvailable, 502, "<html>", Retryable),
    ],
)
def test_words_of_the_venue_decide(error: type[Exception], status: int, body: str, expected: type[Exception]) -> None:
    assert type(translate("htx", error(body), status=status, body=body)) is expected
