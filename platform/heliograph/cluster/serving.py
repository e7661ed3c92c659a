"""The signal service: forecasts and signals over REST and WebSocket, on Ray Serve.

The model runs inside the ingress: every further Serve hop would cost milliseconds. The service is warm from the lake's
newest candles and stays fresh through `publish`, which the executor calls off its own path.
"""

# No `from __future__ import annotations` here: FastAPI reads the routes' types when a replica unpickles the class, and
# would take headers for query parameters if they were strings.

import asyncio
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect
from ray import serve
from ray.serve.handle import DeploymentHandle

from heliograph.config.machine import require_free
from heliograph.config.settings import ServeSettings, Settings
from heliograph.core.errors import HeliographError
from heliograph.core.events import ForecastMade
from heliograph.core.market import slug
from heliograph.trading import signals
from heliograph.train import registry
from heliograph.wiring.floor import latest_forecasts, live_markets

APP = "signals"
SLOW_READER_MESSAGES = 256  # a stream that lags further behind is closed rather than kept in memory
TRY_AGAIN_LATER = 1013  # WebSocket close code

api = FastAPI(title="Heliograph signals", version="1", docs_url="/v1/docs", openapi_url="/v1/openapi.json")


def digest(key: str) -> str:
    """What is kept of an API key."""
    return hashlib.sha256(key.encode()).hexdigest()


# Above the class: Serve pickles what its routes name when it is decorated.
async def send_all(
    socket: WebSocket, reader: asyncio.Queue[ForecastMade], told: Callable[[ForecastMade], dict[str, Any]]
) -> None:
    """Send what comes into the queue until the client leaves; one that lags by the whole queue is sent away."""

    async def send() -> None:
        while not reader.full():
            await socket.send_json(told(await reader.get()))
        await socket.close(code=TRY_AGAIN_LATER, reason="too slow: connect again")

    async def leave() -> None:  # who only sends learns at the next bar that nobody is there
        while (await socket.receive())["type"] != "websocket.disconnect":
            continue

    sending, leaving = asyncio.ensure_future(send()), asyncio.ensure_future(leave())
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            with suppress(WebSocketDisconnect):
                sending.result()
    finally:
        sending.cancel()
        leaving.cancel()


@serve.ingress(api)
class Signals:
    """One replica: the newest forecast of every market, and the open streams."""

    def __init__(self, settings: Settings, key_digest: str) -> None:
        self._settings = settings
        self._key_digest = key_digest
        self._newest = {(f.venue, slug(f.symbol)): f for f in latest_forecasts(settings)}
        self._readers: set[asyncio.Queue[ForecastMade]] = set()

    async def publish(self, forecast: ForecastMade) -> None:
        """Take a newer forecast and send it to every stream."""
        self._newest[forecast.venue, slug(forecast.symbol)] = forecast
        for reader in self._readers:
            if not reader.full():
                reader.put_nowait(forecast)

    def _admit(self, authorization: str) -> None:
        key = authorization.removeprefix("Bearer ").strip()
        if not hmac.compare_digest(digest(key), self._key_digest):
            raise HTTPException(401, "send the service's key as 'Authorization: Bearer <key>'")

    @api.get("/v1/health")
    async def health(self) -> dict[str, Any]:
        """Open to all: is it alive, and how fresh."""
        newest = max((f.known_ts_ms for f in self._newest.values()), default=None)
        models = sorted({f.model for f in self._newest.values()})
        return {"status": "ok", "markets": len(self._newest), "known_ts_ms": newest, "models": models}

    @api.get("/v1/signals")
    async def signals(self, authorization: Annotated[str, Header()] = "") -> list[dict[str, Any]]:
        """The newest signal of every market."""
        self._admit(authorization)
        return [self._signal(f) for _, f in sorted(self._newest.items())]

    @api.get("/v1/forecasts/{venue}/{symbol}")
    async def forecast(self, venue: str, symbol: str, authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        """The newest distribution of one market; ``symbol`` with a dash: BTC-USDT."""
        self._admit(authorization)
        found = self._newest.get((venue, symbol))
        if found is None:
            known = ", ".join(f"{v}/{s}" for v, s in sorted(self._newest)[:20]) or "none yet"
            raise HTTPException(404, f"no forecast of {symbol} on {venue}; there are: {known}")
        return {**asdict(found), "symbol": symbol}

    @api.websocket("/v1/stream")
    async def stream(self, socket: WebSocket) -> None:
        """Every new signal as JSON, the newest ones first."""
        try:
            self._admit(socket.headers.get("authorization", ""))
        except HTTPException:
            await socket.close(code=1008, reason="send the service's key as a bearer token")
            return
        await socket.accept()
        reader: asyncio.Queue[ForecastMade] = asyncio.Queue(SLOW_READER_MESSAGES)
        for _, forecast in sorted(self._newest.items()):
            await socket.send_json(self._signal(forecast))
        self._readers.add(reader)
        try:
            await send_all(socket, reader, self._signal)
        finally:
            self._readers.discard(reader)

    def _signal(self, forecast: ForecastMade) -> dict[str, Any]:
        costs = self._settings.costs
        signal = signals.read(forecast, self._settings.risk, costs.fee_bps + costs.slippage_bps)
        return {
            "venue": forecast.venue,
            "symbol": slug(forecast.symbol),
            "timeframe": forecast.timeframe,
            "known_ts_ms": forecast.known_ts_ms,
            "price": forecast.price,
            "model": forecast.model,
            **asdict(signal),
        }


def api_key(settings: ServeSettings, folder: Path) -> str:
    """The key that callers must send: from the settings, or made once and kept in a file that only its owner can read."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    path = folder / "serve.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32))
    return path.read_text().strip()


@contextmanager
def serving(settings: Settings) -> Iterator[DeploymentHandle]:
    """The service, up while the block runs.

    Raises:
        ConfigError: the port is taken, or there is no model or no market to serve.
        HeliographError: the service did not come up.
    """
    require_free(settings.serve.host, settings.serve.port, "serve.port")
    live_markets(settings)
    registry.current_model(settings)
    serve.start(http_options={"host": settings.serve.host, "port": settings.serve.port})
    try:
        yield _started(settings)
    finally:
        serve.shutdown()


def _started(settings: Settings) -> DeploymentHandle:
    try:
        return serve.run(application(settings), name=APP, route_prefix="/")
    except RuntimeError as e:
        raise HeliographError(f"the signal service did not come up: {e}; its log lies in Ray's session folder") from e


def application(settings: Settings) -> serve.Application:
    """The app that `serving` and `serve run` start."""
    settings.var.mkdir(parents=True, exist_ok=True)
    key_digest = digest(api_key(settings.serve, settings.var))
    deployment = serve.deployment(name="Signals", max_ongoing_requests=512, ray_actor_options={"num_cpus": 0.5})
    return deployment(Signals).bind(
        settings.model_copy(update={"serve": settings.serve.model_copy(update={"api_key": None})}), key_digest
    )
