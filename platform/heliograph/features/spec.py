"""What a feature declaration says: where its number comes from, its unit, its memory and its range.

Every feature is one line of the same form, evaluated by `heliograph.features.kernels.scale` in batch and live:

    value = clip(factor · (of − minus) / (over − less), low, high)

and ``otherwise`` where the market is flat, that is where ``|top − bottom| ≤ least · measure``. A term is a number,
the name of a kernel column, or one output of a TA-Lib indicator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from talib import abstract

_abstract: Any = abstract  # its stubs lack Function

Family = Literal["price", "trend", "volatility", "volume", "season", "context"]


@dataclass(frozen=True, slots=True)
class Indicator:
    """One TA-Lib function on kernel columns: an array call in batch, an O(1) handle live, bit-identical to it.

    Attributes:
        function: TA-Lib's name, ``ADX``.
        inputs: kernel columns in TA-Lib's order.
        parameters: TA-Lib's keyword parameters.
        num_outputs: how many series it answers with.
        lookback_bars: rows without a value at the start.
    """

    function: str
    inputs: tuple[str, ...]
    parameters: tuple[tuple[str, int], ...]
    num_outputs: int
    lookback_bars: int

    def __getitem__(self, index: int) -> Output:
        if not 0 <= index < self.num_outputs:
            raise IndexError(index)
        return Output(self, index)


@dataclass(frozen=True, slots=True)
class Output:
    """One series of an indicator."""

    indicator: Indicator
    index: int


Term = str | float | Output


def talib_indicator(function: str, *inputs: str, **parameters: int) -> Indicator:
    """Declare a TA-Lib indicator.

    >>> talib_indicator("MACD", "close", fastperiod=12, slowperiod=26, signalperiod=9).lookback_bars
    33
    """
    described = _abstract.Function(function)
    described.parameters = parameters
    return Indicator(function, inputs, tuple(parameters.items()), len(described.output_names), described.lookback)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One declaration; it serves the batch pass and the live bar.

    Attributes:
        name: the column of the table.
        unit: of the value; nothing but `heliograph.features.table.SIGMA` has the size of a price move.
        source: paper, book or document of the definition.
        lookback_bars: bars needed for the first finite value, the current one included; NaN before. Bars of
            ``timeframe`` where that is set, else of the base.
        settle_bars: bars after which the value no longer depends on where the history began, to 1e-9. Equal to
            ``lookback_bars`` for a pure window; longer where a state is carried.
        timeframe: the higher timeframe that the feature looks at; empty for the base.
        of, minus, over, less, factor: the formula at the top of this module.
        top, bottom, measure, least: when the market counts as flat; by default when the denominator vanishes.
        otherwise: the value then.
        low, high: finite range of the value; what lies beyond is clipped.
    """

    name: str
    family: Family
    unit: str
    source: str
    lookback_bars: int
    of: str | Output
    low: float
    high: float
    settle_bars: int = 0
    timeframe: str = ""
    minus: Term = 0.0
    over: Term = 1.0
    less: Term = 0.0
    factor: float = 1.0
    top: Term | None = None
    bottom: Term = 0.0
    measure: Term = 1.0
    least: float = 0.0
    otherwise: float = 0.0

    @property
    def terms(self) -> tuple[Term, ...]:
        """The seven terms in the order that the kernel reads them: of, minus, over, less, top, bottom, measure."""
        top, bottom = (self.over, self.less) if self.top is None else (self.top, self.bottom)
        return (self.of, self.minus, self.over, self.less, top, bottom, self.measure)

    @property
    def is_carried(self) -> bool:
        """True where a state is carried from bar to bar, false for a pure window."""
        return self.settle_bars > self.lookback_bars
