"""Features beside TA-Lib's own calls in the same run: JSON lines, CPU seconds, best of several.

Run: PYTHONPATH=platform:. python tests/bench/features.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import talib
from talib import stream
from tests.bench.measure import cpu_s, report
from tests.unit.features.candles import closed, market

from heliograph.config.settings import FeatureSettings, LabelSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.features import align, plan
from heliograph.features.table import LiveFeatures, compute
from heliograph.windows.labels import make

SETTINGS = FeatureSettings()
ROWS = 100_000
LIVE_BARS = 10_000
FIRST_CALL = """
import time
from heliograph.config.settings import FeatureSettings
from heliograph.features.table import compute
from tests.unit.features.candles import market
start = time.perf_counter()
compute(market(500), FeatureSettings())
print(time.perf_counter() - start)
"""


def batch(candles: Candles) -> None:
    """Million row·features a CPU second, and TA-Lib's million row·indicators over the indicators in use."""
    todo = plan.make(SETTINGS)
    column = {
        "high": candles.high,
        "low": candles.low,
        "close": candles.close,
        "true_range": candles.high - candles.low,
    }

    def indicators() -> None:
        for used, _, _ in todo.indicators:
            getattr(talib, used.function)(*(column[name] for name in used.inputs), **dict(used.parameters))

    ours = len(candles) * len(todo.features) / cpu_s(lambda: compute(candles, SETTINGS)) / 1e6
    theirs = len(candles) * len(todo.indicators) / cpu_s(indicators) / 1e6
    report("batch", mrow_features_per_cpu_s=ours, talib_mrow_indicators_per_cpu_s=theirs, ratio=ours / theirs)


def live(candles: Candles) -> None:
    """CPU microseconds of one bar through all features, and of TA-Lib's handles alone."""
    todo = plan.make(SETTINGS)
    bars = list(closed(candles.take(slice(0, LIVE_BARS)), "1h"))
    features = LiveFeatures(SETTINGS)
    for bar in bars[:1_000]:
        features.update(bar)
    start = time.process_time()
    for bar in bars[1_000:]:
        features.update(bar)
    ours = (time.process_time() - start) / (LIVE_BARS - 1_000) * 1e6
    column = {
        "high": candles.high,
        "low": candles.low,
        "close": candles.close,
        "true_range": candles.high - candles.low,
    }
    handles = [
        (
            getattr(stream, i.function)(*(column[n][:1_000] for n in i.inputs), **dict(i.parameters)),
            [column[n] for n in i.inputs],
        )
        for i, _, _ in todo.indicators
    ]
    fed = [
        (handle, list(zip(*(c[1_000:LIVE_BARS].tolist() for c in columns), strict=True))) for handle, columns in handles
    ]
    start = time.process_time()
    for k in range(LIVE_BARS - 1_000):
        for handle, inputs in fed:
            handle.update(*inputs[k])
    theirs = (time.process_time() - start) / (LIVE_BARS - 1_000) * 1e6
    report(
        "live",
        us_per_bar=ours,
        features=len(todo.features),
        talib_us_per_bar=theirs,
        handles=len(fed),
        ratio=ours / theirs,
    )


def resample(candles: Candles) -> None:
    """Million base bars a CPU second into one higher timeframe, with the row pointer."""
    hour, day = timeframes.parse("1h"), timeframes.parse("1d")
    report("resample", mrows_per_cpu_s=len(candles) / cpu_s(lambda: align.higher(candles, hour, day)) / 1e6)


def labels(candles: Candles) -> None:
    """Million rows a CPU second, four horizons with triple barriers."""
    sigma = np.full(len(candles), 0.006)
    work = cpu_s(lambda: make(candles, timeframes.parse("1h"), sigma, LabelSettings()))
    report("labels", mrows_per_cpu_s=len(candles) / work / 1e6)


def first_call() -> None:
    """Wall seconds of the first call in a new process: with an empty numba cache, and with a filled one."""
    with tempfile.TemporaryDirectory() as cache:
        environ = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(sys.path)}
        cold, cached = (
            float(
                subprocess.run([sys.executable, "-c", FIRST_CALL], env=environ, check=True, capture_output=True).stdout
            )
            for _ in range(2)
        )
    report("first_call", cold_s=cold, cached_s=cached)


def main() -> None:
    """All checks."""
    candles = market(ROWS, missing=0.01)
    compute(candles, SETTINGS)
    batch(candles)
    live(candles)
    resample(candles)
    labels(candles)
    first_call()


if __name__ == "__main__":
    main()
