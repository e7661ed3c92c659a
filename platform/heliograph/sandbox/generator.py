"""A market made by chance that has the habits of real ones.

Hourly log-returns follow one market factor and one own factor per symbol, both GARCH(1,1) with Student-t shocks
(Bollerslev 1987), times an intraday and weekly pattern of volatility, plus rare common jumps. Two symbols have
minutes at the end; each hour's minutes are bridged to that hour's return, so both tell the same story.

Shapes: ``N`` hours or minutes, ``S`` symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, MINUTE_MS

END_MS = 1_751_328_000_000
"""When every generated market ends: 2025-07-01 00:00 UTC."""

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_QUIET_HOURS = 240  # no gaps at the end, where live play happens
_ARCH, _MEMORY, _FREEDOM = 0.06, 0.92, 5.0


@dataclass(frozen=True, slots=True)
class _Coin:
    symbol: str
    price: float
    price_scale: int
    volume_scale: int
    beta: float
    sigma: float  # of an hour, log-return
    turnover: float  # of an hour, quote units


_COINS = (
    _Coin("BTC/USDT", 30_500.0, 2, 5, 0.80, 0.0045, 6.0e7),
    _Coin("ETH/USDT", 1_930.0, 2, 4, 0.80, 0.0056, 3.5e7),
    _Coin("SOL/USDT", 19.2, 2, 2, 0.70, 0.0090, 9.0e6),
    _Coin("XRP/USDT", 0.4730, 4, 0, 0.65, 0.0078, 8.0e6),
    _Coin("ADA/USDT", 0.2860, 4, 1, 0.72, 0.0080, 3.0e6),
    _Coin("DOGE/USDT", 0.06560, 5, 0, 0.68, 0.0088, 5.0e6),
    _Coin("LINK/USDT", 6.150, 3, 2, 0.70, 0.0085, 2.5e6),
    _Coin("LTC/USDT", 107.3, 2, 3, 0.70, 0.0075, 3.0e6),
)
_MINUTE_COINS = 2
_LEAST_DAYS = 10


def generate(seed: int, *, days: int, minute_days: int) -> dict[str, dict[str, Candles]]:
    """Candles of eight symbols, as symbol → timeframe name → candles; the same arguments give the same candles.

    Args:
        seed: of the random numbers.
        days: length of the history; it ends at `END_MS`.
        minute_days: the last days in which the first two symbols have 1m candles and no 1h of their own.

    Raises:
        ConfigError: too few days, or not more days than minute_days.
    """
    if not 0 <= minute_days < days or days < _LEAST_DAYS:
        raise ConfigError(
            f"a generated market needs at least {_LEAST_DAYS} days, and more days ({days}) than minute_days ({minute_days})"
        )
    rng = np.random.default_rng(seed)
    num_hours, split = days * 24, (days - minute_days) * 24
    open_ts_ms = END_MS - HOUR_MS * np.arange(num_hours, 0, -1, dtype=np.int64)
    return_NS, sigma_NS = _returns(rng, _season(open_ts_ms))
    present_NS = _present(rng, num_hours)
    common_noise = _shocks(rng, minute_days * 1_440)
    bases: dict[str, dict[str, Candles]] = {}
    for s, coin in enumerate(_COINS):
        hours = _candles(rng, coin, open_ts_ms, return_NS[:, s], sigma_NS[:, s])
        if s >= _MINUTE_COINS or not minute_days:
            bases[coin.symbol] = {"1h": hours.take(present_NS[:, s])}
            continue
        noise = 0.8 * common_noise + 0.6 * _shocks(rng, common_noise.size)
        minute_return = _bridged(noise, return_NS[split:, s], sigma_NS[split:, s])
        minute_sigma = np.repeat(sigma_NS[split:, s] / np.sqrt(60.0), 60)
        minute_ts_ms = open_ts_ms[split] + MINUTE_MS * np.arange(noise.size, dtype=np.int64)
        start = float(hours.open[split])
        minutes = _candles(rng, coin, minute_ts_ms, minute_return, minute_sigma, start=start, share=1 / 60)
        bases[coin.symbol] = {
            "1h": hours.take(np.flatnonzero(present_NS[:split, s])),
            "1m": minutes.take(np.repeat(present_NS[split:, s], 60)),
        }
    return bases


def _shocks(rng: np.random.Generator, shape: int | tuple[int, int]) -> FloatArray:
    """Student-t shocks of unit variance, cut at 12 standard deviations."""
    shocks = rng.standard_t(_FREEDOM, shape) * np.sqrt((_FREEDOM - 2) / _FREEDOM)
    clipped: FloatArray = np.clip(shocks, -12.0, 12.0)
    return clipped


def _season(open_ts_ms: npt.NDArray[np.int64]) -> FloatArray:
    """Volatility by hour of the day and day of the week; mean about one."""
    hour = (open_ts_ms // HOUR_MS) % 24
    day = (open_ts_ms // (24 * HOUR_MS) + 3) % 7  # 0 is Monday
    pattern: FloatArray = (1.0 + 0.35 * np.cos((hour - 14.5) * np.pi / 12)) * np.where(day >= 5, 0.7, 1.1)
    return pattern


def _returns(rng: np.random.Generator, season_N: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Hourly log-returns and the standard deviation that each was drawn with; both [N, S]."""
    num_hours, num_coins = season_N.size, len(_COINS)
    shock = _shocks(rng, (num_hours, num_coins + 1))  # the last column is the market
    factor, spread = np.empty_like(shock), np.empty_like(shock)
    variance = np.ones(num_coins + 1)
    for n in range(num_hours):
        spread[n] = np.sqrt(variance)
        factor[n] = spread[n] * shock[n]
        variance = 1.0 - _ARCH - _MEMORY + _ARCH * factor[n] ** 2 + _MEMORY * variance
    beta_S = np.array([c.beta for c in _COINS])
    scale_NS = season_N[:, None] * np.array([c.sigma for c in _COINS])
    own_S = np.sqrt(1.0 - beta_S**2)
    jump_N = np.where(rng.random(num_hours) < 1 / 700, rng.normal(0.0, 5.0, num_hours), 0.0)
    return_NS = scale_NS * (beta_S * (factor[:, -1:] + jump_N[:, None]) + own_S * factor[:, :-1])
    sigma_NS = scale_NS * np.hypot(beta_S * spread[:, -1:], own_S * spread[:, :-1])
    return return_NS - 0.5 * sigma_NS**2, sigma_NS


def _present(rng: np.random.Generator, num_hours: int) -> BoolArray:
    """Where candles exist: not in the venue's outages, nor in a symbol's own gaps; bool [N, S]."""
    present = np.ones((num_hours, len(_COINS)), dtype=np.bool_)
    last = num_hours - min(_QUIET_HOURS, num_hours // 2)
    for _ in range(4):
        start = int(rng.integers(last // 20, last - 8))
        present[start : start + int(rng.integers(2, 9)), :] = False
    for s in range(len(_COINS)):
        for start in rng.integers(last // 20, last - 3, 5):
            present[start : start + int(rng.integers(1, 4)), s] = False
    return present


def _bridged(noise: FloatArray, return_N: FloatArray, sigma_N: FloatArray) -> FloatArray:
    """Minute log-returns whose sum over each hour is that hour's return; [60 N]."""
    minute = noise.reshape(-1, 60) * sigma_N[:, None] / np.sqrt(60.0)
    bridged: FloatArray = minute + (return_N - minute.sum(axis=1))[:, None] / 60
    return bridged.reshape(-1)


def _candles(
    rng: np.random.Generator,
    coin: _Coin,
    open_ts_ms: npt.NDArray[np.int64],
    return_N: FloatArray,
    sigma_N: FloatArray,
    *,
    start: float | None = None,
    share: float = 1.0,
) -> Candles:
    """Candles whose closes follow the returns, each opening where the last one closed.

    Highs and lows are the extremes of a Brownian bridge from open to close (Beghin and Orsingher 1999).

    Args:
        start: price before the first candle; None takes the coin's.
        share: of an hour that one candle covers.
    """
    price = (coin.price if start is None else start) * np.exp(np.concatenate([[0.0], np.cumsum(return_N)]))
    price = np.round(price, coin.price_scale)
    opened, closed = price[:-1], price[1:]
    up, down = (
        0.5 * np.sqrt(return_N**2 - 2.0 * sigma_N**2 * np.log(rng.uniform(1e-9, 1.0, return_N.size))) for _ in range(2)
    )
    mid = np.sqrt(opened * closed)
    high = np.maximum(np.round(mid * np.exp(up), coin.price_scale), np.maximum(opened, closed))
    low = np.minimum(np.round(mid * np.exp(-down), coin.price_scale), np.minimum(opened, closed))
    activity = (0.4 + np.abs(return_N) / sigma_N) * sigma_N / (coin.sigma * np.sqrt(share))
    volume = coin.turnover * share / closed * activity * np.exp(rng.normal(0.0, 0.4, return_N.size))
    volume = np.round(np.maximum(volume, 10.0**-coin.volume_scale), coin.volume_scale)
    return Candles(open_ts_ms, opened, high, low, closed, volume)
