"""Forecasts as an Arrow table: out-of-sample forecasts travel in it from training to the backtest.

Shapes: N rows, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from heliograph.model.spec import Forecast, Forecaster

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FORECASTS = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),  # unified: BTC/USDT
        pa.field("known_ts_ms", pa.int64(), nullable=False),  # of the origin: the close of its bar
        pa.field("price", pa.float64(), nullable=False),  # close of that bar, quote units
        pa.field("quantile", pa.list_(pa.float64()), nullable=False),  # H × Q log-returns, row by row
        pa.field("setup", pa.list_(pa.float64()), nullable=False),  # H × 3 probabilities, row by row
        pa.field("confidence", pa.list_(pa.float64()), nullable=False),  # H probabilities
    ]
)
"""Columns of a forecast table; its metadata hold ``horizons_bars``, ``levels`` and ``model`` as JSON."""


def to_arrow(
    forecaster: Forecaster, *, venue: str, symbol: str, known_ts_ms: IntArray, price_N: FloatArray, forecast: Forecast
) -> pa.Table:
    """One symbol's forecasts as a table."""
    num = known_ts_ms.size
    metadata = {
        "horizons_bars": json.dumps(forecaster.horizons_bars),
        "levels": json.dumps(forecaster.levels),
        "model": json.dumps(forecaster.fingerprint),
    }
    columns = [
        pa.array([venue] * num, pa.string()),
        pa.array([symbol] * num, pa.string()),
        pa.array(known_ts_ms, pa.int64()),
        pa.array(price_N, pa.float64()),
        *(_lists(a) for a in (forecast.quantile_BHQ, forecast.setup_BHC, forecast.confidence_BH)),
    ]
    return pa.Table.from_arrays(columns, schema=FORECASTS.with_metadata(metadata))


def _lists(array: FloatArray) -> pa.Array:
    width = int(np.prod(array.shape[1:]))
    offsets = np.arange(array.shape[0] + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(array).ravel()))
