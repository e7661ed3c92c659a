"""The prover of the look-ahead law: change what is known later, and see that nothing known earlier changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from heliograph.core.market import Candles
from heliograph.features.table import FeatureTable

Compute = Callable[[Candles], FeatureTable]


def look_ahead_violations(compute: Compute, candles: Candles, cuts: Iterable[int], *, seed: int = 1) -> list[str]:
    """What of ``compute`` reads the future.

    For each cut the candles after it are cut off, changed, thinned out and spread; every row up to the cut must stay
    the same bit for bit, its times too.

    Args:
        cuts: row numbers; the candle of the row is the last one known.
        seed: of the changes.

    Returns:
        one sentence per cut, change and column that breaks the law; empty where it holds.
    """
    whole = compute(candles)
    rng = np.random.default_rng(seed)
    return [
        f"{column} at row {row} changed when the candles after row {cut} were {change}"
        for cut in cuts
        for change, other in _futures(candles, cut, rng)
        for column, row in _differences(whole, compute(other), cut + 1)
    ]


def _futures(candles: Candles, cut: int, rng: np.random.Generator) -> Iterator[tuple[str, Candles]]:
    past = candles.take(slice(0, cut + 1))
    future = candles.take(slice(cut + 1, None))
    yield "cut off", past
    if not len(future):
        return
    factor = np.exp(rng.normal(0.0, 0.5, len(future)))
    prices = (future.open * factor, future.high * factor * 1.5, future.low * factor / 1.5, future.close * factor)
    yield "changed", Candles.concat([past, Candles(future.open_ts_ms, *prices, future.volume * factor)])
    yield "thinned out", Candles.concat([past, future.take(rng.random(len(future)) < 0.5)])
    yield "moved to later", Candles.concat([past, future.take(slice(len(future) // 2, None))])
    opens = _missing_opens(candles, cut)
    yield "joined by more", Candles.concat([past, future, _copies(future, opens)])


def _missing_opens(candles: Candles, cut: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Opens on the grid, after the cut, that the candles lack: those in the gaps, and a few beyond the end."""
    ts = candles.open_ts_ms
    step = int(np.diff(ts).min()) if ts.size > 1 else 60_000
    grid = np.arange(ts[cut] + step, ts[-1] + 32 * step, step, dtype=np.int64)
    return np.setdiff1d(grid, ts)


def _copies(future: Candles, opens: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Candles:
    like = future.take(np.arange(opens.size, dtype=np.int64) % len(future))
    return Candles(opens, like.open, like.high, like.low, like.close, like.volume)


def _differences(whole: FeatureTable, other: FeatureTable, rows: int) -> Iterator[tuple[str, int]]:
    """Columns of the first ``rows`` rows that differ, each with its first row; NaN equals NaN."""
    for name in ("open_ts_ms", "known_ts_ms"):
        yield from _first(name, getattr(whole, name)[:rows] != getattr(other, name)[:rows])
    a, b = whole.values[:rows], other.values[:rows]
    differs = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    for k, name in enumerate(whole.names):
        yield from _first(name, differs[:, k])


def _first(name: str, differs: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[tuple[str, int]]:
    if differs.any():
        yield name, int(np.argmax(differs))
