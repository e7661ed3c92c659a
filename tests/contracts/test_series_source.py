"""What every source of trades, funding rates and open interest holds, by unmodified ccxt against the local world."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from heliograph.config.settings import LakeSettings, VenueSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles, Market, kind_of
from heliograph.core.ports import Budget
from heliograph.core.series import Points, SeriesPage, Trades
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.ingest.page import Patience
from heliograph.ingest.series import Told, _walk, fetch_series_shard, find_first, timeframe_of
from heliograph.lake import read
from heliograph.lake.store import open_store
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.meter import Charge
from heliograph.sandbox.tape import Tape, TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget
from heliograph.sources.dialect import Data
from heliograph.sources.series import CcxtSeries, settled_ms

SERVED = [
    (venue.name, data)
    for venue in venues.VENUES
    if venue.name in catalog.DIALECTS
    for data in catalog.dialect(venue.name).series
]
PATIENCE = Patience(3, np.random.default_rng(0))
BRIEF_MS: dict[Data, int] = {"trades": 6 * HOUR_MS, "funding": 3 * DAY_MS, "open_interest": 3 * DAY_MS}
WIDTH_MS: dict[Data, int] = {"trades": 12 * HOUR_MS, "funding": 85 * DAY_MS, "open_interest": 25 * DAY_MS}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    spec = TapeSpec("generated", days=120, minute_days=6)
    with Sandbox.start(spec, folder=tmp_path_factory.mktemp("world"), weight_scale=1_000.0) as sandbox:
        yield sandbox


def symbol_of(world: Sandbox, venue: str, data: Data) -> str:
    """The busiest market that has such data: swaps alone have funding and open interest."""
    kind = "spot" if data == "trades" else "swap"
    listed = dict.fromkeys(o.symbol for o in world.offers() if o.venue == venue and kind_of(o.symbol) == kind)
    return min(listed, key=lambda s: not s.startswith("BTC/"))


def market(venue: str, symbol: str) -> Market:
    base, quote = symbol.partition(":")[0].split("/")
    return Market(venue, symbol, kind_of(symbol), base, quote, Decimal("0.01"), Decimal("0.001"), Decimal(5))


def source_of(world: Sandbox, venue: str, symbol: str, budget: Budget | None = None) -> CcxtSeries:
    reach = VenueSettings.model_validate({"http_proxy": world.proxy_url, "ca_file": world.ca_file})
    budget = budget or LocalBudget.of(catalog.rules_of(venue, symbol), 1_000.0)
    return CcxtSeries(venue, reach, budget, kind=kind_of(symbol))


def charge_of(venue: str, page: SeriesPage) -> Charge:
    """What the venue's adapter counts for the call that brought a page."""
    bars = {"1h": Candles.of([[DAY_MS + i * HOUR_MS, 1, 1, 1, 1, 1] for i in range(48)])}
    tape, clock = (
        Tape({f"{base}/USDT": bars for base in ("BTC", "ETH")}, origin=""),
        VirtualClock(2 * DAY_MS, 2 * DAY_MS),
    )
    adapter = venues.build(tape, clock)[venue]
    url = urlsplit(page.endpoint)
    if page.query.startswith("{"):
        return adapter.charge(Request(url.netloc, url.path, {}, method="POST", body=page.query.encode()))
    return adapter.charge(Request(url.netloc, url.path, dict(parse_qsl(page.query))))


def walked(
    world: Sandbox, venue: str, data: Data, interval: tuple[int, int], budget: Budget | None = None
) -> tuple[str, Told]:
    """A walk over the busiest market that has such data, and its symbol."""
    symbol = symbol_of(world, venue, data)

    async def story() -> Told:
        source = source_of(world, venue, symbol, budget)
        try:
            return await _walk(source, data, market(venue, symbol), interval, now_ms=world.now_ms(), patience=PATIENCE)
        finally:
            await source.close()

    return symbol, asyncio.run(story())


def rows_of(parts: Sequence[Trades | Points]) -> list[tuple[object, ...]]:
    """Rows as the world tells them."""
    found: list[tuple[object, ...]] = []
    for part in parts:
        names = ("ts_ms", "price", "qty", "is_buy", "ids") if isinstance(part, Trades) else ("event_ts_ms", "value")
        found += zip(*(getattr(part, name).tolist() for name in names), strict=True)
    return found


class Purse:
    """A budget that never makes anyone wait, and remembers what was taken."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, weight: float) -> None:
        self.taken.append(weight)

    def pause(self, seconds: float) -> None:
        raise AssertionError(f"the venue asked for {seconds} s of silence")

    def used(self, weight: float) -> None:
        return


@pytest.mark.parametrize(("venue", "data"), SERVED)
class TestSeriesSource:
    def test_walk_finds_every_row_once_and_nothing_else(self, world: Sandbox, venue: str, data: Data) -> None:
        start_ms, end_ms = world.now_ms() - WIDTH_MS[data], world.now_ms() - 2 * HOUR_MS
        symbol, told = walked(world, venue, data, (start_ms, end_ms))
        truth = world.venue_series(venue, symbol, data, start_ms=start_ms, end_ms=end_ms)
        parts = [page.rows for page in told.pages]
        series = catalog.dialect(venue).series[data]
        assert told.failure is None
        assert told.reached_ms == end_ms
        assert len(truth) > 5
        assert rows_of(parts) == truth
        pages = len(truth) / (series.page_limit - 1) if series.seeks_first else (end_ms - start_ms) / series.span_ms
        assert told.requests <= 1 + pages
        assert all((p.known_ts_ms >= p.event_ts_ms).all() for p in parts if isinstance(p, Points))

    def test_bounds_are_inclusive_at_the_start_and_exclusive_at_the_end(
        self, world: Sandbox, venue: str, data: Data
    ) -> None:
        symbol = symbol_of(world, venue, data)
        truth = world.venue_series(
            venue, symbol, data, start_ms=world.now_ms() - BRIEF_MS[data], end_ms=world.now_ms() - 3 * HOUR_MS
        )
        first_ms, last_ms = truth[1][0], truth[-2][0]
        _, told = walked(world, venue, data, (first_ms, last_ms))
        assert rows_of([page.rows for page in told.pages]) == [row for row in truth if first_ms <= row[0] < last_ms]
        _, none = walked(world, venue, data, (last_ms + 1, last_ms + 1))
        assert (none.pages, none.requests) == ((), 0)

    def test_what_is_settled_is_known_and_came_after_it_was(self, world: Sandbox, venue: str, data: Data) -> None:
        now_ms = world.now_ms()
        _, told = walked(world, venue, data, (now_ms - BRIEF_MS[data], settled_ms(data, now_ms)))
        assert told.pages
        assert all(now_ms <= page.fetched_ts_ms < now_ms + DAY_MS for page in told.pages)
        for page in told.pages:
            known_ms = page.rows.ts_ms if isinstance(page.rows, Trades) else page.rows.known_ts_ms
            assert (known_ms < now_ms).all()

    def test_calls_cost_what_keeps_the_venues_limit(self, world: Sandbox, venue: str, data: Data) -> None:
        """Paid by the pool's own budget, calls of nothing but this can't break the limit of their endpoint."""
        now_ms, purse = world.now_ms(), Purse()
        symbol, told = walked(world, venue, data, (now_ms - BRIEF_MS[data], now_ms - 2 * HOUR_MS), purse)
        rules, charge = catalog.rules_of(venue, symbol), charge_of(venue, told.pages[-1])
        calls_per_window = rules.weight_limit // purse.taken[-1]
        windows = -(-charge.window_s // rules.window_s)
        assert calls_per_window * windows * charge.weight <= charge.limit

    def test_trouble_of_the_venue_is_survived(self, world: Sandbox, venue: str, data: Data, tmp_path: Path) -> None:
        symbol = symbol_of(world, venue, data)
        now_ms = world.now_ms()
        start_ms, end_ms = now_ms - BRIEF_MS[data], now_ms - 2 * HOUR_MS
        row = {"venue": venue, "timeframe": timeframe_of(data), "symbol": symbol, "pages": 1}
        row |= {"start_ms": start_ms, "end_ms": end_ms}
        store = open_store(LakeSettings(uri=str(tmp_path)))

        async def sleepless(_: float) -> None:
            return

        async def story() -> list[dict[str, object]]:
            source = source_of(world, venue, symbol)
            try:
                for _ in range(2):
                    await asyncio.to_thread(world.inject, Fault(venue, "server_error"))
                    await asyncio.to_thread(world.inject, Fault(venue, "cut_body"))
                patience = Patience(8, np.random.default_rng(0), sleepless)
                return await fetch_series_shard(
                    source, store, row, data=data, market=market(venue, symbol), now_ms=now_ms, patience=patience
                )
            finally:
                await source.close()

        rows = asyncio.run(story())
        truth = world.venue_series(venue, symbol, data, start_ms=start_ms, end_ms=end_ms)
        assert [r["status"] for r in rows] == ["have"]
        assert rows[0]["candles"] == len(truth)
        stored = read.read_part(store, str(rows[0]["path"]), table=data)
        assert isinstance(stored, Trades | Points)
        assert rows_of([stored]) == truth


@pytest.mark.parametrize(("venue", "data"), [(v, d) for v, d in SERVED if catalog.dialect(v).series[d].seeks_first])
def test_first_row_ever_is_found_in_one_request(world: Sandbox, venue: str, data: Data) -> None:
    symbol = symbol_of(world, venue, data)

    async def story() -> tuple[int | None, int]:
        source = source_of(world, venue, symbol)
        ask = partial(find_first, source, data, market(venue, symbol), now_ms=world.now_ms(), patience=PATIENCE)
        try:
            await ask()  # the listing is had once
            before = await asyncio.to_thread(world.stats)
            return await ask(), (await asyncio.to_thread(world.stats))[venue]["requests"] - before[venue]["requests"]
        finally:
            await source.close()

    assert asyncio.run(story()) == (world.venue_series(venue, symbol, data)[0][0], 1)


def test_data_that_a_venue_is_not_known_to_give_is_refused(world: Sandbox) -> None:
    with pytest.raises(ConfigError, match="no funding is known to be had from binance"):
        source_of(world, "binance", "BTC/USDT").rules_of("funding")
