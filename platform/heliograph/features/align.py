"""Higher timeframes out of base bars, and which of their bars are known at each base bar.

Rules, the same for years of bars, for any cut of them and for the bar that has just closed:

* A higher bar counts only once it is closed. It is closed by the base bar that reaches its close; where that one is
  missing, by the first base bar after it, be the gap as long as it may.
* Missing bars: a higher bar is made of the base bars that there are, and nothing is filled in. ``num_bars`` counts them
  and so is its mask, beside `whole_bars`, the count of a bar without a hole. Where not a single base bar lies in its
  span, there is no higher bar.
* A venue's delay: a row of base bars counts from its close plus the delay, and a higher bar comes to light with such a
  row, never between two. So it counts from its own close plus the delay, or later; see `known_ts_ms`.
* Open, high, low and close are exact. Volume is added along a fixed chain of timeframes, `STEPS`, so that a bar is the
  same to the last bit whatever other timeframes are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.timeframe import DAY_MS, Timeframe
from heliograph.features import fold

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STEPS: Final = tuple(timeframes.parse(name) for name in ("5m", "15m", "1h", "4h", "1d"))
"""Every other timeframe is made from the longest of these that divides it, and each of these from the one below."""

_LONGEST_MONTH_MS = 32 * DAY_MS
_SHORTEST_MONTH_MS = 28 * DAY_MS
_NONE: Final = np.empty(0, dtype=np.int64)
_HELD = 7  # open_ts_ms, open, high, low, close, volume, base bars: of a bar that is not closed yet


@dataclass(frozen=True, slots=True)
class Higher:
    """Bars of a higher timeframe that n base bars have closed.

    Attributes:
        candles: m closed higher bars.
        num_bars: int64[m], base bars in each.
        rows: int64[m], the base bar that closed each.
        pointer: int64[n], how many of them are known at the close of each base bar.
    """

    candles: Candles
    num_bars: IntArray
    rows: IntArray
    pointer: IntArray


@dataclass(frozen=True, slots=True)
class Placed:
    """Closed bars of a higher timeframe and their place on the base bars.

    Attributes:
        candles: m closed higher bars.
        num_bars: int64[m], base bars in each.
        pointer: int64[n], row in ``candles`` of the last one known at the close of each base bar; −1 where none is.
    """

    candles: Candles
    num_bars: IntArray
    pointer: IntArray


def is_nested(base: Timeframe, target: Timeframe) -> bool:
    """Whether bars of ``target`` are made of whole bars of ``base``."""
    if base.is_calendar or target.ms <= base.ms:
        return False
    whole = DAY_MS if target.is_calendar else target.ms
    return whole % base.ms == 0 and (target.offset_ms - base.offset_ms) % base.ms == 0


def require_nested(base: Timeframe, target: Timeframe) -> None:
    """Check that bars of ``target`` are made of whole bars of ``base``.

    Raises:
        ConfigError: they are not.
    """
    if not is_nested(base, target):
        raise ConfigError(f"{target} bars can't be made of {base} bars: choose a base that divides {target}")


def closes(timeframe: Timeframe, open_ts_ms: IntArray) -> IntArray:
    """Close of each bar; int64[n] in, int64[n] out."""
    if timeframe.is_calendar:
        return timeframe.floor_array(open_ts_ms + _LONGEST_MONTH_MS)
    return open_ts_ms + timeframe.ms


def whole_bars(base: Timeframe, target: Timeframe, open_ts_ms: IntArray) -> IntArray:
    """How many base bars each bar of ``target`` has when none is missing; int64[m] in, int64[m] out."""
    return (closes(target, open_ts_ms) - open_ts_ms) // base.ms


def known_ts_ms(base: Timeframe, candles: Candles, found: Higher, *, close_delay_ms: int) -> IntArray:
    """When each higher bar comes to be known: with the base bar that closed it.

    Never before its own close plus the delay, for that base bar does not close before it; later where the base bar that
    reaches its close is missing.

    Args:
        candles: the base bars that gave ``found``.
        close_delay_ms: how long after its close the venue may still revise a base bar.

    Returns:
        int64[m], UTC epoch ms.
    """
    return closes(base, candles.open_ts_ms[found.rows]) + close_delay_ms


def known_counts(known_ts_ms: IntArray, at_ts_ms: IntArray) -> IntArray:
    """How many rows of a slower series are known at each moment, for series that are no bars of the same base.

    Args:
        known_ts_ms: int64[m], ascending: when each row comes to be known, delay included.
        at_ts_ms: int64[n], ascending.

    Returns:
        int64[n]; a row that is known at just that moment counts.

    >>> known_counts(np.array([10, 20]), np.array([5, 10, 15, 20, 25])).tolist()
    [0, 1, 1, 2, 2]
    """
    counts = np.empty(at_ts_ms.size, dtype=np.int64)
    fold.ready(fold.count_known)(np.ascontiguousarray(known_ts_ms), np.ascontiguousarray(at_ts_ms), counts)
    return counts


class Cascade:
    """All higher timeframes of one market in one pass, each made from a lower one; see the rules above.

    It carries the unfinished bar of each timeframe from call to call: what it answers for a base bar does not depend on
    how the bars were cut into calls, nor on whether it was saved and loaded in between.

    Args:
        targets: on the calendar of the venue, see `heliograph.core.calendars`.

    Raises:
        ConfigError: a target is not made of whole base bars, or two of them have one name.
    """

    def __init__(self, base: Timeframe, targets: Sequence[Timeframe]) -> None:
        levels: set[Timeframe] = set()
        for target in targets:
            require_nested(base, target)
            level = target
            while level != base:
                levels.add(level)
                level = _made_from(base, level)
        self._base = base
        self._levels = sorted(levels, key=lambda level: (level.ms, level.offset_ms))
        place = {level: k for k, level in enumerate(self._levels)}
        self._targets = {target.name: place[target] for target in dict.fromkeys(targets)}
        if len(self._targets) < len(set(targets)):
            raise ConfigError("two higher timeframes of one name: a market has one calendar, choose either")
        self._rules_L4 = np.array(
            [
                (0 if level.is_calendar else level.ms, level.offset_ms, place.get(_made_from(base, level), -1), base.ms)
                for level in self._levels
            ],
            dtype=np.int64,
        ).reshape(-1, 4)
        self._least_ms = [_SHORTEST_MONTH_MS if level.is_calendar else level.ms for level in self._levels]
        self._held_L7 = np.zeros((len(self._levels), _HELD))
        self._nothing = {name: Higher(Candles.empty(), _NONE, _NONE, np.zeros(1, np.int64)) for name in self._targets}

    def advance(self, candles: Candles) -> dict[str, Higher]:
        """Take the next base bars, however many, and answer with the higher bars that they close.

        Args:
            candles: ascending, after those of the call before; bars may be missing.

        Returns:
            by name of the timeframe, in the order of the targets; not to be written to.
        """
        n, levels = len(candles), len(self._levels)
        room = 2 * levels if n == 1 else self._room(candles.open_ts_ms)
        times_3M, bars_5M = np.empty((3, room), dtype=np.int64), np.empty((5, room))
        pointer_LN, ends_L = np.empty((levels, n), dtype=np.int64), np.zeros(levels, dtype=np.int64)
        if n and levels:
            c = candles
            columns = map(np.ascontiguousarray, (c.open_ts_ms, c.open, c.high, c.low, c.close, c.volume))
            advance = fold.ready(fold.fold_levels)
            advance(*columns, self._rules_L4, self._held_L7, times_3M, bars_5M, pointer_LN, ends_L)
        ends = [0, *ends_L.tolist()]
        if n == 1 and ends[-1] == 0:  # most live bars
            return self._nothing
        found = {}
        for name, k in self._targets.items():
            opens, num_bars, rows = times_3M[:, ends[k] : ends[k + 1]]
            closed = Candles(opens, *bars_5M[:, ends[k] : ends[k + 1]])
            found[name] = Higher(closed, num_bars, rows, pointer_LN[k])
        return found

    def _room(self, ts_N: IntArray) -> int:
        """At least as many as the levels can close in all."""
        if not ts_N.size:
            return 0
        span_ms = int(ts_N[-1] - ts_N[0])
        return sum(min(ts_N.size, span_ms // least_ms + 2) + 1 for least_ms in self._least_ms)

    def save(self) -> dict[str, FloatArray]:
        """The unfinished bar of each timeframe on the way, float64[7]; plain arrays, to be stored anywhere."""
        return {self._key(level): held.copy() for level, held in zip(self._levels, self._held_L7, strict=True)}

    def load(self, carried: Mapping[str, FloatArray]) -> None:
        """Go on where `save` was called; more may be in it than these targets need.

        Raises:
            SchemaMismatch: a timeframe is not in it, or it was carried for another base.
        """
        for level, held in zip(self._levels, self._held_L7, strict=True):
            found = carried.get(self._key(level))
            if found is None or found.shape != held.shape:
                raise SchemaMismatch(
                    f"what was carried does not fit {level} bars made of {self._base}: start again from the first bar"
                )
            held[:] = found

    def _key(self, level: Timeframe) -> str:
        return f"{self._base}>{level}{level.offset_ms:+d}"


def _made_from(base: Timeframe, target: Timeframe) -> Timeframe:
    """The timeframe whose bars make those of ``target``."""
    return next((s for s in reversed(STEPS) if is_nested(base, s) and is_nested(s, target)), base)


def higher(candles: Candles, base: Timeframe, target: Timeframe) -> Placed:
    """The closed bars of ``target``, and for each base bar the last that is known at its close.

    Args:
        candles: base bars, ascending; bars may be missing.

    Raises:
        ConfigError: ``target`` is not made of whole bars of ``base``.
    """
    found = Cascade(base, [target]).advance(candles)[target.name]
    return Placed(found.candles, found.num_bars, found.pointer - 1)


def resample(candles: Candles, base: Timeframe, target: Timeframe, *, complete_only: bool = False) -> Candles:
    """Candles of ``target`` out of candles of ``base``.

    Only closed bars come: the last one is left out until a base bar reaches or passes its close.

    Args:
        complete_only: leave out bars of which a base bar is missing.

    Raises:
        ConfigError: ``target`` is not made of whole bars of ``base``.

    >>> hours = Candles.of([[h * 3_600_000, 1 + h, 2 + h, h, 1.5 + h, 10] for h in range(9)])
    >>> resample(hours, timeframes.parse("1h"), timeframes.parse("4h")).close.tolist()
    [4.5, 8.5]
    """
    found = Cascade(base, [target]).advance(candles)[target.name]
    if not complete_only:
        return found.candles
    return found.candles.take(found.num_bars == whole_bars(base, target, found.candles.open_ts_ms))
