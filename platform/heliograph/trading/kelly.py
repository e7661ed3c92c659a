"""The growth-optimal share of a discrete distribution: an exact root, no grid.

E log(1 + f r) is concave in f, so its slope has one root; Newton steps that stay inside a shrinking bracket find it.

Source: J. L. Kelly, A New Interpretation of Information Rate (1956).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_STEPS = 64
_DONE = 1e-12


def kelly(returns: Sequence[float], weights: Sequence[float], *, at_most: float = math.inf) -> float:
    """The share f in [0, at_most] that maximises E log(1 + f r).

    Args:
        returns: simple returns, in any order.
        weights: their probabilities.
        at_most: needed where no return is negative, for then more is always better.

    >>> round(kelly([1.0, -1.0], (0.6, 0.4)), 12), round(kelly([2.0, -1.0], (0.5, 0.5)), 12)
    (0.2, 0.25)
    """
    nodes = list(zip(returns, weights, strict=True))
    if math.fsum([w * r for r, w in nodes]) <= 0.0:
        return 0.0
    worst = min(returns)
    ruin = -1.0 / worst if worst < 0.0 else math.inf  # the share at which the worst return takes everything
    if at_most < ruin and _slope(nodes, at_most)[0] >= 0.0:
        return at_most
    return _root(nodes, min(at_most, ruin))


def growth(returns: Sequence[float], weights: Sequence[float], share: float) -> float:
    """E log(1 + f r) at the share f, of either sign; −∞ where some return takes everything.

    >>> round(growth([1.0, -1.0], (0.6, 0.4), 0.2), 6), growth([1.0, -1.0], (0.6, 0.4), 1.0)
    (0.020136, -inf)
    """
    total = 0.0
    for r, w in zip(returns, weights, strict=True):
        if share * r <= -1.0:
            return -math.inf
        total += w * math.log1p(share * r)
    return total


def _slope(nodes: list[tuple[float, float]], f: float) -> tuple[float, float]:
    """First and second derivative of E log(1 + f r)."""
    first = second = 0.0
    for r, w in nodes:
        x = r / (1.0 + f * r)
        wx = w * x
        first += wx
        second -= wx * x
    return first, second


def _root(nodes: list[tuple[float, float]], high: float) -> float:
    """Where the slope is zero in (0, high): Newton, kept inside a shrinking bracket."""
    low, f = 0.0, 0.0
    for _ in range(_STEPS):
        first, second = _slope(nodes, f)
        low, high = (f, high) if first > 0.0 else (low, f)
        step = f - first / second
        new = step if low < step < high else (low + high) / 2.0
        if abs(new - f) <= _DONE * max(1.0, f):
            return new
        f = new
    return f
