"""Runs graphs: the same passes over a year of bars, over tiles of it, or over the one bar that has just closed.

Every series has a stretch of one buffer: the bars that the nodes after it still read, and room for a block of new ones.
A block is filled node by node, then the newest bars move to the front. What is kept between two calls does not depend on
how the bars were cut into calls, so that batch, tiles and live agree bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.typed import List

from heliograph.core.errors import SchemaMismatch
from heliograph.features.graph import SIGNATURE, Kernel, Node, Series, source

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BATCH_BARS = 512
"""A block of a batch: its buffer stays in the cache."""

LIVE_BARS = 32
"""Room of a live market: small, for there are thousands of them."""


def compiled(function: Any) -> Any:
    """Compile with numba: cached on disk, without the GIL, division by zero as in numpy; never fast-math."""
    return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


_Code = tuple[IntArray, IntArray, FloatArray, IntArray, IntArray, IntArray, IntArray, FloatArray]
"""A program laid out in a buffer, as the compiled loop takes it; R stretches, P passes, I inputs, F results.

int64[P, 3]: function of each pass, and the bounds of its states. int64[P, A]: where its series have their next bar.
float64[P, Q]: its constants. int64[R], int64[R]: where each stretch begins, and how many bars it keeps. int64[I] and
int64[F]: first new bar of each input and each result. float64[F, 2]: what lies beyond is cut. A plain tuple: numba takes
it in a microsecond, a named one in a hundred.
"""


@compiled
def _advance(
    functions: Any,
    code: _Code,
    s: FloatArray,
    x: FloatArray,
    inputs_IN: FloatArray,
    out_NF: FloatArray,
    i: int,
    block: int,
) -> int:
    """Take all bars of the inputs, block by block; returns where the next bar goes in the block."""
    code_P3, at_PA, p_PQ, begins_R, keep_R, starts_I, starts_F, range_F2 = code
    done, bars = 0, inputs_IN.shape[1]
    while done < bars:
        if i == block:
            _move(x, begins_R, keep_R, i)
            i = 0
        n = min(block - i, bars - done)
        for k in range(starts_I.size):
            x[starts_I[k] + i : starts_I[k] + i + n] = inputs_IN[k, done : done + n]
        for k in range(code_P3.shape[0]):
            states = s[code_P3[k, 1] : code_P3[k, 2]]
            functions[code_P3[k, 0]](x, at_PA[k], i, p_PQ[k], states, n)
        _collect(x, starts_F, i, range_F2, out_NF[done : done + n])
        i += n
        done += n
    return i


@compiled
def _collect(x: FloatArray, starts_F: IntArray, i: int, range_F2: FloatArray, out_NF: FloatArray) -> None:
    """Cut each result to its range; NaN stays NaN, and what a division by nothing made is not known either."""
    for t in range(out_NF.shape[0]):
        for f in range(starts_F.size):
            value, low, high = x[starts_F[f] + i + t], range_F2[f, 0], range_F2[f, 1]
            if math.isinf(value):
                value = np.nan
            out_NF[t, f] = low if value < low else (high if value > high else value)


@compiled
def _move(x: FloatArray, begins_R: IntArray, keep_R: IntArray, by: int) -> None:
    """Bring the kept bars of every series to the front of its stretch."""
    for r in range(begins_R.size):
        o = begins_R[r]
        for t in range(keep_R[r]):
            x[o + t] = x[o + by + t]


@dataclass(frozen=True, slots=True)
class Program:
    """A graph laid out to be run.

    Attributes:
        inputs: names of the series that the caller fills, in order.
        results: F series that are asked for.
        nodes: in an order in which each comes after its inputs; those without a kernel first.
        keep: bars before the current one that must be kept, by series.
    """

    inputs: tuple[str, ...]
    results: tuple[Series, ...]
    nodes: tuple[Node, ...]
    keep: Mapping[Series, int]

    @classmethod
    def of(cls, results: Sequence[Series], inputs: Sequence[str] = ()) -> Program:
        """Lay out what the results need.

        Args:
            inputs: series that the caller fills whether they are needed or not; others follow.
        """
        ordered: dict[Node, None] = {}
        keep: dict[Series, int] = {}
        _visit((series.node for series in results), ordered)
        for made in ordered:
            for series, bars in zip(made.inputs, made.reach_bars, strict=True):
                keep[series] = max(keep.get(series, 0), bars)
        filled = dict.fromkeys([*inputs, *(made.name for made in ordered if made.kernel is None)])
        nodes = (*(source(name).node for name in filled), *(made for made in ordered if made.kernel is not None))
        return cls(tuple(filled), tuple(results), nodes, keep)

    @property
    def lookback_bars(self) -> int:
        """Bars until every result is known."""
        return max((series.node.lookback_bars for series in self.results), default=1)

    @property
    def settle_bars(self) -> int | None:
        """Bars after which no result depends on where the history began; None where that never ends."""
        bars = [series.node.settle_bars for series in self.results]
        known = [n for n in bars if n is not None]
        return max(known, default=1) if len(known) == len(bars) else None


def _visit(wanted: Iterable[Node], ordered: dict[Node, None]) -> None:
    """Depth first, without recursion: graphs of many lags are deep."""
    stack = [(made, False) for made in reversed([*wanted])]
    while stack:
        made, is_ready = stack.pop()
        if made in ordered:
            continue
        if is_ready:
            ordered[made] = None
        else:
            stack.append((made, True))
            stack += [(series.node, False) for series in reversed(made.inputs)]


class Pass:
    """One market on its way through a program; it remembers what the next bar needs and nothing else.

    Args:
        ranges: ``(low, high)`` of each result; what lies beyond is cut.
        block_bars: room for new bars; changes speed and memory, never a value.
    """

    def __init__(
        self, program: Program, ranges: Sequence[tuple[float, float]] | None = None, *, block_bars: int = BATCH_BARS
    ) -> None:
        self.program = program
        self._block_bars = block_bars
        self._i = 0  # of the block, where the next bar goes
        wide = [(-np.inf, np.inf)] * len(program.results)
        self._functions, self._code, num_values = _laid_out(program, wide if ranges is None else ranges, block_bars)
        self._rows = _slices(made.num_outputs for made in program.nodes)
        self._states = _slices(made.num_states for made in program.nodes)
        self._stretches = self._code[3], self._code[4]
        self._x = np.full(num_values, np.nan)
        self._s = np.zeros(sum(made.num_states for made in program.nodes))

    def advance(self, inputs_IN: FloatArray, out_NF: FloatArray | None = None) -> FloatArray:
        """Take the next bars, however many.

        Args:
            inputs_IN: float64[I, N], rows in the order of the program's inputs.
            out_NF: where to write; made where None.

        Returns:
            float64[N, F]; NaN where a result is not known yet.
        """
        bars = inputs_IN.shape[1]
        out = np.empty((bars, len(self.program.results))) if out_NF is None else out_NF
        self._i = _advance(self._functions, self._code, self._s, self._x, inputs_IN, out, self._i, self._block_bars)
        return out

    def save(self) -> dict[str, FloatArray]:
        """What is carried, by node: the kept bars of its outputs, then its state. Plain arrays, to be stored anywhere."""
        i = self._i
        kept = [self._x[begin + i : begin + i + keep] for begin, keep in zip(*self._stretches, strict=True)]
        return {
            made.key: np.concatenate([*kept[rows], self._s[states]])
            for made, rows, states in zip(self.program.nodes, self._rows, self._states, strict=True)
        }

    def load(self, carried: Mapping[str, FloatArray]) -> None:
        """Go on where `save` was called, by this program or by another that has the same nodes.

        Raises:
            SchemaMismatch: a node is not in it, or kept fewer bars than this program reads.
        """
        begins_R, keep_R = self._stretches
        self._i = 0
        for made, rows, states in zip(self.program.nodes, self._rows, self._states, strict=True):
            found = carried.get(made.key)
            size = int(keep_R[rows].sum()) + states.stop - states.start
            if found is None or found.size != size:
                raise SchemaMismatch(
                    f"what was carried does not fit {made.name} ({made.key}): start again from the first bar"
                )
            at = 0
            for begin, keep in zip(begins_R[rows], keep_R[rows], strict=True):
                self._x[begin : begin + keep] = found[at : at + keep]
                at += int(keep)
            self._s[states] = found[at:]


def _laid_out(program: Program, ranges: Sequence[tuple[float, float]], block_bars: int) -> tuple[Any, _Code, int]:
    """The functions, the code, and how many values its buffer holds."""
    nodes = program.nodes
    series = [made[k] for made in nodes for k in range(made.num_outputs)]
    keep_R = np.array([program.keep.get(one, 0) for one in series], dtype=np.int64)
    ends_R = np.cumsum(keep_R + block_bars)
    begins_R = ends_R - keep_R - block_bars
    starts = dict(zip(series, (begins_R + keep_R).tolist(), strict=True))
    passes = [(made, states) for made, states in zip(nodes, _slices(n.num_states for n in nodes), strict=True)]
    passes = [(made, states) for made, states in passes if made.kernel is not None]
    kernels = list(dict.fromkeys(made.kernel for made, _ in passes if made.kernel is not None))
    order = {found: k for k, found in enumerate(kernels)}
    code = [(order[made.kernel], states.start, states.stop) for made, states in passes if made.kernel is not None]
    at = [[starts[one] for one in (*(made[k] for k in range(made.num_outputs)), *made.inputs)] for made, _ in passes]
    laid = (
        np.array(code, dtype=np.int64).reshape(-1, 3),
        _padded(at, np.int64),
        _padded([one.parameters for one, _ in passes], np.float64),
        begins_R,
        keep_R,
        np.array([starts[source(name)] for name in program.inputs], dtype=np.int64),
        np.array([starts[one] for one in program.results], dtype=np.int64),
        np.array([*ranges], dtype=np.float64).reshape(-1, 2),
    )
    return listed(kernels), laid, int(ends_R[-1])


def listed(kernels: Iterable[Kernel]) -> Any:
    """Their machine code as a list that compiled code can call from."""
    functions: Any = List.empty_list(numba.types.FunctionType(SIGNATURE))
    for found in kernels:
        functions.append(found.compiled())
    return functions


def _slices(counts: Iterable[int]) -> list[slice]:
    """What belongs to each of several that stand end to end."""
    ends = np.cumsum([0, *counts]).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


def _padded(rows: Sequence[Sequence[float]], dtype: Any) -> Any:
    """Rows of different lengths as one matrix, at least one wide."""
    made = np.zeros((len(rows), max([1, *map(len, rows)])), dtype=dtype)
    for k, row in enumerate(rows):
        made[k, : len(row)] = row
    return made
