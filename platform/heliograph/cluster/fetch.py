"""Fetch what the lake lacks: survey, plan, spread over the cluster, and commit what comes, every venue at its own pace."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import ray

from heliograph.cluster.crew import Counted, RayCrew, budget, open_source
from heliograph.cluster.governor import governor
from heliograph.config.settings import Selection, Settings
from heliograph.core.errors import ConfigError, Permanent, Retryable, SymbolGone
from heliograph.core.market import Market, VenueRules
from heliograph.ingest.landing import Landing
from heliograph.ingest.plan import Lane, Outline, Plan, outline, plan
from heliograph.ingest.select import kinds, require_matches, venues
from heliograph.ingest.shard import fetch_shard
from heliograph.ingest.spread import Job, Spread
from heliograph.ingest.survey import survey
from heliograph.lake import coverage
from heliograph.lake.audit import BadPart
from heliograph.lake.commit import Committer
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.store import open_store
from heliograph.lake.write import Row
from heliograph.sources.catalog import dialect
from heliograph.sources.rest import CcxtSource
from heliograph.telemetry.progress import Bar, duration
from heliograph.wiring import catalogue

__all__ = ["FetchReport", "budget", "preview", "repair", "run"]


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What one run did.

    Attributes:
        requests: candle pages asked for.
        requests_minimum: fewest pages that could have brought what was planned.
        failed: shards, and whole venues, that the next run will try again, each with its reason.
        version: of the candles table, after it.
        again: shards that were sent again because their worker was lost.
    """

    shards: int
    candles: int
    requests: int
    requests_minimum: int
    failed: tuple[str, ...]
    version: int
    again: int = 0


def run(settings: Settings, shown: Bar) -> FetchReport:
    """Survey the venues, plan, fetch, commit. A venue that does not answer is left out and told in the report.

    Raises:
        ConfigError: a selection names a venue, symbol or timeframe that is not there.
        Retryable: no venue answers, the store is away, or another run is committing to this lake.
    """
    with Landing(settings.lake, _me()) as landing:
        catalogue.write_origin(settings.lake, settings.data_origin)
        told = _Told(shown)
        asyncio.run(_run(settings, landing, told))
    return told.report(landing.version)


def preview(settings: Settings) -> list[Outline]:
    """What `run` would do, by venue and kind, the longest first; asks the venues, writes nothing.

    Raises:
        ConfigError, Retryable: as `run`.
    """
    return asyncio.run(_preview(settings))


def repair(settings: Settings, bad: Sequence[BadPart], shown: Bar) -> tuple[str, ...]:
    """Fetch the candles of broken parts again and swap the parts.

    Returns:
        Those that could not be mended, each with the reason; they stay as they are.
    """
    stuck = []
    with Committer(settings.lake, open_store(settings.lake), _me()) as committer:
        for count, part in enumerate(bad, start=1):
            try:
                rows = asyncio.run(_again(settings, part))
                if sum(row["candles"] for row in rows) < part.part["candles"]:
                    raise SymbolGone("the venue no longer gives all of its candles; put the file back from a backup")
                committer.replace(part.part, rows)
            except (Retryable, SymbolGone) as e:
                stuck.append(f"{part}: {e}")
            shown.reach(count / len(bad), part.symbol)
    return tuple(stuck)


async def _again(settings: Settings, part: BadPart) -> list[Row]:
    market = catalogue.read(settings.lake, part.venue)[part.venue, part.symbol]
    names = ("venue", "timeframe", "symbol", "start_ms", "end_ms")
    row = {**{name: getattr(part, name) for name in names}, "pages": 1}
    origin = open_source((part.venue, market.kind), settings.fetch, holder=_me())
    try:
        attempts = settings.fetch.attempts
        return await fetch_shard(Counted(origin), open_store(settings.lake), row, market=market, attempts=attempts)
    finally:
        await origin.close()


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(slots=True)
class _Told:
    """What a run has done so far, and the bars that say so."""

    shown: Bar
    shards: int = 0
    candles: int = 0
    requests: int = 0
    pages: int = 0
    again: int = 0
    failed: list[str] = field(default_factory=list)
    lanes: dict[Lane, tuple[Bar, list[int]]] = field(default_factory=dict)

    def planned(self, row: Outline) -> None:
        """A lane has so much to do."""
        lane = (row.venue, row.kind)
        self.shards += row.shards
        self.pages += row.requests
        self.shown.tell(words(row))
        self.lanes[lane] = self.shown.lane(f"{row.venue} {row.kind}", row.seconds), [0, row.requests, 0]

    def landed(self, job: Job, rows: Sequence[Row]) -> None:
        """A shard is done."""
        bar, tally = self.lanes[job.lane]
        tally[0] += job.row["pages"]
        tally[2] += sum(row["candles"] for row in rows)
        self.candles += sum(row["candles"] for row in rows)
        self.requests += sum(row["requests"] for row in rows)
        self.fail(row for row in rows if row["status"] == "fetch_failed")
        bar.reach(tally[0] / tally[1], f"{tally[2]:,} candles")
        done = sum(tally[0] for _, tally in self.lanes.values())
        self.shown.reach(done / self.pages, f"{self.candles:,} candles")

    def fail(self, rows: Iterable[Row]) -> None:
        """What the next run will try again."""
        self.failed += [f"{row['venue']} {row['symbol']} {row['timeframe']}: {row['detail']}" for row in rows]

    def report(self, version: int) -> FetchReport:
        """At the end."""
        return FetchReport(
            self.shards, self.candles, self.requests, self.pages, tuple(self.failed), version, again=self.again
        )


def words(row: Outline) -> str:
    """A plan's row as a line to read before it starts."""
    return (
        f"{row.venue:<12} {row.kind:<5} {row.symbols:>6,} symbols {row.requests:>9,} requests "
        f"{row.candles:>14,} candles {row.size_bytes / 2**20:>9,.0f} MB {duration(row.seconds):>9}"
    )


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
                Counted(found.source), mine, selections, attempts=settings.attempts, in_flight=settings.pages_in_flight
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
            return _Found(lane, source, tuple(await Counted(source).markets()))
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
        rows = [row for f, made in zip(found, plans, strict=True) for row in _outline(settings, f, made)]
        return sorted(rows, key=lambda row: -row.seconds)
    finally:
        await scout.close()


def _outline(settings: Settings, found: _Found, made: Plan | None) -> list[Outline]:
    scales = {venue: said.budget_scale for venue, said in settings.fetch.venues.items()}
    return [] if made is None else outline(made, {found.lane: found.rules}, scales=scales)


async def _run(settings: Settings, landing: Landing, told: _Told) -> None:
    lake = f"{settings.lake.uri}@"
    me = f"{lake}{landing.epoch}/"
    governor().abandon.remote(lake, but=me)  # the lease says that whoever fetched into this lake before is dead
    crew = RayCrew(settings.fetch, settings.lake, me)
    scout = _Survey(settings, f"{me}driver/")

    def land(job: Job, rows: list[Row]) -> None:
        told.landed(job, rows)
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


async def _work(settings: Settings, scout: _Survey, spread: Spread, landing: Landing, told: _Told) -> None:
    """Plan every lane as soon as its venue has answered, and fetch what is planned meanwhile."""
    found = await scout.found()
    known = coverage.read(settings.lake)
    for venue in dict.fromkeys(f.lane[0] for f in found):
        catalogue.write(settings.lake, venue, [m for f in found if f.lane[0] == venue for m in f.markets])

    async def prepare(lane: _Found) -> None:
        made = await scout.plan(lane, known)
        if made is None:
            return
        reasons = made.reasons.to_pylist()
        landing.land(CANDLES_TABLE, [], reasons)
        told.fail(row for row in reasons if row["status"] == "fetch_failed")
        for row in _outline(settings, lane, made):
            told.planned(row)
        if made.shards.num_rows:
            await _add(settings, spread, lane, made)

    async def prepare_all() -> None:
        await asyncio.gather(*(prepare(lane) for lane in found))
        spread.close()

    await asyncio.gather(prepare_all(), spread.run())
    landing.close()


async def _add(settings: Settings, spread: Spread, lane: _Found, made: Plan) -> None:
    planned = set(made.shards.column("symbol").unique().to_pylist())
    listing = [raw for raw in await lane.source.listing() if raw["symbol"] in planned]
    rate = lane.rules.weight_per_s * settings.fetch.venues[lane.lane[0]].budget_scale / lane.rules.weight_per_page
    spread.add(
        lane.lane,
        made.shards,
        data=CANDLES_TABLE,
        markets={m.symbol: m for m in lane.markets if m.symbol in planned},
        listing=(ray.put(listing),),  # in a tuple: Ray would else open it for every call
        pages_per_s=rate,
    )
