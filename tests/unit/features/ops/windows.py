"""Series that are hard on windows, and the laws that every window obeys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from heliograph.features.engine import Pass, Program
from heliograph.features.graph import Series, source

FloatArray = npt.NDArray[np.float64]
Reference = Callable[..., FloatArray]

X, Y = source("x"), source("y")
LENGTHS = (2, 3, 7, 20, 64, 100, 168)


def walk(n: int, *, seed: int, price: float = 6e4, tick: float = 0.01) -> FloatArray:
    """A price that moves by a few ticks a bar and often not at all."""
    moves = np.random.default_rng(seed).integers(-3, 4, n)
    return np.round(price / tick + np.cumsum(moves)) * tick


def steps(n: int, *, seed: int) -> FloatArray:
    """Fat-tailed returns, a tenth of them 0."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.1, 0.0, 0.01 * rng.standard_t(3, n))


def evaluated(series: Series, x: FloatArray, y: FloatArray | None = None, *, cuts: int | None = None) -> FloatArray:
    """float64[n]; in calls of random length where ``cuts`` is their seed, saved and loaded between some."""
    program, rows = Program.of([series], ("x", "y")), np.array([x, x if y is None else y])
    if cuts is None:
        return Pass(program).advance(rows)[:, 0]
    rng, at, found = np.random.default_rng(cuts), 0, []
    running = Pass(program, block_bars=7)
    while at < x.size:
        bars = int(rng.integers(1, 12))
        found.append(running.advance(np.ascontiguousarray(rows[:, at : at + bars])))
        at += bars
        if rng.random() < 0.1:
            carried, running = running.save(), Pass(program, block_bars=7)
            running.load(carried)
    return np.concatenate(found)[:, 0]


def assert_is_window(series: Series, bars: int, of: Reference, x: FloatArray, y: FloatArray | None = None) -> None:
    """Agrees with ``of`` over windows float[m, bars] of x, and of y where given, to 1e-12 of 1 or of the value."""
    found = evaluated(series, x, y)
    windows = [sliding_window_view(values, bars).astype(np.longdouble) for values in (x, y) if values is not None]
    expected = of(*windows)
    assert series.node.lookback_bars == x.size - expected.size + 1
    assert np.isnan(found[: series.node.lookback_bars - 1]).all()
    np.testing.assert_allclose(found[series.node.lookback_bars - 1 :], expected.astype(np.float64), rtol=1e-12)


def assert_obeys_windows(series: Series, bars: int) -> None:
    """Bit-equal however cut; the same after any history; NaN while a NaN is in the window, and only then."""
    x, y = steps(3 * bars + 60, seed=4), steps(3 * bars + 60, seed=5)
    whole, lookback = evaluated(series, x, y), series.node.lookback_bars
    assert lookback == series.node.settle_bars == bars
    np.testing.assert_array_equal(evaluated(series, x, y, cuts=8), whole)
    np.testing.assert_array_equal(evaluated(series, x[9:], y[9:])[lookback - 1 :], whole[9 + lookback - 1 :])
    holed = x.copy()
    holed[bars + 20] = np.nan
    expected = whole.copy()
    expected[bars + 20 : bars + 20 + bars] = np.nan
    np.testing.assert_array_equal(evaluated(series, holed, y), expected)
