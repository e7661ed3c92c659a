"""The pointer to the current model, as the list of its moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Why = Literal["release", "promote", "rollback"]


@dataclass(frozen=True, slots=True)
class Move:
    """The pointer was set.

    Attributes:
        model: the name it has pointed to since.
        why: ``release`` at the end of training, ``promote``, or ``rollback``.
        moved_ts_ms: UTC epoch ms.
        mark: tells this move from every other one.
    """

    model: str
    why: Why
    moved_ts_ms: int
    mark: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """The pointer as somebody saw it.

    Attributes:
        moves: all of them, the newest last.
        tag: the version that a swap must find; None where nothing was ever released.
    """

    moves: tuple[Move, ...] = ()
    tag: str | None = None

    @property
    def current(self) -> str | None:
        """The model that it points to."""
        return self.moves[-1].model if self.moves else None

    @property
    def previous(self) -> str | None:
        """Where a rollback leads: rolling back again goes on to what was before that, never forth again."""
        stack: list[str] = []
        for move in self.moves:
            if move.why == "rollback":
                stack.pop()
            else:
                stack.append(move.model)
        return stack[-2] if len(stack) > 1 else None


def to_bytes(moves: Sequence[Move]) -> bytes:
    """As JSON."""
    return json.dumps({"moves": [asdict(move) for move in moves]}, indent=1).encode()


def from_bytes(body: bytes, tag: str) -> Pointer:
    """What `to_bytes` was given; without moves where it is torn."""
    try:
        return Pointer(tuple(Move(**move) for move in json.loads(body)["moves"]), tag)
    except (ValueError, KeyError, TypeError):
        return Pointer((), tag)
