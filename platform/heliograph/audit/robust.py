"""Medians over blocks and windows: what is usual here, told so that a bad minority can't change it.

A rolling median costs 0.3 µs an element; medians of blocks, and of neighbouring blocks, cost a tenth and serve as well.
"""

from __future__ import annotations

import numpy as np

from heliograph.audit.finding import BoolArray
from heliograph.core.market import FloatArray

MAD = 1.4826
"""Standard deviations in a median absolute deviation of normal noise."""


def block_medians(values: FloatArray, block: int) -> FloatArray:
    """Median of each ``block`` elements; the last block is filled up from its own end backwards. float64[ceil(n/block)]."""
    num = -(-values.size // block)
    lack = num * block - values.size
    filled = np.concatenate([values, np.resize(values[::-1], lack)]) if lack else values
    medians: FloatArray = np.median(filled.reshape(num, block), axis=1)
    return medians


def around(values: FloatArray, block: int, span: int) -> FloatArray:
    """The usual value near each element: the median of ``span`` block medians, its own block in the middle; float64[n]."""
    if not values.size:
        return values
    return np.repeat(middle(block_medians(values, block), span), block)[: values.size]


def middle(values: FloatArray, span: int) -> FloatArray:
    """Median of ``span`` (odd) neighbours, the element in the middle; edges are repeated."""
    padded = np.pad(values, span // 2, mode="edge")
    medians: FloatArray = np.median(np.lib.stride_tricks.sliding_window_view(padded, span), axis=1)
    return medians


def usual_size(sizes: FloatArray, floor: float = 0.5) -> FloatArray:
    """Local median of ``sizes`` (not below zero), no less than ``floor`` times the whole series' median; float64[n]."""
    local = around(sizes, 64, 5)
    overall = float(np.median(sizes)) if sizes.size else 0.0
    if overall == 0.0 and sizes.any():  # more than half stand still
        overall = float(np.median(sizes[sizes > 0.0]))
    least: FloatArray = np.maximum(local, floor * overall)
    return least


def windows(values: FloatArray, size: int, step: int) -> FloatArray:
    """Views of ``size`` elements every ``step``; float64[w, size]."""
    view: FloatArray = np.lib.stride_tricks.sliding_window_view(values, size)[::step]
    return view


def window_sums(values: FloatArray, size: int) -> FloatArray:
    """Sum over the ``size`` elements from each one on; float64[n - size + 1]."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    sums: FloatArray = total[size:] - total[:-size]
    return sums


def widest(values: FloatArray) -> FloatArray:
    """The largest of each element and its two neighbours."""
    padded = np.pad(values, 1, mode="edge")
    largest: FloatArray = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return largest


def cover(where: BoolArray, num: int, size: int, step: int) -> BoolArray:
    """The elements that lie in a window that ``where`` names; bool[num]."""
    depth = np.zeros(num + 1, dtype=np.int64)
    starts = np.flatnonzero(where) * step
    np.add.at(depth, starts, 1)
    np.add.at(depth, np.minimum(starts + size, num), -1)
    inside: BoolArray = np.cumsum(depth[:-1]) > 0
    return inside


def longest(where: BoolArray) -> FloatArray:
    """Length of the run of True that each element stands in, 0 where it is False; float64[n]."""
    padded = np.concatenate([[False], where, [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(padded)).reshape(-1, 2)
    length = np.zeros(where.size)
    lengths = edges[:, 1] - edges[:, 0]
    length[where] = np.repeat(lengths, lengths)
    return length
