"""What every `CandleSource` holds, proved by unmodified ccxt against the local world."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
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
import yarl

from heliograph.config.settings import VenueSettings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError, RateLimited, Retryable, SymbolGone, VenueTimeout
from heliograph.core.market import Candles, Kind, Market
from heliograph.core.ports import Page
from heliograph.core.timeframe import HOUR_MS, Timeframe, parse
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget
from heliograph.sources.rest import CcxtSource

SERVED = [key for key in catalog.RULES if key[0] in {venue.name for venue in venues.VENUES}]
H = parse("1h")
FOREVER = 2**53


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    spec = TapeSpec("generated", days=200, minute_days=14)
    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0) as sandbox:
        yield sandbox


@asynccontextmanager
async def source_of(
    world: Sandbox, venue: str, kind: Kind = "spot", *, listing: Any = None, **settings: Any
) -> AsyncIterator[CcxtSource]:
    chosen = {"http_proxy": world.proxy_url, "ca_file": world.ca_file, "budget_scale": 1_000.0} | settings
    budget = LocalBudget.of(catalog.rules(venue, kind), float(chosen["budget_scale"]))
    source = CcxtSource(venue, VenueSettings.model_validate(chosen), budget, kind=kind, listing=listing)
    try:
        yield source
    finally:
        await source.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def market(venue: str, symbol: str) -> Market:
    base, quote = symbol.partition(":")[0].split("/")
    kind: Kind = "swap" if ":" in symbol else "spot"
    return Market(venue, symbol, kind, base, quote, Decimal("0.01"), Decimal("0.001"), Decimal(5))


def symbols_of(world: Sandbox, venue: str, kind: Kind) -> list[str]:
    """What the venue lists of one kind, the busiest market first."""
    listed = dict.fromkeys(o.symbol for o in world.offers() if o.venue == venue)
    return sorted((s for s in listed if (":" in s) == (kind == "swap")), key=lambda s: not s.startswith("BTC/"))


def final(world: Sandbox, venue: str, symbol: str, timeframe: str) -> Candles:
    """What the venue holds and can change no more."""
    truth, delay_ms = world.venue_candles(venue, symbol, timeframe), catalog.rules_of(venue, symbol).close_delay_ms
    bars, known_ms = grid(venue, timeframe), world.now_ms() - delay_ms
    return truth.take(np.asarray([bars.close_ms(int(t)) <= known_ms for t in truth.open_ts_ms], dtype=bool))


async def walk(source: CcxtSource, symbol: str, timeframe: str, start_ms: int, end_ms: int) -> list[Page]:
    """The plain walk over an interval, one page after the other."""
    bars, pages = grid(source.rules.venue, timeframe), []
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


@pytest.mark.parametrize(("venue", "kind"), SERVED)
class TestCandleSource:
    def test_lists_every_market_once_with_exact_ticks(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> list[Market]:
            async with source_of(world, venue, kind) as source:
                return await source.markets()

        markets = run(story())
        symbols = symbols_of(world, venue, kind)
        assert sorted(m.symbol for m in markets) == sorted(symbols)
        bitcoin = next(m for m in markets if m.symbol == symbols[0])
        assert (bitcoin.venue, bitcoin.kind, bitcoin.base) == (venue, kind, "BTC")
        if venue not in ("bitfinex", "hyperliquid"):  # they have significant digits, not ticks
            assert bitcoin.price_tick == Decimal("0.01")
        assert bitcoin.is_active
        assert all(m.price_tick > 0 and m.qty_step > 0 and m.min_notional_quote >= 0 for m in markets)

    def test_listing_is_asked_for_once_however_many_ask(self, world: Sandbox, venue: str, kind: Kind) -> None:
        def requests() -> int:
            return int(world.stats()[venue]["requests"])

        async def story(times: int) -> int:
            before = requests()
            async with source_of(world, venue, kind) as source:
                await asyncio.gather(*(source.markets() for _ in range(times)))
            return requests() - before

        assert run(story(1)) == run(story(5)) <= 7

    def test_listing_of_another_source_makes_its_own_needless(self, world: Sandbox, venue: str, kind: Kind) -> None:
        """A worker is given the driver's listing, as values that travel to another process."""
        symbol = symbols_of(world, venue, kind)[0]

        async def story() -> tuple[Page, int]:
            async with source_of(world, venue, kind) as source:
                listing = pickle.loads(pickle.dumps(await source.listing()))
            async with source_of(world, venue, kind, listing=listing) as other:
                await other.now_ms()
                before = int(world.stats()[venue]["requests"])
                page = await other.fetch_page(market(venue, symbol), H, world.now_ms() - 50 * HOUR_MS, world.now_ms())
                return page, int(world.stats()[venue]["requests"]) - before

        page, requests = run(story())
        assert len(page.candles) > 40
        assert requests == 1

    def test_reads_the_venues_clock(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> int:
            async with source_of(world, venue, kind) as source:
                return await source.now_ms()

        assert world.now_ms() - 1_000 < run(story()) <= world.now_ms(), "a Date header tells whole seconds"

    def test_walk_finds_all_history_and_nothing_else_in_the_fewest_pages(
        self, world: Sandbox, venue: str, kind: Kind
    ) -> None:
        symbol = symbols_of(world, venue, kind)[-1]
        truth, rules = final(world, venue, symbol, "1h"), catalog.rules(venue, kind)
        first_ms, end_ms = int(truth.open_ts_ms[0]), world.now_ms()

        async def story() -> list[Page]:
            async with source_of(world, venue, kind) as source:
                return await walk(source, symbol, "1h", first_ms, end_ms)

        pages = run(story())
        opens = np.concatenate([p.candles.open_ts_ms for p in pages])
        assert np.all(np.diff(opens) > 0), "each candle once, ascending"
        assert_same(Candles.concat([p.candles for p in pages]), truth)
        covered = len(truth) if rules.seeks_first else H.count(first_ms, end_ms)
        assert len(pages) <= -(-covered // rules.page_limit) + 1
        assert all(len(p.candles) <= rules.page_limit for p in pages)

    def test_every_native_timeframe_equals_the_venues_truth(self, world: Sandbox, venue: str, kind: Kind) -> None:
        symbol = symbols_of(world, venue, kind)[0]

        async def story() -> None:
            async with source_of(world, venue, kind) as source:
                for name in source.rules.timeframes:
                    truth = final(world, venue, symbol, name)
                    if len(truth):
                        pages = await walk(source, symbol, name, int(truth.open_ts_ms[0]), world.now_ms())
                        assert_same(Candles.concat([p.candles for p in pages]), truth)

        run(story())

    def test_start_is_inclusive_and_end_exclusive(self, world: Sandbox, venue: str, kind: Kind) -> None:
        opens = world.venue_candles(venue, symbols_of(world, venue, kind)[0], "1h").open_ts_ms[-20:]

        async def story() -> None:
            async with source_of(world, venue, kind) as source:
                for start, end, expected in (
                    (int(opens[2]), int(opens[7]), opens[2:7]),
                    (int(opens[2]) + 1, int(opens[7]) + 1, opens[3:8]),
                    (int(opens[4]), int(opens[4]), opens[:0]),
                ):
                    page = await source.fetch_page(market(venue, symbols_of(world, venue, kind)[0]), H, start, end)
                    assert page.candles.open_ts_ms.tolist() == expected.tolist()

        run(story())

    def test_no_page_holds_more_than_the_limit_nor_a_bar_from_outside(
        self, world: Sandbox, venue: str, kind: Kind
    ) -> None:
        symbol, rules = symbols_of(world, venue, kind)[0], catalog.rules(venue, kind)
        truth = world.venue_candles(venue, symbol, "1h")
        first = int(truth.open_ts_ms[0])

        async def story() -> Page:
            async with source_of(world, venue, kind) as source:
                return await source.fetch_page(market(venue, symbol), H, first, FOREVER)

        end = FOREVER if rules.seeks_first else first + rules.page_limit * HOUR_MS
        assert_same(run(story()).candles, truth.between(first, end).take(slice(0, rules.page_limit)))

    def test_asking_before_the_listing_invents_nothing(self, world: Sandbox, venue: str, kind: Kind) -> None:
        symbol, rules = symbols_of(world, venue, kind)[0], catalog.rules(venue, kind)
        truth = world.venue_candles(venue, symbol, "1h")
        first = int(truth.open_ts_ms[0])

        async def story(start_ms: int, end_ms: int) -> Candles:
            async with source_of(world, venue, kind) as source:
                return (await source.fetch_page(market(venue, symbol), H, start_ms, end_ms)).candles

        if rules.horizon_candles is None:
            assert len(run(story(first - 50 * HOUR_MS, first))) == 0
            expected = truth.take(slice(0, rules.page_limit)) if rules.seeks_first else Candles.empty()
            assert_same(run(story(0, FOREVER)), expected)
        else:  # the planner never asks for what lies beyond the horizon
            assert_same(run(story(first, first + 9 * HOUR_MS)), truth.between(first, first + 9 * HOUR_MS))

    def test_horizon_is_what_the_rules_say(self, world: Sandbox, venue: str, kind: Kind) -> None:
        horizon = catalog.rules(venue, kind).horizon_candles
        shown = len(world.venue_candles(venue, symbols_of(world, venue, kind)[0], "1m"))
        assert shown == horizon if horizon is not None else shown > 11_000

    def test_unfinished_bar_never_comes_out(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> None:
            async with source_of(world, venue, kind) as source:
                for step_ms in (0, HOUR_MS // 2, HOUR_MS // 2 - 1_000, 1_000):
                    if step_ms:
                        await asyncio.to_thread(world.advance, step_ms)
                    await source.now_ms()
                    now_ms = world.now_ms() - source.rules.close_delay_ms
                    page = await source.fetch_page(
                        market(venue, symbols_of(world, venue, kind)[0]), H, now_ms - 5 * HOUR_MS, FOREVER
                    )
                    assert int(page.candles.open_ts_ms[-1]) == H.floor(now_ms) - HOUR_MS

        run(story())

    def test_bar_stays_unfinished_while_the_venues_clock_stands_still(
        self, world: Sandbox, venue: str, kind: Kind
    ) -> None:
        """The machine's own time runs on, by a day: the venue's reading decides."""
        real_s = [0.0]

        async def story() -> Page:
            budget = LocalBudget.of(catalog.rules(venue, kind), 1_000.0)
            chosen = VenueSettings.model_validate({"http_proxy": world.proxy_url, "ca_file": world.ca_file})
            source = CcxtSource(venue, chosen, budget, kind=kind, monotonic_s=lambda: real_s[0])
            try:
                await source.now_ms()
                real_s[0] += 86_400
                return await source.fetch_page(
                    market(venue, symbols_of(world, venue, kind)[0]), H, world.now_ms() - 5 * HOUR_MS, FOREVER
                )
            finally:
                await source.close()

        closed_ms = world.now_ms() - catalog.rules(venue, kind).close_delay_ms
        assert int(run(story()).candles.open_ts_ms[-1]) == H.floor(closed_ms) - HOUR_MS

    def test_unknown_symbol_is_gone(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> None:
            async with source_of(world, venue, kind) as source:
                await source.fetch_page(market(venue, "GONE/USDT"), H, world.now_ms() - 5 * HOUR_MS, FOREVER)

        with pytest.raises(SymbolGone, match="GONE/USDT"):
            run(story())

    def test_symbol_that_vanished_after_the_listing_is_gone(self, world: Sandbox, venue: str, kind: Kind) -> None:
        """The venue itself says so; ccxt reports kraken's words as a plain error."""
        symbol = symbols_of(world, venue, kind)[0]

        async def story() -> None:
            async with source_of(world, venue, kind) as source:
                await source.markets()
                listed = source._client.exchange.markets[symbol]
                listed |= {
                    "id": listed["id"].replace("BTC", "GONE").replace("btc", "gone").replace("XBT", "GONE"),
                    "baseName": "GONE",
                }
                listed["id"] = "@999999" if listed["id"].startswith("@") else listed["id"]
                await source.fetch_page(market(venue, symbol), H, world.now_ms() - 5 * HOUR_MS, FOREVER)

        with pytest.raises(SymbolGone, match="does not know"):
            run(story())

    @pytest.mark.parametrize("trouble", ["rate_limit", "ban"])
    def test_rate_limit_says_how_long_to_wait(self, world: Sandbox, venue: str, kind: Kind, trouble: Any) -> None:
        with pytest.raises(RateLimited) as caught:
            run(self.ask_with(world, (venue, kind), Fault(venue, trouble)))
        assert 0 < caught.value.retry_after_s <= 60

    @pytest.mark.parametrize("trouble", ["server_error", "maintenance", "cut_body"])
    def test_trouble_of_the_venue_is_retryable(self, world: Sandbox, venue: str, kind: Kind, trouble: Any) -> None:
        with pytest.raises(Retryable) as caught:
            run(self.ask_with(world, (venue, kind), Fault(venue, trouble)))
        assert not isinstance(caught.value, RateLimited)

    def test_silence_is_a_timeout(self, world: Sandbox, venue: str, kind: Kind) -> None:
        with pytest.raises(VenueTimeout):
            run(self.ask_with(world, (venue, kind), Fault(venue, "timeout", hold_s=3.0), timeout_s=0.5))

    async def ask_with(self, world: Sandbox, served: tuple[str, Kind], fault: Fault, **settings: Any) -> None:
        venue, kind = served
        async with source_of(world, venue, kind, **settings) as source:
            await source.markets()
            await source.now_ms()
            await asyncio.to_thread(world.inject, fault)
            await source.fetch_page(
                market(venue, symbols_of(world, venue, kind)[0]), H, world.now_ms() - 5 * HOUR_MS, FOREVER
            )

    def test_wrong_authority_is_a_matter_of_settings(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> None:
            async with source_of(world, venue, kind, ca_file=None) as source:
                await source.now_ms()

        with pytest.raises(ConfigError, match=f"fetch.venues.{venue}.ca_file"):
            run(story())

    def test_timeframe_that_is_not_native_is_refused(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> None:
            async with source_of(world, venue, kind) as source:
                await source.fetch_page(market(venue, "BTC/USDT"), Timeframe("7h", 7 * HOUR_MS), 0, FOREVER)

        with pytest.raises(ConfigError, match="7h"):
            run(story())

    def test_page_can_be_traced_to_the_bytes_that_came(self, world: Sandbox, venue: str, kind: Kind) -> None:
        async def story() -> tuple[Page, bytes]:
            async with source_of(world, venue, kind) as source:
                page = await source.fetch_page(
                    market(venue, symbols_of(world, venue, kind)[0]), H, world.now_ms() - 90 * HOUR_MS, world.now_ms()
                )
            trust = ssl.create_default_context(cafile=world.ca_file)
            is_post = page.query.startswith("{")
            url = page.endpoint if is_post or not page.query else f"{page.endpoint}?{page.query}"
            headers = {"Content-Type": "application/json"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.request(
                    "POST" if is_post else "GET",
                    yarl.URL(url, encoded=True),
                    data=page.query.encode() if is_post else None,
                    proxy=world.proxy_url,
                    ssl=trust,
                ) as answer,
            ):
                return page, await answer.read()

        page, body = run(story())
        assert 80 < len(page.candles) <= 90, "the newest may not have settled"
        assert page.endpoint.startswith("https://")
        assert page.sha256 == hashlib.sha256(body).hexdigest()
        assert page.fetched_ts_ms >= world.now_ms()
        call = world.log(venue, limit=2)[0]
        assert page.endpoint.endswith(call["path"])
        assert page.query == call["query"] or page.query.startswith("{")

    def test_calls_at_the_same_time_never_mix_their_provenance(self, world: Sandbox, venue: str, kind: Kind) -> None:
        symbols = symbols_of(world, venue, kind)[:4]
        asked = [(s, world.now_ms() - n * HOUR_MS) for s in symbols for n in range(10, 20)]

        async def story() -> tuple[list[Page], list[Page]]:
            async with source_of(world, venue, kind) as source:
                alone = [await source.fetch_page(market(venue, s), H, t, t + 9 * HOUR_MS) for s, t in asked]
                return alone, await asyncio.gather(
                    *(source.fetch_page(market(venue, s), H, t, t + 9 * HOUR_MS) for s, t in asked)
                )

        alone, together = run(story())
        for one, other in zip(alone, together, strict=True):
            assert replace(one, candles=other.candles, fetched_ts_ms=other.fetched_ts_ms) == other
            assert_same(one.candles, other.candles)
        assert len({p.endpoint + p.query for p in together}) == len(asked)


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

    async def story(world: Sandbox, venue: str, kind: Kind) -> None:
        rules = catalog.rules(venue, kind)
        per_window = rules.weight_limit / rules.weight_per_page
        calls = min(int(1.2 * per_window), 60, int(20.0 * per_window / rules.window_s))
        symbol, now_ms = symbols_of(world, venue, kind)[0], world.now_ms()
        async with source_of(world, venue, kind, budget_scale=1.0) as source:
            asked = (
                source.fetch_page(market(venue, symbol), H, now_ms - i * HOUR_MS, FOREVER) for i in range(1, calls)
            )
            await asyncio.gather(*asked)

    async def all_venues(world: Sandbox) -> None:
        await asyncio.gather(*(story(world, *served) for served in SERVED if served[1] == "spot"))

    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("strict"), weight_scale=1.0) as world:
        run(all_venues(world))
        stats = world.stats()
    assert {venue: told["violations"] for venue, told in stats.items()} == dict.fromkeys(stats, 0)


def test_missing_ca_file_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    gone = str(tmp_path_factory.mktemp("no") / "ca.pem")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        CcxtSource("okx", VenueSettings.model_validate({"ca_file": gone}), LocalBudget.of(catalog.rules("okx"), 1.0))
