"""Whether a kernel reads what it says and no more: bars ahead of its own, or further back than its reach.

Each node runs over short blocks that lie between numbers nobody may read. What comes out must not depend on them. Its own
earlier values a node may read as far back as each node after it makes the engine keep them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from heliograph.features.declare import Feature
from heliograph.features.engine import Pass, Program, compiled, listed
from heliograph.features.graph import Node, Series

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GUARD_BARS: Final = 512
"""Forbidden bars before and after each series: what reads further than that is not caught here."""

MOST_BLOCK_BARS: Final = 48

SPARE_BARS: Final = 160
"""Bars that a node runs for beyond its own lookback."""

LOW, HIGH = -1e6, 1e6
"""What stands in the forbidden bars; a least or a greatest value of either is a different one."""


def faults(
    features: Sequence[Feature], names: Sequence[str], inputs_IN: FloatArray, *, seed: int = 1
) -> dict[str, list[str]]:
    """What is wrong with the kernels of features.

    Args:
        names: of the inputs.
        inputs_IN: float64[I, N], market-like values of each input.

    Returns:
        by name of feature, a sentence for each of its kernels that reads or writes where it must not.
    """
    nodes = Program.of([f.of for f in features], names).nodes
    series = [made[k] for made in nodes for k in range(made.num_outputs)]
    program = Program.of(series, names)
    made_NS = Pass(program).advance(inputs_IN[[[*names].index(name) for name in program.inputs]])
    values = {one: np.ascontiguousarray(made_NS[:, k]) for k, one in enumerate(series)}
    kept = _kept(nodes)
    faulty = {
        made: _fault(made, kept, values, np.random.default_rng(seed)) for made in nodes if made.kernel is not None
    }
    found = {f.name: [faulty[made] for made in _within(f.of.node) if faulty.get(made)] for f in features}
    return {name: told for name, told in found.items() if told}


def _kept(nodes: Sequence[Node]) -> dict[Series, int]:
    """Bars of each series that are kept, whichever of the nodes after it stand in a program with it."""
    kept: dict[Series, int] = {}
    for made in nodes:
        for one in dict.fromkeys(made.inputs):
            bars = max(b for series, b in zip(made.inputs, made.reach_bars, strict=True) if series == one)
            kept[one] = min(kept.get(one, bars), bars)
    return kept


def _within(top: Node) -> Iterator[Node]:
    """The node and all that it reads, each once."""
    seen, stack = {top}, [top]
    while stack:
        made = stack.pop()
        yield made
        fresh = {one.node for one in made.inputs} - seen
        seen |= fresh
        stack += fresh


def _fault(made: Node, kept: dict[Series, int], values: dict[Series, FloatArray], rng: np.random.Generator) -> str:
    """Why the node can't be trusted; empty where it can."""
    sizes: list[int] = []
    bars = min(made.lookback_bars + SPARE_BARS, len(values[made[0]]))
    while sum(sizes) < bars:
        n = int(rng.integers(1, MOST_BLOCK_BARS)) if rng.random() < 0.7 else 1
        sizes.append(min(n, bars - sum(sizes)))
    own = [(made[k], kept.get(made[k], 0)) for k in range(made.num_outputs)]
    read = [*own, *zip(made.inputs, made.reach_bars, strict=True)]
    padded = [(bars, np.concatenate([np.full(bars, np.nan), values[one]])) for one, bars in read]
    plain = _run(made, padded, sizes, before=LOW, after=LOW)
    if plain is None:
        return f"{made.name} writes outside of the bars that it is asked for"
    for told, before, after in (("ahead of its bar", LOW, HIGH), (_back(made), HIGH, LOW)):
        other = _run(made, padded, sizes, before=before, after=after)
        if other is None or not np.array_equal(plain, other, equal_nan=True):
            return f"{made.name} reads {told}"
    return ""


def _back(made: Node) -> str:
    reach = ", ".join(map(str, dict.fromkeys(made.reach_bars))) or "0"
    return f"further back than the {reach} bars that it declares as reach"


@compiled
def _call(functions: Any, x: FloatArray, at: IntArray, p: FloatArray, s: FloatArray, n: int) -> None:
    """The kernel as Python can call it."""
    functions[0](x, at, 0, p, s, n)


def _run(
    made: Node, padded: Sequence[tuple[int, FloatArray]], sizes: Sequence[int], *, before: float, after: float
) -> FloatArray | None:
    """Outputs block by block, float64[O · N]; None where something else was written.

    Args:
        padded: of each output and input, the bars that may be read back, and its values after as many NaN.
    """
    assert made.kernel is not None
    functions, outputs = listed([made.kernel]), made.num_outputs
    p, s = np.array([*made.parameters, *[0.0] * (not made.parameters)]), np.zeros(made.num_states)
    first, found = 0, []
    for n in sizes:
        x, at, owns = _laid_out(padded, first, n, before, after)
        for begin in at[:outputs].tolist():
            owns[begin : begin + n] = True
        x[owns] = np.nan
        untouched = x[~owns]
        _call(functions, x, at, p, s, n)
        if not np.array_equal(x[~owns], untouched, equal_nan=True):
            return None
        found.append(x[owns])
        first += n
    return np.concatenate(found)


def _laid_out(
    padded: Sequence[tuple[int, FloatArray]], first: int, n: int, before: float, after: float
) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """A buffer with every series between guards, where each one's next bar stands, and a mask to mark outputs in."""
    parts, starts, end = [], [], 0
    for back, values in padded:
        known = values[first : first + back + n]
        parts += [np.full(GUARD_BARS, before), known, np.full(GUARD_BARS, after)]
        starts.append(end + GUARD_BARS + back)
        end += 2 * GUARD_BARS + known.size
    x = np.concatenate(parts)
    return x, np.array(starts, dtype=np.int64), np.zeros(x.size, dtype=np.bool_)
