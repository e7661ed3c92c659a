"""How much of a label is its own where labels overlap: concurrency, uniqueness, weights, sequential bootstrap.

A label is a function of the returns of the bars in its span; two labels are concurrent at a bar that both hold. (M.
López de Prado, Advances in Financial Machine Learning, 2018, ch. 4.)

Shapes: N labels, M bars, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError, DataError
from heliograph.windows.intervals import Intervals

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spans:
    """The bars that each label depends on, both ends included.

    Attributes:
        first_N, last_N: int64[N], rows of bars; ``first_N`` ascends and is never above ``last_N``.
        num_bars: M.

    Raises:
        DataError: a span is empty, leaves the bars, or starts before the one in front of it; the message names it.
    """

    first_N: IntArray
    last_N: IntArray
    num_bars: int

    def __post_init__(self) -> None:
        wrong = (self.last_N < self.first_N) | (self.first_N < 0) | (self.last_N >= self.num_bars)
        wrong[1:] |= np.diff(self.first_N) < 0
        bad = np.flatnonzero(wrong)
        if bad.size:
            raise DataError(
                f"label {int(bad[0])} spans bars {int(self.first_N[bad[0]])} to {int(self.last_N[bad[0]])} of "
                f"{self.num_bars}: sort the labels by their start and leave out those that end outside the bars"
            )


def spans(known_ts_ms_M: IntArray, intervals: Intervals) -> Spans:
    """Which bars' returns each label holds: those known after its start and no later than its end.

    Args:
        known_ts_ms_M: int64[M], ascending, of one market's bars.

    Raises:
        DataError: no bar is known within a label.

    >>> spans(np.array([10, 20, 30, 40]), Intervals(np.array([10, 20]), np.array([30, 30])))
    Spans(first_N=array([1, 2]), last_N=array([2, 2]), num_bars=4)
    """
    first_N = np.searchsorted(known_ts_ms_M, intervals.start_ts_ms_N, side="right")
    last_N = np.searchsorted(known_ts_ms_M, intervals.end_ts_ms_N, side="right") - 1
    return Spans(first_N, last_N, int(known_ts_ms_M.size))


def concurrency(spans: Spans) -> IntArray:
    """How many labels hold each bar; int64[M], in O(N + M) time.

    >>> concurrency(Spans(np.array([0, 2, 4]), np.array([2, 3, 5]), 7)).tolist()
    [1, 1, 2, 1, 1, 1, 0]
    """
    count_M: IntArray = _concurrency(spans.first_N, spans.last_N, spans.num_bars)
    return count_M


def average_uniqueness(spans: Spans) -> FloatArray:
    """Mean of ``1 / concurrency`` over the bars of each label; float64[N] in (0, 1], in O(N + M) time.

    >>> average_uniqueness(Spans(np.array([0, 2, 4]), np.array([2, 3, 5]), 6)).round(4).tolist()
    [0.8333, 0.75, 1.0]
    """
    mean_N: FloatArray = _average(spans.first_N, spans.last_N, 1.0 / np.maximum(concurrency(spans), 1))
    return mean_N


def time_decay(uniqueness_N: FloatArray, *, oldest: float) -> FloatArray:
    """Factor by age, where age is counted in uniqueness gathered since; float64[N], the newest is 1.

    Args:
        uniqueness_N: in the order of time.
        oldest: factor of the oldest label, in (−1, 1]; 1 does not decay, and a negative one zeroes that share of the
            oldest.

    Raises:
        ConfigError: ``oldest`` is out of range.

    >>> time_decay(np.ones(4), oldest=0.0).tolist(), time_decay(np.ones(4), oldest=-0.5).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 1.0])
    """
    if not -1.0 < oldest <= 1.0:
        raise ConfigError(f"oldest is {oldest}: give the oldest label's factor, above −1 and at most 1")
    gathered_N = np.cumsum(uniqueness_N)
    whole = float(gathered_N[-1]) if gathered_N.size else 1.0
    slope = (1.0 - oldest) / whole if oldest >= 0.0 else 1.0 / ((1.0 + oldest) * whole)
    decayed: FloatArray = np.maximum(1.0 - slope * (whole - gathered_N), 0.0)
    return decayed


def weights(spans: Spans, *, oldest: float = 1.0) -> FloatArray:
    """Sample weights, uniqueness times decay, of mean 1; float64[N]."""
    uniqueness_N = average_uniqueness(spans)
    raw_N = uniqueness_N * time_decay(uniqueness_N, oldest=oldest)
    scaled: FloatArray = raw_N / raw_N.mean() if raw_N.size else raw_N
    return scaled


def sequential_bootstrap(spans: Spans, draws: int, generator: np.random.Generator) -> IntArray:
    """Draw labels with replacement, each with a chance in proportion to its uniqueness among those drawn before.

    Every draw costs the labels that overlap the drawn one times log N, not N.

    Returns:
        int64[S], numbers of labels.

    Raises:
        ConfigError: there is no label to draw from.
    """
    if not spans.first_N.size:
        raise ConfigError("there is no label to draw from: fetch a longer history, or shorten labels.horizons_bars")
    drawn_S: IntArray = _draw(spans.first_N, spans.last_N, spans.num_bars, generator.random(draws))
    return drawn_S


def draw_chances(spans: Spans, drawn: IntArray) -> FloatArray:
    """Chance of each label to be drawn next, after these; float64[N].

    >>> labels = Spans(np.array([0, 2, 4]), np.array([2, 3, 5]), 6)
    >>> (draw_chances(labels, np.array([1])) * 14).round(9).tolist()
    [5.0, 3.0, 6.0]
    """
    held = np.zeros(spans.num_bars + 1, dtype=np.int64)
    np.add.at(held, spans.first_N[drawn], 1)
    np.add.at(held, spans.last_N[drawn] + 1, -1)
    unique_N = _average(spans.first_N, spans.last_N, 1.0 / (1 + np.cumsum(held)[:-1]))
    chance: FloatArray = unique_N / unique_N.sum()
    return chance


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _concurrency(first_N: IntArray, last_N: IntArray, num_bars: int) -> IntArray:
    count = np.zeros(num_bars + 1, dtype=np.int64)
    for i in range(first_N.size):
        count[first_N[i]] += 1
        count[last_N[i] + 1] -= 1
    for j in range(1, num_bars):
        count[j] += count[j - 1]
    return count[:num_bars]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _average(first_N: IntArray, last_N: IntArray, share_M: FloatArray) -> FloatArray:
    """Mean of ``share_M`` over each span, out of running sums kept in two parts, so that nothing is lost in them."""
    high = np.zeros(share_M.size + 1)
    low = np.zeros(share_M.size + 1)
    for j in range(share_M.size):
        total = high[j] + share_M[j]
        kept = total - high[j]
        low[j + 1] = low[j] + ((high[j] - (total - kept)) + (share_M[j] - kept))
        high[j + 1] = total
    mean = np.empty(first_N.size)
    for i in range(first_N.size):
        a, b = first_N[i], last_N[i] + 1
        mean[i] = ((high[b] - high[a]) + (low[b] - low[a])) / (b - a)
    return mean


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(tree: FloatArray, item: int, value: float) -> None:
    """Change one weight in a tree of partial sums (P. Fenwick 1994), in log N steps."""
    node = item + 1
    while node < tree.size:
        tree[node] += value
        node += node & -node


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find(tree: FloatArray, wanted: float) -> int:
    """The item in which the running sum of weights passes ``wanted``."""
    step = 1
    while step * 2 < tree.size:
        step *= 2
    place = 0
    while step:
        if place + step < tree.size and tree[place + step] <= wanted:
            place += step
            wanted -= tree[place]
        step //= 2
    return min(place, tree.size - 2)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw(first_N: IntArray, last_N: IntArray, num_bars: int, chance_S: FloatArray) -> IntArray:
    tree = np.zeros(first_N.size + 1)
    longest = 0
    for i in range(first_N.size):
        longest = max(longest, last_N[i] - first_N[i] + 1)
        _add(tree, i, 1.0)
    total = float(first_N.size)
    held = np.zeros(num_bars, dtype=np.int64)
    lost = np.zeros(longest + 1)
    drawn = np.empty(chance_S.size, dtype=np.int64)
    for s in range(chance_S.size):
        drawn[s] = _find(tree, chance_S[s] * total)
        a, b = first_N[drawn[s]], last_N[drawn[s]]
        for j in range(a, b + 1):
            held[j] += 1
            lost[j - a + 1] = lost[j - a] + 1.0 / (held[j] * (held[j] + 1.0))
        for i in range(np.searchsorted(first_N, a - longest + 1), np.searchsorted(first_N, b, side="right")):
            if last_N[i] >= a:
                fall = lost[min(last_N[i], b) - a + 1] - lost[max(first_N[i], a) - a]
                fall /= last_N[i] - first_N[i] + 1
                total -= fall
                _add(tree, i, -fall)
    return drawn
