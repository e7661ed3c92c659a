"""A whole run on a virtual clock: the real plan, budgets and dispatch, over venues that only take their time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

from heliograph.cluster.governor import Governor, Key, LeasedBudget, Report, Want
from heliograph.config.settings import Selection
from heliograph.core.market import Market, VenueRules
from heliograph.core.schema import COVERAGE
from heliograph.ingest.plan import Catalogue, Lane, Plan, outline, plan
from heliograph.ingest.spread import Job, Spread
from heliograph.lake.write import Row, manifest
from heliograph.sources import catalog
from heliograph.sources.budget import spending
from heliograph.telemetry.progress import Forecast
from heliograph.testing import virtual

DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS
TRAVEL_S = 0.03
JITTER_S = 0.03
HOP_S = 0.002


@dataclass(frozen=True)
class Run:
    """How a run on the virtual clock went.

    Attributes:
        ended_s: by lane, when its last shard landed.
        bound_s: by lane, what its limit alone takes.
        eta_error: of the finish time that was shown after a tenth of the work, as a share of the true one.
        violations: calls that arrived when their venue's window was full.
        wall_s: real seconds.
    """

    pages: int
    shards: int
    ended_s: Mapping[Lane, float]
    bound_s: Mapping[Lane, float]
    eta_error: float
    violations: int
    wall_s: float


class Hop:
    """A `Lessor` one network hop away."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    async def lease(self, want: Want) -> tuple[int, float]:
        await asyncio.sleep(HOP_S)
        granted = await self._governor.lease(want)
        await asyncio.sleep(HOP_S)
        return granted

    def report(self, key: Key, reports: Sequence[Report], used: Sequence[tuple[float, float]]) -> None:
        asyncio.get_running_loop().call_later(HOP_S, self._governor.report, key, reports, used)

    def pause(self, key: Key, seconds: float) -> None:
        self._governor.pause(key, seconds)


class Windows:
    """Counts at the venues: a call that arrives when its window is full is a violation."""

    def __init__(self) -> None:
        self.violations = 0
        self._arrived: dict[str, list[tuple[float, float]]] = {}
        self._held: defaultdict[str, float] = defaultdict(float)
        self._first: Counter[str] = Counter()

    def arrive(self, rules: VenueRules, now_s: float) -> None:
        """A page's call."""
        pool = rules.pool or rules.venue
        window = self._arrived.setdefault(pool, [])
        while self._first[pool] < len(window) and window[self._first[pool]][0] <= now_s - rules.window_s:
            self._held[pool] -= window[self._first[pool]][1]
            self._first[pool] += 1
        window.append((now_s, rules.weight_per_page))
        self._held[pool] += rules.weight_per_page
        self.violations += self._held[pool] > rules.weight_limit + 1e-6


class Pretended:
    """A crew in this process: every page costs its weight, and an answer's time."""

    def __init__(self, rules: Mapping[Lane, VenueRules], now_s: virtual.Seconds) -> None:
        self.windows = Windows()
        self._rules = rules
        self._now_s = now_s
        self._lessor = Hop(Governor(clock=now_s))
        self._numbers = itertools.count()
        self._budgets: dict[tuple[str, str], LeasedBudget] = {}
        self._rng = np.random.default_rng(1)

    async def hire(self) -> tuple[str, str]:
        await asyncio.sleep(3.0)
        return f"run/{next(self._numbers)}/", "here"

    async def fetch(self, worker: str, job: Job) -> list[Row]:
        rules = self._rules[job.lane]
        budget = self._budget(worker, rules)
        for _ in range(job.row["pages"]):
            with spending():
                await budget(rules.weight_per_page)
                there_s, back_s = TRAVEL_S + self._rng.uniform(0.0, JITTER_S, 2)
                await asyncio.sleep(there_s)
                self.windows.arrive(rules, self._now_s())
                await asyncio.sleep(back_s)
        return [manifest(job.row, "have", requests=job.row["pages"])]

    def bury(self, worker: str) -> None:
        raise AssertionError(f"nobody dies here, and {worker} is gone")

    def _budget(self, worker: str, rules: VenueRules) -> LeasedBudget:
        key = (worker, rules.pool or rules.venue)
        if key not in self._budgets:
            self._budgets[key] = LeasedBudget(
                rules, 1.0, holder=worker, address="here", lessor=self._lessor, clock=self._now_s
            )
        return self._budgets[key]


def catalogues(symbols: int, venues: int = 12) -> list[Catalogue]:
    """So many venues with so many spot markets each."""
    said = [rules for (_, kind), rules in sorted(catalog.RULES.items()) if kind == "spot"][:venues]
    return [Catalogue(rules, tuple(_market(rules, n) for n in range(symbols)), NOW_MS) for rules in said]


def planned(found: Sequence[Catalogue], *, days: float, timeframes: int = 8, coverage: pa.Table | None = None) -> Plan:
    """The plan of the newest ``days``, in so many timeframes."""
    start_ms = round(NOW_MS - days * DAY_MS)
    wanted = [
        Selection(venues=(c.rules.venue,), timeframes=c.rules.timeframes[:timeframes], start_ms=start_ms) for c in found
    ]
    return plan(found, COVERAGE.empty_table() if coverage is None else coverage, wanted, pages_per_shard=20)


def covered(made: Plan) -> pa.Table:
    """Coverage after everything in the plan has come."""
    columns = {name: made.shards.column(name) for name in ("venue", "timeframe", "symbol", "start_ms", "end_ms")}
    rows = made.shards.num_rows
    zeros = pa.array(np.zeros(rows, dtype=np.int64))
    had = {"status": ["have"] * rows, "candles": zeros, "requests": zeros, "detail": [""] * rows}
    return pa.concat_tables([pa.table({**columns, **had}, schema=COVERAGE), made.reasons])


def simulate(found: Sequence[Catalogue], made: Plan, *, workers: int, per_worker: int = 8) -> Run:
    """Fetch the plan on the virtual clock."""
    started_s = time.perf_counter()
    rules: dict[Lane, VenueRules] = {(c.rules.venue, c.rules.kind): c.rules for c in found}
    rows = outline(made, rules, scales={c.rules.venue: 1.0 for c in found})
    totals: dict[Lane, int] = {(row.venue, row.kind): row.requests for row in rows}
    pages = sum(totals.values())
    ended, etas = dict[Lane, float](), list[float]()

    async def story() -> int:
        now_s = asyncio.get_running_loop().time
        crew, done, landed = Pretended(rules, now_s), 0, Counter[Lane]()
        forecasts = {(r.venue, r.kind): Forecast(now_s, expected_s=r.seconds) for r in rows}

        def land(job: Job, _: list[Row]) -> None:
            nonlocal done
            done += job.row["pages"]
            ended[job.lane] = now_s()
            landed[job.lane] += job.row["pages"]
            forecasts[job.lane].reach(landed[job.lane] / totals[job.lane])
            if not etas and done >= pages / 10:
                etas.append(now_s() + max(f.left_s() or 0.0 for f in forecasts.values()))

        spread = Spread(crew, workers=workers, per_worker=per_worker, land=land)
        for c in found:
            mine = made.shards.filter(np.asarray(made.shards.column("venue")) == c.rules.venue)
            spread.add(
                (c.rules.venue, c.rules.kind),
                mine,
                data="candles",
                markets={m.symbol: m for m in c.markets},
                pages_per_s=c.rules.weight_per_s / c.rules.weight_per_page,
            )
        spread.close()
        await spread.run()
        return crew.windows.violations

    violations = virtual.run(story())
    end_s = max(ended.values())
    return Run(
        pages=pages,
        shards=made.shards.num_rows,
        ended_s=ended,
        bound_s={(row.venue, row.kind): row.seconds for row in rows},
        eta_error=abs(etas[0] - end_s) / end_s,
        violations=violations,
        wall_s=time.perf_counter() - started_s,
    )


def _market(rules: VenueRules, number: int) -> Market:
    return Market(
        venue=rules.venue,
        symbol=f"A{number:04}/USDT",
        kind=rules.kind,
        base=f"A{number:04}",
        quote="USDT",
        price_tick=Decimal("0.01"),
        qty_step=Decimal("0.01"),
        min_notional_quote=Decimal(1),
    )
