"""The width of a cone, kept right while outcomes come in: a tracker of the log-width of every level pair.

Where an outcome falls outside a pair, the pair is widened a little; where it falls inside, it is narrowed by less, so that
in the long run it holds its nominal share. Both sides move by one factor and the median stays: textbook trackers that
move each quantile by itself buy coverage with sharpness (A. Angelopoulos, E. Candès, R. Tibshirani, Conformal PID control
for time series prediction, 2023). The step shrinks with the overlap of the labels.

Every origin has the common width, and on top of it that of its regime of volatility. Nothing is learned from a label
before it is known, and what is known at a moment counts from the next one on, so that the symbols of a moment may come in
any order. A history and the live bar run the same two kernels.

Shapes: N origins of all symbols, B origins, S symbols, H horizons, Q quantile levels, K level pairs from the outermost
inward, G groups: the common one, then the regimes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numba
import numpy as np
import numpy.typing as npt

from heliograph.model.checkpoint import Tensors

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NO_REGIME = -1
"""An origin of which the regime is not known has the common width alone."""

NUM_REGIMES = 3

RATE = 0.01
"""Measured on ten hourly pairs, 2020 to 2024: half as much again costs 0.02 % of pinball, and covers no better."""

_REACH = 1.5  # log-width; a stream of one-sided outcomes can't throw a cone away
_NEVER_MS = -(2**53)
_ARRAYS = ("edge_SR", "log_width_GHK", "learned_ms_GH")


@dataclass(frozen=True, slots=True)
class Regimes:
    """Which volatility is calm, usual or wild for each symbol.

    Attributes:
        symbols: unified names; without any, no regime is ever known.
        edge_SR: float64, ascending; an unknown symbol takes the median of all.
    """

    symbols: tuple[str, ...] = ()
    edge_SR: FloatArray = field(default_factory=lambda: np.empty((0, NUM_REGIMES - 1)))

    def of(self, symbol: str, sigma_B: npt.NDArray[np.floating[Any]]) -> IntArray:
        """Regime of each origin by its volatility per bar, int64[B]; `NO_REGIME` where that is NaN.

        >>> Regimes(("A",), np.array([[0.1, 0.2]])).of("A", np.array([0.05, 0.15, 0.5, np.nan])).tolist()
        [0, 1, 2, -1]
        """
        if not self.symbols:
            return np.full(sigma_B.shape, NO_REGIME)
        is_known = symbol in self.symbols
        edges = self.edge_SR[self.symbols.index(symbol)] if is_known else np.median(self.edge_SR, axis=0)
        return np.where(np.isnan(sigma_B), NO_REGIME, np.searchsorted(edges, sigma_B))


@dataclass(frozen=True, slots=True)
class Tracker:
    """The state: how wide the cones are, and when it last learned; every step gives a new one.

    Attributes:
        levels: Q quantile levels, ascending, symmetric, with 0.5 in the middle.
        horizons_bars: H horizons.
        bar_ms: length of a bar.
        regimes: of the symbols that it was measured on.
        rate: step of the log-width for outcomes that overlap no others; outcomes h/n bars apart step 1/n of it.
        log_width_GHK: log-factors on the distance from the median; they add up over an origin's groups.
        learned_ms_GH: end of the newest label that it has seen.
    """

    levels: tuple[float, ...]
    horizons_bars: tuple[int, ...]
    bar_ms: int
    regimes: Regimes
    rate: float
    log_width_GHK: FloatArray
    learned_ms_GH: IntArray

    @classmethod
    def fresh(
        cls,
        levels: tuple[float, ...],
        horizons_bars: tuple[int, ...],
        *,
        bar_ms: int,
        regimes: Regimes | None = None,
        rate: float = RATE,
    ) -> Self:
        """One that has seen nothing and changes nothing."""
        shape = (1 + NUM_REGIMES, len(horizons_bars), len(levels) // 2)
        learned_ms_GH = np.full(shape[:2], _NEVER_MS, dtype=np.int64)
        return cls(levels, horizons_bars, bar_ms, regimes or Regimes(), rate, np.zeros(shape), learned_ms_GH)

    def apply(self, quantile_BHQ: FloatArray, regime_B: IntArray | None = None) -> FloatArray:
        """The quantiles with the width of now: medians as they were, never crossing; float64[B, H, Q]."""
        said_BHQ = np.empty(quantile_BHQ.shape)
        rows = np.arange(quantile_BHQ.shape[0])
        quantile_BHQ = np.ascontiguousarray(quantile_BHQ, dtype=np.float64)
        _widen(self.log_width_GHK, rows, _regimes(regime_B, rows.size), quantile_BHQ, said_BHQ)
        return said_BHQ

    def step(
        self, h: int, end_ts_ms: int, quantile_BQ: FloatArray, y_B: FloatArray, *, regime_B: IntArray | None = None
    ) -> Self:
        """Learn what came of the forecasts that ended at one moment.

        Args:
            h: index of the horizon.
            end_ts_ms: when these labels became known; not before the newest it has seen.
            quantile_BQ: what `apply` had said.
            y_B: log-returns; NaN where unknown, which teaches nothing.
            regime_B: of the origins, as `apply` was told.
        """
        width_GHK, learned_GH = self.log_width_GHK.copy(), self.learned_ms_GH.copy()
        rows = np.arange(y_B.size)
        said_BHQ = np.repeat(quantile_BQ[:, None].astype(np.float64), h + 1, axis=1)
        y_BH = np.repeat(y_B[:, None].astype(np.float64), h + 1, axis=1)
        _learn(width_GHK, learned_GH, self._numbers(), h, end_ts_ms, rows, _regimes(regime_B, y_B.size), said_BHQ, y_BH)
        return replace(self, log_width_GHK=width_GHK, learned_ms_GH=learned_GH)

    def run(
        self,
        known_ts_ms: IntArray,
        end_ts_ms_NH: IntArray,
        quantile_NHQ: FloatArray,
        y_NH: FloatArray,
        *,
        regime_N: IntArray | None = None,
    ) -> tuple[FloatArray, Tracker]:
        """Go through a history in the order of time.

        Args:
            known_ts_ms: when each origin is known, in any order.
            end_ts_ms_NH: when each label is, later than that.
            y_NH: log-returns; NaN where unknown.
            regime_N: of each origin.

        Returns:
            The quantiles corrected by what was known before each origin, and the tracker as it stands at the last one:
            labels that end later are not in it.
        """
        assert (end_ts_ms_NH > known_ts_ms[:, None]).all(), "a label is known after its origin"
        width_GHK, learned_GH = self.log_width_GHK.copy(), self.learned_ms_GH.copy()
        said_NHQ = np.empty(quantile_NHQ.shape)
        _run(
            width_GHK,
            learned_GH,
            self._numbers(),
            np.argsort(known_ts_ms, kind="stable"),
            np.ascontiguousarray(known_ts_ms),
            np.ascontiguousarray(np.argsort(end_ts_ms_NH, axis=0, kind="stable").T),
            np.ascontiguousarray(end_ts_ms_NH),
            _regimes(regime_N, known_ts_ms.size),
            np.ascontiguousarray(quantile_NHQ, dtype=np.float64),
            np.ascontiguousarray(y_NH, dtype=np.float64),
            said_NHQ,
        )
        return said_NHQ, replace(self, log_width_GHK=width_GHK, learned_ms_GH=learned_GH)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same tracker of."""
        header = {
            "levels": list(self.levels),
            "horizons_bars": list(self.horizons_bars),
            "bar_ms": self.bar_ms,
            "symbols": list(self.regimes.symbols),
            "rate": self.rate,
        }
        arrays = (self.regimes.edge_SR, self.log_width_GHK, self.learned_ms_GH)
        return dict(zip(_ARRAYS, arrays, strict=True)), header

    @classmethod
    def restore(cls, tensors: Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        edge_SR, log_width_GHK, learned_ms_GH = (tensors[name] for name in _ARRAYS)
        return cls(
            tuple(header["levels"]),
            tuple(header["horizons_bars"]),
            header["bar_ms"],
            Regimes(tuple(header["symbols"]), edge_SR),
            header["rate"],
            log_width_GHK,
            learned_ms_GH,
        )

    def _numbers(self) -> tuple[float, FloatArray, FloatArray]:
        """Rate, share that each pair leaves outside, and length of each horizon in ms."""
        outside_K = 2.0 * np.asarray(self.levels[: len(self.levels) // 2])
        return self.rate, outside_K, np.asarray(self.horizons_bars, dtype=np.float64) * self.bar_ms


@dataclass(frozen=True, slots=True)
class _Pending:
    said_HQ: FloatArray
    close: float
    regime: int


class Follower:
    """A tracker at the live desk: it keeps what was said until the outcome is known; `Tracker.run`, bar by bar.

    One that begins with the same tracker and is given the same bars after `since_ms` stands where another stands, to the
    last bit. The forecasts whose outcomes were open when the tracker was saved are said anew, with its last widths.

    Attributes:
        tracker: as it stands after the last call.
        since_ms: the outcomes of forecasts made up to here were in the tracker at the beginning; None where it had
            learned nothing at some horizon.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.since_ms = _since_ms(tracker)
        self._pending: dict[str, dict[int, _Pending]] = {}
        self._ended: dict[tuple[int, int], list[tuple[FloatArray, float, int]]] = {}

    def forecast(
        self, symbol: str, known_ts_ms: int, quantile_HQ: FloatArray, *, close: float, sigma: float
    ) -> FloatArray:
        """The quantiles of one symbol's newest bar with the width of now, float64[H, Q].

        A label whose last bar is missing teaches nothing, and a symbol that comes after a later bar's first one is too
        late to teach.

        Args:
            known_ts_ms: of the bar, ascending for each symbol.
            close: of the bar, quote units.
            sigma: volatility per bar, known at it.
        """
        self._settle(symbol, known_ts_ms, close)
        for end_ms, h in sorted(key for key in self._ended if key[0] < known_ts_ms):
            said, y, regime = zip(*self._ended.pop((end_ms, h)), strict=True)
            if end_ms <= self.tracker.learned_ms_GH[0, h]:
                continue  # it was learned before, or came too late
            self.tracker = self.tracker.step(h, end_ms, np.stack(said), np.array(y), regime_B=np.array(regime))
        regime_B = self.tracker.regimes.of(symbol, np.array([sigma]))
        said_HQ: FloatArray = self.tracker.apply(quantile_HQ[None], regime_B)[0]
        self._pending.setdefault(symbol, {})[known_ts_ms] = _Pending(said_HQ, close, int(regime_B[0]))
        return said_HQ

    def _settle(self, symbol: str, known_ts_ms: int, close: float) -> None:
        """Take down what came of this symbol's forecasts that end now, and forget those that no bar can settle."""
        waiting = self._pending.get(symbol, {})
        for h, bars in enumerate(self.tracker.horizons_bars):
            if said := waiting.get(known_ts_ms - bars * self.tracker.bar_ms):
                outcome = (said.said_HQ[h], float(np.log(close / said.close)), said.regime)
                self._ended.setdefault((known_ts_ms, h), []).append(outcome)
        longest_ms = max(self.tracker.horizons_bars) * self.tracker.bar_ms
        for old_ms in [ms for ms in waiting if ms <= known_ts_ms - longest_ms]:
            del waiting[old_ms]


def _since_ms(tracker: Tracker) -> int | None:
    learned_H, bars_H = tracker.learned_ms_GH[0], np.asarray(tracker.horizons_bars)
    return None if (learned_H == _NEVER_MS).any() else int((learned_H - bars_H * tracker.bar_ms).min())


def _regimes(regime_B: IntArray | None, num: int) -> IntArray:
    return np.full(num, NO_REGIME) if regime_B is None else np.ascontiguousarray(regime_B, dtype=np.int64)


@numba.njit(cache=True, error_model="numpy", nogil=True)  # type: ignore[untyped-decorator]
def _widen(
    width_GHK: FloatArray, rows: IntArray, regime_N: IntArray, quantile_NHQ: FloatArray, said_NHQ: FloatArray
) -> None:
    """Write what the widths of now make of these rows."""
    num_pairs = width_GHK.shape[2]
    middle = num_pairs
    for i in rows:
        group = 1 + regime_N[i]
        for h in range(width_GHK.shape[1]):
            median = quantile_NHQ[i, h, middle]
            said_NHQ[i, h, middle] = median
            below, above = 0.0, 0.0
            for k in range(num_pairs - 1, -1, -1):
                width = width_GHK[0, h, k]
                if group > 0:
                    width += width_GHK[group, h, k]
                factor = np.exp(width)
                below = max(below, (median - quantile_NHQ[i, h, k]) * factor)
                above = max(above, (quantile_NHQ[i, h, 2 * middle - k] - median) * factor)
                said_NHQ[i, h, k] = median - below
                said_NHQ[i, h, 2 * middle - k] = median + above


@numba.njit(cache=True, error_model="numpy", nogil=True)  # type: ignore[untyped-decorator]
def _learn(  # noqa: PLR0913, PLR0917 - a numba call is cheapest with flat arguments
    width_GHK: FloatArray,
    learned_GH: IntArray,
    numbers: tuple[float, FloatArray, FloatArray],
    h: int,
    end_ms: int,
    rows: IntArray,
    regime_N: IntArray,
    said_NHQ: FloatArray,
    y_NH: FloatArray,
) -> None:
    """Move the widths of one horizon by the outcomes of these rows, all known at one moment."""
    rate, promised_K, horizon_ms_H = numbers
    num_pairs = promised_K.size
    outside_K = np.empty(num_pairs)
    for group in range(width_GHK.shape[0]):
        outside_K[:] = 0.0
        count = 0
        for i in rows:
            y = y_NH[i, h]
            if not np.isfinite(y) or (group > 0 and regime_N[i] != group - 1):
                continue
            count += 1
            for k in range(num_pairs):
                if y < said_NHQ[i, h, k] or y > said_NHQ[i, h, 2 * num_pairs - k]:
                    outside_K[k] += 1.0
        if count == 0:
            continue
        share = min(max((end_ms - learned_GH[group, h]) / horizon_ms_H[h], 0.0), 1.0)
        for k in range(num_pairs):
            moved = width_GHK[group, h, k] + rate * share * (outside_K[k] / count - promised_K[k])
            width_GHK[group, h, k] = min(max(moved, -_REACH), _REACH)
        learned_GH[group, h] = end_ms


@numba.njit(cache=True, error_model="numpy", nogil=True)  # type: ignore[untyped-decorator]
def _run(  # noqa: PLR0913, PLR0917 - a numba call is cheapest with flat arguments
    width_GHK: FloatArray,
    learned_GH: IntArray,
    numbers: tuple[float, FloatArray, FloatArray],
    order_N: IntArray,
    known_N: IntArray,
    ending_HN: IntArray,
    end_NH: IntArray,
    regime_N: IntArray,
    quantile_NHQ: FloatArray,
    y_NH: FloatArray,
    said_NHQ: FloatArray,
) -> None:
    """Learn and widen, moment by moment."""
    num = order_N.size
    next_H = np.zeros(end_NH.shape[1], dtype=np.int64)
    first = 0
    while first < num:
        now = known_N[order_N[first]]
        last = first
        while last < num and known_N[order_N[last]] == now:
            last += 1
        for h in range(next_H.size):
            while next_H[h] < num and end_NH[ending_HN[h, next_H[h]], h] < now:
                begin = next_H[h]
                end_ms = end_NH[ending_HN[h, begin], h]
                while next_H[h] < num and end_NH[ending_HN[h, next_H[h]], h] == end_ms:
                    next_H[h] += 1
                rows = ending_HN[h, begin : next_H[h]]
                _learn(width_GHK, learned_GH, numbers, h, end_ms, rows, regime_N, said_NHQ, y_NH)
        _widen(width_GHK, order_N[first:last], regime_N, quantile_NHQ, said_NHQ)
        first = last
