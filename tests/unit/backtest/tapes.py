"""Hand-made bars, certain forecasts and limits that stand in nobody's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import numpy as np

from heliograph.config.settings import RiskSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.core.market import Candles, Market
from heliograph.desk.batch import ForecastColumns, Stream, in_order

HOUR = timeframes.parse("1h")
LEVELS = (0.1, 0.5, 0.9)
HORIZONS = (1, 24)
START_MS = 1_704_067_200_000  # 2024-01-01
BTC, ETH = ("binance", "BTC/USDT"), ("binance", "ETH/USDT")

FREE_HAND = RiskSettings(
    kelly_fraction=1.0,
    horizon_bars=24,
    annual_vol_target=5.0,
    max_symbol_weight=1.0,
    soft_drawdown=0.98,
    hard_drawdown=0.99,
    min_confidence=0.0,
    no_trade_band=0.9,
    max_order_notional_quote=1e12,
)


def market(key: tuple[str, str], *, tick: str = "0.00000001", step: str = "0.00000001") -> Market:
    """A spot market with fine steps and no least order."""
    base, quote = key[1].split("/")
    return Market(*key, "spot", base, quote, Decimal(tick), Decimal(step), Decimal(0))


def candles(closes: list[float], opens: list[float] | None = None, *, first_bar: int = 0) -> Candles:
    """Hourly bars; each opens at the close before it unless told otherwise."""
    opened = opens or [closes[0], *closes[:-1]]
    return Candles.of(
        [
            [START_MS + (first_bar + i) * HOUR.ms, o, max(o, c), min(o, c), c, 1.0]
            for i, (o, c) in enumerate(zip(opened, closes, strict=True))
        ]
    )


def walk(num: int, seed: int, *, spread: float = 0.01) -> Candles:
    """A random walk without drift whose opens are not quite the closes before."""
    rng = np.random.default_rng(seed)
    closes = np.round(100 * np.exp(np.cumsum(rng.normal(0, spread, num))), 4)
    opens = np.round(np.append(100.0, closes[:-1]) * np.exp(rng.normal(0, spread / 10, num)), 4)
    return candles(closes.tolist(), opens.tolist())


def columns(median_N: list[float | None]) -> ForecastColumns:
    """Forecasts of one certain return each, None for none; quantiles are 0.1 % apart."""
    row_N = np.array([i for i, m in enumerate(median_N) if m is not None], dtype=np.int64)
    median = np.array([m for m in median_N if m is not None], dtype=np.float64)
    quantile = median[:, None, None] + np.array([-0.001, 0.0, 0.001]) + np.zeros((1, len(HORIZONS), 1))
    return ForecastColumns(
        row_N=row_N,
        quantile_NHQ=quantile,
        setup_NHC=np.tile(np.array([0.0, 1.0, 0.0]), (row_N.size, len(HORIZONS), 1)),
        confidence_NH=np.ones((row_N.size, len(HORIZONS))),
        model_N=["scripted"] * row_N.size,
        horizons_bars=HORIZONS,
        levels=LEVELS,
    )


def feed(
    frames: Mapping[tuple[str, str], Candles],
    median: Callable[[Candles, int], float | None],
    *,
    delay_ms: int = 0,
) -> Iterator[tuple[CandleClosed, ForecastMade | None]]:
    """Bars in order, each with the certain forecast that ``median(candles, row)`` gives."""
    return in_order(
        [
            Stream(*key, "1h", c, c.open_ts_ms + HOUR.ms + delay_ms, columns([median(c, i) for i in range(len(c))]))
            for key, c in frames.items()
        ]
    )
