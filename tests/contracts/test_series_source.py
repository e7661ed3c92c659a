"""What every source of trades, funding rates and open interest holds, by unmodified ccxt against the local world."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from heliograph.config.settings import LakeSettings, VenueSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Market, kind_of
from heliograph.core.series import Points, Trades
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.ingest.page import Patience
from heliograph.ingest.series import _walk, fetch_series_shard, timeframe_of
from heliograph.lake.store import open_store
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget
from heliograph.sources.dialect import Data
from heliograph.sources.series import CcxtSeries

SERVED = [
    (venue.name, data)
    for venue in venues.VENUES
    if venue.name in catalog.DIALECTS
    for data in catalog.dialect(venue.name).series
]
PATIENCE = Patience(3, np.random.default_rng(0))


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


def source_of(world: Sandbox, venue: str, symbol: str) -> CcxtSeries:
    reach = VenueSettings.model_validate({"http_proxy": world.proxy_url, "ca_file": world.ca_file})
    budget = LocalBudget.of(catalog.rules_of(venue, symbol), 1_000.0)
    return CcxtSeries(venue, reach, budget, kind=kind_of(symbol))


@pytest.mark.parametrize(("venue", "data"), SERVED)
class TestSeriesSource:
    def test_walk_finds_every_row_once_and_nothing_else(self, world: Sandbox, venue: str, data: Data) -> None:
        symbol = symbol_of(world, venue, data)
        span_ms = 6 * HOUR_MS if data == "trades" else 25 * DAY_MS
        start_ms, end_ms = world.now_ms() - span_ms, world.now_ms() - HOUR_MS // 2

        async def story() -> list[Trades | Points]:
            source = source_of(world, venue, symbol)
            try:
                told = await _walk(
                    source, data, market(venue, symbol), (start_ms, end_ms), now_ms=world.now_ms(), patience=PATIENCE
                )
            finally:
                await source.close()
            assert told.failure is None
            return [page.rows for page in told.pages]

        parts = asyncio.run(story())
        truth = world.venue_series(venue, symbol, data, start_ms=start_ms, end_ms=end_ms)
        assert len(truth) > 5
        if data == "trades":
            found = [
                t for p in parts if isinstance(p, Trades) for t in zip(p.ts_ms, p.price, p.qty, p.is_buy, strict=True)
            ]
            assert [(int(t), float(p), float(q), bool(b)) for t, p, q, b in found] == [row[:4] for row in truth]
        else:
            told = [
                (int(t), float(v))
                for p in parts
                if isinstance(p, Points)
                for t, v in zip(p.event_ts_ms, p.value, strict=True)
            ]
            assert told == truth
            assert all((p.known_ts_ms >= p.event_ts_ms).all() for p in parts if isinstance(p, Points))

    def test_trouble_of_the_venue_is_survived(self, world: Sandbox, venue: str, data: Data, tmp_path: Path) -> None:
        symbol = symbol_of(world, venue, data)
        now_ms = world.now_ms()
        row = {"venue": venue, "timeframe": timeframe_of(data), "symbol": symbol, "pages": 1}
        row |= {"start_ms": now_ms - 3 * DAY_MS, "end_ms": now_ms - HOUR_MS}
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
        assert [r["status"] for r in rows] == ["have"]
        assert rows[0]["candles"] == len(
            world.venue_series(venue, symbol, data, start_ms=row["start_ms"], end_ms=row["end_ms"])
        )


def test_data_that_a_venue_is_not_known_to_give_is_refused(world: Sandbox) -> None:
    with pytest.raises(ConfigError, match="no funding is known to be had from binance"):
        source_of(world, "binance", "BTC/USDT").rules_of("funding")
