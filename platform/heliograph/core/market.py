"""Markets, the rules of a venue, and candles as columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import SchemaMismatch
from heliograph.core.timeframe import Timeframe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Kind = Literal["spot", "swap"]
"""Spot, or perpetual swaps."""


def slug(symbol: str) -> str:
    """A symbol as it stands in paths and URLs: ``BTC/USDT`` → ``BTC-USDT``, ``BTC/USDT:USDT`` → ``BTC-USDT_USDT``."""
    return symbol.replace("/", "-").replace(":", "_")


def unslug(text: str) -> str:
    """Inverse of `slug`."""
    return text.replace("-", "/", 1).replace("_", ":", 1)


def kind_of(symbol: str) -> Kind:
    """Which kind of market a unified symbol names.

    >>> kind_of("BTC/USDT"), kind_of("BTC/USDT:USDT")
    ('spot', 'swap')
    """
    return "swap" if ":" in symbol else "spot"


@dataclass(frozen=True, slots=True)
class Market:
    """One tradable pair on one venue.

    Attributes:
        symbol: unified name, ``BASE/QUOTE`` or ``BASE/QUOTE:SETTLE``.
        price_tick, qty_step: smallest price and quantity increments.
        min_notional_quote: smallest order value that the venue takes, quote units.
        is_active: False for delisted or halted markets that still have history.
        listed_ts_ms: when trading began, if the venue says so.
    """

    venue: str
    symbol: str
    kind: Kind
    base: str
    quote: str
    price_tick: Decimal
    qty_step: Decimal
    min_notional_quote: Decimal
    is_active: bool = True
    listed_ts_ms: int | None = None

    @property
    def slug(self) -> str:
        """The symbol as it stands in paths and URLs."""
        return slug(self.symbol)


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What a planner must know about a venue's candles of one kind of market.

    Attributes:
        timeframes: native timeframes that are right on this venue, on the grids of `heliograph.core.calendars`.
        page_limit: candles in one answer, at most.
        horizon_candles: how many of the newest candles can be had at all; None for full history.
        weight_per_page: what one page costs of the budget.
        weight_limit: budget that the venue grants within any ``window_s`` seconds, to one address.
        seeks_first: a page asked for from the epoch starts at the first candle ever.
        kind: of the markets that these rules hold for.
        pool: name of the budget that pays; rules with the same pool share it.
        close_delay_ms: how long after its close a candle can be revised.
        fills_quiet: the venue sends a flat bar where nothing was traded, so a bar that is absent is an outage.
        is_certified: proved by the contract suite; False for an exchange that only ccxt's own call reaches.
    """

    venue: str
    timeframes: tuple[str, ...]
    page_limit: int
    horizon_candles: int | None
    weight_per_page: float
    weight_limit: float
    window_s: float
    seeks_first: bool
    kind: Kind = "spot"
    pool: str = ""
    close_delay_ms: int = 0
    fills_quiet: bool = False
    is_certified: bool = True

    @property
    def weight_per_s(self) -> float:
        """The budget as a steady rate."""
        return self.weight_limit / self.window_s


@dataclass(frozen=True, slots=True)
class Candles:
    """Closed candles of one market and timeframe as columns of equal length n, ascending, each open once.

    Attributes:
        open_ts_ms: int64[n], bar opens, UTC epoch ms.
        open, high, low, close: float64[n], quote units.
        volume: float64[n], base units unless the venue says otherwise.
    """

    open_ts_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return int(self.open_ts_ms.size)

    @classmethod
    def empty(cls) -> Self:
        """No candles."""
        return cls.of(np.empty((0, 6)))

    @classmethod
    def of(cls, rows: npt.ArrayLike) -> Self:
        """From rows ``[open_ts_ms, open, high, low, close, volume]``, shape [n, 6]."""
        table = np.asarray(rows, dtype=np.float64).reshape(-1, 6)
        return cls(table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, 6)))

    @classmethod
    def concat(cls, parts: list[Candles]) -> Candles:
        """One frame out of several, sorted by open; a bar that stands in two parts counts once (the later part's)."""
        if not parts:
            return cls.empty()
        columns = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        ts = columns["open_ts_ms"]
        order = np.argsort(ts, kind="stable")
        keep = order[np.append(np.diff(ts[order]) > 0, True)] if ts.size else order
        return cls(**{name: column[keep] for name, column in columns.items()})

    def take(self, where: slice | npt.NDArray[np.bool_] | IntArray) -> Candles:
        """The rows selected by a slice, mask or index."""
        return Candles(**{f.name: getattr(self, f.name)[where] for f in fields(self)})

    def between(self, start_ms: int, end_ms: int) -> Candles:
        """Candles that open in ``[start_ms, end_ms)``."""
        lo, hi = np.searchsorted(self.open_ts_ms, [start_ms, end_ms])
        return self.take(slice(int(lo), int(hi)))

    def require_sound(self, timeframe: Timeframe) -> None:
        """Check what every page must hold: opens ascending, each once, on the timeframe's grid; prices finite.

        Raises:
            SchemaMismatch: naming the first offending bar.
        """
        ts = self.open_ts_ms
        for wrong, what in (
            (np.append(False, np.diff(ts) <= 0), "is not after the bar before it"),
            (timeframe.floor_array(ts) != ts, f"is off the {timeframe} grid"),
            (
                ~np.isfinite(self.open + self.high + self.low + self.close + self.volume),
                "has a number that is not finite",
            ),
        ):
            if wrong.any():
                raise SchemaMismatch(f"the bar that opens at {int(ts[int(np.argmax(wrong))])} {what}")
