"""A CONNECT proxy that leads nowhere but here: it turns each tunnel into TLS with the local venues.

The client's connection itself is upgraded to TLS and handed to the HTTP server; no second socket, nothing is copied,
and no byte can leave this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

_MAX_HEAD = 65_536


class Tunnel(asyncio.Protocol):
    """One client connection: reads CONNECT, answers, speaks TLS, then steps aside for the HTTP server."""

    def __init__(
        self, context: ssl.SSLContext, is_known: Callable[[str], bool], make_server: Callable[[], asyncio.Protocol]
    ) -> None:
        self._context = context
        self._is_known = is_known
        self._make_server = make_server
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._upgrade: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect the CONNECT request; later, what the client sends before the HTTP server has taken over."""
        self._received += data
        if self._upgrade is None and (b"\r\n\r\n" in self._received or len(self._received) > _MAX_HEAD):
            self._connect(bytes(self._received))

    def _connect(self, head: bytes) -> None:
        method, _, rest = head.partition(b" ")
        host = rest.partition(b" ")[0].decode("latin-1").rpartition(":")[0]
        if method != b"CONNECT":
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
        elif not self._is_known(host):
            self._refuse(HTTPStatus.FORBIDDEN)
        else:
            self._received.clear()
            self._upgrade = asyncio.get_running_loop().create_task(self._speak_tls())

    def _refuse(self, status: HTTPStatus) -> None:
        assert self._transport is not None
        self._transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\n\r\n".encode())
        self._transport.close()

    async def _speak_tls(self) -> None:
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(self._transport, self, self._context, server_side=True)
        except (OSError, ssl.SSLError):  # the client went away or does not trust us; it has been told
            self._transport.abort()
            return
        if secured is None:
            return
        server = self._make_server()
        server.connection_made(secured)
        secured.set_protocol(server)
        if self._received:
            server.data_received(bytes(self._received))
