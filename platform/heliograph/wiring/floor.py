"""Everything that a trading process holds, built from the settings: desk, broker, journal, streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import structlog

from heliograph.config.settings import Settings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.core.market import Candles, Kind, Market, VenueRules
from heliograph.core.ports import Budget
from heliograph.core.timeframe import Timeframe, parse
from heliograph.desk.step import Desk
from heliograph.lake import read
from heliograph.live.guard import Guard
from heliograph.live.journal import SqliteJournal
from heliograph.live.reconcile import Recovery, recover
from heliograph.model import forecaster
from heliograph.sim.broker import SimBroker
from heliograph.sources.catalog import rules, rules_of
from heliograph.sources.rest import CcxtSource
from heliograph.sources.stream import CcxtStream
from heliograph.telemetry.clock import SystemClock
from heliograph.trading import engine
from heliograph.train import registry
from heliograph.wiring import catalogue

Key = tuple[str, str]
Served = tuple[str, Kind]
"""A venue, and the kind of its markets."""

Budgets = Callable[[VenueRules], Budget]
"""What waits until a call may be made, by who is asked."""

MERGED_CANDLES = 1_000


@dataclass(frozen=True, slots=True)
class VenueTime:
    """The time as the venues tell it: a candle's age means nothing by a clock that the venue does not share."""

    sources: Mapping[Served, CcxtSource]

    def now_ms(self) -> int:
        """The newest of the venues' clocks; this machine's until the first one has been read."""
        told = [ms for source in self.sources.values() if (ms := source.clock.guess_ms()) is not None]
        return max(told, default=SystemClock().now_ms())


@dataclass(frozen=True, slots=True)
class Floor:
    """One account's trading floor. Close it when done."""

    desk: Desk
    broker: SimBroker
    journal: SqliteJournal
    recovery: Recovery
    guard: Guard
    markets: Mapping[Key, Market]
    timeframe: Timeframe
    sources: Mapping[Served, CcxtSource] = field(default_factory=dict)
    streams: Mapping[Served, CcxtStream] = field(default_factory=dict)

    async def candles(self) -> AsyncIterator[CandleClosed]:
        """Closed candles of every market from where the desk's history ends, each once."""
        queue: asyncio.Queue[CandleClosed] = asyncio.Queue(MERGED_CANDLES)

        async def pump(served: Served) -> None:
            mine = [m for m in self.markets.values() if (m.venue, m.kind) == served]
            since_ms = min(self._next_open_ms(m) for m in mine)
            async for candle in self.streams[served].closed(mine, self.timeframe, since_ms):
                await queue.put(candle)

        async with asyncio.TaskGroup() as pumps:
            tasks = [pumps.create_task(pump(served)) for served in self.streams]
            try:
                while True:
                    candle = await queue.get()
                    if candle.open_ts_ms > (self.desk.last_open_ts_ms(candle.venue, candle.symbol) or -1):
                        yield candle
            finally:
                for task in tasks:
                    task.cancel()

    async def close(self) -> None:
        """Free sockets and the journal's lock."""
        await asyncio.gather(*(s.close() for s in self.streams.values()))
        await asyncio.gather(*(s.close() for s in self.sources.values()))
        self.journal.close()

    def _next_open_ms(self, market: Market) -> int:
        last_ms = self.desk.last_open_ts_ms(market.venue, market.symbol)
        return 0 if last_ms is None else self.timeframe.next(last_ms)


def open_floor(settings: Settings, budgets: Budgets, *, epoch: int) -> Floor:
    """Build it, and replay the journal; `warm_up` is still to come.

    Args:
        budgets: opens one for each venue and kind of market.
        epoch: of the executor's lease; part of every new order's id.

    Raises:
        ConfigError: no market matches, no model, or the journal belongs to another account or process.
        InvariantBroken: the journal is damaged.
    """
    markets = live_markets(settings)
    limits = settings.risk
    journal = SqliteJournal(journal_path(settings), account=f"{settings.live.mode} {limits.initial_cash_quote}")
    entries = list(journal.replay())
    initial = engine.initial(limits, markets, epoch, costs=settings.costs)
    recovery = recover(entries, initial, limits=limits)
    broker = SimBroker(settings.costs, markets)
    broker.restore(entries)
    budget = {served: budgets(rules(*served)) for served in {(m.venue, m.kind) for m in markets.values()}}
    reach = settings.fetch.venues
    sources = {(v, k): CcxtSource(v, reach[v], b, kind=k) for (v, k), b in budget.items()}
    return Floor(
        desk=_desk(settings, markets, recovery.state),
        broker=broker,
        journal=journal,
        recovery=recovery,
        guard=Guard(VenueTime(sources), settings.var / "live" / "KILL", limits.stale_after_bars),
        markets=markets,
        timeframe=parse(settings.features.timeframe),
        sources=sources,
        streams={(v, k): CcxtStream(v, reach[v], budget[v, k], source=s) for (v, k), s in sources.items()},
    )


def journal_path(settings: Settings) -> Path:
    """Where the account's journal lies."""
    return settings.var / "live" / "journal.sqlite"


def live_markets(settings: Settings) -> dict[Key, Market]:
    """Active markets that ``live`` selects.

    Raises:
        ConfigError: none matches.
    """
    known = [m for venue in settings.live.venues for m in catalogue.read(settings.lake, venue).values()]
    chosen = {
        (m.venue, m.symbol): m
        for m in known
        if m.is_active and any(fnmatchcase(m.symbol, g) for g in settings.live.symbols)
    }
    if not chosen:
        raise ConfigError(
            f"no active market on {', '.join(settings.live.venues)} matches live.symbols {', '.join(settings.live.symbols)}"
        )
    return chosen


def warm_up(settings: Settings, desk: Desk, markets: Mapping[Key, Market], *, end_ms: int | None = None) -> None:
    """Give the desk its history; it then stands where one stands that has traded since its model was released.

    Every bar since then is forecast anew, one by one. A warning is logged where the lake does not reach back so far.

    Args:
        end_ms: history ends with the last bar that opens before this; None: with the newest.

    Raises:
        ConfigError: there are no candles in the lake.
    """
    desk.seed(history(settings, markets, desk.learned_ms, end_ms=end_ms))
    _warn_behind(desk)


def history(
    settings: Settings, markets: Mapping[Key, Market], learned_ms: int | None, *, end_ms: int | None = None
) -> list[CandleClosed]:
    """Candles of the lake as events, in the order in which they became known.

    Args:
        learned_ms: each market has ``live.warmup_bars`` candles before this, and all later ones; where there are none
            later, or it is None, the newest ``live.warmup_bars``.
        end_ms: all open before this.

    Raises:
        ConfigError: there are no candles in the lake.
    """
    name, found = settings.features.timeframe, []
    for market in markets.values():
        candles = read.candles(settings.lake, market.venue, market.symbol, name, end_ms=end_ms)
        num = len(candles)
        later = num if learned_ms is None else int(np.searchsorted(candles.open_ts_ms, learned_ms))
        kept = candles.take(slice(max(0, later - settings.live.warmup_bars), None))
        found += events(kept, market, grid(market.venue, name), rules_of(market.venue, market.symbol).close_delay_ms)
    return sorted(found, key=lambda c: c.known_ts_ms)


def events(candles: Candles, market: Market, timeframe: Timeframe, close_delay_ms: int) -> list[CandleClosed]:
    """Candles as the events that they would have been live."""
    columns: Sequence[list[float]] = [getattr(candles, n).tolist() for n in ("open", "high", "low", "close", "volume")]
    return [
        CandleClosed(market.venue, market.symbol, timeframe.name, ts, timeframe.close_ms(ts) + close_delay_ms, *row)
        for ts, *row in zip(candles.open_ts_ms.tolist(), *columns, strict=True)
    ]


def latest_forecasts(settings: Settings) -> list[ForecastMade]:
    """What the current model says at the newest candle of every live market in the lake."""
    markets = live_markets(settings)
    desk = _desk(settings, markets, engine.initial(settings.risk, markets, costs=settings.costs))
    bars = history(settings, markets, desk.learned_ms)
    newest = {(bar.venue, bar.symbol): bar for bar in bars}
    made = []
    for bar in bars:
        if bar is newest[bar.venue, bar.symbol]:
            made.append(desk.forecast(bar))
        else:
            desk.seed((bar,))
    _warn_behind(desk)
    return [forecast for forecast in made if forecast is not None]


def _desk(settings: Settings, markets: Mapping[Key, Market], state: engine.State) -> Desk:
    """With the current model, and no history yet."""
    model = registry.current_model(settings)
    return Desk(
        features=settings.features,
        forecaster=forecaster.load(model),
        tracker=forecaster.load_tracker(model),
        limits=settings.risk,
        markets=markets,
        state=state,
    )


def _warn_behind(desk: Desk) -> None:
    if behind := desk.behind():
        structlog.get_logger().warning(
            "tracker.behind",
            markets=[" ".join(key) for key in behind],
            learned_ms=desk.learned_ms,
            remedy="fetch earlier candles where the venue has any: their cones have the width of the model's release till then",
        )
