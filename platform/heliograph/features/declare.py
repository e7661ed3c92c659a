"""What a feature declares: which series it is, its unit, where it was published, and its range."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, Self

from heliograph.features.graph import Series

Family = Literal[
    "trend", "momentum", "volatility", "volume", "shape", "statistics", "season", "cross", "carry", "outside", "own"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature; batch, tiles and the live bar all evaluate ``of``.

    Lookback, settling and inputs are not declared but follow from the graph.

    Attributes:
        name: the column of the table.
        unit: of the value, and what it is a share or a multiple of. Never a price: features are free of scale.
        source: paper, book or document of the definition.
        of: the series.
        low, high: finite range of the value; what lies beyond is cut.
        timeframe: the higher timeframe whose bars it reads; empty for the base.
    """

    name: str
    family: Family
    unit: str
    source: str
    of: Series
    low: float
    high: float
    timeframe: str = ""

    @property
    def lookback_bars(self) -> int:
        """Bars of its timeframe needed for the first value, the current one included; NaN before."""
        return self.of.node.lookback_bars

    @property
    def settle_bars(self) -> int | None:
        """Bars after which the value does not depend on where the history began, to 1e-12; None where that never ends."""
        return self.of.node.settle_bars

    @property
    def key(self) -> str:
        """Names what the column holds, whatever it is called; 16 hex digits."""
        told = repr((self.of.node.key, self.of.index, self.low, self.high, self.timeframe))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def on(self, timeframe: str) -> Self:
        """The same feature of a higher timeframe's bars: ``rsi_14_4h``."""
        return replace(self, name=f"{self.name}_{timeframe}", timeframe=timeframe)
