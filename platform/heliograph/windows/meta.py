"""Meta-labels: given the side that a first model took, does the trade pay after fees and slippage?

Shapes: N bars, H horizons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.config.learning import LabelSettings
from heliograph.core.errors import ConfigError, DataError
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.windows import barriers
from heliograph.windows.barriers import PROFIT, STOP, UNKNOWN

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BPS = 1e-4


@dataclass(frozen=True, slots=True)
class Costs:
    """What each fill costs, in basis points of its own value; entry and exit pay alike.

    Raises:
        ConfigError: one is negative or not a number.
    """

    fee_bps: float
    slippage_bps: float

    def __post_init__(self) -> None:
        for name, value in (("fee_bps", self.fee_bps), ("slippage_bps", self.slippage_bps)):
            if not 0.0 <= value < np.inf:
                raise ConfigError(f"{name} is {value}: give basis points of zero or more")

    @property
    def share(self) -> float:
        """Of a fill's value; 7 bps are 0.0007."""
        return (self.fee_bps + self.slippage_bps) * _BPS


@dataclass(frozen=True, slots=True)
class MetaLabels:
    """Whether each trade paid; known at its end, never before.

    Attributes:
        pays_NH: int64: 1 where the trade earns more than it costs, 0 where not, −1 where it is unknown or there is none.
        net_return_NH: float64, of the entry's value, after costs; NaN where unknown.
        start_ts_ms_N: int64, when the trade may be entered.
        end_ts_ms_NH: int64, when it is known how it ended: at the touch of a barrier or at the horizon.
    """

    pays_NH: IntArray
    net_return_NH: FloatArray
    start_ts_ms_N: IntArray
    end_ts_ms_NH: IntArray


def make(
    candles: Candles,
    timeframe: Timeframe,
    sigma_N: FloatArray,
    settings: LabelSettings,
    *,
    side_N: IntArray,
    costs: Costs,
    close_delay_ms: int = 0,
) -> MetaLabels:
    """Label the trades that a primary model would have made at each bar.

    A trade is entered at the bar's close. It leaves at the profit barrier's price; at the stop's price, or at the open
    of the bar that begins beyond it; else at the close of the horizon. Both barriers in one bar: the stop. (M. López de
    Prado, Advances in Financial Machine Learning, 2018, ch. 3.6.)

    Args:
        sigma_N: float64[N], as in `heliograph.windows.labels.make`.
        side_N: int64[N], +1 long, −1 short, 0 no trade.

    Raises:
        DataError: the candles are not in the order of time, or a side is none of −1, 0, 1.

    >>> from heliograph.core import timeframe
    >>> hour = 3_600_000
    >>> bars = Candles.of([[0, 100, 100, 100, 100, 1], [hour, 100, 100.1, 99.9, 100.05, 1]])
    >>> one_bar = LabelSettings(horizons_bars=(1,))
    >>> for fee in (1.0, 5.0):
    ...     made = make(bars, timeframe.parse("1h"), np.full(2, 0.1), one_bar, side_N=np.ones(2, dtype=np.int64),
    ...                 costs=Costs(fee_bps=fee, slippage_bps=0))
    ...     print(made.pays_NH[0, 0], round(float(made.net_return_NH[0, 0]) * 1e4, 1))
    1 3.0
    0 -5.0
    """
    wrong = np.flatnonzero(~np.isin(side_N, (-1, 0, 1)))
    if wrong.size:
        raise DataError(f"the side of bar {int(wrong[0])} is {side_N[wrong[0]]}: give −1, 0 or 1")
    ends = barriers.horizons(candles, timeframe, settings.horizons_bars)
    decided = barriers.touches(candles, ends, sigma_N, settings, side_N=side_N.astype(np.int64))
    entry_N = np.where(candles.close > 0.0, candles.close, np.nan)
    gone_NH = _exit_price(candles, decided, side_N) / entry_N[:, None]
    net_NH = side_N[:, None] * (gone_NH - 1.0) - costs.share * (1.0 + gone_NH)
    close_ts_ms_N = barriers.closes(timeframe, candles.open_ts_ms)
    return MetaLabels(
        pays_NH=np.where(np.isfinite(net_NH), (net_NH > 0.0).astype(np.int64), UNKNOWN),
        net_return_NH=net_NH,
        start_ts_ms_N=close_ts_ms_N + close_delay_ms,
        end_ts_ms_NH=barriers.known_ts_ms(close_ts_ms_N, decided, ends, close_delay_ms),
    )


def _exit_price(candles: Candles, decided: barriers.Touches, side_N: IntArray) -> FloatArray:
    """Price at which each trade leaves; NaN where that is unknown."""
    close_N1, side_N1 = candles.close[:, None], side_N[:, None]
    at_row = decided.row_NH
    opened = np.append(candles.open, np.nan)[at_row]
    profit = close_N1 * np.exp(side_N1 * decided.width_NH)
    stop = close_N1 * np.exp(-side_N1 * decided.width_NH)
    stop = np.where(side_N1 > 0, np.minimum(stop, opened), np.maximum(stop, opened))
    price = np.append(candles.close, np.nan)[at_row]
    price = np.where(decided.setup_NH == PROFIT, profit, price)
    price = np.where(decided.setup_NH == STOP, stop, price)
    return np.where(decided.setup_NH == UNKNOWN, np.nan, price)
