"""Fetch what the lake lacks: survey, plan, spread over the cluster, and commit what comes, every venue at its own pace."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from heliograph.cluster.bulk import Desk, stream
from heliograph.cluster.crew import RayCrew, budget, open_series, open_source
from heliograph.cluster.governor import governor
from heliograph.config.settings import Selection, Settings
from heliograph.core.errors import ConfigError, Permanent, Retryable
from heliograph.core.market import Market, VenueRules, kind_of
from heliograph.ingest import series
from heliograph.ingest.bulk import Carved, carve
from heliograph.ingest.landing import Landing
from heliograph.ingest.page import Patience
from heliograph.ingest.plan import Lane, Outline, Plan, outline, plan
from heliograph.ingest.select import kinds, require_matches, venues
from heliograph.ingest.series import KINDS_OF_DATA
from heliograph.ingest.spread import Job, Spread
from heliograph.ingest.survey import survey
from heliograph.ingest.tally import ARCHIVES, FetchReport, Tally
from heliograph.lake import coverage
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.write import Row
from heliograph.sources.archive.venues import layouts
from heliograph.sources.catalog import dialect
from heliograph.sources.dialect import Data, SeriesRules
from heliograph.sources.rest import CcxtSource
from heliograph.telemetry.progress import Bar
from heliograph.wiring import catalogue

__all__ = ["FetchReport", "budget", "preview", "run"]


def run(settings: Settings, shown: Bar) -> FetchReport:
    """Survey the venues, plan, fetch, commit. A venue that does not answer is left out and told in the report.

    Raises:
        ConfigError: a selection names a venue, symbol or timeframe that is not there.
        Retryable: no venue answers, the store is away, or another run is committing to this lake.
    """
    with Landing(settings.lake, _me()) as landing:
        catalogue.write_origin(settings.lake, settings.data_origin)
        told = Tally(shown)
        asyncio.run(_run(settings, landing, told))
    return told.report(landing.version)


def preview(settings: Settings) -> list[Outline]:
    """What `run` would do, by venue and kind, the longest first; asks the venues, writes nothing.

    Raises:
        ConfigError, Retryable: as `run`.
    """
    return asyncio.run(_preview(settings))


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class _Found:
    """One lane, ready to be planned."""

    lane: Lane
    source: CcxtSource
    markets: tuple[Market, ...]

    @property
    def rules(self) -> VenueRules:
        """Of its candles."""
        return self.source.rules

    @property
    def now_ms(self) -> int:
        """The venue's clock, as far as it has been read."""
        return self.source.clock.guess_ms() or 0


class _Survey:
    """The venues' sources in the driver; only they ask for markets and for how far histories reach."""

    def __init__(self, settings: Settings, holder: str) -> None:
        self._settings = settings
        fetch = settings.fetch
        lanes = [
            (venue, kind)
            for venue in venues(fetch.venues, fetch.selections)
            for kind in kinds(venue, dialect(venue).rules, fetch.selections)
        ]
        self._sources = {lane: open_source(lane, fetch, holder=holder) for lane in lanes}
        self.lost: dict[Lane, Retryable | Permanent] = {}

    async def found(self) -> list[_Found]:
        """Every lane that answers; those that do not are in ``lost``.

        Raises:
            ConfigError: a selection names what is not there.
            Retryable: no venue answers.
        """
        listed = await asyncio.gather(*(self._markets(lane) for lane in self._sources))
        found = [f for f in listed if f is not None]
        if self.lost and not found:
            raise next(iter(self.lost.values()))
        require_matches([(f.rules, f.markets) for f in found], self._selections())
        return found

    async def plan(self, found: _Found, known: pa.Table) -> Plan | None:
        """What one lane has to do; None where it no longer answers."""
        settings, selections = self._settings.fetch, self._selections()
        mine = known.filter(pc.field("venue") == found.lane[0])
        try:
            said = await survey(
                found.source, mine, selections, attempts=settings.attempts, in_flight=settings.pages_in_flight
            )
        except (Retryable, Permanent) as e:
            self.lost[found.lane] = e
            return None
        make = partial(plan, [said], mine, selections, pages_per_shard=settings.pages_per_shard)
        return await asyncio.to_thread(make)

    async def close(self) -> None:
        """Free the connections."""
        await asyncio.gather(*(source.close() for source in self._sources.values()))

    async def _markets(self, lane: Lane) -> _Found | None:
        try:
            source = self._sources[lane]
            return _Found(lane, source, tuple(await source.markets()))
        except (Retryable, Permanent) as e:
            self.lost[lane] = e
            return None

    def _selections(self) -> list[Selection]:
        """Without the venues that do not answer."""
        silent = {venue for venue, _ in self.lost} - {v for v, k in self._sources if (v, k) not in self.lost}
        left = [
            s.model_copy(update={"venues": tuple(v for v in s.venues if v not in silent)})
            for s in self._settings.fetch.selections
        ]
        return [s for s in left if s.venues]


async def _preview(settings: Settings) -> list[Outline]:
    scout = _Survey(settings, _me())
    try:
        found = await scout.found()
        known = coverage.read(settings.lake)
        plans = await asyncio.gather(*(scout.plan(f, known) for f in found))
        made = [(f, _carved(settings, f, p)) for f, p in zip(found, plans, strict=True) if p is not None]
        rows = [row for f, carved in made for row in _outline(settings, f, carved)]
        return sorted(rows, key=lambda row: -row.seconds)
    finally:
        await scout.close()


def _outline(settings: Settings, found: _Found, made: Carved) -> list[Outline]:
    scales = {venue: said.budget_scale for venue, said in settings.fetch.venues.items()}
    rules = {found.lane: found.rules}
    files = outline(Plan(made.bulk, made.rest.reasons), rules, scales=scales)
    return [*outline(made.rest, rules, scales=scales), *(replace(row, what=ARCHIVES, seconds=0.0) for row in files)]


async def _run(settings: Settings, landing: Landing, told: Tally) -> None:
    lake = f"{settings.lake.uri}@"
    me = f"{lake}{landing.epoch}/"
    governor().abandon.remote(lake, but=me)  # the lease says that whoever fetched into this lake before is dead
    crew = RayCrew(settings.fetch, settings.lake, me)
    scout = _Survey(settings, f"{me}driver/")

    def land(job: Job, rows: list[Row]) -> None:
        told.landed((job.lane, job.data), job.row["pages"], rows)
        landing.land(job.data, rows)

    fetch = settings.fetch
    spread = Spread(crew, workers=fetch.workers, per_worker=fetch.pages_in_flight, land=land)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(landing.run())
            tasks.create_task(_work(settings, scout, spread, landing, told))
    except* (ConfigError, Retryable, Permanent) as many:
        raise many.exceptions[0]  # noqa: B904 - the group says nothing that the error does not
    finally:
        crew.dismiss()
        await scout.close()
    told.again = spread.again
    told.failed += [f"{venue} {kind}: {error}" for (venue, kind), error in scout.lost.items()]


async def _work(settings: Settings, scout: _Survey, spread: Spread, landing: Landing, told: Tally) -> None:
    """Plan every lane as soon as its venue has answered, and fetch what is planned meanwhile."""
    found = await scout.found()
    known = coverage.read(settings.lake)
    for venue in dict.fromkeys(f.lane[0] for f in found):
        catalogue.write(settings.lake, venue, [m for f in found if f.lane[0] == venue for m in f.markets])

    others = {data: coverage.read(settings.lake, data) for data in _others(settings)}
    files: dict[Lane, tuple[pa.Table, Desk]] = {}

    async def prepare(lane: _Found) -> None:
        made = await scout.plan(lane, known)
        if made is None:
            return
        carved = _carved(settings, lane, made)
        reasons = carved.rest.reasons.to_pylist()
        landing.land(CANDLES_TABLE, [], reasons)
        told.fail(row for row in reasons if row["status"] == "fetch_failed")
        for row in _outline(settings, lane, carved):
            told.planned(row)
        await _add(settings, spread, lane, carved.rest.shards, data=CANDLES_TABLE)
        if carved.bulk.num_rows:
            files[lane.lane] = carved.bulk, await _desk(lane, carved.bulk)
        await _add_series(settings, spread, lane, others, landing, told)

    async def prepare_all() -> None:
        await asyncio.gather(*(prepare(lane) for lane in found))
        spread.close()
        if files:
            await _unpack(settings, files, landing, told)

    await asyncio.gather(prepare_all(), spread.run())
    landing.close()


def _carved(settings: Settings, lane: _Found, made: Plan) -> Carved:
    """What of a lane's plan bulk archives do, and a paid provider in place of nobody."""
    fetch = settings.fetch
    return carve(
        made,
        lane.rules,
        {m.symbol: m for m in lane.markets},
        layouts(*lane.lane) if fetch.archives else (),
        now_ms=lane.now_ms,
        pages_per_shard=fetch.pages_per_shard,
        has_fallback=fetch.fallback is not None,
    )


async def _desk(lane: _Found, shards: pa.Table) -> Desk:
    planned = set(shards.column("symbol").unique().to_pylist())
    listing = [raw for raw in await lane.source.listing() if raw["symbol"] in planned]
    return Desk({m.symbol: m for m in lane.markets if m.symbol in planned}, lane.now_ms, listing)


async def _unpack(
    settings: Settings, files: Mapping[Lane, tuple[pa.Table, Desk]], landing: Landing, told: Tally
) -> None:
    """Let Ray Data fetch what lies in archives; its answers come in another thread."""
    shards = pa.concat_tables([table for table, _ in files.values()])
    desks = {lane: desk for lane, (_, desk) in files.items()}
    loop = asyncio.get_running_loop()

    def land(rows: list[Row]) -> None:
        landing.land(CANDLES_TABLE, rows)
        for row in rows:
            told.landed(((row["venue"], kind_of(row["symbol"])), ARCHIVES), row["pages"], [row])

    def drain() -> None:
        holder = f"{settings.lake.uri}@{landing.epoch}/files/"
        for rows in stream(settings.fetch, settings.lake, holder, shards, desks):
            loop.call_soon_threadsafe(land, rows)

    await asyncio.to_thread(drain)


def _others(settings: Settings) -> list[Data]:
    """What is wanted beside candles."""
    return [data for data in KINDS_OF_DATA if any(data in s.data for s in settings.fetch.selections)]


async def _add_series(
    settings: Settings, spread: Spread, lane: _Found, covered: Mapping[Data, pa.Table], landing: Landing, told: Tally
) -> None:
    """Plan what is wanted beside candles and what the lane's venue gives; only swaps have funding and interest."""
    venue, kind = lane.lane
    offered, scale = dialect(venue).series, settings.fetch.venues[venue].budget_scale
    rules = {d: offered[d] for d in covered if d in offered and (kind == "swap") == (d != "trades")}
    wished = (covered, settings.fetch.selections)
    markets, begins = await _begins(settings, lane, rules, wished, told)
    for data, reasons in series.reasons(rules, markets, *wished, now_ms=lane.now_ms, begins=begins).items():
        landing.land(data, [], reasons.to_pylist())
    for data, shards in series.plan(rules, markets, *wished, now_ms=lane.now_ms, begins=begins).items():
        if shards.num_rows:
            told.planned(series.outline_of(data, lane.rules, shards, scale=scale))
        await _add(settings, spread, lane, shards, data=data)


async def _begins(
    settings: Settings,
    lane: _Found,
    rules: Mapping[Data, SeriesRules],
    wished: tuple[Mapping[Data, pa.Table], Sequence[Selection]],
    told: Tally,
) -> tuple[list[Market], dict[tuple[Data, str], int]]:
    """Where series begin of markets whose listing does not say so; the markets without those that can't tell now."""
    markets = {m.symbol: m for m in lane.markets}
    sought = series.unknown_begins(rules, lane.markets, *wished, now_ms=lane.now_ms)
    if not sought:
        return list(lane.markets), {}
    source = open_series(lane.lane, settings.fetch, holder=_me(), listing=await lane.source.listing())
    patience = Patience(settings.fetch.attempts, np.random.default_rng(0))
    begins: dict[tuple[Data, str], int] = {}

    async def begin(data: Data, symbol: str) -> None:
        """What can't be told now is left to the next run."""
        try:
            first_ms = await series.find_first(source, data, markets[symbol], now_ms=lane.now_ms, patience=patience)
        except (Retryable, Permanent) as e:
            told.failed.append(f"{lane.lane[0]} {symbol} {data}: {e}")
        else:
            begins[data, symbol] = lane.now_ms if first_ms is None else first_ms

    try:
        await asyncio.gather(*(begin(*key) for key in sought))
    finally:
        await source.close()
    lost = {symbol for data, symbol in sought if (data, symbol) not in begins}
    return [m for m in lane.markets if m.symbol not in lost], begins


async def _add(settings: Settings, spread: Spread, lane: _Found, shards: pa.Table, *, data: str) -> None:
    if not shards.num_rows:
        return
    planned = set(shards.column("symbol").unique().to_pylist())
    listing = [raw for raw in await lane.source.listing() if raw["symbol"] in planned]
    rate = lane.rules.weight_per_s * settings.fetch.venues[lane.lane[0]].budget_scale / lane.rules.weight_per_page
    spread.add(
        lane.lane,
        shards,
        data=data,
        markets={m.symbol: m for m in lane.markets if m.symbol in planned},
        listing=(ray.put(listing),),  # in a tuple: Ray would else open it for every call
        pages_per_s=rate,
    )
