"""From candles in the lake to training data: feature tables kept by content, and labels made on the way in.

A feature table's key names everything that it depends on: the definitions, the settings and the very parts of the lake
that it was computed from. What was computed once is never computed again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pyarrow.parquet as pq

from heliograph.config.settings import Settings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.market import slug, unslug
from heliograph.features import plan, table
from heliograph.lake import read
from heliograph.lake.store import open_store
from heliograph.model.spec import Spec
from heliograph.sources.catalog import rules_of
from heliograph.train.pool import spec_of
from heliograph.windows import labels
from heliograph.windows.sample import SymbolData


@dataclass(frozen=True, slots=True)
class Made:
    """A feature table in the lake.

    Attributes:
        reused: it was there already.
    """

    venue: str
    symbol: str
    key: str
    rows: int
    reused: bool


def spec(settings: Settings) -> Spec:
    """What a forecaster trained with these settings takes and gives."""
    return spec_of(table.names(settings.features), settings.labels, settings.model)


def symbols(settings: Settings, venue: str, globs: Sequence[str] = ("*",)) -> list[str]:
    """Unified symbols of a venue that have base candles in the lake and match one of the globs.

    Raises:
        ConfigError: there are none.
    """
    timeframe = settings.features.timeframe
    found = [unslug(s) for v, t, s in read.series(settings.lake) if (v, t) == (venue, timeframe)]
    chosen = [s for s in found if any(fnmatchcase(s, g) for g in globs)]
    if not chosen:
        have = ", ".join(found[:20]) or "none"
        raise ConfigError(
            f"no {timeframe} candles of {', '.join(globs)} on {venue} in the lake (there are: {have}); run `helio fetch` first"
        )
    return chosen


def make_features(settings: Settings, venue: str, symbol: str) -> Made:
    """Compute one symbol's feature table unless it is there already."""
    store = open_store(settings.lake)
    key = _key(settings, venue, symbol)
    held = store.get_tagged(key)
    if held is not None:
        return Made(venue, symbol, key, pq.read_metadata(io.BytesIO(held[0])).num_rows, reused=True)
    candles = read.candles(settings.lake, venue, symbol, settings.features.timeframe)
    made = table.compute(candles, settings.features, close_delay_ms=rules_of(venue, symbol).close_delay_ms)
    body = io.BytesIO()
    pq.write_table(table.to_arrow(made), body, compression="zstd")
    store.put_if_absent(key, body.getvalue())
    return Made(venue, symbol, key, len(made.open_ts_ms), reused=False)


def read_symbols(settings: Settings, chosen: Sequence[str] | None = None) -> list[SymbolData]:
    """Features and labels of the training venue's symbols.

    Raises:
        ConfigError: features are missing; the message says what to run.
    """
    venue = settings.train.venue
    return [_read_symbol(settings, venue, s) for s in chosen or symbols(settings, venue, settings.train.symbols)]


def _read_symbol(settings: Settings, venue: str, symbol: str) -> SymbolData:
    held = open_store(settings.lake).get_tagged(_key(settings, venue, symbol))
    if held is None:
        raise ConfigError(
            f"the features of {symbol} on {venue} are not in the lake; run `helio features` with these settings first"
        )
    made = table.from_arrow(pq.read_table(io.BytesIO(held[0])))
    timeframe = grid(venue, settings.features.timeframe)
    candles = read.candles(settings.lake, venue, symbol, settings.features.timeframe)
    sigma_N = made.values[:, made.names.index(table.SIGMA)]
    told = labels.make(
        candles, timeframe, sigma_N, settings.labels, close_delay_ms=rules_of(venue, symbol).close_delay_ms
    )
    return SymbolData(
        venue=venue,
        symbol=symbol,
        known_ts_ms=made.known_ts_ms,
        close=candles.close,
        x_NF=made.values.astype(np.float32),
        log_return_NH=told.log_return_NH,
        setup_NH=told.setup_NH,
        end_ts_ms_NH=told.end_ts_ms_NH,
    )


def _key(settings: Settings, venue: str, symbol: str) -> str:
    timeframe = settings.features.timeframe
    parts = read.parts(settings.lake, venue, symbol, timeframe)
    definition = (plan.fingerprint(settings.features), str(rules_of(venue, symbol).close_delay_ms))
    named = hashlib.sha256("\n".join((*definition, *parts)).encode()).hexdigest()
    return f"features/timeframe={timeframe}/venue={venue}/symbol={slug(symbol)}/{named}.parquet"
