"""One market on its way through its features: candles in, values out, however many bars come at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.features.align import Cascade
from heliograph.features.declare import Feature
from heliograph.features.engine import BATCH_BARS, Pass, Program
from heliograph.features.market import INPUTS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Others = Mapping[str, FloatArray]


@dataclass(slots=True)
class _Lane:
    """The features of one timeframe.

    Attributes:
        columns: where their values stand in a row.
        newest_K: of the last closed bar; what a base bar of the next call may already know.
    """

    timeframe: Timeframe
    run: Pass
    columns: IntArray
    newest_K: FloatArray


class Featurizer:
    """The features of one market, with all that is carried from bar to bar.

    What it answers for a bar does not depend on how the bars were cut into calls, nor on whether it was saved and loaded
    in between: batch, tiles and the live bar agree bit for bit. Rows are those of existing candles; nothing is filled in
    for a missing one: windows count bars, and ``steps`` tells how much time lies between two of them.

    Args:
        features: base ones and those of higher timeframes, in the order of the columns.
        base: timeframe of the candles that come.
        market: venue and unified symbol: for the venue's calendar, and for messages.
        block_bars: see `heliograph.features.engine.Pass`.

    Raises:
        ConfigError: a higher timeframe is not made of whole base bars.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        base: Timeframe,
        *,
        market: tuple[str, str] = ("", ""),
        block_bars: int = BATCH_BARS,
    ) -> None:
        self.features = tuple(features)
        self._base = base
        self._venue, self._market = market[0], " ".join(market).strip() or "the market"
        self._unit = 0.0
        self._last_ts_ms = -1
        self._readers = {name: f.name for f in features for name in sorted(f.of.node.sources - set(INPUTS))}
        names = dict.fromkeys(["", *(f.timeframe for f in features)])
        self._lanes = [self._lane(name, base if not name else grid(self._venue, name), block_bars) for name in names]
        higher = [lane.timeframe for lane in self._lanes[1:]]
        self._cascade = Cascade(base, higher) if higher else None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(f.name for f in self.features)

    @property
    def others(self) -> frozenset[str]:
        """Names of the input series beside candles that the features read."""
        return frozenset(self._readers)

    def advance(self, candles: Candles, others: Others | None = None) -> FloatArray:
        """Take the next closed bars.

        Args:
            candles: after those of the call before; bars may be missing.
            others: float64[n] of each input series beside candles, as known at the close of each bar; NaN: not known.

        Returns:
            float64[n, F]; NaN while a feature warms up or where an input is not known.

        Raises:
            SchemaMismatch: a bar out of order, off the grid, not finite, a close that is not above 0, a negative volume.
            ConfigError: an input series that a feature reads is not given.
        """
        given = {} if others is None else others
        self._require_sound(candles, given)
        values = np.empty((len(candles), len(self.features)))
        if not len(candles):
            return values
        if self._unit == 0.0:
            self._unit = _unit(float(candles.close[0]))
        self._last_ts_ms = int(candles.open_ts_ms[-1])
        base, *higher = self._lanes
        rows = _inputs(base, candles, given, self._unit)
        if not higher:
            return base.run.advance(rows, values)
        values[:, base.columns] = base.run.advance(rows)
        assert self._cascade is not None
        found = self._cascade.advance(candles)
        for lane in higher:
            closed = found[lane.timeframe.name]
            if not len(closed.candles):
                values[:, lane.columns] = lane.newest_K
                continue
            theirs = {name: series[closed.rows] for name, series in given.items()}
            made = lane.run.advance(_inputs(lane, closed.candles, theirs, self._unit))
            history = np.vstack([lane.newest_K, made])
            values[:, lane.columns] = history[closed.pointer]
            lane.newest_K = history[-1]
        return values

    def save(self) -> dict[str, FloatArray]:
        """What the next bar needs, by node: plain arrays, to be stored anywhere."""
        carried = {"unit": np.array([self._unit]), "last": np.array([float(self._last_ts_ms)])}
        for lane in self._lanes:
            name = lane.timeframe.name
            carried |= {f"{name}/{key}": values for key, values in lane.run.save().items()}
            carried |= {
                f"{name}/newest/{self.features[k].key}": lane.newest_K[j : j + 1].copy()
                for j, k in enumerate(lane.columns.tolist())
            }
        if self._cascade is not None:
            carried |= {f"cascade/{name}": values for name, values in self._cascade.save().items()}
        return carried

    def load(self, carried: Mapping[str, FloatArray]) -> None:
        """Go on where `save` was called; more may be in it than these features need.

        Raises:
            SchemaMismatch: something that these features need is not in it.
        """
        try:
            self._unit, self._last_ts_ms = float(carried["unit"][0]), int(carried["last"][0])
            for lane in self._lanes:
                name = f"{lane.timeframe.name}/"
                lane.run.load({key.removeprefix(name): v for key, v in carried.items() if key.startswith(name)})
                newest = [carried[f"{name}newest/{self.features[k].key}"] for k in lane.columns.tolist()]
                lane.newest_K = np.concatenate(newest) if newest else np.empty(0)
        except KeyError as e:
            raise SchemaMismatch(f"what was carried lacks {e}: start again from the first bar") from e
        if self._cascade is not None:
            held = {key.removeprefix("cascade/"): v for key, v in carried.items() if key.startswith("cascade/")}
            self._cascade.load(held)

    def _lane(self, name: str, timeframe: Timeframe, block_bars: int) -> _Lane:
        columns = [k for k, f in enumerate(self.features) if f.timeframe == name]
        mine = [self.features[k] for k in columns]
        program = Program.of([f.of for f in mine], INPUTS)
        run = Pass(program, [(f.low, f.high) for f in mine], block_bars=block_bars)
        return _Lane(timeframe, run, np.array(columns, dtype=np.int64), np.full(len(mine), np.nan))

    def _require_sound(self, candles: Candles, others: Others) -> None:
        self._require_inputs(others)
        if len(candles) and int(candles.open_ts_ms[0]) <= self._last_ts_ms:
            opened = int(candles.open_ts_ms[0])
            raise SchemaMismatch(f"{self._market}: the bar that opens at {opened} is not after {self._last_ts_ms}")
        if len(candles) == 1 and _is_sound(candles, self._base):
            return
        try:
            candles.require_sound(self._base)
        except SchemaMismatch as e:
            raise SchemaMismatch(f"{self._market}: {e}") from e
        wrong = ~((candles.close > 0) & (candles.volume >= 0))
        if wrong.any():
            opened = int(candles.open_ts_ms[int(np.argmax(wrong))])
            raise SchemaMismatch(
                f"{self._market}: the bar that opens at {opened} needs a close above 0 and a volume of at least 0"
            )

    def _require_inputs(self, others: Others) -> None:
        for name, feature in self._readers.items():
            if name not in others:
                raise ConfigError(
                    f"{self._market}: {feature} reads {name}, which is not given: "
                    "give it, or leave the feature out of features.names"
                )


def _is_sound(candle: Candles, base: Timeframe) -> bool:
    """What `Featurizer` asks of bars, in plain floats for the one live bar."""
    row = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    numbers = [float(column[0]) for column in row]
    opened = int(candle.open_ts_ms[0])
    return math.isfinite(sum(numbers)) and numbers[3] > 0 and numbers[4] >= 0 and base.floor(opened) == opened


def _unit(close: float) -> float:
    """A power of two near the first close: prices in it are exact, and absolute tolerances mean little."""
    return float(np.ldexp(1.0, int(np.frexp(close)[1])))


def _inputs(lane: _Lane, candles: Candles, others: Others, unit: float) -> FloatArray:
    """float64[I, n] in the order of the lane's program."""
    names = lane.run.program.inputs
    rows = np.empty((len(names), len(candles)))
    rows[0] = candles.open_ts_ms
    rows[1] = _bar_numbers(lane.timeframe, candles.open_ts_ms)
    for row, price in zip(rows[2:6], (candles.open, candles.high, candles.low, candles.close), strict=True):
        np.divide(price, unit, out=row)
    rows[6] = candles.volume
    for k, name in enumerate(names[len(INPUTS) :], start=len(INPUTS)):
        rows[k] = others[name]
    return rows


def _bar_numbers(timeframe: Timeframe, open_ts_ms: IntArray) -> IntArray:
    if timeframe.is_calendar:
        return (open_ts_ms - timeframe.offset_ms).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return (open_ts_ms - timeframe.offset_ms) // timeframe.ms
