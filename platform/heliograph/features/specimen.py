"""Made markets for proofs: gaps, an outage, stillness, a print at almost nothing, other inputs that come late."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, Timeframe, parse
from heliograph.features.futures import Stream

IntArray = npt.NDArray[np.int64]

START_MS = 1_517_184_000_000
"""Monday 2018-01-29, so that edges of days, weeks and a month lie within the first 80 hours."""

OUTAGE_BARS = 30
STILL_BARS = 40


def market(bars: int, timeframe: Timeframe, *, seed: int = 1, missing: float = 0.02, quiet: float = 0.05) -> Candles:
    """Candles of a market that does what markets do.

    Args:
        bars: on the grid; about ``missing`` of them, and an outage of `OUTAGE_BARS`, are not there.
        quiet: share of bars in which nothing moves or is traded; a stretch of `STILL_BARS` comes besides.

    >>> from heliograph.core import timeframe
    >>> len(market(500, timeframe.parse("1h")))
    460
    """
    rng = np.random.default_rng(seed)
    opens = timeframe.opens(timeframe.ceil(START_MS), START_MS + (bars + 2) * timeframe.ms)[:bars]
    n = opens.size
    row = np.arange(n)
    still = (rng.random(n) < quiet) | (abs(row - 2 * n // 3) < STILL_BARS // 2)
    close = 100 * np.exp(np.cumsum(np.where(still, 0.0, rng.standard_t(3, n) * 0.004)))
    open_ = np.append(close[:1], close[:-1])
    wick_2N = np.where(still, 0.0, np.abs(rng.normal(0.0, 0.003, (2, n))))
    high, low = np.maximum(open_, close) * np.exp(wick_2N[0]), np.minimum(open_, close) * np.exp(-wick_2N[1])
    low[n // 2 : n // 2 + 1] *= 1e-5
    volume = np.where(still, 0.0, np.round(rng.lognormal(2.0, 1.0, n), 3))
    is_there = (rng.random(n) >= missing) & (abs(row - n // 3) >= OUTAGE_BARS // 2) & (row != 1)
    return Candles(opens, open_, high, low, close, volume).take(is_there | (row == 0))


def events(
    of_ts_ms: IntArray,
    name: str,
    *,
    seed: int = 1,
    delay_ms: int = HOUR_MS // 2,
    scale: float = 1.0,
    signed: bool = False,
) -> Stream:
    """Another input: told up to ``delay_ms`` after each event, one in ten revised once more later.

    Args:
        of_ts_ms: int64[n], ascending: times of the events.
        scale: about the size of the values.
        signed: they are of both signs; else above 0.
    """
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    n = of_ts_ms.size
    known = of_ts_ms + rng.integers(0, delay_ms + 1, n)
    values = scale * (rng.normal(0.0, 1.0, n) if signed else np.exp(rng.normal(0.0, 0.3, n)))
    again = np.flatnonzero(rng.random(n) < 0.1)
    of = np.concatenate([of_ts_ms, of_ts_ms[again]])
    told = np.concatenate([known, known[again] + 1 + rng.integers(0, 8 * delay_ms + 1, again.size)])
    column = np.concatenate([values, values[again] * 1.1])
    return Stream(of, told, {name: column}, comes_late=True).take(np.lexsort((told, of)))


def revised(candles: Candles, timeframe: Timeframe, *, seed: int = 1) -> Stream:
    """Candles as a venue sends them that corrects one in ten a few bars after its close."""
    rng = np.random.default_rng(seed)
    first = Stream.of_candles(candles, timeframe)
    again = np.flatnonzero(rng.random(len(first)) < 0.1)
    known = first.known_ts_ms[again] + timeframe.ms * rng.integers(1, 6, again.size)
    columns = {
        name: values[again] * np.exp(rng.normal(0.0, 0.01, again.size)) for name, values in first.columns.items()
    }
    both = [(first.of_ts_ms, first.known_ts_ms, first.columns), (first.of_ts_ms[again], known, columns)]
    of, told = (np.concatenate([part[k] for part in both]) for k in (0, 1))
    merged = {name: np.concatenate([part[2][name] for part in both]) for name in columns}
    return Stream(of, told, merged, timeframe, comes_late=True).take(np.lexsort((told, of)))


def panel(bars: int, symbols: Iterable[str], *, timeframe: Timeframe | None = None, seed: int = 1) -> dict[str, Stream]:
    """Candles of several symbols, each with gaps of its own."""
    base = timeframe or parse("1h")
    return {
        symbol: Stream.of_candles(market(bars, base, seed=seed * 97 + k, missing=0.05), base)
        for k, symbol in enumerate(symbols)
    }
