"""Candles and stored out-of-sample forecasts → the bars that a backtest replays.

Shapes: N forecasts, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from heliograph.backtest.hindsight import close_ts_ms
from heliograph.backtest.result import StreamKey
from heliograph.core.errors import DataError, LookAhead, SchemaMismatch
from heliograph.core.market import Candles, FloatArray, IntArray
from heliograph.core.timeframe import Timeframe
from heliograph.desk.batch import Bar, ForecastColumns, Stream, in_order
from heliograph.model.table import SymbolForecasts, from_arrow


def stored(
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
    by_market = _by_market(forecasts)
    if unknown := sorted(by_market.keys() - candles.keys()):
        raise DataError(
            f"there are forecasts of {unknown[0]} but no candles; give the candles of every forecast market"
        )
    start_ms, end_ms = interval_ms or _span(by_market)
    delays = close_delay_ms or {}
    streams = []
    for (venue, symbol), whole in candles.items():
        known = close_ts_ms(whole.open_ts_ms, timeframe) + delays.get(venue, 0)
        within = slice(*np.searchsorted(known, [start_ms, end_ms]).tolist())
        columns = _columns(by_market.get((venue, symbol), ()), whole, known, within, where=f"{venue} {symbol}")
        streams.append(Stream(venue, symbol, timeframe.name, whole.take(within), known[within], columns))
    return in_order(streams)


def _by_market(tables: Sequence[pa.Table]) -> dict[StreamKey, list[SymbolForecasts]]:
    found: dict[StreamKey, list[SymbolForecasts]] = {}
    for table in tables:
        for key, part in from_arrow(table).items():
            found.setdefault(key, []).append(part)
    parts = [p for group in found.values() for p in group]
    if not parts:
        raise DataError("there is no stored forecast to replay; run training for these symbols first")
    if len({(p.horizons_bars, p.levels) for p in parts}) > 1:
        raise SchemaMismatch("the folds' forecasts differ in horizons or levels; replay folds of one training run only")
    return found


def _span(by_market: Mapping[StreamKey, Sequence[SymbolForecasts]]) -> tuple[int, int]:
    known = np.concatenate([p.known_ts_ms for parts in by_market.values() for p in parts])
    return int(known.min()), int(known.max()) + 1


def _columns(
    parts: Sequence[SymbolForecasts], candles: Candles, known: IntArray, within: slice, *, where: str
) -> ForecastColumns:
    """The forecasts of one market beside its candles ``within``; row numbers count from the slice's start."""
    if not parts:
        none = np.empty((0, 0))
        return ForecastColumns(np.empty(0, dtype=np.int64), none[..., None], none[..., None], none, (), (), ())
    at = np.concatenate([p.known_ts_ms for p in parts])
    order = np.argsort(at, kind="stable")
    row_N = _rows(at[order], np.concatenate([p.price_N for p in parts])[order], candles, known, where=where)
    inside = (row_N >= within.start) & (row_N < within.stop)
    order = order[inside]
    models = [p.model for p in parts for _ in range(p.known_ts_ms.size)]
    return ForecastColumns(
        row_N=row_N[inside] - within.start,
        quantile_NHQ=np.concatenate([p.quantile_NHQ for p in parts])[order],
        setup_NHC=np.concatenate([p.setup_NHC for p in parts])[order],
        confidence_NH=np.concatenate([p.confidence_NH for p in parts])[order],
        model_N=[models[i] for i in order.tolist()],
        horizons_bars=parts[0].horizons_bars,
        levels=parts[0].levels,
    )


def _rows(at: IntArray, price: FloatArray, candles: Candles, known: IntArray, *, where: str) -> IntArray:
    row_N = np.searchsorted(known, at)
    strange = np.append(known, -1)[row_N] != at
    if strange.any():
        raise LookAhead(
            f"{where}: a stored forecast stands at {int(at[np.argmax(strange)])}, when no candle became known; "
            "replay it with the candles and the close delay that it was made with"
        )
    if (twice := np.diff(row_N) == 0).any():
        raise DataError(f"{where}: two forecasts stand at {int(at[np.argmax(twice)])}; give each fold once")
    if (other := price != candles.close[row_N]).any():
        i = int(np.argmax(other))
        raise DataError(
            f"{where}: the forecast at {int(at[i])} was made at {price[i]}, but the candle closed at "
            f"{candles.close[row_N[i]]}; replay it with the data version that it was made with"
        )
    return row_N.astype(np.int64)
