"""What can happen: facts in the past tense, the only input of the trading engine."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True)
class CandleClosed:
    """A bar closed and became known.

    Attributes:
        known_ts_ms: close of the bar plus the venue's delay; nothing may act on it earlier.
    """

    venue: str
    symbol: str
    timeframe: str
    open_ts_ms: int
    known_ts_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class ForecastMade:
    """The distribution of the log-return from ``known_ts_ms`` on, over several horizons.

    Attributes:
        horizons_bars: H horizons in bars of ``timeframe``, ascending.
        levels: Q quantile levels in (0, 1), ascending.
        quantile_HQ: log-return at each horizon and level; never decreasing along Q.
        setup_HC: probability of each setup (stop, timeout, profit) at each horizon.
        confidence_H: calibrated probability, in [0, 1], that the sign of the median is right.
        model: fingerprint of the checkpoint that made it.
    """

    venue: str
    symbol: str
    timeframe: str
    known_ts_ms: int
    price: float
    horizons_bars: tuple[int, ...]
    levels: tuple[float, ...]
    quantile_HQ: tuple[tuple[float, ...], ...]
    setup_HC: tuple[tuple[float, ...], ...]
    confidence_H: tuple[float, ...]
    model: str


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    """The venue has the order."""

    client_id: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class OrderRejected:
    """The venue proved that it does not have the order."""

    client_id: str
    ts_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The rest of the order is gone."""

    client_id: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class OrderFilled:
    """A part of an order, or all of it, was executed.

    Attributes:
        trade_id: the venue's id of this execution; the same id twice is the same fill.
        qty_base: always positive.
        fee_quote: always what was paid; negative for a rebate.
    """

    client_id: str
    trade_id: str
    venue: str
    symbol: str
    side: Side
    qty_base: Decimal
    price: Decimal
    fee_quote: Decimal
    ts_ms: int


@dataclass(frozen=True, slots=True)
class KillSwitched:
    """Somebody, or a guard, stopped trading: cancels pass, orders do not."""

    ts_ms: int
    reason: str


Event = CandleClosed | ForecastMade | OrderAccepted | OrderRejected | OrderCancelled | OrderFilled | KillSwitched
