"""Inputs that are not candles, brought to the bars by what was known: a value counts from its publication on.

Rules, the same for years and for the live bar:

- a point counts at the first bar whose close is not before its known time; NaN and infinite points never count;
- of the points that count, the one about the newest event is the value; a late one about an older event changes nothing;
- a revision (the same event told again) counts from its own known time on and never back;
- a value older than its input allows is NaN, and its age says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.series import Points
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from heliograph.features.engine import compiled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A number that is published now and then; features read its `series`.

    Attributes:
        delay_ms: from the event (the moment, or the beginning of the day or hour, that the value is stamped with) to
            its publication, where the point itself doesn't carry a known time.
        max_age_ms: since the event; an older value counts as unknown.
        source: who says so, and what the delay rests on.
    """

    name: str
    unit: str
    delay_ms: int
    max_age_ms: int
    source: str

    @property
    def series(self) -> tuple[str, str, str, str]:
        """Value; its age (ms since the event); time between its event and the event before (ms); sum of what was told
        since the row before (a revision by its difference; NaN at the first row).

        >>> by_name("funding_rate").series
        ('funding_rate', 'funding_rate_age_ms', 'funding_rate_period_ms', 'funding_rate_told')
        """
        return self.name, f"{self.name}_age_ms", f"{self.name}_period_ms", f"{self.name}_told"

    def points(self, event_ts_ms: IntArray, value: FloatArray) -> Points:
        """Points of a source that tells no known time: the declared delay after each event."""
        return Points(event_ts_ms, event_ts_ms + self.delay_ms, value.astype(np.float64))


INPUTS: Final = (
    Input(
        name="funding_rate",
        unit="share of the position, a settlement",
        delay_ms=0,
        max_age_ms=17 * HOUR_MS,
        source="the venue's funding history: a rate is final when it is charged",
    ),
    Input(
        name="open_interest",
        unit="base coins",
        delay_ms=HOUR_MS,
        max_age_ms=4 * HOUR_MS,
        source="the venue's open-interest history: OKX tells an hour's by its beginning",
    ),
    Input(
        name="basis",
        unit="log of the perpetual's close / the spot market's",
        delay_ms=0,
        max_age_ms=HOUR_MS,
        source="candles of both markets, see `log_basis`; a bar is known at its close",
    ),
    Input(
        name="book_imbalance",
        unit="(bid − ask) / (bid + ask) quantity of the first levels, −1…1",
        delay_ms=0,
        max_age_ms=5 * MINUTE_MS,
        source="the recorder's own clock when it took the book",
    ),
    Input(
        name="book_spread",
        unit="share of the mid price",
        delay_ms=0,
        max_age_ms=5 * MINUTE_MS,
        source="the recorder's own clock when it took the book",
    ),
    Input(
        name="book_depth",
        unit="quote units on both sides of the first levels",
        delay_ms=0,
        max_age_ms=5 * MINUTE_MS,
        source="the recorder's own clock when it took the book",
    ),
    *(
        Input(
            name=name,
            unit=unit,
            delay_ms=DAY_MS + 6 * HOUR_MS,
            max_age_ms=4 * DAY_MS,
            source="daily chain statistics, dated by the beginning of the day: whole when the day is over, then counted",
        )
        for name, unit in (
            ("exchange_inflow", "coins a day into labelled exchange wallets"),
            ("exchange_outflow", "coins a day out of labelled exchange wallets"),
            ("active_addresses", "addresses a day"),
            ("chain_transactions", "transactions a day"),
            ("chain_fees", "native coins a day"),
        )
    ),
    Input(
        name="fear_greed",
        unit="0 extreme fear … 100 extreme greed",
        delay_ms=3 * HOUR_MS,
        max_age_ms=3 * DAY_MS,
        source="alternative.me, dated by the day's beginning: it moves with the returns of the day before, not of its own",
    ),
    Input(
        name="news_score",
        unit="−1 bad … 1 good",
        delay_ms=5 * MINUTE_MS,
        max_age_ms=DAY_MS,
        source="time of publication, or first seen where that is later",
    ),
    Input(
        name="event",
        unit="weight of a dated event, above 0",
        delay_ms=DAY_MS,
        max_age_ms=400 * DAY_MS,
        source="a calendar that gives dates only: known when the day is over",
    ),
)


def by_name(name: str) -> Input:
    """The declared input called ``name``.

    Raises:
        ConfigError: there is none; the message lists those that exist.
    """
    found = {one.name: one for one in INPUTS}
    if name not in found:
        raise ConfigError(f"there is no input {name!r}: use one of {', '.join(found)}")
    return found[name]


def as_known(
    known_ts_ms: IntArray,
    values: FloatArray,
    at_ts_ms: IntArray,
    *,
    max_age_ms: int,
    event_ts_ms: IntArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """The newest value that was known at each moment.

    Args:
        known_ts_ms: int64[P], in any order.
        at_ts_ms: int64[T], ascending: the closes of the base bars.
        event_ts_ms: int64[P], what the values are about; the known times where None.

    Returns:
        (value, age_ms), float64[T] each: NaN where nothing was known or it was too old; the age is NaN only where
        nothing was known.

    >>> as_known(np.array([10]), np.array([7.0]), np.array([9, 10, 99]), max_age_ms=50)[0].tolist()
    [nan, 7.0, nan]
    """
    _require_ascending(at_ts_ms, "closes")
    event = known_ts_ms if event_ts_ms is None else event_ts_ms
    none = np.zeros(known_ts_ms.size, dtype=np.int64)
    points = _sorted((known_ts_ms.astype(np.int64), event.astype(np.int64), values.astype(np.float64), none))
    out_14T, age = np.empty((1, 4, at_ts_ms.size)), np.array([float(max_age_ms)])
    _sweep(points, at_ts_ms, age, np.full((1, 3), np.nan), np.full(1, np.nan), out_14T)
    return out_14T[0, 0], out_14T[0, 1]


def until_next_ms(event_ts_ms: IntArray, known_ts_ms: IntArray, at_ts_ms: IntArray) -> FloatArray:
    """Time until the next event that had been announced by then: a halving, a fork, a settlement of futures.

    Args:
        event_ts_ms: int64[P], ascending.
        known_ts_ms: int64[P], when each was announced.

    Returns:
        float64[T]; NaN where none was announced.

    >>> until_next_ms(np.array([100]), np.array([40]), np.array([39, 40, 90, 100])).tolist()
    [nan, 60.0, 10.0, nan]
    """
    _require_ascending(event_ts_ms, "events")
    return np.asarray(_until_next(event_ts_ms, known_ts_ms, at_ts_ms))


def log_basis(
    perp_close: FloatArray, close_ts_ms: IntArray, spot_close: FloatArray, spot_close_ts_ms: IntArray
) -> Points:
    """Points of the input ``basis``: the perpetual's close over the spot close known by then, in the same quote units.

    A spot close older than the input's ``max_age_ms`` gives no basis.
    """
    spot, _ = as_known(spot_close_ts_ms, spot_close, close_ts_ms, max_age_ms=by_name("basis").max_age_ms)
    return Points(close_ts_ms, close_ts_ms, np.asarray(np.log(perp_close / spot)))


def joined(points: Mapping[str, Points], close_ts_ms: IntArray) -> dict[str, FloatArray]:
    """Every series of the declared inputs that have points, at each bar's close: a batch of `Joints`.

    Raises:
        ConfigError: an input is not declared.
        SchemaMismatch: the closes do not ascend.
    """
    joints = Joints([by_name(name) for name in points])
    for name, told in points.items():
        joints.add(name, told)
    return joints.advance(close_ts_ms)


class Joints:
    """Inputs of one market on their way through time; batch and live are the same calls.

    Attributes:
        names: of the series that `advance` gives.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = tuple(inputs)
        self.names = tuple(name for one in self.inputs for name in one.series)
        self._row = {one.name: k for k, one in enumerate(self.inputs)}
        self._max_age_I = np.array([one.max_age_ms for one in self.inputs], dtype=np.float64)
        self._state_I3 = np.full((len(self.inputs), 3), np.nan)  # event, the event before, value
        self._at_ms = np.full(1, np.nan)
        none = np.empty(0, dtype=np.int64)
        self._points: _Columns = (none, none, np.empty(0), none)

    def add(self, name: str, points: Points) -> int:
        """Take points, in any order; they count when they are known.

        Returns:
            how many came too late, at or after the known time that they claim had been passed: they count from the next
            bar on. Store them under the time they came, or a batch will use them too early.
        """
        row = np.full(len(points), self._row[name])
        known, event, value, of = self._points
        self._points = _sorted(
            (
                np.concatenate([known, points.known_ts_ms]),
                np.concatenate([event, points.event_ts_ms]),
                np.concatenate([value, points.value]),
                np.concatenate([of, row]),
            )
        )
        return int(np.count_nonzero(points.known_ts_ms <= self._at_ms[0]))

    def advance(self, at_ts_ms: IntArray) -> dict[str, FloatArray]:
        """What is known at the next closes.

        Args:
            at_ts_ms: int64[T], ascending, all after the last call's.

        Returns:
            float64[T] by name of series, see `Input.series`.

        Raises:
            SchemaMismatch: the closes do not ascend.
        """
        _require_ascending(at_ts_ms, "closes")
        if at_ts_ms.size and at_ts_ms[0] <= self._at_ms[0]:
            raise SchemaMismatch(f"closes must ascend: {at_ts_ms[0]} comes after {self._at_ms[0]:.0f}")
        out_I4T = np.empty((len(self.inputs), 4, at_ts_ms.size))
        used = _sweep(self._points, at_ts_ms, self._max_age_I, self._state_I3, self._at_ms, out_I4T)
        self._points = _taken(self._points, slice(used, None))
        return dict(zip(self.names, out_I4T.reshape(len(self.names), at_ts_ms.size), strict=True))

    def save(self) -> dict[str, FloatArray]:
        """What is carried, by input: state, then the points that are not known yet."""
        *columns, of = self._points
        waiting_P3 = np.stack([column.astype(np.float64) for column in columns], axis=1)
        return {
            one.name: np.concatenate([self._at_ms, self._state_I3[k], waiting_P3[of == k].ravel()])
            for k, one in enumerate(self.inputs)
        }

    def load(self, carried: Mapping[str, FloatArray]) -> None:
        """Go on where `save` was called; an input that is not in it starts from nothing."""
        for k, one in enumerate(self.inputs):
            if one.name in carried:
                told = carried[one.name]
                self._at_ms[0], self._state_I3[k] = told[0], told[1:4]
                known, event, value = told[4:].reshape(-1, 3).T
                self.add(one.name, Points(event.astype(np.int64), known.astype(np.int64), value))


_Columns = tuple[IntArray, IntArray, FloatArray, IntArray]
"""Known times, events, values and inputs of points; by known time, then as they came."""


def _sorted(points: _Columns) -> _Columns:
    return points if _ascends(points[0], 0) else _taken(points, np.argsort(points[0], kind="stable"))


def _taken(points: _Columns, where: slice | npt.NDArray[np.intp]) -> _Columns:
    return points[0][where], points[1][where], points[2][where], points[3][where]


def _require_ascending(ts_ms: IntArray, what: str) -> None:
    if not _ascends(ts_ms, 1):
        raise SchemaMismatch(f"{what} must ascend: sort them, each time once")


@compiled
def _ascends(ts_ms: IntArray, least: int) -> bool:
    """Each at least so much above the one before."""
    num = 0
    for t in range(1, ts_ms.size):
        num += ts_ms[t] - ts_ms[t - 1] < least
    return num == 0


@compiled
def _sweep(
    points: _Columns,
    at_T: IntArray,
    max_age_I: FloatArray,
    state_I3: FloatArray,
    last_at: FloatArray,
    out_I4T: FloatArray,
) -> int:
    """Fill in what is known at each close; returns how many points are used up."""
    known_P, event_P, value_P, input_P = points
    k, inputs = 0, max_age_I.size
    for t in range(at_T.size):
        told = np.nan if np.isnan(last_at[0]) else 0.0
        for i in range(inputs):
            out_I4T[i, 3, t] = told
        while k < known_P.size and known_P[k] <= at_T[t]:
            event, value, i = event_P[k], value_P[k], input_P[k]
            k += 1
            if not np.isfinite(value) or event < state_I3[i, 0]:
                continue
            if event == state_I3[i, 0]:
                out_I4T[i, 3, t] += value - state_I3[i, 2]
            else:
                out_I4T[i, 3, t] += value
                state_I3[i, 1] = state_I3[i, 0]
            state_I3[i, 0] = event
            state_I3[i, 2] = value
        for i in range(inputs):
            age = at_T[t] - state_I3[i, 0]
            is_fresh = age <= max_age_I[i]
            out_I4T[i, 0, t] = state_I3[i, 2] if is_fresh else np.nan
            out_I4T[i, 1, t] = age
            out_I4T[i, 2, t] = state_I3[i, 0] - state_I3[i, 1]
            if not is_fresh:
                out_I4T[i, 3, t] = np.nan
        last_at[0] = at_T[t]
    return k


@compiled
def _until_next(event_P: IntArray, known_P: IntArray, at_T: IntArray) -> FloatArray:
    out_T = np.full(at_T.size, np.nan)
    for t in range(at_T.size):
        k = np.searchsorted(event_P, at_T[t], side="right")
        while k < event_P.size and known_P[k] > at_T[t]:
            k += 1
        if k < event_P.size:
            out_T[t] = event_P[k] - at_T[t]
    return out_T
