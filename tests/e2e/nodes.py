"""The script of the two-node story: a cluster that grows and shrinks under a download; prints what happened as JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import ray
from ray.cluster_utils import Cluster
from tests.bench.fetch import DAY_MS, write_tape

from heliograph.cluster import fetch
from heliograph.cluster.governor import EGRESS_VARIABLE, NAMESPACE
from heliograph.cluster.session import PACKAGE
from heliograph.config.settings import FetchSettings, LakeSettings, Selection, Settings, VenueSettings
from heliograph.lake import audit, read
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.progress import Quiet

VENUE, SYMBOLS = "okx", ("BTC/USDT", "ETH/USDT")
SCALE = 0.6
DAYS = 40
MEASURE_S = 6.0
PATIENCE_S = 120.0
_QUICK_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 5,
}


def _until(is_so: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.1)


def _rate(worlds: list[Sandbox], seconds: float) -> float:
    """Requests a second that all venues saw."""
    before, started_s = sum(w.stats()[VENUE]["requests"] for w in worlds), time.monotonic()
    time.sleep(seconds)
    return (sum(w.stats()[VENUE]["requests"] for w in worlds) - before) / (time.monotonic() - started_s)


def story(folder: Path, held: ExitStack) -> dict[str, object]:
    """One node fetches; a second one with an address of its own joins; the second one is lost; nothing else is."""
    tape = write_tape(folder / "tape", DAYS, SYMBOLS)
    worlds = [
        held.enter_context(Sandbox.start(tape, folder=folder / f"sandbox-{n}", live_bars=2, weight_scale=SCALE))
        for n in range(2)
    ]
    authorities = folder / "both.pem"
    authorities.write_text("".join(Path(w.ca_file).read_text() for w in worlds))
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "_system_config": _QUICK_HEALTH, "include_dashboard": False},
    )
    held.callback(cluster.shutdown)
    os.environ[EGRESS_VARIABLE] = worlds[0].proxy_url  # the driver goes out by the first node's address
    nodes = [_join(cluster, worlds[0])]
    ray.init(cluster.address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    held.callback(ray.shutdown)
    end_ms = worlds[0].now_ms() - DAY_MS
    settings = Settings(
        lake=LakeSettings(uri=str(folder / "lake"), parts_per_commit=10),
        fetch=FetchSettings(
            venues={VENUE: VenueSettings(ca_file=str(authorities), budget_scale=SCALE)},
            selections=(
                Selection(
                    venues=(VENUE,),
                    symbols=SYMBOLS,
                    timeframes=("1m",),
                    start_ms=end_ms - (DAYS - 2) * DAY_MS,
                    end_ms=end_ms,
                ),
            ),
            workers=4,
            pages_per_shard=2,
            archives=False,
        ),
    )
    reports: list[fetch.FetchReport] = []
    running = threading.Thread(target=lambda: reports.append(fetch.run(settings, Quiet())), daemon=True)
    running.start()
    _until(lambda: worlds[0].stats()[VENUE]["requests"] > 30, "the first node fetches")
    alone = _rate(worlds, MEASURE_S)
    nodes.append(_join(cluster, worlds[1]))
    _until(lambda: worlds[1].stats()[VENUE]["requests"] > 30, "the second node fetches")
    together = _rate(worlds, MEASURE_S)
    cluster.remove_node(nodes[1], allow_graceful=False)
    lost_at = worlds[1].stats()[VENUE]["requests"]
    running.join(PATIENCE_S)
    sent = {
        s: worlds[0].venue_candles(VENUE, s, "1m", start_ms=settings.fetch.selections[0].start_ms, end_ms=end_ms)
        for s in SYMBOLS
    }
    got = {s: read.candles(settings.lake, VENUE, s, "1m") for s in SYMBOLS}
    return {
        "alone_per_s": alone,
        "together_per_s": together,
        "second_node_requests": lost_at,
        "violations": sum(w.stats()[VENUE]["violations"] for w in worlds),
        "missing": sum(len(set(sent[s].open_ts_ms.tolist()) ^ set(got[s].open_ts_ms.tolist())) for s in SYMBOLS),
        "rows": read.scan(settings.lake).collect().height,
        "candles": sum(len(c) for c in got.values()),
        "bad_parts": len(audit.verify(settings.lake)),
        "report": asdict(reports[0]) if reports else None,
    }


def _join(cluster: Cluster, world: Sandbox) -> object:
    """A node with room for two workers that goes out through ``world``'s proxy."""
    env = {EGRESS_VARIABLE: world.proxy_url, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    return cluster.add_node(num_cpus=1, env_vars=env, object_store_memory=100 * 2**20)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="helio-nodes-") as name, ExitStack() as stack:
        told = story(Path(name), stack)
    sys.stdout.write(json.dumps(told) + "\n")
