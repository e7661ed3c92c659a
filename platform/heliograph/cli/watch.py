"""A client of the signal service: asks every route once, and counts what the stream sends."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from heliograph.config.settings import ServeSettings
from heliograph.core.errors import HeliographError

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What the REST routes said."""

    health: dict[str, Any]
    signals: list[dict[str, Any]]
    forecast: dict[str, Any]


async def ask(settings: ServeSettings, key: str) -> Answers:
    """Call each REST route once.

    Raises:
        HeliographError: a route did not answer 200, or an unknown caller was let in.
    """
    async with _client(settings, key) as client:
        health, signals = await _get(client, "/v1/health"), await _get(client, "/v1/signals")
        if not signals:
            raise HeliographError("the signal service has no forecast; look into the lake's newest candles")
        forecast = await _get(client, f"/v1/forecasts/{signals[0]['venue']}/{signals[0]['symbol']}")
        async with client.get("/v1/signals", headers={"Authorization": "Bearer wrong"}) as refused:
            if refused.status != 401:
                raise HeliographError(f"the signal service answered {refused.status} to a caller without its key")
    return Answers(health, signals, forecast)


class Listener:
    """Counts the stream's messages in the background while the block runs.

    Attributes:
        messages: how many have come.
        first: set with the first one.
    """

    def __init__(self, settings: ServeSettings, key: str) -> None:
        self.messages = 0
        self.first = threading.Event()
        self._settings = settings
        self._key = key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="signal-listener", daemon=True)
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        if not self.first.wait(TIMEOUT_S):
            raise HeliographError(f"the signal stream sent nothing within {TIMEOUT_S:.0f} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(TIMEOUT_S)
        self._loop.close()
        if kind is None and self._task is not None and not self._task.cancelled():
            raise HeliographError(f"the signal stream ended after {self.messages} messages") from self._task.exception()

    def _run(self) -> None:
        async def listen() -> None:
            async with _client(self._settings, self._key) as client, client.ws_connect("/v1/stream") as socket:
                async for _ in socket:
                    self.messages += 1
                    self.first.set()

        async def until_cancelled() -> None:
            self._task = asyncio.create_task(listen())
            await asyncio.wait({self._task})

        self._loop.run_until_complete(until_cancelled())


def _client(settings: ServeSettings, key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        base_url=f"http://{settings.host}:{settings.port}",
        headers={"Authorization": f"Bearer {key}"},
        timeout=aiohttp.ClientTimeout(total=None, connect=TIMEOUT_S, sock_connect=TIMEOUT_S, sock_read=None),
    )


async def _get(client: aiohttp.ClientSession, path: str) -> Any:
    async with asyncio.timeout(TIMEOUT_S), client.get(path) as answer:
        if answer.status != 200:
            raise HeliographError(f"GET {path} answered {answer.status}: {(await answer.text())[:200]}")
        return await answer.json()
