"""The download beside what it could be at best: limits used, requests, candles a CPU second, plans, whole runs.

``python tests/bench/fetch.py [plan scale eta saturation speed] [--seconds 120] [--workers 1,4,16] [--scale 0.25]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from tests.bench import simulated

from heliograph.cluster import fetch
from heliograph.cluster.session import session
from heliograph.config.settings import FetchSettings, LakeSettings, Selection, Settings, VenueSettings
from heliograph.core.market import VenueRules, kind_of
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.sources.catalog import rules
from heliograph.telemetry.progress import Quiet

MINUTE_MS = 60_000
DAY_MS = 86_400_000
SYMBOLS = tuple(f"{base}/USDT" for base in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LINK", "LTC"))
TAPE_DAYS = 90
SPEED_DAYS = 240
SHARES = {"bybit": 0.15, "cryptocom": 0.15, "hyperliquid": 0.25, "kraken": 0.4, "binance": 0.5}
"""Of their limits, where these are wider than two cores can fill, or than the sandbox has candles for."""

CHECKS = ("plan", "scale", "eta", "saturation", "speed")


def report(check: str, **told: float | str) -> None:
    """One JSON line."""
    rounded = {name: value if isinstance(value, str) else float(f"{value:.4g}") for name, value in told.items()}
    sys.stdout.write(json.dumps({"check": check, **rounded}) + "\n")
    sys.stdout.flush()


def write_tape(folder: Path, days: int, symbols: Sequence[str] = SYMBOLS, seed: int = 1) -> TapeSpec:
    """Minutes of every symbol, two in a hundred missing: a random walk with the digits of real prices."""
    rng = np.random.default_rng(seed)
    for symbol in symbols:
        opens = np.arange(20_000 * DAY_MS, (20_000 + days) * DAY_MS, MINUTE_MS)
        opens = opens[rng.random(opens.size) > 0.02]
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.0005, opens.size))), 2)
        open_ = np.append(close[:1], close[:-1])
        columns = {
            "open": open_,
            "high": np.round(np.maximum(open_, close) + 0.05, 2),
            "low": np.round(np.minimum(open_, close) - 0.05, 2),
            "close": close,
            "volume": np.round(rng.lognormal(1, 1, opens.size) + 0.001, 3),
        }
        path = folder / symbol.replace("/", "-") / "1m.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"ts": opens, **columns}), path)
    return TapeSpec("folder", folder)


@dataclass(frozen=True)
class Share:
    """What one venue was asked for, and how much of its limit that took while it was asked all the time."""

    venue: str
    used_pct: float
    violations: int
    requests: int
    windows: int


class Lanes(Quiet):
    """A bar that remembers when each venue's shards landed.

    Attributes:
        landed: by venue, ``(seconds, share of its pages)``.
    """

    def __init__(self, venue: str = "", landed: dict[str, list[tuple[float, float]]] | None = None) -> None:
        self.landed = {} if landed is None else landed
        self._venue = venue

    def reach(self, fraction: float, note: str = "") -> None:
        """A shard landed."""
        self.landed.setdefault(self._venue, []).append((time.monotonic(), fraction))

    def lane(self, label: str, expected_s: float | None = None) -> Lanes:
        """One venue's."""
        return Lanes(label.split(maxsplit=1)[0], self.landed)


class Watch:
    """Looks at a sandbox's counters again and again while its block runs."""

    def __init__(self, world: Sandbox) -> None:
        self.seen: list[tuple[float, Mapping[str, Mapping[str, int]]]] = []
        self._world = world
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.seen.append((time.monotonic(), self._world.stats()))

    def share(self, said: VenueRules, scale: float, landed: Sequence[tuple[float, float]]) -> Share:
        """From its first shard until an eighth of its pages is left, a venue has always somebody waiting.

        Whole windows are counted, for what a window grants may be spent at any time in it.
        """
        begun_s, ended_s = landed[0][0], next(at_s for at_s, fraction in landed if fraction >= 7 / 8)
        times = np.asarray([at_s for at_s, _ in self.seen])
        counts = np.asarray([stats[said.venue]["requests"] for _, stats in self.seen], dtype=np.float64)
        windows = math.floor((ended_s - begun_s) / said.window_s)
        span_s = windows * said.window_s or ended_s - begun_s
        lo, hi = np.interp([begun_s, begun_s + span_s], times, counts)
        most = span_s / said.window_s * math.floor(said.weight_limit * scale / said.weight_per_page + 1e-9)
        used_pct = 100 * float(hi - lo) / most
        violations = self.seen[-1][1][said.venue]["violations"] - self.seen[0][1][said.venue]["violations"]
        return Share(said.venue, used_pct, violations, int(hi - lo), windows)


@dataclass(frozen=True)
class Load:
    """What one venue is asked for.

    Attributes:
        scale: of its published limit, that this run may use.
    """

    rules: VenueRules
    symbols: tuple[str, ...]
    scale: float

    def work(self, now_ms: int, seconds: float) -> Selection:
        """Timeframes and a start that make about so many seconds of requests."""
        said = self.rules
        pages = max(seconds * said.weight_per_s * self.scale / said.weight_per_page, 12.0)
        each = pages / len(self.symbols)
        if said.horizon_candles is not None:
            names = said.timeframes[: max(1, round(each / -(-said.horizon_candles // said.page_limit)))]
            return Selection(venues=(said.venue,), symbols=self.symbols, timeframes=names)
        start_ms = max(now_ms - int(each * said.page_limit) * MINUTE_MS, 0)
        return Selection(venues=(said.venue,), symbols=self.symbols, timeframes=("1m",), start_ms=start_ms)


class ClientCpu:
    """CPU seconds of this process and all that it started, those of Ray too and of the dead, without the sandbox's."""

    def __init__(self, sandbox_pid: int) -> None:
        self._but = sandbox_pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._seen: dict[int, float] = {}
        self._before_s = 0.0

    def __enter__(self) -> ClientCpu:
        self._before_s = self.spent_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def spent_s(self) -> float:
        """Since the block began."""
        me = psutil.Process(os.getpid())
        for process in (me, *me.children(recursive=True)):
            if process.pid != self._but:
                self._seen[process.pid] = max(self._seen.get(process.pid, 0.0), _cpu_s(process.pid))
        return sum(self._seen.values()) - self._before_s

    def _look(self) -> None:
        while not self._over.wait(0.25):
            self.spent_s()


def saturation(folder: Path, *, seconds: float, workers: Sequence[int], scale: float) -> None:
    """Every venue of the sandbox at once, each with work for about so many seconds at its limit."""
    tape = write_tape(folder / "tape", TAPE_DAYS)
    with Sandbox.start(tape, folder=folder / "sandbox", live_bars=2, weight_scale=scale, timeout_s=300) as world:
        loads, now_ms = _loads(world, scale), world.now_ms()
        for count in workers:
            settings = _settings(
                world,
                LakeSettings(uri=str(folder / f"lake-{count}")),
                tuple(load.work(now_ms, seconds) for load in loads.values()),
                scales={venue: load.scale for venue, load in loads.items()},
                workers=count,
                pages_per_shard=10,
            )
            lanes = Lanes()
            with session(), Watch(world) as watch, ClientCpu(world.pid) as cpu:
                started_s, served_s = time.perf_counter(), _cpu_s(world.pid)
                done = fetch.run(settings, lanes)
                served_s, wall_s = _cpu_s(world.pid) - served_s, time.perf_counter() - started_s
            shares = [
                watch.share(load.rules, load.scale, lanes.landed[v]) for v, load in loads.items() if v in lanes.landed
            ]
            for share in shares:
                told = {"workers": count, "used_pct": share.used_pct, "violations": share.violations}
                of_limit = {"share_of_limit": loads[share.venue].scale / scale}
                report(
                    "saturation", venue=share.venue, **told, requests=share.requests, windows=share.windows, **of_limit
                )
            report(
                "saturation",
                venue="all",
                venues=len(shares),
                workers=count,
                least_used_pct=min(share.used_pct for share in shares if share.windows),
                violations=sum(share.violations for share in shares),
                requests_ratio=done.requests / done.requests_minimum,
                failed=len(done.failed),
                wall_s=wall_s,
                client_cpu_s=cpu.spent_s(),
                sandbox_cpu_s=served_s,
            )
            refused = Counter(
                (c["venue"], c["path"], c["status"]) for c in world.log(limit=50_000) if c["status"] >= 400
            )
            sys.stderr.write("".join(f"{line}\n" for line in (*done.failed[:5], *refused.items())))


def _loads(world: Sandbox, scale: float) -> dict[str, Load]:
    """Every venue with the markets of its first kind."""
    listed: dict[str, list[str]] = {}
    for offer in world.offers():
        if offer.symbol not in listed.setdefault(offer.venue, []):
            listed[offer.venue].append(offer.symbol)
    loads = {}
    for venue, symbols in listed.items():
        said = rules(venue, kind_of(symbols[0]))
        mine = tuple(s for s in symbols if kind_of(s) == said.kind)
        loads[venue] = Load(said, mine, scale * SHARES.get(venue, 1.0))
    return loads


def _settings(
    world: Sandbox,
    lake: LakeSettings,
    selections: tuple[Selection, ...],
    *,
    scales: Mapping[str, float],
    workers: int,
    pages_per_shard: int = 20,
) -> Settings:
    venues = {
        venue: VenueSettings(http_proxy=world.proxy_url, ca_file=world.ca_file, budget_scale=scale)
        for venue, scale in scales.items()
    }
    fetching = FetchSettings(
        venues=venues, selections=selections, workers=workers, pages_per_shard=pages_per_shard, archives=False
    )
    return Settings(lake=lake, fetch=fetching)


def plan() -> None:
    """A plan of a hundred thousand shards, and the plan of nothing after all of it is covered, in a process of its own."""
    code = "from tests.bench.fetch import plan_here; plan_here()"
    sys.stdout.write(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    sys.stdout.flush()


def plan_here() -> None:
    """`plan` in this process."""
    before_mb = _peak_mb()
    found = simulated.catalogues(760)
    started_s = time.perf_counter()
    made = simulated.planned(found, days=28)
    first_s = time.perf_counter() - started_s
    covered = simulated.covered(made)
    started_s = time.perf_counter()
    again = simulated.planned(found, days=28, coverage=covered)
    again_s = time.perf_counter() - started_s
    peak_mb = _peak_mb()
    report(
        "plan",
        shards=made.shards.num_rows,
        wall_s=first_s,
        again_shards=again.shards.num_rows,
        again_wall_s=again_s,
        peak_mb=peak_mb,
        imports_mb=before_mb,
    )


def scale() -> None:
    """Twelve venues, five hundred symbols, eight timeframes, at the venues' true limits, on a virtual clock."""
    found = simulated.catalogues(500)
    went = simulated.simulate(found, simulated.planned(found, days=10), workers=4)
    ratios = {lane[0]: went.ended_s[lane] / went.bound_s[lane] for lane in went.bound_s}
    report(
        "scale",
        venues=len(ratios),
        shards=went.shards,
        pages=went.pages,
        virtual_s=max(went.ended_s.values()),
        ratio_to_bound=max(went.ended_s.values()) / max(went.bound_s.values()),
        slowest_venue_ratio=max(ratios.values()),
        violations=went.violations,
        wall_s=went.wall_s,
    )


def eta() -> None:
    """How far the finish time shown after a tenth of the work is off, over runs of many shapes."""
    errors = []
    for symbols, days, workers in ((50, 10, 4), (20, 30, 1), (100, 5, 16), (30, 60, 4)):
        found = simulated.catalogues(symbols)
        errors.append(simulated.simulate(found, simulated.planned(found, days=days), workers=workers).eta_error)
    report("eta", runs=len(errors), worst_error_pct=100 * max(errors))


class Meter(Quiet):
    """A bar that notes how many CPU seconds had been spent when a twentieth was done, and how much was done."""

    def __init__(self, cpu: ClientCpu) -> None:
        self.start: tuple[float, float] | None = None
        self._cpu = cpu

    def reach(self, fraction: float, note: str = "") -> None:
        """A shard landed."""
        if self.start is None and fraction >= 0.05:
            self.start = fraction, self._cpu.spent_s()

    def lane(self, label: str, expected_s: float | None = None) -> Quiet:
        """Nobody looks at it."""
        return Quiet()


def speed(folder: Path) -> None:
    """Candles a CPU second of the client, from the venue to a committed part, beside a loop over ccxt's own call.

    Both go over the same days twice, for the sandbox is slow in making a page that nobody has asked for before. Ours is
    told with all that a run costs (a worker is started, the markets loaded), and from a twentieth of its pages on.
    """
    tape = write_tape(folder / "tape", SPEED_DAYS)
    with Sandbox.start(tape, folder=folder / "sandbox", live_bars=2, weight_scale=1e3, timeout_s=300) as world:
        now_ms = world.now_ms()
        start_ms = now_ms - SPEED_DAYS * DAY_MS
        wanted = Selection(venues=("binance",), symbols=SYMBOLS, timeframes=("1m",), start_ms=start_ms, end_ms=now_ms)
        for lap in ("first", "second"):
            lake = LakeSettings(uri=str(folder / lap))
            settings = _settings(world, lake, (wanted,), scales={"binance": 1e3}, workers=1)
            with session(), ClientCpu(world.pid) as cpu:
                started_s, meter = time.perf_counter(), Meter(cpu)
                done = fetch.run(settings, meter)
                wall_s, total_s = time.perf_counter() - started_s, cpu.spent_s()
            raw_candles, raw_s = asyncio.run(_raw(world, SYMBOLS, start_ms, now_ms))
        freqtrade_s = _freqtrade(world, folder, start_ms, now_ms)
    assert meter.start is not None
    share, before_s = meter.start
    steady, raw = (1 - share) * done.candles / (total_s - before_s), raw_candles / raw_s
    report(
        "speed",
        candles=done.candles,
        candles_per_cpu_s=steady,
        with_start_per_cpu_s=done.candles / total_s,
        ccxt_loop_per_cpu_s=raw,
        ratio_to_ccxt=steady / raw,
        with_start_ratio_to_ccxt=done.candles / total_s / raw,
        candles_per_wall_s=done.candles / wall_s,
        wall_s=wall_s,
        **({} if freqtrade_s is None else {"freqtrade_wall_s": freqtrade_s, "freqtrade_ratio": freqtrade_s / wall_s}),
    )
    if freqtrade_s is None:
        report("speed", freqtrade="not on PATH and not in $FREQTRADE: no figure beside it")


async def _raw(world: Sandbox, symbols: Sequence[str], start_ms: int, end_ms: int) -> tuple[int, float]:
    """The loop that people write: page by page with ``fetch_ohlcv``, kept in a list; one for each symbol, all at once."""
    import ccxt.async_support as ccxt

    exchange = ccxt.binance(
        {
            "httpsProxy": world.proxy_url,
            "cafile": world.ca_file,
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["spot"]}},
        }
    )
    kept: list[list[float]] = []

    async def story(symbol: str) -> None:
        since = start_ms
        while since < end_ms:
            rows = await exchange.fetch_ohlcv(symbol, "1m", since, 1_000)
            if not rows:
                break
            kept.extend(rows)
            since = rows[-1][0] + MINUTE_MS

    try:
        await exchange.load_markets()
        started_s = time.process_time()
        await asyncio.gather(*(story(symbol) for symbol in symbols))
        return len(kept), time.process_time() - started_s
    finally:
        await exchange.close()


def _freqtrade(world: Sandbox, folder: Path, start_ms: int, end_ms: int) -> float | None:
    """Wall seconds of freqtrade's own downloader over the same candles; None where there is none."""
    program = os.environ.get("FREQTRADE") or shutil.which("freqtrade")
    if program is None:
        return None
    trusted = {"httpsProxy": world.proxy_url, "cafile": world.ca_file}
    exchange = {"name": "binance", "only_from_ccxt": True, "ccxt_config": trusted, "pair_whitelist": SYMBOLS}
    config = {
        "dry_run": True,
        "trading_mode": "spot",
        "stake_currency": "USDT",
        "stake_amount": 10,
        "max_open_trades": 1,
        "dataformat_ohlcv": "feather",
        "exchange": exchange,
        "pairlists": [{"method": "StaticPairList"}],
        "entry_pricing": {"price_side": "same"},
        "exit_pricing": {"price_side": "same"},
    }
    users, data = folder / "freqtrade", folder / "feathers"
    users.mkdir()
    (users / "config.json").write_text(json.dumps(config))
    where = ["--config", str(users / "config.json"), "--userdir", str(users), "--datadir", str(data)]
    what = ["--timeframes", "1m", "--timerange", f"{start_ms // 1000}-{end_ms // 1000}"]
    trust = {"REQUESTS_CA_BUNDLE": str(world.ca_file), "SSL_CERT_FILE": str(world.ca_file)}
    started_s = time.perf_counter()
    subprocess.run(
        [program, "download-data", *where, *what], env=os.environ | trust, check=True, capture_output=True, timeout=900
    )
    wall_s = time.perf_counter() - started_s
    if len(list(data.glob("*.feather"))) != len(SYMBOLS):
        raise RuntimeError("freqtrade did not write every symbol: there is nothing to compare")
    return wall_s


def _peak_mb() -> float:
    """The most memory that this process has had; `getrusage` would count that of the process it was forked from."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(told["VmHWM"].split()[0]) / 1_024


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # it ended between the listing and the look
    return float(times.user + times.system)


def main() -> None:
    """Run the checks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", default=list(CHECKS))
    parser.add_argument("--seconds", type=float, default=120.0, help="of work for each venue")
    parser.add_argument("--workers", default="1,4,16")
    parser.add_argument("--scale", type=float, default=0.5, help="of all limits, the sandbox's too")
    args = parser.parse_args()
    for check in args.checks or CHECKS:
        with tempfile.TemporaryDirectory(prefix="helio-bench-") as name:
            folder = Path(name)
            match check:
                case "plan":
                    plan()
                case "scale":
                    scale()
                case "eta":
                    eta()
                case "saturation":
                    counts = [int(n) for n in args.workers.split(",")]
                    saturation(folder, seconds=args.seconds, workers=counts, scale=args.scale)
                case "speed":
                    speed(folder)


if __name__ == "__main__":
    main()
