"""Candles in, features out: a whole frame at once, or the bar that just closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from heliograph.config.settings import FeatureSettings
from heliograph.core.calendars import grid
from heliograph.core.errors import SchemaMismatch
from heliograph.core.events import CandleClosed
from heliograph.core.market import Candles
from heliograph.features import align, catalog
from heliograph.features.engine import LIVE_BARS
from heliograph.features.featurizer import Featurizer, Others

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SIGMA = catalog.SIGMA


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of one market, one row per existing base candle; nothing is filled in for a missing one.

    Attributes:
        open_ts_ms: int64[n], opens of the candles.
        known_ts_ms: int64[n], when each row may be used: close of the candle plus the venue's delay.
        names: F column names.
        values: float64[n, F]; NaN while a feature warms up, finite and in its declared range ever after.
    """

    open_ts_ms: IntArray
    known_ts_ms: IntArray
    names: tuple[str, ...]
    values: FloatArray

    def __len__(self) -> int:
        return int(self.open_ts_ms.size)

    def column(self, name: str) -> FloatArray:
        """One feature; float64[n]."""
        return self.values[:, self.names.index(name)]


def names(settings: FeatureSettings) -> tuple[str, ...]:
    """The columns that `compute` and `LiveFeatures` give, in order.

    Raises:
        ConfigError: a glob of the settings matches no feature.
    """
    return tuple(f.name for f in catalog.chosen(settings))


def compute(
    candles: Candles,
    settings: FeatureSettings,
    *,
    close_delay_ms: int = 0,
    others: Others | None = None,
    market: tuple[str, str] = ("", ""),
) -> FeatureTable:
    """Features of every candle; a row reads nothing after the close of its own candle.

    Args:
        candles: closed candles of ``settings.timeframe``; bars may be missing.
        close_delay_ms: how long after its close the venue may still revise a candle.
        others: see `Featurizer.advance`.
        market: venue and unified symbol.

    Raises:
        SchemaMismatch: candles out of order, off the grid, not finite, a close that is not above 0, or a negative volume.
        ConfigError: the settings name no such feature, or a context timeframe that the base does not divide.
    """
    base = grid(market[0], settings.timeframe)
    made = Featurizer(catalog.chosen(settings), base, market=market)
    values = made.advance(candles, others)
    ts = candles.open_ts_ms
    return FeatureTable(ts, align.closes(base, ts) + close_delay_ms, made.names, values)


class LiveFeatures:
    """The same features one closed bar at a time, bit-equal to `compute` over the bars seen so far.

    A new one has seen nothing: give it `heliograph.features.catalog.warmup_bars` of history, or what another one saved.
    """

    def __init__(self, settings: FeatureSettings, *, market: tuple[str, str] = ("", "")) -> None:
        self._timeframe = settings.timeframe
        base = grid(market[0], settings.timeframe)
        self._made = Featurizer(catalog.chosen(settings), base, market=market, block_bars=LIVE_BARS)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a row."""
        return self._made.names

    def update(self, candle: CandleClosed, others: Others | None = None) -> FloatArray:
        """Take the next closed bar and answer with its row.

        Returns:
            float64[F], NaN where a feature warms up.

        Raises:
            SchemaMismatch: a bar of another timeframe, not after the one before it, or one that `compute` refuses.
        """
        if candle.timeframe != self._timeframe:
            raise SchemaMismatch(f"a {candle.timeframe} bar came where {self._timeframe} bars are expected")
        bar = [candle.open_ts_ms, candle.open, candle.high, candle.low, candle.close, candle.volume]
        row: FloatArray = self._made.advance(Candles.of([bar]), others)[0]
        return row

    def save(self) -> dict[str, FloatArray]:
        """See `Featurizer.save`."""
        return self._made.save()

    def load(self, carried: dict[str, FloatArray]) -> None:
        """See `Featurizer.load`."""
        self._made.load(carried)


def to_arrow(table: FeatureTable) -> pa.Table:
    """The table as Arrow columns: open_ts_ms, known_ts_ms, then one double a feature; NaN stays NaN, nothing is null."""
    columns = {"open_ts_ms": table.open_ts_ms, "known_ts_ms": table.known_ts_ms}
    columns |= {name: np.ascontiguousarray(table.values[:, k]) for k, name in enumerate(table.names)}
    return pa.table(columns)


def from_arrow(table: pa.Table) -> FeatureTable:
    """Inverse of `to_arrow`.

    Raises:
        SchemaMismatch: the two times are not the first columns, or another column is not a double.
    """
    times, rest = table.schema.names[:2], table.schema.names[2:]
    if times != ["open_ts_ms", "known_ts_ms"] or any(table.schema.field(n).type != pa.float64() for n in rest):
        raise SchemaMismatch(f"a feature table is open_ts_ms, known_ts_ms and doubles, not {table.schema.names}")
    values = np.empty((table.num_rows, len(rest)))
    for k, name in enumerate(rest):
        values[:, k] = table[name].to_numpy()
    opens, known = (table[name].to_numpy() for name in times)
    return FeatureTable(opens, known, tuple(rest), values)
