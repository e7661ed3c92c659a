"""What features read beside a market's own candles, out of the lake: the other markets of its venue, and its perpetual.

`Others` answer the same for a bar whenever they are asked: everything is worked out over the whole history, and rows are
looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from heliograph.config.settings import FeatureSettings, LakeSettings, Settings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles, kind_of, unslug
from heliograph.core.series import Points
from heliograph.core.timeframe import Timeframe
from heliograph.features import catalog, known, panel, tiles
from heliograph.features.align import closes
from heliograph.lake import read
from heliograph.lake.layout import CANDLES_TABLE, FUNDING_TABLE, OPEN_INTEREST_TABLE
from heliograph.sources.catalog import spot_venue, swap_venue
from heliograph.sources.dialect import OPEN_INTEREST_TIMEFRAME
from heliograph.train.columns import Others, no_others

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PANEL_BARS = 16_384  # of all symbols at once
_FROM_LAKE = ("funding_rate", "open_interest", "basis")
_SERIES = {series: name for name in _FROM_LAKE for series in known.by_name(name).series}


@dataclass(frozen=True, slots=True)
class Beside:
    """Input series at every bar of one market.

    Attributes:
        open_ts_ms: int64[n], ascending.
        series: float64[n] by name; NaN where nothing is known.
    """

    open_ts_ms: IntArray
    series: Mapping[str, FloatArray]

    def __call__(self, candles: Candles) -> Mapping[str, FloatArray]:
        """The rows of these bars.

        Raises:
            SchemaMismatch: a bar is not of this history.
        """
        row_N = np.searchsorted(self.open_ts_ms, candles.open_ts_ms)
        if row_N.size and (row_N[-1] >= self.open_ts_ms.size or (self.open_ts_ms[row_N] != candles.open_ts_ms).any()):
            raise SchemaMismatch("candles came that were not in the lake when it was read: run it again")
        return {name: values[row_N] for name, values in self.series.items()}


def wanted(settings: FeatureSettings) -> frozenset[str]:
    """Names of the input series that the chosen features read.

    Raises:
        ConfigError: a feature reads what no table of the lake holds.
    """
    reads = {name: f.name for f in catalog.chosen(settings) for name in tiles.others_of(f)}
    lost = sorted(set(reads) - set(panel.SERIES) - set(_SERIES))
    if lost:
        raise ConfigError(
            f"features.names: {reads[lost[0]]} reads {lost[0]}, which no table of the lake holds: leave the feature out"
        )
    return frozenset(reads)


def gathered(
    settings: Settings,
    symbols: Sequence[str],
    *,
    as_of: int | None = None,
    beside_as_of: Mapping[str, int] | None = None,
) -> dict[str, Others]:
    """The inputs of markets of the training venue, by unified symbol.

    Cross-sectional ones compare all markets that ``features.universe`` names, of the same kind. Memory is that of the
    series that are read, over all bars of the universe.

    Args:
        as_of: a version of the candles; None takes the newest.
        beside_as_of: versions of funding and open interest; of a table that it does not name, the newest.

    Raises:
        ConfigError: a feature reads what the lake does not hold.
    """
    reads = wanted(settings.features)
    if not reads:
        return dict.fromkeys(symbols, no_others)
    venue, base = settings.train.venue, grid(settings.train.venue, settings.features.timeframe)
    found: dict[str, dict[str, FloatArray]] = {symbol: {} for symbol in symbols}
    opens: dict[str, IntArray] = {}
    versions = {**(beside_as_of or {}), CANDLES_TABLE: as_of}
    for kind in {kind_of(symbol) for symbol in symbols} if reads & set(panel.SERIES) else ():
        held = _universe(settings, kind, as_of)
        outside = sorted(s for s in symbols if kind_of(s) == kind and s not in held)
        if outside:
            raise ConfigError(f"{outside[0]} is trained on, but features.universe does not name it: add it there")
        for symbol, series in _across(held, base, reads & set(panel.SERIES)).items():
            if symbol in found:
                found[symbol], opens[symbol] = series, held[symbol].open_ts_ms
    for symbol in symbols:
        if symbol not in opens:
            opens[symbol] = _candles(settings.lake, venue, symbol, base, as_of).open_ts_ms
        if told := {_SERIES[name] for name in reads if name in _SERIES}:
            points = {name: _points(settings.lake, name, venue, symbol, base, versions) for name in sorted(told)}
            joined = known.joined(points, closes(base, opens[symbol]))
            found[symbol] |= {name: joined[name] for name in reads & joined.keys()}
    return {symbol: Beside(opens[symbol], found[symbol]) for symbol in symbols}


def _universe(settings: Settings, kind: str, as_of: int | None) -> dict[str, Candles]:
    timeframe, globs = settings.features.timeframe, settings.features.universe
    venue, base = settings.train.venue, grid(settings.train.venue, timeframe)
    held = [unslug(s) for v, t, s in read.series(settings.lake, as_of=as_of) if (v, t) == (venue, timeframe)]
    named = [s for s in held if kind_of(s) == kind and any(fnmatchcase(s, g) for g in globs)]
    return {symbol: _candles(settings.lake, venue, symbol, base, as_of) for symbol in named}


def _across(held: Mapping[str, Candles], base: Timeframe, names: frozenset[str]) -> dict[str, dict[str, FloatArray]]:
    """What a panel gives each symbol at its own bars, in stretches of time."""
    symbols, ts_ms = [*held], panel.times(held)
    made = panel.Panel(symbols, base)
    parts: dict[str, list[dict[str, FloatArray]]] = {symbol: [] for symbol in symbols}
    for first in range(0, ts_ms.size, _PANEL_BARS):
        stretch = ts_ms[first : first + _PANEL_BARS]
        theirs = {s: bars.between(int(stretch[0]), int(stretch[-1]) + 1) for s, bars in held.items()}
        told = made.advance(stretch, theirs)
        for k, symbol in enumerate(symbols):
            rows = np.searchsorted(stretch, theirs[symbol].open_ts_ms)
            parts[symbol].append(panel.others({name: told[name] for name in names}, k, rows))
    return {
        symbol: {name: np.concatenate([part[name] for part in found]) for name in names}
        for symbol, found in parts.items()
    }


def _points(
    lake: LakeSettings, name: str, venue: str, symbol: str, base: Timeframe, versions: Mapping[str, int | None]
) -> Points:
    """One input of a market: its own where it is a perpetual, its perpetual's where it is a spot market."""
    as_of = versions.get(CANDLES_TABLE)
    spot = symbol.partition(":")[0]
    perpetual = symbol if kind_of(symbol) == "swap" else f"{spot}:{spot.partition('/')[2]}"
    swaps = swap_venue(venue)
    if name == "basis":
        theirs = _candles(lake, swaps, perpetual, base, as_of)
        ours = _candles(lake, spot_venue(venue), spot, base, as_of)
        told = known.log_basis(theirs.close, closes(base, theirs.open_ts_ms), ours.close, closes(base, ours.open_ts_ms))
        fetched = "candles"
    elif name == "funding_rate":
        told, fetched = read.points(lake, FUNDING_TABLE, swaps, perpetual, as_of=versions.get(FUNDING_TABLE)), "funding"
    else:
        newest = versions.get(OPEN_INTEREST_TABLE)
        told = read.points(lake, OPEN_INTEREST_TABLE, swaps, perpetual, OPEN_INTEREST_TIMEFRAME, as_of=newest)
        fetched = "open interest"
    if not len(told):
        raise ConfigError(
            f"{symbol}: features read {name}, and the lake has no {fetched} of {perpetual} on {swaps}: "
            "fetch it (fetch.selections), or leave these features out of features.names"
        )
    return told


def _candles(lake: LakeSettings, venue: str, symbol: str, base: Timeframe, as_of: int | None) -> Candles:
    return read.candles(lake, venue, symbol, base.name, as_of=as_of)
