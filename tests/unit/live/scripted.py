"""A desk whose forecasts follow a script, a journal in memory, and a run that can be killed at any journal row."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.trading.makes import BTC, COSTS, ETH, MARKETS, candle, forecast

from heliograph.config.settings import RiskSettings
from heliograph.core.events import CandleClosed
from heliograph.live.guard import Guard
from heliograph.live.reconcile import recover
from heliograph.live.run import Closing, run
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine

LIMITS = RiskSettings(
    horizon_bars=1,
    annual_vol_target=0.4,
    no_trade_band=0.0,
    max_order_notional_quote=9_000.0,
    soft_drawdown=0.06,
    hard_drawdown=0.12,
)
BARS = 16


class Killed(BaseException):
    """The process dies here."""


@dataclass
class StillClock:
    """A clock that stands."""

    ms: int = 0

    def now_ms(self) -> int:
        return self.ms


class ScriptedDesk:
    """Forecasts the mean of the last three returns of the market, so that bars lost on a restart would show."""

    def __init__(self, state, limits=LIMITS):
        self.state = state
        self.limits = limits
        self.closes = defaultdict(list)

    def seed(self, candles):
        for bar in candles:
            self.closes[bar.symbol].append(bar.close)

    def forecast(self, bar):
        self.seed((bar,))
        closes = self.closes[bar.symbol][-4:]
        if len(closes) < 4:
            return None
        mean = math.log(closes[-1] / closes[0])
        return forecast(bar.open_ts_ms // 3_600_000, mean, (bar.venue, bar.symbol), price=bar.close)

    def on_event(self, event):
        self.state, commands = engine.step(self.state, event, limits=self.limits)
        return commands


@dataclass
class ListJournal:
    """A journal in memory that dies at its ``dies_at``-th row from now, before or after it is written."""

    rows: list = field(default_factory=list)
    dies_at: int | None = None
    dies_after: bool = False

    def append(self, entry, *, durable):
        countdown = self.dies_at
        if countdown is not None:
            self.dies_at = countdown - 1
        if countdown == 0 and not self.dies_after:
            raise Killed
        self.rows.append(entry)
        if countdown == 0:
            raise Killed
        return len(self.rows)

    def replay(self):
        return iter(list(self.rows))


def tape(bars: int = BARS, *, crash_at: int | None = None) -> list[CandleClosed]:
    """Two markets that swing; from ``crash_at`` on both are torn up and down."""
    candles = []
    for bar in range(bars):
        for n, key in enumerate((BTC, ETH)):
            price = 100.0 * (n + 1) * (1 + 0.05 * math.sin(bar / (1.5 + n)))
            if crash_at is not None and bar >= crash_at:
                price *= (0.7, 1.0, 1.3, 1.0)[bar % 4]
            candles.append(candle(bar, round(price, 2), key))
    return candles


async def feed(candles, since_ms, kill_file: Path | None, kill_from: int):
    """The candles from ``since_ms`` on; the kill file appears with number ``kill_from``."""
    for number, bar in enumerate(candles):
        if since_ms is None or bar.open_ts_ms >= since_ms:
            if kill_file is not None and number >= kill_from and not kill_file.exists():
                kill_file.write_text("by hand\n")
            yield bar


def trade(
    journal, broker, candles, *, limits=LIMITS, kill_file: Path, kill_from: int = 10**9, lag_ms: int = 0
) -> tuple[Closing, ScriptedDesk]:
    """Start from the journal and run to the end of the tape; the history that warms the desk up ends ``lag_ms`` early."""
    initial = engine.initial(limits, MARKETS, costs=COSTS)
    recovery = recover(journal.replay(), initial, limits=limits)
    desk = ScriptedDesk(recovery.state, limits)
    since_ms = recovery.since_ms
    if since_ms is not None:
        since_ms -= lag_ms
        desk.seed(c for c in candles if c.open_ts_ms < since_ms)
    stream = feed(candles, since_ms, kill_file, kill_from)
    guard = Guard(StillClock(), kill_file, 2)
    end = asyncio.run(run(stream, desk, broker, journal, recovery=recovery, guard=guard, max_candles=None, on_bar=None))
    return end, desk


def restored_broker(journal) -> SimBroker:
    """The simulated venue as the journal tells it."""
    broker = SimBroker(COSTS, MARKETS)
    broker.restore(journal.replay())
    return broker
