"""A feature's number as a graph of series: each node is one compiled pass over the bars of its inputs.

The same graph serves years of bars and the live bar: `heliograph.features.engine` runs each node's kernel over as many
bars as come, be it a thousand or one, with what the bars before have left behind.
"""

from __future__ import annotations

import dis
import hashlib
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Pass = Callable[[FloatArray, IntArray, int, FloatArray, FloatArray, int], None]

SIGNATURE: Final = numba.void(
    numba.float64[::1], numba.int64[::1], numba.int64, numba.float64[::1], numba.float64[::1], numba.int64
)
"""Of a kernel: ``(x, at, i, p, s, n)``.

Series k of a node (its outputs first, then its inputs) has its next bar at ``x[at[k] + i]``; the kernel writes ``n``
bars ``x[at[k] + i + t]`` of each output, reads no input further back than the node says, keeps what it carries from bar
to bar in ``s`` (zeros before the first bar), and takes its constants from ``p``. NaN stands for "not known yet".
"""


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One compiled pass.

    Attributes:
        function: in plain Python; see `SIGNATURE`.
        meaning: changes with what it computes: its code, its constants, and those of every function that it calls.
    """

    function: Pass
    meaning: str

    @property
    def name(self) -> str:
        """Of its function."""
        return str(getattr(self.function, "__name__"))  # noqa: B009

    def compiled(self) -> Any:
        """The machine code, from numba's cache on disk where it has been compiled before; for a `numba.typed.List`.

        A C callback: a jitted function would be wrapped anew, for a tenth of a second, in every process that lists it.
        """
        return _compiled(self.function)


def kernel(function: Pass) -> Kernel:
    """Make a function a kernel; it is compiled when the first graph with it runs."""
    return Kernel(function, _meaning(function, frozenset()))


@cache
def _compiled(function: Pass) -> Any:
    return numba.cfunc(SIGNATURE, cache=True, error_model="numpy")(function)


def _meaning(function: Any, above: frozenset[Any]) -> str:
    """Hash of a function's bytecode and constants, and of the functions and constants that it names."""
    plain = getattr(function, "py_func", function)
    if plain in above:  # it calls itself
        return ""
    code = plain.__code__
    told = _told(code)
    for name in sorted({step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}):
        named = plain.__globals__.get(name)
        if hasattr(named, "py_func") or isinstance(named, types.FunctionType):
            told.append(_meaning(named, above | {plain}))
        elif isinstance(named, int | float | tuple):
            told.append(f"{name}={named!r}")
    return hashlib.sha256("|".join(told).encode()).hexdigest()[:16]


def _told(code: types.CodeType) -> list[str]:
    """Bytecode and constants, the same in every process; a function within is told by its own."""
    inner = [word for c in code.co_consts if isinstance(c, types.CodeType) for word in _told(c)]
    return [code.co_code.hex(), repr([c for c in code.co_consts if not isinstance(c, str | types.CodeType)]), *inner]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One kernel with its inputs and constants; made by `node`, which gives the same one for the same meaning.

    Attributes:
        kernel: None where the caller fills the series: an input.
        name: of the input, or of the kernel.
        reach_bars: how many bars before the current one it reads of each input.
        parameters: its constants.
        num_outputs: series that it writes.
        num_states: numbers that it carries from bar to bar.
        lookback_bars: bars of the market needed for the first value, the current one included.
        settle_bars: bars after which nothing depends on where the history began, to 1e-12; None where that never ends.
        sources: names of the inputs that it reads, also through others.
        key: names its meaning, that of its inputs included; 16 hex digits.
    """

    kernel: Kernel | None
    name: str
    inputs: tuple[Series, ...]
    reach_bars: tuple[int, ...]
    parameters: tuple[float, ...]
    num_outputs: int
    num_states: int
    lookback_bars: int
    settle_bars: int | None
    sources: frozenset[str]
    key: str

    def __getitem__(self, index: int) -> Series:
        if not 0 <= index < self.num_outputs:
            raise IndexError(index)
        return Series(self, index)


@dataclass(frozen=True, slots=True)
class Series:
    """One number a bar: an output of a node. Python's operators make further ones, see `heliograph.features.ops`."""

    node: Node
    index: int = 0

    def __add__(self, other: Series | float) -> Series:
        return _combined(_add, _shift, self, other)

    def __radd__(self, other: float) -> Series:
        return self + other

    def __sub__(self, other: Series | float) -> Series:
        return _combined(_subtract, _shift, self, other, -1.0)

    def __rsub__(self, other: float) -> Series:
        return -self + other

    def __mul__(self, other: Series | float) -> Series:
        return _combined(_multiply, _stretch, self, other)

    def __rmul__(self, other: float) -> Series:
        return self * other

    def __truediv__(self, other: Series | float) -> Series:
        """NaN-free only where ``other`` never vanishes: see `heliograph.features.ops.ratio`."""
        if isinstance(other, Series):
            return node(_divide, self, other)[0]
        return node(_split, self, parameters=(other,))[0]

    def __neg__(self) -> Series:
        return self * -1.0

    def lag(self, bars: int) -> Series:
        """The value ``bars`` rows ago.

        Raises:
            ValueError: it would lie in the future.
        """
        if bars < 0:
            raise ValueError(f"a lag of {bars} bars lies in the future: use 0 or more")
        return node(_lag, self, reach=bars, parameters=(float(bars),), warmup=bars)[0] if bars else self


def source(name: str) -> Series:
    """A series that the caller fills bar by bar."""
    return Series(_known(Node(None, name, (), (), (), 1, 0, 1, 1, frozenset([name]), f"in:{name}")))


def node(
    kernel: Kernel,
    *inputs: Series,
    reach: int | Sequence[int] = 0,
    parameters: Sequence[float] = (),
    outputs: int = 1,
    states: int = 0,
    warmup: int = 0,
    settle: int | None = 0,
    lookback: int | None = None,
) -> Node:
    """A kernel over series.

    Args:
        reach: bars before the current one that it reads of each input; one number for all.
        warmup: bars with all inputs known that it needs before the first value, the current one not counted.
        settle: bars of input after which what it carries no longer depends on the first ones, to 1e-12; None: never.
        lookback: bars until the first value, where it does not wait for every input to be known.
    """
    reaches = (reach,) * len(inputs) if isinstance(reach, int) else tuple(reach)
    numbers = tuple(float(p) for p in parameters)
    befores = [series.node.settle_bars for series in inputs]
    known = [bars for bars in befores if bars is not None]
    settled = None if settle is None or len(known) < len(befores) else max(known) + max(settle, warmup)
    told = [kernel.name, kernel.meaning, reaches, numbers, outputs, states, warmup, settle, lookback]
    told += [(series.node.key, series.index) for series in inputs]
    return _known(
        Node(
            kernel=kernel,
            name=kernel.name,
            inputs=inputs,
            reach_bars=reaches,
            parameters=numbers,
            num_outputs=outputs,
            num_states=states,
            lookback_bars=lookback or max(series.node.lookback_bars for series in inputs) + warmup,
            settle_bars=settled,
            sources=frozenset[str]().union(*(series.node.sources for series in inputs)),
            key=hashlib.sha256(repr(told).encode()).hexdigest()[:16],
        )
    )


_nodes: dict[str, Node] = {}


def _known(made: Node) -> Node:
    return _nodes.setdefault(made.key, made)


def _combined(both: Kernel, constant: Kernel, left: Series, right: Series | float, sign: float = 1.0) -> Series:
    if isinstance(right, Series):
        return node(both, left, right)[0]
    return node(constant, left, parameters=(sign * right,))[0]


# Slices in place of sums of indices let numba use vector instructions.


@kernel
def _add(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        out[t] = a[t] + b[t]


@kernel
def _subtract(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        out[t] = a[t] - b[t]


@kernel
def _multiply(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        out[t] = a[t] * b[t]


@kernel
def _divide(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, b = x[at[0] + i :], x[at[1] + i :], x[at[2] + i :]
    for t in range(n):
        out[t] = a[t] / b[t]


@kernel
def _shift(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, c = x[at[0] + i :], x[at[1] + i :], p[0]
    for t in range(n):
        out[t] = a[t] + c


@kernel
def _stretch(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, c = x[at[0] + i :], x[at[1] + i :], p[0]
    for t in range(n):
        out[t] = a[t] * c


@kernel
def _split(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a, c = x[at[0] + i :], x[at[1] + i :], p[0]
    for t in range(n):
        out[t] = a[t] / c


@kernel
def _lag(x: FloatArray, at: IntArray, i: int, p: FloatArray, s: FloatArray, n: int) -> None:
    out, a = x[at[0] + i :], x[at[1] + i - int(p[0]) :]
    for t in range(n):
        out[t] = a[t]
