"""A market's history in tiles: what each is called by its content, which must be computed, and what is carried over.

A tile is a stretch of a fixed grid of time. Its name hashes the candles in it and the name of the tile before it: how the
lake keeps them does not matter, a revised candle renames its own tile and those after it, a new day only the newest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.features.declare import Feature
from heliograph.features.engine import Program
from heliograph.features.graph import Node
from heliograph.features.market import INPUTS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Others = Mapping[str, FloatArray]
Carried = tuple[tuple[int, ...], FloatArray]
"""What one node carries: how many bars of each of its outputs, then these bars and its state in one array."""

TILE_BARS = 8_192
"""Bars of the grid in one tile: six days of minutes, a year of hours. Hundreds of its columns fit into tens of MB."""

RECIPE = 1
"""Raise it where a column changes and no feature's key does: how candles become the inputs of a graph."""

CANDLES_ONLY = "candles"


@dataclass(frozen=True, slots=True)
class Tile:
    """One stretch of a market's history that has candles.

    Attributes:
        start_ms, end_ms: its bars open in ``[start_ms, end_ms)``.
        num_bars: candles in it.
        chain: names the content of all candles up to its end; 32 hex digits.
        others: by input series beside candles, what names its values up to the tile's end.
    """

    start_ms: int
    end_ms: int
    num_bars: int
    chain: str
    others: Mapping[str, str]

    def inputs(self, names: Collection[str]) -> str:
        """Names the values up to the tile's end of these input series beside candles; 16 hex digits, or ``candles``."""
        if not names:
            return CANDLES_ONLY
        return _digest(repr([(name, self.others.get(name)) for name in sorted(names)]).encode())[:16]


def others_of(feature: Feature) -> frozenset[str]:
    """Names of the input series beside candles that a feature reads."""
    return feature.of.node.sources - set(INPUTS)


def start_of(base: Timeframe, ts_ms: int) -> int:
    """Where the tile begins that holds a moment.

    >>> from heliograph.core.timeframe import parse
    >>> start_of(parse("1m"), 8_192 * 60_000 + 5) == 8_192 * 60_000
    True
    """
    span_ms = TILE_BARS * base.ms
    return (ts_ms - base.offset_ms) // span_ms * span_ms + base.offset_ms


def cut(candles: Candles, base: Timeframe) -> Iterator[tuple[int, Candles]]:
    """The tiles' candles, each with the tile's start; a tile without candles is left out."""
    if not len(candles):
        return
    span_ms = TILE_BARS * base.ms
    numbers = (candles.open_ts_ms - base.offset_ms) // span_ms
    firsts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    ends = [*firsts[1:].tolist(), len(candles)]
    for first, end in zip(firsts.tolist(), ends, strict=True):
        yield int(numbers[first]) * span_ms + base.offset_ms, candles.take(slice(first, end))


def chained(market: str, base: Timeframe, parts: Iterable[tuple[int, Candles, Others]]) -> Iterator[Tile]:
    """Name the tiles of a market, given from the first on.

    Args:
        market: venue and symbol; two markets never share a name.
        parts: start, candles, and float64[n] of every input series beside candles.
    """
    seed = _digest(repr((RECIPE, market, base.name, base.ms, base.offset_ms)).encode())
    chain, others = seed, dict[str, str]()
    for start_ms, candles, given in parts:
        columns = [getattr(candles, field.name) for field in fields(candles)]
        chain = _digest(f"{chain} {start_ms} {len(candles)}".encode(), *columns)
        for name, values in given.items():
            others[name] = _digest(f"{others.get(name, seed)} {chain}".encode(), values)
        yield Tile(start_ms, start_ms + TILE_BARS * base.ms, len(candles), chain, dict(others))


def _digest(head: bytes, *columns: npt.NDArray[np.generic]) -> str:
    told = hashlib.sha256(head)
    for column in columns:
        told.update(column.tobytes())
    return told.hexdigest()[:32]


def plan(
    wanted: Sequence[str], columns: Sequence[Set[str]], states: Sequence[Set[str]], *, first: int = 0
) -> list[tuple[str, ...]]:
    """Which columns to compute, tile by tile.

    Where a column is missing, it is computed from the newest tile before which its state is known; without any, from
    the first one.

    Args:
        wanted: keys of features.
        columns, states: by tile, the features whose column is there, and whose state after the tile is.
        first: columns before this tile are not wanted.

    >>> plan(["a", "b"], [{"a"}, {"a"}, set()], [{"a"}, {"a"}, set()])
    [('b',), ('b',), ('a', 'b')]
    """
    todo: list[set[str]] = [set() for _ in columns]
    for key in wanted:
        for t in range(first, len(columns)):
            if key in columns[t]:
                continue
            start = t
            while start > 0 and key not in states[start - 1] and key not in todo[start - 1]:
                start -= 1
            for tile in todo[start : t + 1]:
                tile.add(key)
    return [tuple(key for key in wanted if key in tile) for tile in todo]


def described(features: Sequence[Feature], base: Timeframe, saved: Mapping[str, FloatArray]) -> dict[str, Carried]:
    """What a `Featurizer` of these features saved, so told that one of other features can take its share."""
    shapes = _shapes(tuple(features), base)
    return {key: (shapes[key][0] if key in shapes else (), values) for key, values in saved.items()}


def joined(
    features: Sequence[Feature], base: Timeframe, found: Sequence[Mapping[str, Carried]]
) -> dict[str, FloatArray]:
    """What a `Featurizer` of these features loads, out of what others saved after the same bar.

    Nodes that several had are the same but for how many bars they kept: the newest are taken from who kept most.

    Raises:
        SchemaMismatch: none of them has a node, or enough bars of it.
    """
    shapes = _shapes(tuple(features), base)
    loose = {key: values.copy() for one in found for key, (kept, values) in one.items() if not kept}
    return loose | {
        key: _fitted(key, shape, [one[key] for one in found if key in one]) for key, shape in shapes.items()
    }


@lru_cache(maxsize=8)  # asked for again at every tile
def _shapes(features: tuple[Feature, ...], base: Timeframe) -> dict[str, tuple[tuple[int, ...], int]]:
    """By key of what is saved: bars kept of each output, and how many numbers of state."""
    shapes: dict[str, tuple[tuple[int, ...], int]] = {}
    for name in dict.fromkeys(["", *(f.timeframe for f in features)]):
        program = Program.of([f.of for f in features if f.timeframe == name], INPUTS)
        shapes |= {f"{name or base.name}/{made.key}": (_kept(program, made), made.num_states) for made in program.nodes}
    return shapes


def _kept(program: Program, made: Node) -> tuple[int, ...]:
    return tuple(program.keep.get(made[k], 0) for k in range(made.num_outputs))


def _fitted(key: str, shape: tuple[tuple[int, ...], int], found: Sequence[Carried]) -> FloatArray:
    wanted, num_states = shape
    sound = [one for one in found if len(one[0]) == len(wanted) and one[1].size == sum(one[0]) + num_states]
    rows = []
    for k, bars in enumerate(wanted):
        kept, values = max(sound, key=lambda one: one[0][k], default=((0,) * len(wanted), np.empty(0)))
        if not sound or kept[k] < bars:
            raise SchemaMismatch(f"what was carried does not fit {key}: start again from the first bar")
        end = sum(kept[: k + 1])
        rows.append(values[end - bars : end])
    states = sound[0][1][sum(sound[0][0]) :]
    return np.concatenate([*rows, states])
