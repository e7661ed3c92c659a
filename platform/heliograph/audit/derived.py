"""Native candles beside those that a finer timeframe adds up to: every bar where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from heliograph.audit.finding import BoolArray
from heliograph.audit.span import ends
from heliograph.core.market import Candles, FloatArray, IntArray
from heliograph.core.resample import resample
from heliograph.core.timeframe import Timeframe
from heliograph.lake.coverage import Interval

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Difference:
    """One bar that the venue's own candle tells differently.

    Attributes:
        open_ts_ms: of the bar.
        fields: names of the columns that differ.
        native, derived: open, high, low, close, volume as sent and as added up.
    """

    open_ts_ms: int
    fields: tuple[str, ...]
    native: tuple[float, ...]
    derived: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Bars that both series hold whole, m of them, and where they differ.

    Attributes:
        open_ts_ms: int64[m].
        native, derived: their candles.
        differs: bool[5, m], open, high, low, close, volume.
    """

    open_ts_ms: IntArray
    native: Candles
    derived: Candles
    differs: BoolArray

    def differences(self) -> list[Difference]:
        """Every bar where any column differs, ascending."""
        names = (*PRICES, "volume")
        native, added = (
            np.column_stack([getattr(side, name) for name in names]) for side in (self.native, self.derived)
        )
        return [
            Difference(
                int(self.open_ts_ms[i]),
                tuple(name for name, off in zip(names, self.differs[:, i], strict=True) if off),
                tuple(map(float, native[i])),
                tuple(map(float, added[i])),
            )
            for i in np.flatnonzero(self.differs.any(axis=0))
        ]


def compare(
    native: Candles,
    finer: Candles,
    timeframe: Timeframe,
    finer_timeframe: Timeframe,
    *,
    covered: Iterable[Interval] | None = None,
) -> Comparison:
    """Set native candles beside the finer ones, over bars whose whole span the finer ones cover.

    Prices must be equal to the last digit. Volumes must be equal within half a unit of the last decimal that either
    side prints, and within what fifteen significant digits can tell.

    Args:
        native: of ``timeframe``, on the venue's grid.
        finer: of ``finer_timeframe``, which divides it.
        covered: intervals that the finer series has in full, quiet bars left out by the venue counting as had; None
            takes bars only that hold every finer bar.
    """
    derived = summed(finer, timeframe)
    whole = (
        _full(derived, finer, timeframe, finer_timeframe) if covered is None else _inside(derived, timeframe, covered)
    )
    derived = derived.take(whole)
    ts, at, here = np.intersect1d(native.open_ts_ms, derived.open_ts_ms, assume_unique=True, return_indices=True)
    native, derived = native.take(at), derived.take(here)
    prices = [getattr(native, name) != getattr(derived, name) for name in PRICES]
    cut = float(np.abs(_cut(finer.volume) - finer.volume).max(initial=0.0)) * timeframe.ms / finer_timeframe.ms
    volume = np.abs(native.volume - derived.volume) > cut + _tolerance(native.volume, derived.volume)
    return Comparison(ts, native, derived, np.stack([*prices, volume]))


def summed(candles: Candles, timeframe: Timeframe) -> Candles:
    """`resample`, of volumes cut to the decimals that fifteen significant digits of the largest one leave.

    Nearly all volumes have fewer decimals anyhow, and are left as they are.
    """
    return resample(replace(candles, volume=_cut(candles.volume)), timeframe)


def _cut(volume: FloatArray) -> FloatArray:
    decimals = 14 - math.ceil(math.log10(float(volume.max(initial=1.0))))
    cut: FloatArray = np.round(volume, decimals)
    return cut


def _full(derived: Candles, finer: Candles, timeframe: Timeframe, finer_timeframe: Timeframe) -> BoolArray:
    first = np.searchsorted(finer.open_ts_ms, derived.open_ts_ms)
    held = np.diff(np.append(first, len(finer)))
    full: BoolArray = held * finer_timeframe.ms == ends(derived.open_ts_ms, timeframe) - derived.open_ts_ms
    return full


def _inside(derived: Candles, timeframe: Timeframe, covered: Iterable[Interval]) -> BoolArray:
    """Bars that lie in one covered interval; the intervals are sorted and do not touch."""
    edges = np.asarray(list(covered), dtype=np.int64).reshape(-1, 2)
    if not edges.size:
        return np.zeros(len(derived), dtype=np.bool_)
    at = np.searchsorted(edges[:, 0], derived.open_ts_ms, side="right") - 1
    inside: BoolArray = (at >= 0) & (ends(derived.open_ts_ms, timeframe) <= edges[at, 1])
    return inside


def _tolerance(native: FloatArray, derived: FloatArray) -> FloatArray:
    scale = min(_decimals(native), _decimals(derived))
    tolerance: FloatArray = 0.5001 * 10.0**-scale + 1e-13 * np.maximum(native, derived)
    return tolerance


def _decimals(values: FloatArray) -> int:
    """The fewest decimals that hold all values, at most 12."""
    return next((d for d in range(12) if np.array_equal(np.round(values, d), values)), 12)
