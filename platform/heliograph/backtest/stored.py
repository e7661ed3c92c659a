"""Read stored out-of-sample forecasts: tables of `model.table.FORECASTS` → arrays per market.

Shapes: N forecasts, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliograph.backtest.result import StreamKey
from heliograph.core.errors import DataError, SchemaMismatch
from heliograph.core.market import FloatArray, IntArray
from heliograph.model.spec import SETUPS
from heliograph.model.table import FORECASTS

_METADATA = ("horizons_bars", "levels", "model")


@dataclass(frozen=True, slots=True)
class MarketForecasts:
    """All forecasts of one market, ascending in time, each moment once.

    Attributes:
        price_N: close of the origin's bar, quote units.
        model_N: fingerprint of the forecaster that made each.
    """

    known_ts_ms: IntArray
    price_N: FloatArray
    quantile_NHQ: FloatArray
    setup_NHC: FloatArray
    confidence_NH: FloatArray
    model_N: tuple[str, ...]
    horizons_bars: tuple[int, ...]
    levels: tuple[float, ...]


def read(tables: Sequence[pa.Table]) -> dict[StreamKey, MarketForecasts]:
    """Join the forecasts of several folds, by (venue, symbol).

    Raises:
        SchemaMismatch: a table is not one of forecasts, or the tables differ in horizons or levels.
        DataError: two forecasts of one market stand at one moment, or there is none at all.
    """
    heads = [_head(t) for t in tables]
    if not sum(t.num_rows for t in tables):
        raise DataError("there is no stored forecast to replay; run training for these symbols first")
    if any(head[:2] != heads[0][:2] for head in heads):
        raise SchemaMismatch("the folds' forecasts differ in horizons or levels; replay folds of one training run only")
    horizons, levels, _ = heads[0]
    joined = pa.concat_tables(
        t.replace_schema_metadata(None).append_column("model", pa.array([head[2]] * t.num_rows, pa.string()))
        for t, head in zip(tables, heads, strict=True)
    ).sort_by("known_ts_ms")
    found = {}
    for pair in joined.select(["venue", "symbol"]).group_by(["venue", "symbol"]).aggregate([]).to_pylist():
        key = (pair["venue"], pair["symbol"])
        rows = joined.filter((pc.field("venue") == key[0]) & (pc.field("symbol") == key[1])).combine_chunks()
        found[key] = _market(rows, tuple(horizons), tuple(levels), where=" ".join(key))
    return found


def _head(table: pa.Table) -> tuple[list[int], list[float], str]:
    metadata = {key.decode(): value for key, value in (table.schema.metadata or {}).items()}
    if not table.schema.equals(FORECASTS) or not set(_METADATA) <= metadata.keys():
        raise SchemaMismatch("the table is not one of forecasts: give one that training wrote")
    horizons, levels, model = (json.loads(metadata[key]) for key in _METADATA)
    return horizons, levels, model


def _market(rows: pa.Table, horizons: tuple[int, ...], levels: tuple[float, ...], *, where: str) -> MarketForecasts:
    known: IntArray = rows["known_ts_ms"].to_numpy()
    if (twice := np.diff(known) == 0).any():
        raise DataError(f"{where}: two forecasts stand at {int(known[np.argmax(twice)])}; give each fold once")
    return MarketForecasts(
        known_ts_ms=known,
        price_N=rows["price"].to_numpy(),
        quantile_NHQ=_lists(rows, "quantile", (len(horizons), len(levels))),
        setup_NHC=_lists(rows, "setup", (len(horizons), len(SETUPS))),
        confidence_NH=_lists(rows, "confidence", (len(horizons),)),
        model_N=tuple(rows["model"].to_pylist()),
        horizons_bars=horizons,
        levels=levels,
    )


def _lists(rows: pa.Table, name: str, shape: tuple[int, ...]) -> FloatArray:
    width = int(np.prod(shape))
    if pc.min_max(pc.list_value_length(rows[name])).as_py() != {"min": width, "max": width}:
        raise SchemaMismatch(f"the stored forecasts' column {name} must hold {width} numbers in every row")
    values: FloatArray = pc.list_flatten(rows[name]).to_numpy()
    return values.reshape(-1, *shape)
