"""What a backtest leaves behind. T grid points, N forecasts, H horizons, Q quantile levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.commands import SubmitOrder
from heliograph.core.events import Side
from heliograph.core.market import FloatArray, IntArray

StreamKey = tuple[str, str]
"""(venue, symbol)."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, with what it cost.

    Attributes:
        open: open of the bar that it filled in, quote units; the price before slippage.
        slippage_quote: what the move from ``open`` to ``price`` cost; positive is a cost.
        fee_quote: what was paid.
    """

    client_id: str
    venue: str
    symbol: str
    side: Side
    qty_base: float
    price: float
    open: float
    notional_quote: float
    fee_quote: float
    slippage_quote: float
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Trade:
    """A round trip: from flat, or from a flip, until flat or the next flip.

    Attributes:
        direction: 1 long, -1 short.
        pnl_quote: after fees and slippage.
    """

    venue: str
    symbol: str
    direction: int
    opened_ts_ms: int
    closed_ts_ms: int
    pnl_quote: float


@dataclass(frozen=True, slots=True)
class Account:
    """One symbol's part of the book at the end.

    Attributes:
        position_base: signed.
        pnl_quote: realised and unrealised, after fees and slippage, at the last close.
        peak_weight: largest |position value| over equity.
    """

    venue: str
    symbol: str
    num_fills: int
    num_trades: int
    num_won: int
    position_base: float
    pnl_quote: float
    fees_quote: float
    slippage_quote: float
    notional_quote: float
    peak_weight: float


@dataclass(frozen=True, slots=True)
class Signals:
    """The forecasts that the backtest saw, beside what came of them.

    Attributes:
        log_return_NH: float64, realised from the forecast's close; NaN where the bar that closes exactly h bars later
            did not come.
        quantile_NHQ: float64; confidence_NH: float64.
    """

    horizons_bars: tuple[int, ...]
    levels: tuple[float, ...]
    quantile_NHQ: FloatArray
    confidence_NH: FloatArray
    log_return_NH: FloatArray


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One replay, whole.

    Attributes:
        close_ts_ms: int64[T], every bar close of the period on the timeframe's grid; where no bar came the last values stand.
        equity_quote: float64[T], cash plus positions at the last close, after all costs.
        benchmark_quote: float64[T], equal-weight buy-and-hold of the same markets at the same costs.
        gross_exposure, net_exposure: float64[T], Σ|position value| and Σ position value over equity.
        cost_quote: float64[T], fees and slippage paid so far.
        horizon_bars: the horizon that sizes followed.
        num_bars: closed candles replayed.
        halts: reasons for which trading stopped, in order.
        is_balanced: the ledger's debits equal its credits at the end.
    """

    timeframe: str
    markets: tuple[StreamKey, ...]
    horizon_bars: int
    initial_cash_quote: float
    close_ts_ms: IntArray
    equity_quote: FloatArray
    benchmark_quote: FloatArray
    gross_exposure: FloatArray
    net_exposure: FloatArray
    cost_quote: FloatArray
    orders: tuple[SubmitOrder, ...]
    fills: tuple[Fill, ...]
    trades: tuple[Trade, ...]
    accounts: tuple[Account, ...]
    num_bars: int
    num_rejected: int
    halts: tuple[str, ...]
    is_balanced: bool
    signals: Signals | None

    @property
    def returns(self) -> FloatArray:
        """float64[T-1], simple return of equity over each bar."""
        return returns(self.equity_quote)


def returns(equity_quote: FloatArray) -> FloatArray:
    """Simple returns of a curve float64[T]; float64[T-1].

    >>> returns(np.array([100.0, 110.0, 99.0])).round(6).tolist()
    [0.1, -0.1]
    """
    out: npt.NDArray[np.float64] = np.diff(equity_quote) / equity_quote[:-1]
    return out
