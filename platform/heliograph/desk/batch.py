"""The desk over whole frames: the same features and forecasts as bar by bar, made in batches, in the order of time.

Shapes: N forecasts of one stream, B batch, T bars of the window, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from heliograph.config.settings import FeatureSettings
from heliograph.core.errors import DataError
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.core.market import Candles, FloatArray, IntArray
from heliograph.desk.step import require_features
from heliograph.features import table
from heliograph.model.spec import Forecaster
from heliograph.windows.sample import gather

Bar = tuple[CandleClosed, ForecastMade | None]


@dataclass(frozen=True, slots=True)
class ForecastColumns:
    """The forecasts of one stream as columns.

    Attributes:
        row_N: int64[N], ascending; which candle each was made at.
        quantile_NHQ: float64, log-returns.
        setup_NHC: float64, probabilities.
        confidence_NH: float64, in [0, 1].
        model_N: fingerprint of the checkpoint that made each.
    """

    row_N: IntArray
    quantile_NHQ: FloatArray
    setup_NHC: FloatArray
    confidence_NH: FloatArray
    model_N: Sequence[str]
    horizons_bars: tuple[int, ...]
    levels: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """Candles of one (venue, symbol) with what was forecast at them.

    Attributes:
        known_ts_ms: int64[n], when each candle became known, ascending.
        forecasts: None where none was made for this stream.
    """

    venue: str
    symbol: str
    timeframe: str
    candles: Candles
    known_ts_ms: IntArray
    forecasts: ForecastColumns | None


def replay(
    candles: Mapping[tuple[str, str], Candles],
    *,
    features: FeatureSettings,
    forecaster: Forecaster,
    close_delay_ms: Mapping[str, int] | None = None,
    batch_size: int = 1_024,
) -> Iterator[Bar]:
    """What the desk would see and forecast, bar by bar, over whole frames.

    Args:
        candles: by (venue, symbol).
        close_delay_ms: by venue; how long after its close a candle is known. None: at its close everywhere.

    Yields:
        ``(candle, forecast or None)`` ordered by (known_ts_ms, venue, symbol).

    Raises:
        SchemaMismatch: the forecaster was trained on other features than the settings give.
    """
    require_features(features, forecaster)
    delays = close_delay_ms or {}
    streams = []
    for (venue, symbol), frame in candles.items():
        computed = table.compute(frame, features, close_delay_ms=delays.get(venue, 0), market=(venue, symbol))
        columns = _forecast_all(computed.values.astype(np.float32), forecaster, batch_size)
        streams.append(Stream(venue, symbol, features.timeframe, frame, computed.known_ts_ms, columns))
    return in_order(streams)


def in_order(streams: Sequence[Stream]) -> Iterator[Bar]:
    """Several streams as one, ordered by (known_ts_ms, venue, symbol).

    Raises:
        DataError: a (venue, symbol) stands there twice.
    """
    streams = sorted(streams, key=lambda s: (s.venue, s.symbol))
    for before, after in pairwise(streams):
        if (before.venue, before.symbol) == (after.venue, after.symbol):
            raise DataError(f"{after.venue} {after.symbol} is given twice; join its candles first")
    bars = [_bars(s) for s in streams]
    whose = np.repeat(np.arange(len(streams)), [len(s.candles) for s in streams])
    known = np.concatenate([s.known_ts_ms for s in streams]) if streams else np.empty(0, dtype=np.int64)
    return (next(bars[i]) for i in whose[np.lexsort((whose, known))].tolist())


def finite_rows(x_NF: npt.NDArray[np.float32], window_bars: int) -> IntArray:
    """Rows whose whole window is finite: those at which the desk forecasts.

    >>> finite_rows(np.array([[np.nan], [1], [2], [np.nan], [3], [4], [5]], dtype=np.float32), 2).tolist()
    [2, 5, 6]
    """
    broken = np.concatenate([[0], np.cumsum(~np.isfinite(x_NF).all(axis=1))])
    row_N: IntArray = np.arange(window_bars - 1, len(x_NF), dtype=np.int64)
    whole: IntArray = row_N[broken[row_N + 1] == broken[row_N + 1 - window_bars]]
    return whole


def _forecast_all(x_NF: npt.NDArray[np.float32], forecaster: Forecaster, batch_size: int) -> ForecastColumns:
    row_N = finite_rows(x_NF, forecaster.window_bars)
    horizons, levels = tuple(forecaster.horizons_bars), tuple(forecaster.levels)
    made = [
        forecaster.forecast(gather(x_NF, row_N[i : i + batch_size], forecaster.window_bars))
        for i in range(0, row_N.size, batch_size)
    ]
    shape = (0, len(horizons))
    return ForecastColumns(
        row_N=row_N,
        quantile_NHQ=np.concatenate([np.empty((*shape, len(levels))), *(m.quantile_BHQ for m in made)]),
        setup_NHC=np.concatenate([m.setup_BHC for m in made]) if made else np.empty((*shape, 0)),
        confidence_NH=np.concatenate([np.empty(shape), *(m.confidence_BH for m in made)]),
        model_N=[forecaster.fingerprint] * row_N.size,
        horizons_bars=horizons,
        levels=levels,
    )


def _bars(stream: Stream) -> Iterator[Bar]:
    c, f = stream.candles, stream.forecasts
    columns = (c.open_ts_ms, stream.known_ts_ms, c.open, c.high, c.low, c.close, c.volume)
    n = 0
    for row, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        candle = CandleClosed(stream.venue, stream.symbol, stream.timeframe, *values)
        forecast = None
        if f is not None and n < f.row_N.size and f.row_N[n] == row:
            forecast = ForecastMade(
                venue=stream.venue,
                symbol=stream.symbol,
                timeframe=stream.timeframe,
                known_ts_ms=candle.known_ts_ms,
                price=candle.close,
                horizons_bars=f.horizons_bars,
                levels=f.levels,
                quantile_HQ=tuple(map(tuple, f.quantile_NHQ[n].tolist())),
                setup_HC=tuple(map(tuple, f.setup_NHC[n].tolist())),
                confidence_H=tuple(f.confidence_NH[n].tolist()),
                model=f.model_N[n],
            )
            n += 1
        yield candle, forecast
