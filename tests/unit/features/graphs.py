"""Graphs run over candles, and the laws that every graph must obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from tests.unit.features.candles import HOUR_MS

from heliograph.core.market import Candles
from heliograph.features.engine import Pass, Program
from heliograph.features.graph import Series
from heliograph.features.market import INPUTS

FloatArray = npt.NDArray[np.float64]


def inputs(candles: Candles, step_ms: int = HOUR_MS, others: Mapping[str, FloatArray] | None = None) -> FloatArray:
    """The rows of `INPUTS`, then those of ``others``."""
    ts = candles.open_ts_ms.astype(np.float64)
    prices = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return np.array([ts, ts // step_ms, *prices, *(others or {}).values()])


def values(
    series: Series | Sequence[Series],
    candles: Candles,
    *,
    step_ms: int = HOUR_MS,
    others: Mapping[str, FloatArray] | None = None,
) -> FloatArray:
    """float64[n] of one series, float64[n, k] of several."""
    results = (series,) if isinstance(series, Series) else tuple(series)
    program = Program.of(results, (*INPUTS, *(others or {})))
    found = Pass(program).advance(inputs(candles, step_ms, others))
    return found[:, 0] if isinstance(series, Series) else found


def assert_laws(
    series: Series | Sequence[Series],
    candles: Candles,
    *,
    step_ms: int = HOUR_MS,
    others: Mapping[str, FloatArray] | None = None,
    seed: int = 1,
) -> None:
    """Batch, random cuts and bar by bar agree bit for bit, also after being saved and loaded in the middle."""
    results = (series,) if isinstance(series, Series) else tuple(series)
    program = Program.of(results, (*INPUTS, *(others or {})))
    rows = inputs(candles, step_ms, others)
    whole = Pass(program).advance(rows)
    rng = np.random.default_rng(seed)
    for block_bars in (1, 5, 64):
        running, at, found = Pass(program, block_bars=block_bars), 0, []
        while at < rows.shape[1]:
            bars = int(rng.integers(1, 40)) if rng.random() < 0.5 else 1
            found.append(running.advance(np.ascontiguousarray(rows[:, at : at + bars])))
            at += bars
            if rng.random() < 0.05:
                carried = running.save()
                running = Pass(program, block_bars=block_bars)
                running.load(carried)
        np.testing.assert_array_equal(np.concatenate(found), whole)
