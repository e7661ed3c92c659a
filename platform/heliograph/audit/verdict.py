"""How several peers judge one series: one that disagrees accuses a bar, one that would have seen it and did not, clears it.

So with two peers or more, a fault in one of them does not fall on the series under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heliograph.audit.finding import BoolArray, Mark, mark
from heliograph.core.market import FloatArray


@dataclass(frozen=True, slots=True)
class Verdict:
    """One peer's word on n bars.

    Attributes:
        accused: bool[n], bars that it says are wrong.
        size: float64[n], by how much; 0 where it accuses nothing.
        sees: float64[n], the least size that it would have noticed; infinite where it can say nothing.
    """

    accused: BoolArray
    size: FloatArray
    sees: FloatArray

    @classmethod
    def silent(cls, n: int) -> Verdict:
        """Says nothing of n bars."""
        return cls(np.zeros(n, dtype=np.bool_), np.zeros(n), np.full(n, np.inf))


def settle(kind: str, n: int, verdicts: Sequence[Verdict], words: str = "") -> Mark:
    """Bars that a peer accuses and no other clears.

    Args:
        words: see `Mark`.
    """
    accused, size, sees = np.zeros(n, dtype=np.bool_), np.zeros(n), np.full(n, np.inf)
    for verdict in verdicts:
        accused |= verdict.accused
        size = np.maximum(size, verdict.size)
        sees = np.minimum(sees, np.where(verdict.accused, np.inf, verdict.sees))
    return mark(kind, accused & ~(sees < size), words, size)
