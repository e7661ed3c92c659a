"""Candles and stored out-of-sample forecasts → the bars that a backtest replays. N forecasts of one market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from heliograph.backtest import stored
from heliograph.backtest.hindsight import close_ts_ms
from heliograph.backtest.result import StreamKey
from heliograph.backtest.stored import MarketForecasts
from heliograph.core.errors import DataError, LookAhead
from heliograph.core.market import Candles, IntArray
from heliograph.core.timeframe import Timeframe
from heliograph.desk.batch import Bar, ForecastColumns, Stream, in_order


def bars(
    candles: Mapping[StreamKey, Candles],
    forecasts: Sequence[pa.Table],
    timeframe: Timeframe,
    *,
    close_delay_ms: Mapping[str, int] | None = None,
    interval_ms: tuple[int, int] | None = None,
) -> Iterator[Bar]:
    """Replay candles with the forecasts that were stored for them.

    Args:
        candles: by (venue, symbol), in ``timeframe``.
        forecasts: `model.table.FORECASTS` tables, one a fold, of test slices that do not overlap.
        close_delay_ms: by venue; how long after its close a candle is known. None: at its close everywhere.
        interval_ms: half-open, on known_ts_ms; None: from the first stored forecast to the last.

    Yields:
        ``(candle, forecast or None)`` ordered by (known_ts_ms, venue, symbol); None outside the test slices.

    Raises:
        SchemaMismatch: a table is not one of forecasts, or the tables differ in horizons or levels.
        LookAhead: a forecast stands at a moment at which no candle became known.
        DataError: two forecasts stand at one candle, one has another price than its candle, one is of a market without
            candles, or there is none at all.
    """
    by_market = stored.read(forecasts)
    if unknown := sorted(by_market.keys() - candles.keys()):
        raise DataError(
            f"there are forecasts of {unknown[0]} but no candles; give the candles of every forecast market"
        )
    start_ms, end_ms = interval_ms or _span(by_market)
    delays = close_delay_ms or {}
    streams = []
    for key, whole in candles.items():
        known = close_ts_ms(whole.open_ts_ms, timeframe) + delays.get(key[0], 0)
        within = slice(*np.searchsorted(known, [start_ms, end_ms]).tolist())
        columns = _columns(by_market[key], whole, known, within, " ".join(key)) if key in by_market else None
        streams.append(Stream(*key, timeframe.name, whole.take(within), known[within], columns))
    return in_order(streams)


def _span(by_market: Mapping[StreamKey, MarketForecasts]) -> tuple[int, int]:
    known = np.concatenate([m.known_ts_ms for m in by_market.values()])
    return int(known.min()), int(known.max()) + 1


def _columns(made: MarketForecasts, candles: Candles, known: IntArray, within: slice, where: str) -> ForecastColumns:
    """The forecasts beside the candles ``within``; row numbers count from the slice's start."""
    row_N = np.searchsorted(known, made.known_ts_ms)
    strange = np.append(known, -1)[row_N] != made.known_ts_ms
    if strange.any():
        raise LookAhead(
            f"{where}: a stored forecast stands at {int(made.known_ts_ms[np.argmax(strange)])}, when no candle became known; "
            "replay it with the candles and the close delay that it was made with"
        )
    if (other := made.price_N != candles.close[row_N]).any():
        i = int(np.argmax(other))
        raise DataError(
            f"{where}: the forecast at {int(made.known_ts_ms[i])} was made at {made.price_N[i]}, but the candle closed at "
            f"{candles.close[row_N[i]]}; replay it with the data version that it was made with"
        )
    inside = np.flatnonzero((row_N >= within.start) & (row_N < within.stop))
    return ForecastColumns(
        row_N=row_N[inside].astype(np.int64) - within.start,
        quantile_NHQ=made.quantile_NHQ[inside],
        setup_NHC=made.setup_NHC[inside],
        confidence_NH=made.confidence_NH[inside],
        model_N=[made.model_N[i] for i in inside.tolist()],
        horizons_bars=made.horizons_bars,
        levels=made.levels,
    )
