"""A lake of generated candles, and searches over it: what the stories of a search share.

As a program it runs one search and prints what came of it: ``python -m tests.e2e.searches alone|nodes VAR LAKE [key=value …]``.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from heliograph.config.load import load
from heliograph.config.settings import LakeSettings, Settings
from heliograph.core.market import Candles, Market
from heliograph.core.ports import Page
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.write import write_part
from heliograph.sandbox.generator import generate
from heliograph.testing import lakes
from heliograph.wiring import catalogue

TINY = Path(__file__).with_name("tiny.yaml")
SYMBOLS = ("BTC/USDT", "ETH/USDT")
HOUR_MS = 3_600_000
_QUICK_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 3_000,
    "health_check_failure_threshold": 5,
}
SPACE = "{train.learning_rate: {low: 5.0e-4, high: 2.0e-2, log: true}, model.dropout: {low: 0.0, high: 0.4}, labels.barrier_sigma: {low: 0.5, high: 2.0}}"


def settings_of(var: Path, lake: Path, *overrides: str) -> Settings:
    """Small settings: two folds, an epoch, six candidates."""
    small = [
        "train.epochs=1", "train.samples_per_epoch=512", "train.batch_size=128", "train.companion_samples=256",
        "train.companion_epochs=1", "train.symbols=['BTC/USDT', 'ETH/USDT']", "sweep.candidates=6", "sweep.grace=2", "sweep.startup=3",
        "sweep.abreast=2", f"sweep.space={SPACE}",
    ]  # fmt: skip
    return load(TINY, [f"var={var}", f"lake.uri={lake}", *small, *overrides], environ={})


def fill(lake: Path) -> None:
    """Four months of hourly candles, and the markets that they are of."""
    settings = LakeSettings(uri=str(lake))
    market = generate(3, days=120, minute_days=1)
    with Committer(settings, open_store(settings), "searches") as committer:
        committer.commit([_written(committer, symbol, market[symbol]["1h"]) for symbol in SYMBOLS])
    step = Decimal("0.00001")
    catalogue.write(
        settings,
        "binance",
        [Market("binance", s, "spot", *s.split("/"), Decimal("0.01"), step, Decimal(5)) for s in SYMBOLS],
    )
    catalogue.write_origin(settings, "A generated market.")


def _written(committer: Committer, symbol: str, candles: Candles) -> lakes.Row:
    start_ms, end_ms = int(candles.open_ts_ms[0]), int(candles.open_ts_ms[-1]) + HOUR_MS
    row = lakes.shard(start_ms, end_ms, symbol=symbol, venue="binance")
    page = Page(candles, endpoint="https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=0)
    return write_part(committer.store, row, [page], candles)


def search(settings: Settings) -> None:
    """Run one search and print its report."""
    from heliograph.cluster import sweep
    from heliograph.telemetry.progress import Quiet

    sys.stdout.write(json.dumps(asdict(sweep.run(settings, Quiet()))) + "\n")


def on_nodes_that_die(settings: Settings) -> None:
    """Run one search on two nodes; the one that runs a fold when the first outcome is there is lost with all on it."""
    import ray
    from ray.cluster_utils import Cluster

    from heliograph.cluster import sweep
    from heliograph.cluster.governor import NAMESPACE
    from heliograph.cluster.session import PACKAGE

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "_system_config": _QUICK_HEALTH, "include_dashboard": False},
    )
    try:
        env = {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
        nodes = [cluster.add_node(num_cpus=1, env_vars=env, object_store_memory=100 * 2**20) for _ in range(2)]
        ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
        folder = sweep.home(settings)
        ended = threading.Event()
        killer = threading.Thread(target=_lose, args=(cluster, nodes[0], folder, ended), daemon=True)
        killer.start()
        search(settings)
        ended.set()
        killer.join()
    finally:
        ray.shutdown()
        cluster.shutdown()


def _lose(cluster: Any, node: Any, folder: Path, ended: threading.Event) -> None:
    while not list(folder.glob("candidate-*/fold-*.json")):
        if ended.wait(0.1):
            return
    cluster.remove_node(node, allow_graceful=False)
    (folder / "lost").touch()


def main(kind: str, var: str, lake: str, *overrides: str) -> None:
    """Run one search in this process; ``kind`` is ``alone``, with a Ray of its own, or ``nodes``."""
    settings = settings_of(Path(var), Path(lake), *overrides)
    if kind == "nodes":
        on_nodes_that_die(settings)
        return
    from heliograph.cluster.session import session

    with session():
        search(settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
