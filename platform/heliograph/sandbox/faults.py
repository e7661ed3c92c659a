"""Trouble on order: what the next calls to a venue run into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

FaultKind = Literal[
    "rate_limit", "ban", "server_error", "maintenance", "timeout", "short_page", "cut_body", "disconnect"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Trouble for the next ``count`` calls of a venue.

    Attributes:
        venue: whose.
        kind: ``rate_limit``, ``ban``, ``server_error``, ``maintenance``: the venue's own refusal; ``timeout``: no
            answer for ``hold_s``, then a closed connection; ``short_page``: half of the candles, no error;
            ``cut_body``: the connection closes in the middle of the answer; ``disconnect``: every socket closes now,
            ``count`` means nothing.
        path: only calls whose path contains this.
    """

    venue: str
    kind: FaultKind
    count: int = 1
    path: str = ""
    hold_s: float = 30.0


class Faults:
    """The faults still to come, oldest first.

    >>> faults = Faults()
    >>> faults.add(Fault("okx", "timeout", count=2, path="candles"))
    >>> [fault.kind if fault else None for fault in (
    ...     faults.take("okx", "/time"), faults.take("okx", "/candles"), faults.take("okx", "/candles"),
    ...     faults.take("okx", "/candles"))]
    [None, 'timeout', 'timeout', None]
    """

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in the queue."""
        self._waiting.append(fault)

    def take(self, venue: str, path: str) -> Fault | None:
        """The fault that this call runs into, used up by one; None where the call is lucky."""
        for i, fault in enumerate(self._waiting):
            if fault.venue == venue and fault.path in path:
                rest = [replace(fault, count=fault.count - 1)] if fault.count > 1 else []
                self._waiting[i : i + 1] = rest
                return fault
        return None
