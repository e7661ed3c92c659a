"""Forecasters without a network: a fixed sum of the window, in the shape of the port."""

from __future__ import annotations

import numpy as np

from heliograph.config.settings import FeatureSettings, RiskSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.events import CandleClosed
from heliograph.core.market import Candles
from heliograph.features import table
from heliograph.model.spec import Forecast, Spec

HOUR = timeframes.parse("1h")
START_MS = 1_704_067_200_000
FEATURES = FeatureSettings(
    timeframe="1h",
    context_timeframes=("4h",),
    names=("log_return_1", "log_return_4", "log_return_z_20_4h", "rsi_14", "cutler_rsi_14_4h", "close_position"),
)
EAGER = RiskSettings(
    min_confidence=0.0, no_trade_band=0.0, annual_vol_target=5.0, hard_drawdown=0.99, soft_drawdown=0.98
)
BTC, ETH = ("binance", "BTC/USDT"), ("okx", "ETH/USDT")


class Scripted:
    """Median = the newest bar's return and close position; spread = volatility. Nothing learnt, all of the window read."""

    levels = (0.1, 0.5, 0.9)
    horizons_bars = (1, 24)
    fingerprint = "scripted"

    def __init__(self, window_bars: int = 8, features: FeatureSettings = FEATURES) -> None:
        self.feature_names = table.names(features)
        self.window_bars = window_bars
        self.spec = Spec(self.feature_names, "ewma_volatility", self.horizons_bars, self.levels, window_bars)
        self.windows: list[np.ndarray] = []

    def forecast(self, x_BTF: np.ndarray) -> Forecast:
        self.windows.append(x_BTF.copy())
        x = x_BTF.astype(np.float64)
        wave = np.sin(x.sum(axis=2) * np.arange(1, self.window_bars + 1)).mean(axis=1)
        sigma = x[:, -1, self.feature_names.index("ewma_volatility")]
        spread = np.array([-1.3, 0.0, 1.3])
        quantile = 0.1 * wave[:, None, None] + sigma[:, None, None] * spread + np.zeros((1, 2, 1))
        return Forecast(quantile, np.full((len(x), 2, 3), 1 / 3), np.full((len(x), 2), 0.6))


def walk(num: int, seed: int, *, holes: bool = False) -> Candles:
    """A random walk; with holes, one bar in twenty did not come."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, num))), 2)
    opened = np.append(100.0, close[:-1])
    high, low = np.maximum(opened, close) + 0.05, np.minimum(opened, close) - 0.05
    ts = START_MS + np.arange(num) * HOUR.ms
    frame = Candles.of(np.column_stack([ts, opened, high, low, close, np.round(rng.uniform(1, 9, num), 3)]))
    return frame.take(rng.uniform(size=num) > 0.05) if holes else frame


def closed(key: tuple[str, str], frame: Candles, *, delay_ms: int = 0) -> list[CandleClosed]:
    """The frame as events."""
    rows = zip(frame.open_ts_ms, frame.open, frame.high, frame.low, frame.close, frame.volume, strict=True)
    return [CandleClosed(*key, "1h", int(t), int(t) + HOUR.ms + delay_ms, *map(float, v)) for t, *v in rows]
