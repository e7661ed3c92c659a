"""The cache of feature columns over minutes: JSON lines with CPU seconds, bytes kept and the peak of memory.

Run: PYTHONPATH=platform:. python tests/bench/tiles.py [symbols] [days]
"""

from __future__ import annotations

import importlib
import pkgutil
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.bench.measure import report
from tests.unit.features.candles import market

from heliograph.core.timeframe import MINUTE_MS, parse
from heliograph.features import families, tiles
from heliograph.features.declare import Feature
from heliograph.lake.local_store import LocalStore
from heliograph.train import columns
from heliograph.train.columns import History

DAY_BARS = 1_440


class Sink(LocalStore):
    """A store that counts what it is given and, so that years fit on any disk, can drop it.

    Attributes:
        stored: bytes given.
        objects: how many objects they came in.
    """

    def __init__(self, root: Path, *, keep: bool) -> None:
        super().__init__(root)
        self._keep = keep
        self.stored = self.objects = 0

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Count it; write it where objects are kept."""
        self.stored += len(body)
        self.objects += 1
        return super().put_if_absent(key, body) if self._keep or key.startswith("features/sets/") else True


def declared() -> list[Feature]:
    """Every feature of candles alone, on minutes and on hours."""
    modules = (
        importlib.import_module(f"{families.__name__}.{m.name}") for m in pkgutil.iter_modules(families.__path__)
    )
    base = [feature for module in modules for feature in module.FEATURES if not tiles.others_of(feature)]
    return [*base, *(feature.on("1h") for feature in base)]


def past(seed: int, days: int) -> History:
    """One market of minutes."""
    candles = market(days * DAY_BARS, seed=seed, missing=0.01, step_ms=MINUTE_MS)
    first, last = int(candles.open_ts_ms[0]), int(candles.open_ts_ms[-1])
    return History("binance", f"S{seed}/USDT", parse("1m"), first, last + 1, candles.between)


def peak_mib() -> float:
    """Most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def stream(symbols: int, days: int, features: list[Feature]) -> None:
    """Minutes of several markets, one after the other: memory must not grow with any of the two."""
    with tempfile.TemporaryDirectory() as folder:
        sink = Sink(Path(folder), keep=False)
        columns.fill(sink, past(0, 7), features[:3])
        before_mib, cpu, wall, values = peak_mib(), time.process_time(), time.perf_counter(), 0
        for seed in range(symbols):
            work = columns.fill(sink, past(seed, days), features, prune=False)
            values += work.rows * len(features)
            report(
                "tiles.market",
                features=len(features),
                rows=work.rows,
                columns=work.computed,
                peak_mib=peak_mib(),
                before_mib=before_mib,
            )
        spent = time.process_time() - cpu
        report(
            "tiles.stream",
            mvalues_per_cpu_s=values / spent / 1e6,
            cpu_s=spent,
            wall_s=time.perf_counter() - wall,
            bytes_per_value=sink.stored / values,
            objects=sink.objects,
            peak_mib=peak_mib(),
        )


def again(days: int, features: list[Feature]) -> None:
    """The second run, a new day, one new feature, and reading it all."""
    with tempfile.TemporaryDirectory() as folder:
        store, whole = Sink(Path(folder), keep=True), past(1, days)
        today = replace(whole, end_ms=whole.end_ms - DAY_BARS * MINUTE_MS)
        today = replace(today, candles=lambda start, end: whole.candles(start, min(end, today.end_ms)))
        runs = (
            ("first", today, features[1:]),
            ("second", today, features[1:]),
            ("new_day", whole, features[1:]),
            ("new_feature", whole, features),
        )
        for name, market_, wanted in runs:
            start = time.process_time()
            work = columns.fill(store, market_, wanted)
            report(f"tiles.{name}", cpu_s=time.process_time() - start, computed=work.computed, reused=work.reused)
        start = time.process_time()
        values = sum(np.isfinite(part.values).size for part in columns.stream(store, whole, features))
        report("tiles.read", mvalues_per_cpu_s=values / (time.process_time() - start) / 1e6)


if __name__ == "__main__":
    chosen = declared()
    stream(*(int(word) for word in (*sys.argv[1:], *("2", "365")[len(sys.argv) - 1 :])), chosen)
    again(30, chosen)
