"""Features beside the peers' own code in the same run: JSON lines, CPU seconds, best of several.

Run: PYTHONPATH=platform:. python tests/bench/features.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from tests.bench import indicators
from tests.bench.measure import cpu_s, report
from tests.unit.features.candles import closed, market
from tests.unit.features.graphs import inputs

from heliograph.config.learning import LabelSettings
from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.features import catalog
from heliograph.features.engine import LIVE_BARS, Pass, Program
from heliograph.features.featurizer import Featurizer
from heliograph.features.market import INPUTS
from heliograph.features.table import LiveFeatures, compute
from heliograph.windows.labels import make

SETTINGS = FeatureSettings()
ROWS = 1_000_000
PEER_ROWS = 100_000
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
    """Million row·indicators a CPU second: thirty common ones, here and in the peers."""
    series, count = indicators.ours(), len(indicators.COMMON)
    program = Program.of(series, INPUTS)
    rows, out = inputs(candles), np.empty((len(candles), len(series)))
    Pass(program).advance(rows[:, :2_000].copy())
    ours = len(candles) * count / cpu_s(lambda: Pass(program).advance(rows, out), 5) / 1e6
    theirs = len(candles) * count / cpu_s(indicators.talib_batch(candles), 5) / 1e6
    told = {"talib": theirs, "ratio_to_talib": ours / theirs}
    few = candles.take(slice(0, PEER_ROWS))
    for name, peer in (
        ("polars_talib", indicators.polars_talib_batch(candles)),
        ("pandas_ta", indicators.pandas_ta_batch(few)),
        ("vectorbt", indicators.vectorbt_batch(few)),
    ):
        if peer is not None:
            size = len(candles) if name == "polars_talib" else PEER_ROWS
            peer[1]()
            told[name] = size * peer[0] / cpu_s(peer[1], 3) / 1e6
    report("batch", mrow_indicators_per_cpu_s=ours, indicators=count, **told)


def everything(candles: Candles) -> None:
    """Million row·features a CPU second: all features that need candles alone."""
    features = [f for f in catalog.BASE if f.of.node.sources <= set(INPUTS)]
    hour = timeframes.parse("1h")
    few = candles.take(slice(0, PEER_ROWS))
    Featurizer(features, hour).advance(few.take(slice(0, 2_000)))
    spent_s = cpu_s(lambda: Featurizer(features, hour).advance(few))
    report("batch", features=len(features), mrow_features_per_cpu_s=len(few) * len(features) / spent_s / 1e6)


def live(candles: Candles) -> None:
    """CPU microseconds of one bar: the default set, all features, and thirty indicators beside TA-Lib's handles."""
    seen, bars = 2_000, 5_000
    few = candles.take(slice(0, seen + bars))
    events = list(closed(few, "1h"))
    spent: dict[str, float] = {}
    for name, settings in (("default", SETTINGS), ("default_without_higher", FeatureSettings(context_timeframes=()))):
        features = LiveFeatures(settings)
        for event in events[:seen]:
            features.update(event)
        start = time.process_time()
        for event in events[seen:]:
            features.update(event)
        spent[name] = (time.process_time() - start) / bars * 1e6
    all_features = [f for f in catalog.BASE if f.of.node.sources <= set(INPUTS)]
    for name, series in (("all", [f.of for f in all_features]), ("indicators", indicators.ours())):
        running = Pass(Program.of(series, INPUTS), block_bars=LIVE_BARS)
        rows = inputs(few)
        running.advance(rows[:, :seen].copy())
        one = [rows[:, k : k + 1].copy() for k in range(seen, seen + bars)]
        start = time.process_time()
        for bar in one:
            running.advance(bar)
        spent[name] = (time.process_time() - start) / bars * 1e6
    fed = indicators.talib_handles(few, seen)
    start = time.process_time()
    for k in range(bars):
        for handle, told in fed:
            handle.update(*told[k])
    spent["talib"] = (time.process_time() - start) / bars * 1e6
    report(
        "live",
        us_per_bar=spent["default"],
        features=len(catalog.chosen(SETTINGS)),
        us_without_higher=spent["default_without_higher"],
        us_all=spent["all"],
        all_features=len(all_features),
        us_indicators=spent["indicators"],
        talib_us_indicators=spent["talib"],
        ratio_to_talib=spent["talib"] / spent["indicators"],
    )


def many_markets(candles: Candles) -> None:
    """Ten thousand markets' bars, one after the other: their state does not fit any cache."""
    markets, rounds = 1_000, 3
    few = candles.take(slice(0, 400))
    rows = inputs(few)
    program = Program.of([f.of for f in catalog.chosen(FeatureSettings(context_timeframes=()))], INPUTS)
    running = [Pass(program, block_bars=LIVE_BARS) for _ in range(markets)]
    for one in running:
        one.advance(rows[:, :300].copy())
    bars = [rows[:, k : k + 1].copy() for k in range(300, 300 + rounds)]
    start = time.process_time()
    for bar in bars:
        for one in running:
            one.advance(bar)
    spent_s = (time.process_time() - start) / rounds / markets
    state_kb = sum(values.nbytes for values in running[0].save().values()) / 1_024
    report("live", markets=markets, us_per_market_bar=spent_s * 1e6, s_for_10k_markets=spent_s * 1e4, state_kb=state_kb)


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
    compute(candles.take(slice(0, 3_000)), SETTINGS)
    batch(candles)
    everything(candles)
    live(candles)
    many_markets(candles)
    labels(candles.take(slice(0, PEER_ROWS)))
    first_call()


if __name__ == "__main__":
    main()
