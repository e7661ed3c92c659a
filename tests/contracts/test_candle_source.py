"""What every `CandleSource` holds, proved by unmodified ccxt against the local world."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import aiohttp
import numpy as np
import pytest

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, RateLimited, Retryable, SymbolGone, VenueTimeout
from heliograph.core.market import Candles, Market
from heliograph.core.ports import Page
from heliograph.core.timeframe import HOUR_MS, TIMEFRAMES, parse
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget
from heliograph.sources.rest import CcxtSource

VENUES = ("binance", "okx", "kraken")
H = parse("1h")
CANDLES = {"binance": "klines", "okx": "candles", "kraken": "OHLC"}
FOREVER = 2**53


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    spec = TapeSpec("generated", days=200, minute_days=8)
    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0) as sandbox:
        yield sandbox


@asynccontextmanager
async def source_of(world: Sandbox, venue: str, **settings: Any) -> AsyncIterator[CcxtSource]:
    chosen = {"http_proxy": world.proxy_url, "ca_file": world.ca_file, "budget_scale": 1_000.0} | settings
    budget = LocalBudget.of(catalog.rules(venue), float(chosen["budget_scale"]))
    source = CcxtSource(venue, VenueSettings.model_validate(chosen), budget.acquire)
    try:
        yield source
    finally:
        await source.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def market(venue: str, symbol: str = "BTC/USDT") -> Market:
    base, quote = symbol.split("/")
    return Market(venue, symbol, "spot", base, quote, Decimal("0.01"), Decimal("0.001"), Decimal(5))


async def walk(source: CcxtSource, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> list[Page]:
    """The plain walk over an interval, one page after the other."""
    bars, pages = parse(timeframe), []
    while start_ms < end_ms:
        page = await source.fetch_page(market(source.rules.venue, symbol), bars, start_ms, end_ms)
        pages.append(page)
        if len(page.candles):
            start_ms = bars.next(int(page.candles.open_ts_ms[-1]))
        else:
            start_ms = end_ms if source.rules.seeks_first else start_ms + source.rules.page_limit * bars.ms
    return pages


def assert_same(found: Candles, truth: Candles) -> None:
    for f in fields(Candles):
        np.testing.assert_array_equal(getattr(found, f.name), getattr(truth, f.name), err_msg=f.name)


@pytest.mark.parametrize("venue", VENUES)
class TestCandleSource:
    def test_lists_every_market_once_with_exact_ticks(self, world: Sandbox, venue: str) -> None:
        async def story() -> list[Market]:
            async with source_of(world, venue) as source:
                return await source.markets()

        markets = run(story())
        assert [m.symbol for m in markets] == list(dict.fromkeys(o.symbol for o in world.offers() if o.venue == venue))
        bitcoin = next(m for m in markets if m.symbol == "BTC/USDT")
        assert (bitcoin.venue, bitcoin.kind, bitcoin.base, bitcoin.quote) == (venue, "spot", "BTC", "USDT")
        assert bitcoin.price_tick == Decimal("0.01")
        assert bitcoin.is_active
        assert all(m.price_tick > 0 and m.qty_step > 0 and m.min_notional_quote >= 0 for m in markets)

    def test_listing_takes_as_few_requests_as_the_venue_allows(self, world: Sandbox, venue: str) -> None:
        before = world.stats()[venue]["requests"]

        async def story() -> None:
            async with source_of(world, venue) as source:
                await asyncio.gather(*(source.markets() for _ in range(5)))

        run(story())
        assert world.stats()[venue]["requests"] - before == {"binance": 1, "okx": 1, "kraken": 2}[venue]

    def test_reads_the_venues_clock(self, world: Sandbox, venue: str) -> None:
        async def story() -> int:
            async with source_of(world, venue) as source:
                return await source.now_ms()

        assert run(story()) == world.now_ms()

    def test_walk_finds_all_history_and_nothing_else_in_the_fewest_pages(self, world: Sandbox, venue: str) -> None:
        truth, rules = (
            world.venue_candles(venue, "SOL/USDT" if venue != "kraken" else "XRP/USDT", "1h"),
            catalog.rules(venue),
        )
        symbol = "SOL/USDT" if venue != "kraken" else "XRP/USDT"
        first_ms, end_ms = int(truth.open_ts_ms[0]), world.now_ms()

        async def story() -> list[Page]:
            async with source_of(world, venue) as source:
                return await walk(source, symbol, "1h", first_ms, end_ms)

        pages = run(story())
        opens = np.concatenate([p.candles.open_ts_ms for p in pages])
        assert np.all(np.diff(opens) > 0), "each candle once, ascending"
        assert_same(Candles.concat([p.candles for p in pages]), truth)
        covered = len(truth) if rules.seeks_first else H.count(first_ms, end_ms)
        assert len(pages) <= -(-covered // rules.page_limit) + 1
        assert all(len(p.candles) <= rules.page_limit for p in pages)

    def test_every_native_timeframe_equals_the_venues_truth(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with source_of(world, venue) as source:
                for name in source.rules.timeframes:
                    truth = world.venue_candles(venue, "BTC/USDT", name)
                    if len(truth):
                        pages = await walk(source, "BTC/USDT", name, int(truth.open_ts_ms[0]), world.now_ms())
                        assert_same(Candles.concat([p.candles for p in pages]), truth)

        run(story())

    def test_start_is_inclusive_and_end_exclusive(self, world: Sandbox, venue: str) -> None:
        opens = world.venue_candles(venue, "BTC/USDT", "1h").open_ts_ms[-20:]

        async def story() -> None:
            async with source_of(world, venue) as source:
                for start, end, expected in (
                    (int(opens[2]), int(opens[7]), opens[2:7]),
                    (int(opens[2]) + 1, int(opens[7]) + 1, opens[3:8]),
                    (int(opens[4]), int(opens[4]), opens[:0]),
                ):
                    page = await source.fetch_page(market(venue), H, start, end)
                    assert page.candles.open_ts_ms.tolist() == expected.tolist()

        run(story())

    def test_no_page_holds_more_than_the_limit_nor_a_bar_from_outside(self, world: Sandbox, venue: str) -> None:
        truth, limit = world.venue_candles(venue, "BTC/USDT", "1h"), catalog.rules(venue).page_limit
        first = int(truth.open_ts_ms[0])

        async def story() -> Page:
            async with source_of(world, venue) as source:
                return await source.fetch_page(market(venue), H, first, FOREVER)

        assert_same(run(story()).candles, truth.between(first, FOREVER).take(slice(0, limit)))

    def test_asking_before_the_listing_invents_nothing(self, world: Sandbox, venue: str) -> None:
        truth = world.venue_candles(venue, "BTC/USDT", "1h")
        first = int(truth.open_ts_ms[0])

        async def story() -> tuple[Page, Page]:
            async with source_of(world, venue) as source:
                before = await source.fetch_page(market(venue), H, first - 50 * HOUR_MS, first)
                return before, await source.fetch_page(market(venue), H, 0, FOREVER)

        before, from_epoch = run(story())
        assert len(before.candles) == 0
        expected = (
            truth.take(slice(0, catalog.rules(venue).page_limit))
            if catalog.rules(venue).seeks_first
            else Candles.empty()
        )
        assert_same(from_epoch.candles, expected)

    def test_horizon_is_what_the_rules_say(self, world: Sandbox, venue: str) -> None:
        horizon = catalog.rules(venue).horizon_candles
        shown = len(world.venue_candles(venue, "BTC/USDT", "1h"))
        assert shown == horizon if horizon is not None else shown > 4_000

    def test_unfinished_bar_never_comes_out(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with source_of(world, venue) as source:
                for step_ms in (0, HOUR_MS // 2, HOUR_MS // 2 - 1_000, 1_000):
                    if step_ms:
                        await asyncio.to_thread(world.advance, step_ms)
                    await source.now_ms()
                    now_ms = world.now_ms()
                    page = await source.fetch_page(market(venue), H, now_ms - 5 * HOUR_MS, FOREVER)
                    assert int(page.candles.open_ts_ms[-1]) == H.floor(now_ms) - HOUR_MS

        run(story())

    def test_bar_stays_unfinished_while_the_venues_clock_stands_still(self, world: Sandbox, venue: str) -> None:
        """The machine's own time runs on, by a day: the venue's reading decides."""
        real_s = [0.0]

        async def story() -> Page:
            budget = LocalBudget.of(catalog.rules(venue), 1_000.0)
            chosen = VenueSettings.model_validate({"http_proxy": world.proxy_url, "ca_file": world.ca_file})
            source = CcxtSource(venue, chosen, budget.acquire, monotonic_s=lambda: real_s[0])
            try:
                await source.now_ms()
                real_s[0] += 86_400
                return await source.fetch_page(market(venue), H, world.now_ms() - 5 * HOUR_MS, FOREVER)
            finally:
                await source.close()

        assert int(run(story()).candles.open_ts_ms[-1]) == H.floor(world.now_ms()) - HOUR_MS

    def test_unknown_symbol_is_gone(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with source_of(world, venue) as source:
                await source.fetch_page(market(venue, "GONE/USDT"), H, 0, FOREVER)

        with pytest.raises(SymbolGone, match="GONE/USDT"):
            run(story())

    def test_symbol_that_vanished_after_the_listing_is_gone(self, world: Sandbox, venue: str) -> None:
        """The venue itself says so; ccxt reports kraken's words as a plain error."""

        async def story() -> None:
            async with source_of(world, venue) as source:
                await source.markets()
                source._client.exchange.markets["BTC/USDT"]["id"] = "GONEUSDT"
                await source.fetch_page(market(venue), H, 0, FOREVER)

        with pytest.raises(SymbolGone, match="does not know"):
            run(story())

    @pytest.mark.parametrize("kind", ["rate_limit", "ban"])
    def test_rate_limit_says_how_long_to_wait(self, world: Sandbox, venue: str, kind: Any) -> None:
        with pytest.raises(RateLimited) as caught:
            run(self.ask_with(world, venue, Fault(venue, kind, path=CANDLES[venue])))
        assert 0 < caught.value.retry_after_s <= 60

    @pytest.mark.parametrize("kind", ["server_error", "maintenance", "cut_body"])
    def test_trouble_of_the_venue_is_retryable(self, world: Sandbox, venue: str, kind: Any) -> None:
        with pytest.raises(Retryable) as caught:
            run(self.ask_with(world, venue, Fault(venue, kind, path=CANDLES[venue])))
        assert not isinstance(caught.value, RateLimited)

    def test_silence_is_a_timeout(self, world: Sandbox, venue: str) -> None:
        with pytest.raises(VenueTimeout):
            run(self.ask_with(world, venue, Fault(venue, "timeout", path=CANDLES[venue], hold_s=3.0), timeout_s=0.5))

    async def ask_with(self, world: Sandbox, venue: str, fault: Fault, **settings: Any) -> None:
        async with source_of(world, venue, **settings) as source:
            await source.markets()
            await asyncio.to_thread(world.inject, fault)
            await source.fetch_page(market(venue), H, world.now_ms() - 5 * HOUR_MS, FOREVER)

    def test_wrong_authority_is_a_matter_of_settings(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with source_of(world, venue, ca_file=None) as source:
                await source.now_ms()

        with pytest.raises(ConfigError, match=f"fetch.venues.{venue}.ca_file"):
            run(story())

    def test_timeframe_that_is_not_native_is_refused(self, world: Sandbox, venue: str) -> None:
        async def story() -> None:
            async with source_of(world, venue) as source:
                await source.fetch_page(market(venue), TIMEFRAMES["3d"], 0, FOREVER)

        with pytest.raises(ConfigError, match="3d"):
            run(story())

    def test_page_can_be_traced_to_the_bytes_that_came(self, world: Sandbox, venue: str) -> None:
        async def story() -> tuple[Page, bytes]:
            async with source_of(world, venue) as source:
                page = await source.fetch_page(market(venue), H, world.now_ms() - 90 * HOUR_MS, world.now_ms())
            trust = ssl.create_default_context(cafile=world.ca_file)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{page.endpoint}?{page.query}", proxy=world.proxy_url, ssl=trust) as answer,
            ):
                return page, await answer.read()

        page, body = run(story())
        assert len(page.candles) == 90
        assert page.endpoint.startswith("https://")
        assert page.sha256 == hashlib.sha256(body).hexdigest()
        assert page.fetched_ts_ms >= world.now_ms()
        call = world.log(venue, limit=2)[0]
        assert page.endpoint.endswith(call["path"])
        assert page.query == call["query"]

    def test_calls_at_the_same_time_never_mix_their_provenance(self, world: Sandbox, venue: str) -> None:
        symbols = ("BTC/USDT", "ETH/USDT", "XRP/USDT", "DOGE/USDT")
        asked = [(s, world.now_ms() - n * HOUR_MS) for s in symbols for n in range(10, 20)]

        async def story() -> tuple[list[Page], list[Page]]:
            async with source_of(world, venue) as source:
                alone = [await source.fetch_page(market(venue, s), H, t, FOREVER) for s, t in asked]
                return alone, await asyncio.gather(
                    *(source.fetch_page(market(venue, s), H, t, FOREVER) for s, t in asked)
                )

        alone, together = run(story())
        for one, other in zip(alone, together, strict=True):
            assert replace(one, candles=other.candles, fetched_ts_ms=other.fetched_ts_ms) == other
            assert_same(one.candles, other.candles)
        assert len({p.query for p in together}) == len(asked)


def test_after_a_rate_limit_every_later_call_of_the_source_waits(world: Sandbox) -> None:
    """A second call during the penalty is what turns a 429 into a ban."""

    async def story() -> tuple[float, float]:
        async with source_of(world, "binance") as source:
            await source.markets()
            await asyncio.to_thread(world.inject, Fault("binance", "rate_limit", path="time"))
            with pytest.raises(RateLimited) as caught:
                await source.now_ms()
            started_s = time.monotonic()
            await source.now_ms()
            return caught.value.retry_after_s, time.monotonic() - started_s

    asked_s, waited_s = run(story())
    assert waited_s >= asked_s - 0.05


@pytest.mark.e2e
def test_published_limits_are_never_exceeded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """At the limit that each venue publishes, and as fast as the budget allows: not one request too many."""
    spec = TapeSpec("generated", days=60, minute_days=3)

    async def story(world: Sandbox, venue: str, calls: int) -> None:
        async with source_of(world, venue, budget_scale=1.0) as source:
            await asyncio.gather(*(source.fetch_page(market(venue), H, i * HOUR_MS, FOREVER) for i in range(calls)))

    async def all_venues(world: Sandbox) -> None:
        await asyncio.gather(story(world, "binance", 200), story(world, "okx", 40), story(world, "kraken", 2))

    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("strict"), weight_scale=1.0) as world:
        run(all_venues(world))
        stats = world.stats()
    assert {venue: stats[venue]["violations"] for venue in VENUES} == dict.fromkeys(VENUES, 0)


def test_missing_ca_file_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    gone = str(tmp_path_factory.mktemp("no") / "ca.pem")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        CcxtSource(
            "okx", VenueSettings.model_validate({"ca_file": gone}), LocalBudget.of(catalog.rules("okx"), 1.0).acquire
        )
