"""Several symbols of one venue at the same bar times: each one's own series, then all of them beside each other.

Three steps: every symbol's own graph gives a few series, `heliograph.features.ops.across` compares them bar by bar, and
the result goes back to each symbol as further inputs, which `heliograph.features.families.cross` reads. The last step
needs nothing but the bars that are there, so a thousand bars and one bar are the same calls.

Rules:

- a row of time t uses bars that open at t or before, of every symbol; call `advance` for a time once its bars are in;
- a symbol takes part in a number at t if it has a bar at t and knows that number; one that misses a bar, has stopped or
  is not listed yet is left out of that bar, and no value of it is carried on; its own series go on over its own bars;
- a newly listed symbol joins the returns at its second bar, momentum, turnover and ranks when its windows are full;
- a return after missing bars is per √bar, as every feature sees it;
- a further symbol changes the market's numbers and the ranks from its first own bars on, and nothing before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.features.engine import BATCH_BARS, Pass, Program
from heliograph.features.market import BAR_RETURN, CLOSE, INPUTS, LOG_CLOSE, SIGMA, VOLUME
from heliograph.features.ops import across
from heliograph.features.ops.pointwise import magnitude, ratio
from heliograph.features.ops.window import mean

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_OFF_MEAN = CLOSE - mean(CLOSE, 50)

_OWN: Final = {
    "return": BAR_RETURN,
    "momentum_24": LOG_CLOSE - LOG_CLOSE.lag(24),
    "above_mean": ratio(_OFF_MEAN, magnitude(_OFF_MEAN), least=1e-12, measure=CLOSE) * 0.5 + 0.5,
    "turnover": mean(CLOSE * VOLUME, 24).lag(1),
    "momentum_168": LOG_CLOSE - LOG_CLOSE.lag(168),
    "volatility": SIGMA,
    "volume": ratio(mean(VOLUME, 24), mean(VOLUME, 168), otherwise=1.0),
}
"""What is worked out for each symbol, in the order that `heliograph.features.ops.across` reads."""

_RANKED: Final = ("momentum_24", "momentum_168", "volatility", "volume", "turnover")

SERIES: Final = (*across.MARKET, "turnover_share", *(f"rank_{name}" for name in _RANKED))
"""Names of what `Panel.advance` gives.

``market_return`` (mean of `BAR_RETURN`), ``market_return_weighted`` (by the turnover of the 24 bars before; equal
weights where nothing was traded), ``market_momentum_24`` (mean log-return of 24 bars), ``dispersion`` (population
standard deviation of the returns), ``breadth_rising`` and ``breadth_above_mean`` (shares of symbols, half for no
change), ``leader_return`` (this bar's return of the symbol with most turnover in the 24 bars before; the mean while none
is known), ``market_symbols`` (how many took part); ``turnover_share`` and the ranks (share of the others below, ties
half) are each symbol's own.
"""


class Panel:
    """Symbols on their way through time.

    Args:
        symbols: in the order of S; of equally large leaders the first counts.
        base: of the bars.
        block_bars: room for new bars; changes speed and memory, never a value.

    Attributes:
        lookback_bars: bars of its own after which a symbol takes part in everything.

    Raises:
        ConfigError: no symbol, or one twice.
    """

    def __init__(self, symbols: Sequence[str], base: Timeframe, *, block_bars: int = BATCH_BARS) -> None:
        self.symbols = tuple(symbols)
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ConfigError(f"a panel needs symbols, each once: not {list(self.symbols)}")
        self.base = base
        program = Program.of((*_OWN.values(),), INPUTS)
        self.lookback_bars = program.lookback_bars
        self._passes = {symbol: Pass(program, block_bars=block_bars) for symbol in self.symbols}
        self._ranked_R = np.array([[*_OWN].index(name) for name in _RANKED], dtype=np.int64)
        self._last_ms = -(2**53)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the series that `advance` gives."""
        return SERIES

    def advance(self, ts_ms: IntArray, candles: Mapping[str, Candles]) -> dict[str, FloatArray]:
        """Take the next bars of all symbols.

        Args:
            ts_ms: int64[T], bar opens, ascending, all after the last call's.
            candles: by symbol, their opens among ``ts_ms``; a symbol that is missing has no bars.

        Returns:
            float64[S, T] by name, see `SERIES`; NaN where a symbol has no bar or does not know its own part yet.

        Raises:
            SchemaMismatch: bars that don't ascend or that stand at no time of ``ts_ms``, or an unknown symbol; nothing
                has been taken then.
        """
        rows = self._rows(ts_ms, candles)
        x_TSK = np.full((ts_ms.size, len(self.symbols), len(_OWN)), np.nan)
        is_present_TS = np.zeros(x_TSK.shape[:2], dtype=np.bool_)
        for s, symbol in enumerate(self.symbols):
            if symbol in rows:
                is_present_TS[rows[symbol], s] = True
                x_TSK[rows[symbol], s] = self._passes[symbol].advance(_inputs(candles[symbol], self.base))
        if ts_ms.size:
            self._last_ms = int(ts_ms[-1])
        return dict(zip(SERIES, across.across(x_TSK, is_present_TS, self._ranked_R), strict=True))

    def save(self) -> dict[str, FloatArray]:
        """What is carried, by symbol and node."""
        carried = {f"{s}|{key}": kept for s, run in self._passes.items() for key, kept in run.save().items()}
        return {"last_ms": np.array([float(self._last_ms)]), **carried}

    def load(self, carried: Mapping[str, FloatArray]) -> None:
        """Go on where `save` was called; a symbol that is not in it is newly listed, one that is only in it has gone.

        Raises:
            SchemaMismatch: it was saved by a release that keeps something else.
        """
        by_symbol: dict[str, dict[str, FloatArray]] = {}
        for name, kept in carried.items():
            symbol, _, key = name.rpartition("|")
            by_symbol.setdefault(symbol, {})[key] = kept
        for symbol in self.symbols:
            if symbol in by_symbol:
                self._passes[symbol].load(by_symbol[symbol])
        self._last_ms = int(carried["last_ms"][0])

    def _rows(self, ts_ms: IntArray, candles: Mapping[str, Candles]) -> dict[str, IntArray]:
        """Of each symbol that has bars, where they stand among the times."""
        if ts_ms.size and (ts_ms[0] <= self._last_ms or (ts_ms[1:] <= ts_ms[:-1]).any()):
            raise SchemaMismatch(
                f"the bars of a panel must ascend, and come after {self._last_ms}: give each time once"
            )
        if unknown := sorted(set(candles) - set(self.symbols)):
            raise SchemaMismatch(f"the panel does not hold {', '.join(unknown)}: make one that does, and load it")
        rows, padded = {}, np.append(ts_ms, -1)
        for symbol, bars in candles.items():
            if len(bars):
                rows[symbol] = found = np.searchsorted(ts_ms, bars.open_ts_ms)
                strange = padded[found] != bars.open_ts_ms
                strange[1:] |= found[1:] <= found[:-1]
                if strange.any():
                    raise SchemaMismatch(
                        f"{symbol}: the bar of {bars.open_ts_ms[int(np.argmax(strange))]} is not the next one among the "
                        "times given: a bar that came late or twice can't be taken any more"
                    )
        return rows


def times(candles: Mapping[str, Candles]) -> IntArray:
    """Every open at which some symbol has a bar, ascending: the ``ts_ms`` of a batch.

    >>> times({}).size
    0
    """
    opens = [np.empty(0, dtype=np.int64), *(bars.open_ts_ms for bars in candles.values())]
    return np.unique(np.concatenate(opens))


def others(found: Mapping[str, FloatArray], s: int, rows: IntArray) -> dict[str, FloatArray]:
    """What symbol ``s`` reads at its own bars, by name of input.

    Args:
        found: float64[S, T] by name, of `Panel.advance`.
        rows: where the symbol's bars stand among the T times.
    """
    return {name: np.ascontiguousarray(grid[s, rows]) for name, grid in found.items()}


def _inputs(candles: Candles, base: Timeframe) -> FloatArray:
    """Rows of `INPUTS`."""
    ts_ms = candles.open_ts_ms
    if base.is_calendar:
        number = (ts_ms - base.offset_ms).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    else:
        number = (ts_ms - base.offset_ms) // base.ms
    prices = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return np.array([ts_ms, number, *prices], dtype=np.float64)
