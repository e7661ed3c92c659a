"""From candles in the lake to training data: features out of the cache, and labels made on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from heliograph.config.settings import Settings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.market import unslug
from heliograph.core.timeframe import parse
from heliograph.features import catalog, table
from heliograph.lake import read
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.store import open_store
from heliograph.model.spec import SIGMA_FLOOR, Spec
from heliograph.sources.catalog import rules_of
from heliograph.train import columns, inputs
from heliograph.train.pool import spec_of
from heliograph.windows import labels
from heliograph.windows.folds import Fold, walk_forward
from heliograph.windows.sample import SymbolData, origins

_LEAST_MOVING = 0.5  # of a market's windows
_EVER_MS = 2**62


def spec(settings: Settings) -> Spec:
    """What a forecaster trained with these settings takes and gives."""
    return spec_of(table.names(settings.features), settings.labels, settings.model, settings.features.timeframe)


def symbols(settings: Settings, venue: str, globs: Sequence[str] = ("*",), *, as_of: int | None = None) -> list[str]:
    """Unified symbols of a venue that have base candles in the lake and match one of the globs.

    Args:
        as_of: a version of the candles; None takes the newest.

    Raises:
        ConfigError: there are none.
    """
    timeframe = settings.features.timeframe
    found = [unslug(s) for v, t, s in read.series(settings.lake, as_of=as_of) if (v, t) == (venue, timeframe)]
    chosen = [s for s in found if any(fnmatchcase(s, g) for g in globs)]
    if not chosen:
        have = ", ".join(found[:20]) or "none"
        raise ConfigError(
            f"no {timeframe} candles of {', '.join(globs)} on {venue} in the lake (there are: {have}); run `helio fetch` first"
        )
    return chosen


def read_symbols(
    settings: Settings, chosen: Sequence[str] | None = None, *, as_of: Mapping[str, int] | None = None
) -> list[SymbolData]:
    """Features and labels of the training venue's symbols; features that `helio features` has not made are made here.

    Args:
        as_of: versions of the lake's tables, of the candles at least; None takes the newest.
    """
    versions = as_of or {CANDLES_TABLE: read.version(settings.lake)}
    venue, version = settings.train.venue, versions[CANDLES_TABLE]
    wanted = chosen or symbols(settings, venue, settings.train.symbols, as_of=version)
    found = inputs.gathered(settings, wanted, as_of=version, beside_as_of=versions)
    pasts = (
        columns.history(settings.lake, venue, s, settings.features.timeframe, others=found[s], as_of=version)
        for s in wanted
    )
    return [_read_symbol(settings, past) for past in pasts]


def doubts(data: Sequence[SymbolData], spec: Spec) -> tuple[str, ...]:
    """What should be known of markets before they are trained on, a sentence each: no whole window, or no move."""
    told = []
    for market in data:
        rows = origins(market, (0, _EVER_MS), spec.window_bars, labelled_by_ms=None)
        if not rows.size:
            told.append(
                f"{market.symbol} has {market.known_ts_ms.size} bars and no window of {spec.window_bars} with a value of "
                "every feature: nothing is learned from it; fetch more of its history, or leave it out of train.symbols"
            )
        elif (market.x_NF[rows, spec.sigma_index] > SIGMA_FLOOR).mean() < _LEAST_MOVING:
            told.append(
                f"the price of {market.symbol} stands still at most of its windows, and that is what is learned from it: "
                "leave it out of train.symbols"
            )
    return tuple(told)


def folds(settings: Settings, data: Sequence[SymbolData]) -> tuple[Fold, ...]:
    """The folds over the span in which at least half of the symbols have candles."""
    return walk_forward(
        int(np.median([d.known_ts_ms[0] for d in data])),
        int(np.median([d.known_ts_ms[-1] for d in data])),
        parse(settings.features.timeframe),
        settings.folds,
        longest_horizon_bars=max(settings.labels.horizons_bars),
        overlap_bars=settings.model.window_bars if settings.folds.purge_windows else 0,
    )


def _read_symbol(settings: Settings, past: columns.History) -> SymbolData:
    venue, symbol, timeframe = past.venue, past.symbol, settings.features.timeframe
    delay_ms = rules_of(venue, symbol).close_delay_ms
    candles = past.candles(past.start_ms, past.end_ms)
    features = catalog.chosen(settings.features)
    x_NF = np.empty((len(candles), len(features)), dtype=np.float32)
    known_ts_ms, sigma_N = np.empty(len(candles), dtype=np.int64), np.empty(len(candles))
    done = 0
    for part in columns.stream(open_store(settings.lake), past, features, close_delay_ms=delay_ms):
        rows = slice(done, done + len(part))
        x_NF[rows], known_ts_ms[rows], sigma_N[rows] = part.values, part.known_ts_ms, part.column(table.SIGMA)
        done = rows.stop
    told = labels.make(candles, grid(venue, timeframe), sigma_N, settings.labels, close_delay_ms=delay_ms)
    return SymbolData(
        venue=venue,
        symbol=symbol,
        known_ts_ms=known_ts_ms,
        close=candles.close,
        x_NF=x_NF,
        log_return_NH=told.log_return_NH,
        setup_NH=told.setup_NH,
        end_ts_ms_NH=told.end_ts_ms_NH,
    )
