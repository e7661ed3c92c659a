"""What closing a client closes; no venue is ever reached."""

from __future__ import annotations

import asyncio

from heliograph.config.settings import VenueSettings
from heliograph.sources.client import CcxtClient
from heliograph.testing.fakes import Unlimited

BITCOIN = {
    "id": "BTCUSDT",
    "lowercaseId": "btcusdt",
    "symbol": "BTC/USDT",
    "base": "BTC",
    "quote": "USDT",
    "type": "spot",
    "spot": True,
    "active": True,
    "info": {},
}


async def watched(client: CcxtClient, begun: asyncio.Event) -> None:
    """Watch until the connection has begun to be made, then give up."""
    watching = asyncio.create_task(client.call("watch_ohlcv", "BTC/USDT", "1h"))
    await begun.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_closing_ends_a_connection_that_is_still_being_made() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"CONNECT ")
        asked.set()
        await reader.read()
        ended.set()
        writer.close()

    async def story() -> None:
        async with asyncio.timeout(5), await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
            url = "http://{}:{}".format(*server.sockets[0].getsockname())
            settings = VenueSettings.model_validate({"http_proxy": url, "ws_proxy": url})
            client = CcxtClient("binance", settings, Unlimited(), streams=True, listing=[BITCOIN])
            await watched(client, asked)
            await client.close()
            await ended.wait()

    asyncio.run(story())
    assert ended.is_set()


def test_closing_ends_a_connection_that_waits_to_be_made_again() -> None:
    async def story() -> set[asyncio.Task[object]]:
        client = CcxtClient("binance", VenueSettings(), Unlimited(), streams=True, listing=[BITCOIN])
        waits = asyncio.Event()
        client.exchange.ws_dial_delay = lambda _url: waits.set() or 30.0
        await watched(client, waits)
        await client.close()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(story()) == set()
