"""Kill parts of a download at any moment, again and again: the lake is the tape in the end, and hardly a page came twice.

``python tests/bench/chaos.py 200`` kills the driver, a fetch worker, the driver in the middle of a commit, and
the object store, all with SIGKILL, over fetches from several venues into SeaweedFS; prints one JSON line a round and
one for all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from tests.bench.fetch import DAY_MS, report, write_tape

from heliograph.cluster import fetch
from heliograph.cluster.governor import NAMESPACE
from heliograph.cluster.session import PACKAGE, session
from heliograph.config.settings import FetchSettings, LakeSettings, Selection, Settings, VenueSettings
from heliograph.core.market import Candles
from heliograph.lake import audit, read
from heliograph.lake.commit import Committer
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.progress import Quiet
from heliograph.testing.seaweed import BUCKET, KEYS, seaweedfs

VICTIMS = ("worker", "driver", "committer", "store", "worker")
VENUES = ("binance", "okx", "bybit", "kraken")
SYMBOLS = ("BTC/USDT", "ETH/USDT")
PAGES_PER_SHARD = 2
PARTS_PER_COMMIT = 8
SCALE = 4.0
DAYS = 40
CALM_S = 120.0
"""A run that is not killed again must end within this."""

_CANDLES = ("/klines", "/candles", "/history-candles", "/kline", "/OHLC")
_IN_A_COMMIT_S = 0.08
_LONGEST_WAIT_S = 4.0


# --- in the driver process ------------------------------------------------------------------------------------------


def nursery() -> None:
    """A process that has imported everything; for each line on stdin it forks a driver that waits for its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _drive(order)
            os._exit(0)


def _drive(order: dict[str, Any]) -> None:
    """Join Ray, wait for the go, fetch; what happens goes to the log that the order names, one JSON line each."""
    with Path(order["log"]).open("a", buffering=1) as log:

        def say(what: str, **told: object) -> None:
            log.write(json.dumps({"pid": os.getpid(), "at_s": time.monotonic(), "what": what, **told}) + "\n")

        commit = Committer.commit

        def telling(self: Committer, *args: Any, **kwargs: Any) -> int:
            say("commit")
            return commit(self, *args, **kwargs)

        Committer.commit = telling  # type: ignore[method-assign]
        os.environ.update(KEYS)
        here = {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", **KEYS}
        ray.init(
            order["address"],
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": here},
        )
        say("ready")
        with Path(order["go"]).open() as go:  # a named pipe: opens once the other side writes
            settings = Settings.model_validate_json(go.read())
        say("begun")
        done = fetch.run(settings, Heard(say))
        say("done", report=asdict(done))


class Heard(Quiet):
    """A bar that says when the first shard has landed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._is_said = False

    def reach(self, fraction: float, note: str = "") -> None:
        """A shard landed."""
        if not self._is_said:
            self._say("landed")
        self._is_said = True


# --- in the process that kills --------------------------------------------------------------------------------------


@dataclass
class Driver:
    """One forked driver."""

    go: Path
    log: Path
    seen: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def news(self) -> list[dict[str, Any]]:
        """What it has said since the last look."""
        text = self.log.read_text() if self.log.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        fresh = [json.loads(line) for line in whole[self.seen :].splitlines()]
        self.seen = len(whole)
        self.lines += fresh
        return fresh

    def wait(self, what: str, timeout_s: float) -> bool:
        """Until it says ``what``, or its run is done, or it is dead, or the time is up; True where it has said it."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if any(line["what"] == what for line in self.news()):
                return True
            if self.report is not None or (self.lines and not self.is_alive):
                return False
            time.sleep(0.005)
        return False

    @property
    def pid(self) -> int:
        """Of its process, once it is ready."""
        return int(self.lines[0]["pid"])

    @property
    def report(self) -> dict[str, Any] | None:
        """What its run did, once it is done."""
        return next((line["report"] for line in self.lines if line["what"] == "done"), None)

    @property
    def is_alive(self) -> bool:
        """False once it is dead, killed or done."""
        return bool(psutil.pid_exists(self.pid))


class Nursery:
    """Where drivers come from: one is always ready, so that a killed one is replaced at once."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address = address
        self._count = 0
        root = Path(__file__).resolve().parents[2]
        env = os.environ | KEYS | {"PYTHONPATH": f"{PACKAGE.parent}:{root}"}
        command = [sys.executable, "-c", "from tests.bench.chaos import nursery; nursery()"]
        with (folder / "drivers.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, env=env, cwd=root, stdout=subprocess.DEVNULL, stderr=log
            )
        self._next = self._fork()

    def start(self, settings: Settings) -> Driver:
        """A driver that has begun to fetch."""
        driver, self._next = self._next, self._fork()
        if not driver.wait("ready", 60.0):
            raise RuntimeError(f"no driver came up: {self.complaints()}")
        driver.go.write_text(settings.model_dump_json())
        driver.wait("begun", 30.0)
        return driver

    def complaints(self) -> str:
        """The end of what drivers wrote to stderr."""
        return (self._folder / "drivers.log").read_text()[-4_000:]

    def close(self) -> None:
        """End it and the driver that waits."""
        if self._next.wait("ready", 30.0):
            os.kill(self._next.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _fork(self) -> Driver:
        self._count += 1
        driver = Driver(self._folder / f"go-{self._count}", self._folder / f"log-{self._count}")
        os.mkfifo(driver.go)
        order = {"go": str(driver.go), "log": str(driver.log), "address": self._address}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return driver


class Store:
    """SeaweedFS that can be killed and comes back at the same place."""

    def __init__(self) -> None:
        me = psutil.Process()
        self._process = next(p for p in me.children(recursive=True) if p.name() == "weed")
        self._command, self._folder = self._process.cmdline(), self._process.cwd()
        self._again: subprocess.Popen[bytes] | None = None

    def kill(self, away_s: float) -> None:
        """Kill it; start it again after a while."""
        self._process.kill()
        if self._again is not None:
            self._again.wait()
        time.sleep(away_s)
        with (Path(self._folder) / "log").open("ab") as log:
            self._again = subprocess.Popen(
                self._command, env=os.environ | KEYS, stdout=log, stderr=log, cwd=self._folder
            )
        self._process = psutil.Process(self._again.pid)

    def close(self) -> None:
        """End what was started again; the first one is the fixture's."""
        if self._again is not None:
            self._again.kill()
            self._again.wait()


@dataclass
class Tally:
    """What all rounds came to."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    candles: int = 0
    missing: int = 0
    duplicates: int = 0
    wrong: int = 0
    bad_parts: int = 0
    gave_up: int = 0
    requests_again: int = 0
    refetched_pages: int = 0
    worst_batches: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything that stands while parts of it are killed."""

    world: Sandbox
    store: Store
    nursery: Nursery
    endpoint: str
    rng: random.Random
    timeframes: tuple[str, ...] = ("1m", "5m", "1h")

    def settings(self, number: int) -> Settings:
        """Of a new lake."""
        reached = VenueSettings(
            http_proxy=self.world.proxy_url, ca_file=self.world.ca_file, budget_scale=SCALE, timeout_s=10.0
        )
        end_ms = self.world.now_ms() - DAY_MS
        wanted = Selection(
            venues=VENUES,
            symbols=SYMBOLS,
            timeframes=self.timeframes,
            start_ms=end_ms - (DAYS - 2) * DAY_MS,
            end_ms=end_ms,
        )
        lake = LakeSettings(
            uri=f"s3://{BUCKET}/round-{number}",
            s3_endpoint_url=self.endpoint,
            parts_per_commit=PARTS_PER_COMMIT,
            lease_s=2.0,
        )
        fetching = FetchSettings(
            venues=dict.fromkeys(VENUES, reached),
            selections=(wanted,),
            workers=2,
            pages_per_shard=PAGES_PER_SHARD,
            pages_in_flight=2,
            archives=False,
        )
        return Settings(lake=lake, fetch=fetching)

    def pages(self) -> int:
        """Candle pages that the venues have answered so far."""
        calls = self.world.log(limit=50_000)
        return sum(call["status"] == 200 and call["path"].endswith(_CANDLES) for call in calls)


def round_of_kills(scene: Scene, number: int, most: int, victims: Iterator[str], tally: Tally) -> None:
    """One lake, fetched whole while it is killed, ``most`` times at most; then looked at, candle by candle."""
    settings, before = scene.settings(number), scene.pages()
    driver = scene.nursery.start(settings)
    kills, calm_since_s, is_killed, victim = 0, time.monotonic(), False, ""
    while driver.report is None:
        if not driver.is_alive:
            driver.news()
            if driver.report is not None:
                break
            if not is_killed:
                tally.gave_up += 1
                sys.stderr.write(f"a run gave up: {scene.nursery.complaints()[-600:]}\n")
            driver = scene.nursery.start(settings)
        is_killed = False
        if kills == most:
            driver.wait("done", CALM_S)
            if time.monotonic() - calm_since_s > CALM_S:
                raise TimeoutError(f"round {number} does not end: {scene.nursery.complaints()}")
            continue
        victim = victim or next(victims)
        if _strike(scene, driver, victim):
            tally.kills[victim] += 1
            kills, calm_since_s, is_killed = kills + 1, time.monotonic(), victim in ("driver", "committer")
            victim = ""
    _look(scene, settings, tally)
    minimum = scene.pages()
    once_more = scene.nursery.start(settings)
    once_more.wait("done", CALM_S)
    assert once_more.report is not None
    tally.requests_again += once_more.report["requests"] + scene.pages() - minimum
    least = _least_pages(scene, settings)
    again = minimum - before - least
    tally.refetched_pages += again
    tally.worst_batches = max(tally.worst_batches, again / (PAGES_PER_SHARD * PARTS_PER_COMMIT) / max(kills, 1))
    tally.rounds += 1


def _strike(scene: Scene, driver: Driver, victim: str) -> bool:
    """Wait for a moment that nobody chose, and kill; False where the run was over before."""
    if victim == "committer":
        driver.wait("commit", _LONGEST_WAIT_S)
        time.sleep(scene.rng.uniform(0, _IN_A_COMMIT_S))
    else:
        driver.wait("nothing", scene.rng.uniform(0, _LONGEST_WAIT_S))
    driver.news()
    workers = _workers()
    if driver.report is not None or not driver.is_alive or (victim == "worker" and not workers):
        return False
    match victim:
        case "store":
            scene.store.kill(scene.rng.uniform(0, 1.0))
        case "worker":
            os.kill(scene.rng.choice(workers), signal.SIGKILL)
        case _:
            os.kill(driver.pid, signal.SIGKILL)
            while driver.is_alive:
                time.sleep(0.001)
    return True


def _workers() -> list[int]:
    """Processes of fetch workers on this machine that belong to this process's Ray."""
    mine = psutil.Process().children(recursive=True)
    found = []
    for process in mine:
        try:
            if any("FetchWorker" in word for word in process.cmdline()):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the look
    return sorted(found)


def _look(scene: Scene, settings: Settings, tally: Tally) -> None:
    """Hold the lake against what the venues would send, market by market."""
    (wanted,) = settings.fetch.selections
    end_ms = wanted.end_ms or 0
    held = 0
    for venue in VENUES:
        for symbol in SYMBOLS:
            for timeframe in scene.timeframes:
                sent = scene.world.venue_candles(venue, symbol, timeframe, start_ms=wanted.start_ms, end_ms=end_ms)
                got = read.candles(settings.lake, venue, symbol, timeframe)
                tally.missing += len(set(sent.open_ts_ms.tolist()) - set(got.open_ts_ms.tolist()))
                tally.wrong += _wrong(sent, got)
                held += len(got)
    rows = read.scan(settings.lake).collect().height
    tally.duplicates += rows - held
    tally.candles += held
    tally.bad_parts += len(audit.verify(settings.lake))


def _wrong(sent: Candles, got: Candles) -> int:
    """Candles in the lake that the venue would not send, or would send otherwise."""
    known = np.isin(got.open_ts_ms, sent.open_ts_ms)
    same = sent.take(np.isin(sent.open_ts_ms, got.open_ts_ms))
    mine = got.take(known)
    other = np.zeros(len(mine), dtype=bool)
    for name in ("open", "high", "low", "close", "volume"):
        other |= getattr(mine, name) != getattr(same, name)
    return int((~known).sum() + other.sum())


def _least_pages(scene: Scene, settings: Settings) -> int:
    """Pages that a run without any trouble asks for: one on a new lake."""
    cached = getattr(_least_pages, "pages", None)
    if cached is None:
        calm = settings.model_copy(update={"lake": settings.lake.model_copy(update={"uri": f"s3://{BUCKET}/calm"})})
        before = scene.pages()
        driver = scene.nursery.start(calm)
        driver.wait("done", CALM_S)
        cached = scene.pages() - before
        _least_pages.pages = cached  # type: ignore[attr-defined]
    return int(cached)


@contextmanager
def scene(folder: Path, seed: int) -> Iterator[Scene]:
    """Sandbox, store, Ray, and a driver that waits."""
    with ExitStack() as held:
        weed = folder / "weed"
        weed.mkdir()
        endpoint = held.enter_context(seaweedfs(weed))
        tape = write_tape(folder / "tape", DAYS, SYMBOLS)
        world = held.enter_context(Sandbox.start(tape, folder=folder / "sandbox", live_bars=2, weight_scale=SCALE))
        held.enter_context(session())
        nursery = Nursery(folder, ray.get_runtime_context().gcs_address)
        held.callback(nursery.close)
        store = Store()
        held.callback(store.close)
        os.environ.update(KEYS)
        yield Scene(world, store, nursery, endpoint, random.Random(seed))


def run(kills: int, *, seed: int = 1, victims: Iterator[str] | None = None) -> Tally:
    """Kill so many times, over as many lakes as that takes.

    Args:
        victims: what to kill next, and next; None: chance decides.
    """
    tally, rng = Tally(), random.Random(seed)
    order = victims or iter(lambda: rng.choice(VICTIMS), None)
    with tempfile.TemporaryDirectory(prefix="helio-chaos-") as name, scene(Path(name), seed) as stage:
        while tally.kills.total() < kills:
            left = kills - tally.kills.total()
            round_of_kills(stage, tally.rounds, min(left, rng.randint(6, 16)), order, tally)
            sys.stderr.write(f"{tally}\n")
    return tally


def main() -> None:
    """Kill, and say what became of the lakes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    started_s = time.monotonic()
    tally = run(args.kills, seed=args.seed)
    report(
        "kills",
        kills=tally.kills.total(),
        **{f"kills_{name}": count for name, count in sorted(tally.kills.items())},
        rounds=tally.rounds,
        candles=tally.candles,
        missing=tally.missing,
        duplicates=tally.duplicates,
        wrong=tally.wrong,
        bad_parts=tally.bad_parts,
        runs_that_gave_up=tally.gave_up,
        requests_again=tally.requests_again,
        refetched_pages=tally.refetched_pages,
        refetched_batches=tally.refetched_pages / (PAGES_PER_SHARD * PARTS_PER_COMMIT) / max(tally.kills.total(), 1),
        worst_round_batches=tally.worst_batches,
        wall_s=time.monotonic() - started_s,
    )


if __name__ == "__main__":
    main()
