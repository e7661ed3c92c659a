"""A reader of the stream: told everything in order, let go at once when it leaves, sent away when it lags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.websockets import WebSocket
from tests.unit.trading import makes

from heliograph.cluster.serving import TRY_AGAIN_LATER, send_all
from heliograph.core.events import ForecastMade

SECOND = 1.0  # far beyond what any of this takes


class Wire:
    """An open WebSocket's other end.

    Attributes:
        sent: what came over it, but for the handshake.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._coming.put_nowait({"type": "websocket.connect"})

    async def open(self) -> WebSocket:
        socket = WebSocket({"type": "websocket"}, receive=self._coming.get, send=self._take)
        await socket.accept()
        self.sent.clear()
        return socket

    def leave(self) -> None:
        self._coming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def _take(self, message: Any) -> None:
        self.sent.append(dict(message))


def test_a_reader_that_leaves_between_two_bars_is_let_go_at_once():
    assert _streamed([], leaves=True) == []


def test_a_reader_is_told_all_in_order():
    made = [makes.forecast(k, 0.0, price=100.0 + k) for k in range(3)]
    sent = _streamed(made, leaves=True)
    assert [m["text"] for m in sent] == ['{"price":100.0}', '{"price":101.0}', '{"price":102.0}']


def test_a_reader_that_lags_by_the_whole_queue_is_sent_away():
    (closed,) = _streamed([makes.forecast(0, 0.0)] * 4, leaves=False, room=4)
    assert (closed["type"], closed["code"]) == ("websocket.close", TRY_AGAIN_LATER)


def _streamed(made: Sequence[ForecastMade], *, leaves: bool, room: int = 16) -> list[dict[str, Any]]:
    async def streamed() -> list[dict[str, Any]]:
        wire, reader = Wire(), asyncio.Queue[ForecastMade](room)
        socket = await wire.open()
        for forecast in made:
            reader.put_nowait(forecast)
        sending = asyncio.ensure_future(send_all(socket, reader, lambda f: {"price": f.price}))
        while len(wire.sent) < len(made) and not sending.done():
            await asyncio.sleep(0)
        if leaves:
            wire.leave()
        await asyncio.wait_for(sending, SECOND)
        return wire.sent

    return asyncio.run(streamed())
