"""Thirty common indicators, ours and the peers': what is compared in `features.py`. Runs nothing by itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import talib
from talib import stream

from heliograph.core.market import Candles
from heliograph.features.graph import Series
from heliograph.features.market import CLOSE, RAW_HIGH, RAW_LOW
from heliograph.features.ops import range as ranges
from heliograph.features.ops import smooth, trail, window

BARS = (RAW_HIGH, RAW_LOW, CLOSE)
COMMON: tuple[tuple[str, tuple[str, ...], dict[str, float]], ...] = (
    ("SMA", ("close",), {"timeperiod": 20}),
    ("EMA", ("close",), {"timeperiod": 20}),
    ("WMA", ("close",), {"timeperiod": 20}),
    ("DEMA", ("close",), {"timeperiod": 20}),
    ("TEMA", ("close",), {"timeperiod": 20}),
    ("TRIMA", ("close",), {"timeperiod": 20}),
    ("KAMA", ("close",), {"timeperiod": 10}),
    ("T3", ("close",), {"timeperiod": 5}),
    ("MACD", ("close",), {}),
    ("PPO", ("close",), {"fastperiod": 12, "slowperiod": 26, "matype": 1}),
    ("TRIX", ("close",), {"timeperiod": 15}),
    ("RSI", ("close",), {}),
    ("CMO", ("close",), {}),
    ("STOCHRSI", ("close",), {}),
    ("ROC", ("close",), {"timeperiod": 10}),
    ("STDDEV", ("close",), {"timeperiod": 20}),
    ("PLUS_DI", ("high", "low", "close"), {}),
    ("MINUS_DI", ("high", "low", "close"), {}),
    ("DX", ("high", "low", "close"), {}),
    ("ADX", ("high", "low", "close"), {}),
    ("ATR", ("high", "low", "close"), {}),
    ("TRANGE", ("high", "low", "close"), {}),
    ("STOCH", ("high", "low", "close"), {"fastk_period": 14}),
    ("WILLR", ("high", "low", "close"), {}),
    ("AROON", ("high", "low"), {}),
    ("AROONOSC", ("high", "low"), {}),
    ("CCI", ("high", "low", "close"), {"timeperiod": 20}),
    ("ULTOSC", ("high", "low", "close"), {}),
    ("SAR", ("high", "low"), {}),
    ("MIDPRICE", ("high", "low"), {}),
)
"""TA-Lib's functions, with their inputs and parameters."""


def ours() -> tuple[Series, ...]:
    """The same numbers as series."""
    moved = ranges.directional(*BARS, 14)
    rope, arrows = ranges.stochastic(*BARS, 14), ranges.aroon(RAW_HIGH, RAW_LOW, 14)
    macd, swing = smooth.macd(CLOSE), ranges.stochastic_rsi(CLOSE)
    return (
        window.mean(CLOSE, 20),
        smooth.ema(CLOSE, 20),
        window.weighted_mean(CLOSE, 20),
        smooth.dema(CLOSE, 20),
        smooth.tema(CLOSE, 20),
        smooth.trima(CLOSE, 20),
        smooth.kama(CLOSE, 10),
        smooth.t3(CLOSE, 5),
        *(macd.line, macd.signal, macd.histogram),
        smooth.ppo(CLOSE),
        smooth.trix(CLOSE, 15),
        smooth.rsi(CLOSE),
        smooth.cmo(CLOSE),
        *(swing.fast, swing.slow),
        smooth.change(CLOSE, 10),
        window.deviation(CLOSE, 20),
        *(moved.plus, moved.minus, moved.dx, moved.adx, moved.atr),
        ranges.true_range(*BARS),
        *(rope.slow, rope.signal),
        ranges.williams_r(*BARS),
        *(arrows.up, arrows.down, arrows.oscillator),
        ranges.cci(*BARS, 20),
        ranges.ultimate(*BARS),
        trail.sar(RAW_HIGH, RAW_LOW).stop,
        ranges.middle(RAW_HIGH, RAW_LOW, 14),
    )


def talib_batch(candles: Candles) -> Callable[[], object]:
    """All of TA-Lib's calls."""
    return lambda: [getattr(talib, name)(*_columns(candles, inputs), **said) for name, inputs, said in COMMON]


def talib_handles(candles: Candles, seen: int) -> list[tuple[Any, list[tuple[float, ...]]]]:
    """TA-Lib's live handles, opened on the first bars, each with the inputs of the bars after them."""
    found = []
    for name, inputs, said in COMMON:
        columns = _columns(candles, inputs)
        handle = getattr(stream, name)(*(c[:seen] for c in columns), **said)
        found.append((handle, list(zip(*(c[seen:].tolist() for c in columns), strict=True))))
    return found


def polars_talib_batch(candles: Candles) -> tuple[int, Callable[[], object]] | None:
    """One eager select of what polars-talib has; None where it is not installed."""
    if importlib.util.find_spec("polars_talib") is None:
        return None
    import polars as pl
    import polars_talib as plta

    frame = pl.DataFrame({name: getattr(candles, name) for name in ("high", "low", "close")})
    made = []
    for name, inputs, said in COMMON:
        if hasattr(plta, name.lower()):
            made.append(getattr(plta, name.lower())(*(pl.col(i) for i in inputs), **said).alias(name))
    return len(made), lambda: frame.select(made)


def pandas_ta_batch(candles: Candles) -> tuple[int, Callable[[], object]] | None:
    """pandas-ta-classic's own code, without TA-Lib; None where it is not installed."""
    if importlib.util.find_spec("pandas_ta_classic") is None:
        return None
    import pandas as pd
    import pandas_ta_classic as ta

    high, low, close = (pd.Series(getattr(candles, name)) for name in ("high", "low", "close"))
    calls = (
        lambda: ta.sma(close, 20, talib=False),
        lambda: ta.ema(close, 20, talib=False),
        lambda: ta.dema(close, 20, talib=False),
        lambda: ta.tema(close, 20, talib=False),
        lambda: ta.macd(close, talib=False),
        lambda: ta.rsi(close, talib=False),
        lambda: ta.roc(close, talib=False),
        lambda: ta.stdev(close, 20, talib=False),
        lambda: ta.atr(high, low, close, talib=False),
        lambda: ta.stoch(high, low, close, talib=False),
        lambda: ta.willr(high, low, close, talib=False),
        lambda: ta.adx(high, low, close, talib=False),
    )
    return len(calls), lambda: [call() for call in calls]


def vectorbt_batch(candles: Candles) -> tuple[int, Callable[[], object]] | None:
    """vectorbt's own indicators; None where it is not installed."""
    if importlib.util.find_spec("vectorbt") is None:
        return None
    import vectorbt as vbt

    high, low, close = candles.high, candles.low, candles.close
    calls = (
        lambda: vbt.MA.run(close, 20).ma,
        lambda: vbt.MA.run(close, 20, ewm=True).ma,
        lambda: vbt.MSTD.run(close, 20).mstd,
        lambda: vbt.BBANDS.run(close).upper,
        lambda: vbt.RSI.run(close, 14).rsi,
        lambda: vbt.MACD.run(close).macd,
        lambda: vbt.STOCH.run(high, low, close).percent_k,
        lambda: vbt.ATR.run(high, low, close).atr,
    )
    return len(calls), lambda: [call() for call in calls]


def _columns(candles: Candles, inputs: tuple[str, ...]) -> list[np.ndarray]:
    return [getattr(candles, name) for name in inputs]
