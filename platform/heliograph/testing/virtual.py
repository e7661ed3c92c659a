"""An event loop whose time is virtual: it jumps to the next thing that is due, so an hour of waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Seconds = Callable[[], float]


class _Jumping(selectors.SelectSelector):
    """Instead of waiting, moves the clock on; real sockets are not for this loop."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing will ever happen again: every task waits for another")
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`asyncio` on virtual seconds, from 0; `time` and every timer follow them."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


def run(story: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a `VirtualLoop`.

    >>> run(asyncio.sleep(86_400, "the next day"))
    'the next day'
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)
