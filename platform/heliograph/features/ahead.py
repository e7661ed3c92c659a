"""Compile every kernel ahead of its first use: ``python -m heliograph.features.ahead``.

Numba keeps machine code on disk beside the sources; where it is there, a process loads it in a second. Without it the
first user of all features waits for minutes.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.features import catalog
from heliograph.features.featurizer import Featurizer

_HOUR_MS = 3_600_000


def main() -> None:
    """Run every feature over a few bars."""
    started_s = time.perf_counter()
    features = catalog.BASE
    hours = np.arange(8, dtype=np.int64)
    one = np.ones(8)
    candles = Candles(hours * _HOUR_MS, one, one, one, one, one)
    base = timeframes.parse("1h")
    run = Featurizer([*features, *(f.on("4h") for f in features[:1])], base)
    run.advance(candles, dict.fromkeys(run.others, one))
    sys.stdout.write(f"compiled {len(features)} features in {time.perf_counter() - started_s:.0f} s\n")


if __name__ == "__main__":
    main()
