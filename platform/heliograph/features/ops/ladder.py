"""Windows of any length in O(log n): blocks of 2, 4, 8, … bars, each merged from two of the half.

What a window gives depends on its own bars only, never on a running sum that older bars have passed through: nothing
drifts, and ties stay ties. A length that is no power of two is put together from the blocks of its binary digits, the
longest one newest, always in this order. One pass climbs to all the blocks of a series, and one more joins those of a
window: a live bar costs two calls and not one a step.

Deviations are kept relative to the newest bar of each block: a price of 60,000 that moves by cents loses no digits.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from heliograph.features.engine import compiled
from heliograph.features.graph import Series, kernel, node

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Block: TypeAlias = tuple[Series, ...]
"""What is known of a stretch of bars, one series each."""

_HEIGHTS: Final = (4, 7, 10, 13, 16, 20)
"""Steps that one pass climbs; few different ones, so that windows share it."""

Part: TypeAlias = tuple[int, int, int]
"""A block of a window: its step on the ladder; bars between its end and the window's; its length."""

Bounds: TypeAlias = tuple[int, int, int, int]
"""Of a merge: place of the first bar; bars of the newer block, and of the older one; bars to write."""


class Merge(IntEnum):
    """How two blocks make one, and what a block holds; "over" is what values exceed the block's newest by.

    Attributes:
        SUM: the sum.
        SPREAD: sum over; sum of the squared deviations from the mean.
        RAMP: sum over; that sum with each value's age in bars as its weight.
        PRODUCT: sums over of two series; sum of the products of their deviations.
        POWERS: sum over; sums of the 2nd, 3rd and 4th powers of the deviations.
        HIGHEST, LOWEST: the extreme.
        HIGHEST_AGE, LOWEST_AGE: the extreme; its age in bars, of equal ones the newest's.
    """

    SUM = 0
    SPREAD = 1
    RAMP = 2
    PRODUCT = 3
    POWERS = 4
    HIGHEST = 5
    LOWEST = 6
    HIGHEST_AGE = 7
    LOWEST_AGE = 8


def merged(merge: Merge, bars: int, *values: Series) -> Block:
    """The block of the last ``bars`` bars.

    Args:
        values: two for `Merge.PRODUCT`, else one.

    Raises:
        ValueError: a window without bars.
    """
    if bars < 1:
        raise ValueError(f"a window of {bars} bars is empty: use 1 or more")
    top = bars.bit_length() - 1
    if merge >= Merge.HIGHEST:
        parts = [(top, age, 2**top) for age in sorted({0, bars - 2**top})]
    else:
        levels = [level for level in range(top, -1, -1) if bars >> level & 1]
        parts = [(level, bars >> level + 1 << level + 1, 2**level) for level in levels]
    return _joined(merge, bars, _first(merge, values), parts)


def nothing(series: Series) -> Series:
    """0, and NaN where ``series`` is not known: what a single bar exceeds itself by."""
    return node(_zero, series)[0]


def _first(merge: Merge, values: tuple[Series, ...]) -> tuple[Block, Block]:
    """The block of one bar, and the series that merging reads at both newest bars."""
    if merge in (Merge.SUM, Merge.HIGHEST, Merge.LOWEST):
        return values, ()
    if merge in (Merge.HIGHEST_AGE, Merge.LOWEST_AGE):
        return (*values, nothing(values[0])), ()
    if merge is Merge.PRODUCT:
        return (nothing(values[0]), nothing(values[1]), nothing(values[0])), values
    return (nothing(values[0]),) * (4 if merge is Merge.POWERS else 2), values


def _joined(merge: Merge, bars: int, start: tuple[Block, Block], parts: list[Part]) -> Block:
    """Two passes: one to the blocks of all lengths, one that joins those of the window, the newest first."""
    (first, origins), size = start, len(start[0])
    height = next(steps for steps in _HEIGHTS if steps >= parts[0][0])
    climbed = node(
        _climb,
        *(*first, *origins),
        reach=(*(1 for _ in first), *(2 ** (height - 1) for _ in origins)),
        parameters=(merge, size, height),
        outputs=size * height,
    )
    # The climb reads its own blocks back: they are kept because the join says that it does.
    reach = {step: 2**step if step < height else 0 for step in range(height + 1)}
    reach |= {step: max(age, reach[step]) for step, age, _ in parts}
    made = node(
        _join,
        *(*first, *(climbed[k] for k in range(climbed.num_outputs)), *origins),
        reach=(*(bars for step in sorted(reach) for bars in (reach[step],) * size), *(parts[-1][1] for _ in origins)),
        parameters=(merge, size, height, len(parts), *(number for part in parts for number in part)),
        outputs=2 * size,
        warmup=bars - 1,
    )
    return tuple(made[k] for k in range(size))


@kernel
def _zero(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, value = x[at[0] + i :], x[at[1] + i :]
    for t in range(n):
        out[t] = 0.0 * value[t]  # NaN stays NaN


@compiled
def _sum(x: FloatArray, o: int, newer: int, older: int, n: int) -> None:
    out, one, other = x[o:], x[newer:], x[older:]
    for t in range(n):
        out[t] = one[t] + other[t]


@compiled
def _highest(x: FloatArray, o: int, newer: int, older: int, n: int) -> None:
    out, one, other = x[o:], x[newer:], x[older:]
    for t in range(n):
        out[t] = other[t] if other[t] != other[t] or one[t] < other[t] else one[t]


@compiled
def _lowest(x: FloatArray, o: int, newer: int, older: int, n: int) -> None:
    out, one, other = x[o:], x[newer:], x[older:]
    for t in range(n):
        out[t] = other[t] if other[t] != other[t] or one[t] > other[t] else one[t]


@compiled
def _age(x: FloatArray, to: IntArray, newer: IntArray, older: IntArray, sign: float, bounds: Bounds) -> None:
    i, lag, _, n = bounds
    values, ages, value1, age1 = x[to[0] + i :], x[to[1] + i :], x[newer[0] + i :], x[newer[1] + i :]
    value2, age2 = x[older[0] + i - lag :], x[older[1] + i - lag :]
    for t in range(n):
        is_older = not (sign * value1[t] >= sign * value2[t]) and value1[t] == value1[t]
        values[t] = value2[t] if is_older else value1[t]
        ages[t] = age2[t] + lag if is_older else age1[t]


@compiled
def _spread(x: FloatArray, to: IntArray, newer: IntArray, older: IntArray, origins: IntArray, bounds: Bounds) -> None:
    i, a, b, n = bounds
    sums, squares = x[to[0] + i :], x[to[1] + i :]
    sum1, square1 = x[newer[0] + i :], x[newer[1] + i :]
    sum2, square2 = x[older[0] + i - a :], x[older[1] + i - a :]
    last1, last2 = x[origins[0] + i :], x[origins[0] + i - a :]
    share1, share2, both = 1.0 / a, 1.0 / b, a * b / (a + b)
    for t in range(n):
        apart = last2[t] - last1[t]
        off = (sum2[t] * share2 - sum1[t] * share1) + apart
        sums[t] = sum1[t] + (sum2[t] + b * apart)
        squares[t] = (square1[t] + square2[t]) + both * (off * off)


@compiled
def _ramp(x: FloatArray, to: IntArray, newer: IntArray, older: IntArray, origins: IntArray, bounds: Bounds) -> None:
    i, a, b, n = bounds
    sums, ramps = x[to[0] + i :], x[to[1] + i :]
    sum1, ramp1 = x[newer[0] + i :], x[newer[1] + i :]
    sum2, ramp2 = x[older[0] + i - a :], x[older[1] + i - a :]
    last1, last2 = x[origins[0] + i :], x[origins[0] + i - a :]
    ages = a * b + 0.5 * b * (b - 1.0)
    for t in range(n):
        apart = last2[t] - last1[t]
        sums[t] = sum1[t] + (sum2[t] + b * apart)
        ramps[t] = ramp1[t] + ((ramp2[t] + a * sum2[t]) + ages * apart)


@compiled
def _product(x: FloatArray, to: IntArray, newer: IntArray, older: IntArray, origins: IntArray, bounds: Bounds) -> None:
    i, a, b, n = bounds
    sums_a, sums_b, products = x[to[0] + i :], x[to[1] + i :], x[to[2] + i :]
    a1, b1, product1 = x[newer[0] + i :], x[newer[1] + i :], x[newer[2] + i :]
    a2, b2, product2 = x[older[0] + i - a :], x[older[1] + i - a :], x[older[2] + i - a :]
    last_a1, last_a2 = x[origins[0] + i :], x[origins[0] + i - a :]
    last_b1, last_b2 = x[origins[1] + i :], x[origins[1] + i - a :]
    share1, share2, both = 1.0 / a, 1.0 / b, a * b / (a + b)
    for t in range(n):
        apart_a, apart_b = last_a2[t] - last_a1[t], last_b2[t] - last_b1[t]
        off_a = (a2[t] * share2 - a1[t] * share1) + apart_a
        off_b = (b2[t] * share2 - b1[t] * share1) + apart_b
        sums_a[t] = a1[t] + (a2[t] + b * apart_a)
        sums_b[t] = b1[t] + (b2[t] + b * apart_b)
        products[t] = (product1[t] + product2[t]) + both * (off_a * off_b)


@compiled
def _powers(x: FloatArray, to: IntArray, newer: IntArray, older: IntArray, origins: IntArray, bounds: Bounds) -> None:
    """P. Pébay's formulas; ``p1`` and ``p2`` are the blocks' shares of the bars."""
    i, a, b, n = bounds
    sums, seconds, thirds, fourths = x[to[0] + i :], x[to[1] + i :], x[to[2] + i :], x[to[3] + i :]
    sum1, second1, third1, fourth1 = x[newer[0] + i :], x[newer[1] + i :], x[newer[2] + i :], x[newer[3] + i :]
    sum2, second2 = x[older[0] + i - a :], x[older[1] + i - a :]
    third2, fourth2 = x[older[2] + i - a :], x[older[3] + i - a :]
    last1, last2 = x[origins[0] + i :], x[origins[0] + i - a :]
    p1, p2 = a / (a + b), b / (a + b)
    even, odd, wide = p1 * p2 * (a + b), p1 - p2, p1 * p1 - p1 * p2 + p2 * p2
    for t in range(n):
        apart = last2[t] - last1[t]
        off = (sum2[t] / b - sum1[t] / a) + apart
        square = off * off
        mixed = p1 * second2[t] - p2 * second1[t]
        spreads = p1 * p1 * second2[t] + p2 * p2 * second1[t]
        skews = p1 * third2[t] - p2 * third1[t]
        sums[t] = sum1[t] + (sum2[t] + b * apart)
        seconds[t] = (second1[t] + second2[t]) + even * square
        thirds[t] = (third1[t] + third2[t]) + off * (even * odd * square + 3.0 * mixed)
        fourths[t] = (fourth1[t] + fourth2[t]) + (square * (even * wide * square + 6.0 * spreads) + 4.0 * off * skews)


@compiled
def _merge(
    merge: int, x: FloatArray, to: IntArray, newer: IntArray, older: IntArray, origins: IntArray, bounds: Bounds
) -> None:
    """Merge two blocks; see `Merge` for the numbers."""
    i, a, _, n = bounds
    if merge == 0:
        _sum(x, to[0] + i, newer[0] + i, older[0] + i - a, n)
    elif merge == 1:
        _spread(x, to, newer, older, origins, bounds)
    elif merge == 2:
        _ramp(x, to, newer, older, origins, bounds)
    elif merge == 3:
        _product(x, to, newer, older, origins, bounds)
    elif merge == 4:
        _powers(x, to, newer, older, origins, bounds)
    elif merge == 5:
        _highest(x, to[0] + i, newer[0] + i, older[0] + i - a, n)
    elif merge == 6:
        _lowest(x, to[0] + i, newer[0] + i, older[0] + i - a, n)
    else:
        _age(x, to, newer, older, 1.0 if merge == 7 else -1.0, bounds)


@kernel
def _climb(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    merge, size, height = int(p[0]), int(p[1]), int(p[2])
    below, origins, bars = at[size * height :], at[size * height + size :], 1
    for step in range(height):
        block = at[size * step :]
        _merge(merge, x, block, below, below, origins, (i, bars, bars, n))
        below, bars = block, 2 * bars


@kernel
def _join(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    merge, size, height, parts = int(p[0]), int(p[1]), int(p[2]), int(p[3])
    newer, origins = at[size * (2 + int(p[4])) :], at[size * (height + 3) :]
    for k in range(1, parts):
        to = at[size * ((parts - 1 - k) % 2) :]  # back and forth: no pass writes over what it reads
        older = at[size * (2 + int(p[4 + 3 * k])) :]
        _merge(merge, x, to, newer, older, origins, (i, int(p[5 + 3 * k]), int(p[6 + 3 * k]), n))
        newer = to
    if parts == 1:
        for k in range(size):
            out, block = x[at[k] + i :], x[newer[k] + i :]
            for t in range(n):
                out[t] = block[t]
