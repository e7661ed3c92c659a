"""Features of one market out of the cache, tile by tile; what is missing is computed, and nothing else.

A column's name in the cache is the meaning of its feature and the content of everything it may depend on, so that equal
names hold equal numbers. Memory is that of one tile of all features, and of a stretch of candles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from heliograph.config.settings import LakeSettings
from heliograph.core.calendars import grid
from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles, slug
from heliograph.core.ports import ObjectStore
from heliograph.core.timeframe import Timeframe
from heliograph.features import tiles
from heliograph.features.align import closes
from heliograph.features.declare import Feature
from heliograph.features.featurizer import Featurizer
from heliograph.features.table import FeatureTable
from heliograph.lake import delta, read
from heliograph.lake.feature_store import TIME, FeatureStore, Held, Place, Stored
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.tables import named

FloatArray = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]
Others = Callable[[Candles], Mapping[str, FloatArray]]
"""Gives float64[n] of every input series beside candles, as known at the close of each of these bars."""

STRETCH_TILES = 32
"""Candles that are read and held at once: half a year of minutes, 13 MB."""


def no_others(candles: Candles) -> Mapping[str, FloatArray]:  # noqa: ARG001 - it has none for any bars
    """Candles are all there is."""
    return {}


@dataclass(frozen=True, slots=True)
class History:
    """One market's past, of one version.

    Attributes:
        base: timeframe of the candles.
        start_ms, end_ms: every candle opens in ``[start_ms, end_ms)``.
        candles: gives those that open in an interval, the same ones whenever it is asked.
        others: the input series beside candles.
    """

    venue: str
    symbol: str
    base: Timeframe
    start_ms: int
    end_ms: int
    candles: Callable[[int, int], Candles]
    others: Others = no_others


@dataclass(frozen=True, slots=True)
class Work:
    """What one run did with one market.

    Attributes:
        tiles, rows: of its history.
        computed: columns of a tile that were computed.
        reused: columns of a tile that were there.
    """

    tiles: int
    rows: int
    computed: int
    reused: int


def spans(
    settings: LakeSettings, venue: str, timeframe: str, *, as_of: int | None = None
) -> dict[str, tuple[int, int]]:
    """By slug of a market that has candles: first open, and a moment after the last.

    Raises:
        ConfigError: the lake is empty, or there is no such version.
    """
    parts = read.live_parts(settings, as_of=as_of)
    return _spans(part for part in parts if (part["venue"], part["timeframe"]) == (venue, timeframe))


def history(
    settings: LakeSettings,
    venue: str,
    symbol: str,
    timeframe: str,
    *,
    others: Others = no_others,
    as_of: int | None = None,
    span: tuple[int, int] | None = None,
) -> History:
    """A market's candles in the lake.

    Args:
        symbol: unified, ``BTC/USDT``.
        others: see `heliograph.train.inputs`.
        as_of: a version of the candles; None takes the newest, for all that is read from now on.
        span: of `spans`, where it is known already.

    Raises:
        ConfigError: the lake is empty, or there is no such version.
    """
    version = read.version(settings) if as_of is None else as_of
    if span is None:
        held = delta.open_table(settings, CANDLES_TABLE, version)
        assert held is not None, "it has a version"
        market = (venue, timeframe, slug(symbol))
        span = _spans(delta.live_parts(held, named(CANDLES_TABLE), market).to_pylist()).get(slug(symbol), (0, 0))

    def candles(start_ms: int, end_ms: int) -> Candles:
        return read.candles(settings, venue, symbol, timeframe, start_ms=start_ms, end_ms=end_ms, as_of=version)

    return History(venue, symbol, grid(venue, timeframe), *span, candles, others)


def _spans(parts: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for part in parts:
        first, end = found.get(part["symbol"], (part["first_ts_ms"], 0))
        found[part["symbol"]] = min(first, part["first_ts_ms"]), max(end, part["last_ts_ms"] + 1)
    return found


def fill(store: ObjectStore, past: History, features: Sequence[Feature], *, prune: bool = True) -> Work:
    """Compute what the cache lacks.

    Args:
        prune: remove tiles of this market whose candles have changed since.
    """
    sweep = _Sweep(store, past, features)
    for _ in sweep.run(is_read=False):
        pass
    if prune:
        sweep.cache.prune({tile.start_ms: tile.chain for tile in sweep.tiles})
    return sweep.work


def stream(
    store: ObjectStore, past: History, features: Sequence[Feature], *, close_delay_ms: int = 0
) -> Iterator[FeatureTable]:
    """The features in order of time, a table a tile; what the cache lacks is computed on the way."""
    sweep = _Sweep(store, past, features)
    names = tuple(f.name for f in features)
    for columns in sweep.run(is_read=True):
        opens = columns[TIME]
        values = np.empty((opens.size, len(features)))
        for k, feature in enumerate(features):
            values[:, k] = columns[feature.key]
        yield FeatureTable(opens, closes(past.base, opens) + close_delay_ms, names, values)


def table(store: ObjectStore, past: History, features: Sequence[Feature], *, close_delay_ms: int = 0) -> FeatureTable:
    """The features of a whole market at once; see `stream`."""
    parts = list(stream(store, past, features, close_delay_ms=close_delay_ms))
    names = tuple(f.name for f in features)
    if not parts:
        return FeatureTable(np.empty(0, np.int64), np.empty(0, np.int64), names, np.empty((0, len(names))))
    opens, known, values = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("open_ts_ms", "known_ts_ms", "values")
    )
    return FeatureTable(opens, known, names, values)


@dataclass(slots=True)
class _Running:
    """Features under way, known up to the end of tile ``last``."""

    featurizer: Featurizer
    keys: frozenset[str]
    last: int


class _Sweep:
    """One pass over the tiles of a market.

    Attributes:
        tiles: of the whole history.
        cache: of this market.
    """

    def __init__(self, store: ObjectStore, past: History, features: Sequence[Feature]) -> None:
        self._past = past
        self._features = {feature.key: feature for feature in features}
        self._others = {key: tiles.others_of(feature) for key, feature in self._features.items()}
        self._stretch: tuple[int, Candles] | None = None
        self.cache = FeatureStore(store, past.venue, past.symbol, past.base.name)
        self.tiles = tuple(tiles.chained(f"{past.venue} {past.symbol}", past.base, self._parts()))
        self._held = Held({}, {})
        self._running: dict[frozenset[str], _Running] = {}
        self._computed = self._missing = 0

    @property
    def work(self) -> Work:
        """What was done so far."""
        wanted = len(self.tiles) * len(self._features)
        rows = sum(tile.num_bars for tile in self.tiles)
        return Work(len(self.tiles), rows, self._computed, wanted - self._missing)

    def run(self, *, is_read: bool) -> Iterator[Columns]:
        """Compute and keep what is missing.

        Returns:
            Each tile's columns and ``open_ts_ms``, those from the cache only where ``is_read``.
        """
        done = 0
        while done < len(self.tiles):  # again from here where an object was lost on the way
            for columns in self._from(done, is_read=is_read):
                done += 1
                yield columns

    def _from(self, first: int, *, is_read: bool) -> Iterator[Columns]:
        """The tiles from ``first`` on, or as far as objects are whole."""
        self._held, self._running = self.cache.held(), {}
        columns = [self._there(self._held.columns, tile) for tile in self.tiles]
        states = [self._there(self._held.states, tile) for tile in self.tiles]
        todo = tiles.plan([*self._features], columns, states, first=first)
        for t, tile in enumerate(self.tiles):
            made = self._computed_columns(t, todo[t]) if todo[t] else {}
            if made is None:
                return
            self._keep(t, made, columns[t], states[t])
            if t < first:
                continue
            if is_read and not self._read_rest(tile, made):
                return
            self._missing += len(self._features) - len(columns[t])
            yield made

    def _computed_columns(self, t: int, keys: Sequence[str]) -> Columns | None:
        """Run some features over a tile; None where what they carry can't be had."""
        candles = self._candles(t)
        given = self._past.others(candles)
        made: Columns = {TIME: candles.open_ts_ms}
        for names, group in _grouped(keys, self._others).items():
            running = self._ready(t, names, group)
            if running is None:
                return None
            values = running.featurizer.advance(candles, {name: given[name] for name in names & given.keys()})
            running.last = t
            made |= zip(group, np.ascontiguousarray(values.T), strict=True)
        self._computed += len(keys)
        return made

    def _ready(self, t: int, names: frozenset[str], keys: Sequence[str]) -> _Running | None:
        """Features that stand right before a tile."""
        held = self._running.get(names)
        if held is not None and (held.last != t - 1 or t == 0):
            held = None
        if held is not None and held.keys == set(keys):
            return held
        features, base = [self._features[key] for key in keys], self._past.base
        made = Featurizer(features, base, market=(self._past.venue, self._past.symbol))
        if t:
            found = [] if held is None else [tiles.described(held.featurizer.features, base, held.featurizer.save())]
            place = self._place(self.tiles[t - 1], names)
            used = _covering(set(keys) - (held.keys if held else set()), self._held.states.get(place, ()))
            for stored in used:
                carried = self.cache.read_states(place, stored)
                if carried is None:
                    return None
                found.append(carried)
            try:
                made.load(tiles.joined(features, base, found))
            except SchemaMismatch:  # of another release: as good as none
                for stored in used:
                    self.cache.remove(stored)
                return None
        self._running[names] = _Running(made, frozenset(keys), t - 1)
        return self._running[names]

    def _keep(self, t: int, made: Columns, columns: frozenset[str], states: frozenset[str]) -> None:
        """Store what the cache lacks of a tile's columns and of what was carried after it."""
        for names, keys in _grouped([key for key in made if key != TIME], self._others).items():
            place = self._place(self.tiles[t], names)
            if news := {key: made[key] for key in keys if key not in columns}:
                self.cache.write_columns(place, made[TIME], news)
            if not states.issuperset(keys):
                done = self._running[names].featurizer
                self.cache.write_states(place, keys, tiles.described(done.features, self._past.base, done.save()))

    def _read_rest(self, tile: tiles.Tile, made: Columns) -> bool:
        """Add the columns that were not computed; False where one is gone."""
        for names, keys in _grouped([key for key in self._features if key not in made], self._others).items():
            place = self._place(tile, names)
            found = self.cache.read_columns(place, self._held.columns.get(place, ()), keys)
            if found is None:
                return False
            made |= found
        return True

    def _there(self, stored: Mapping[Place, Iterable[Stored]], tile: tiles.Tile) -> frozenset[str]:
        """Features of which the cache has something at a tile."""
        return frozenset(
            key
            for names, keys in _grouped([*self._features], self._others).items()
            for one in stored.get(self._place(tile, names), ())
            for key in one.members.intersection(keys)
        )

    def _place(self, tile: tiles.Tile, names: frozenset[str]) -> Place:
        return Place(tile.start_ms, tile.chain, tile.inputs(names))

    def _parts(self) -> Iterator[tuple[int, Candles, Mapping[str, FloatArray]]]:
        """Every tile's candles and other inputs, a stretch at a time."""
        step_ms = STRETCH_TILES * tiles.TILE_BARS * self._past.base.ms
        start_ms = tiles.start_of(self._past.base, self._past.start_ms)
        for begin_ms in range(start_ms, self._past.end_ms, step_ms):
            self._stretch = begin_ms, self._past.candles(begin_ms, begin_ms + step_ms)
            for tile_ms, candles in tiles.cut(self._stretch[1], self._past.base):
                yield tile_ms, candles, self._past.others(candles)

    def _candles(self, t: int) -> Candles:
        """Of one tile, out of the stretch that was read last where it is in it."""
        tile = self.tiles[t]
        step_ms = STRETCH_TILES * tiles.TILE_BARS * self._past.base.ms
        if self._stretch is None or not self._stretch[0] <= tile.start_ms < self._stretch[0] + step_ms:
            self._stretch = tile.start_ms, self._past.candles(tile.start_ms, tile.start_ms + step_ms)
        return self._stretch[1].between(tile.start_ms, tile.end_ms)


def _grouped(keys: Iterable[str], others: Mapping[str, frozenset[str]]) -> dict[frozenset[str], list[str]]:
    """Features by the input series beside candles that they read."""
    found: dict[frozenset[str], list[str]] = {}
    for key in keys:
        found.setdefault(others[key], []).append(key)
    return found


def _covering(keys: set[str], stored: Iterable[Stored]) -> list[Stored]:
    """Objects that have the states of all these features between them, as few as a look at each finds."""
    left, used = set(keys), []
    for one in sorted(stored, key=lambda one: len(one.members & keys), reverse=True):
        if left & one.members:
            left -= one.members
            used.append(one)
    return used
