"""The control API: move the clock, order faults, read the counters. On its own port, under ``/__sim/``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import parse
from heliograph.sandbox.exchange.venues import offers
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.server import Exchange

Args = dict[str, Any]


class Control:
    """What a test or a demo may do to the world."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._playing: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """The API: ``POST /__sim/<name>`` with the arguments as a JSON object."""
        app = web.Application(client_max_size=1_000_000)
        app.router.add_post("/__sim/{name}", self._handle)
        app.on_cleanup.append(self._stop_playing)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        commands: dict[str, Callable[[Args], Awaitable[Any]]] = {
            "now": self._now,
            "offers": self._offers,
            "candles": self._candles,
            "series": self._series,
            "stats": self._stats,
            "log": self._log,
            "inject": self._inject,
            "spoil": self._spoil,
            "mend": self._mend,
            "advance": self._advance,
            "play": self._play,
            "wait_played": self._wait_played,
            "wait_subscribers": self._wait_subscribers,
        }
        command = commands.get(request.match_info["name"])
        if command is None:
            return _json({"error": f"no such command; use one of {', '.join(commands)}"}, status=404)
        try:
            return _json({"result": await command(orjson.loads(await request.read() or b"{}"))})
        except ConfigError as e:
            return _json({"error": str(e)}, status=400)
        except TimeoutError:
            return _json({"error": "the time is up"}, status=408)

    async def _now(self, _: Args) -> int:
        return self._exchange.clock.now_ms()

    async def _offers(self, _: Args) -> list[Args]:
        return [asdict(offer) for offer in offers(tuple(self._exchange.venues.values()))]

    async def _candles(self, args: Args) -> list[list[float]]:
        book = self._exchange.venues[args["venue"]].book
        window = book.window(args["symbol"], grid(args["venue"], args["timeframe"]), args["start_ms"], args["end_ms"])
        bars = window.series.bars(window.start, window.stop)
        return [[b.open_ts_ms, b.open, b.high, b.low, b.close, b.volume] for b in bars]

    async def _series(self, args: Args) -> list[Any]:
        book, symbol = self._exchange.venues[args["venue"]].book, args["symbol"]
        interval = (args["start_ms"], args["end_ms"])
        match args["data"]:
            case "trades":
                return [[t.ts_ms, t.price, t.qty, t.is_buy, str(t.id)] for t in book.trades(symbol, *interval)]
            case "funding":
                return book.funding(symbol, *interval)
        return book.open_interest(symbol, parse("1h"), *interval)

    async def _stats(self, _: Args) -> Args:
        exchange = self._exchange
        return {
            name: {
                "requests": exchange.calls[name]["requests"],
                "violations": exchange.meters[name].violations,
                "weight": exchange.meters[name].spent,
                "faults": exchange.calls[name]["faults"],
                "frames": exchange.calls[name]["frames"],
                "subscriptions": exchange.num_topics(name),
                "statuses": {k.split()[1]: n for k, n in exchange.calls[name].items() if k.startswith("status ")},
            }
            for name in exchange.hosts
        }

    async def _log(self, args: Args) -> list[Args]:
        calls = [call for call in self._exchange.log if args.get("venue") in (None, call.venue)]
        return [asdict(call) for call in calls[-args["limit"] :]]

    async def _inject(self, args: Args) -> None:
        if args["venue"] not in self._exchange.hosts:
            raise ConfigError(f"no venue {args['venue']!r}: use one of {', '.join(self._exchange.hosts)}")
        await self._exchange.inject(Fault(**args))

    async def _spoil(self, args: Args) -> None:
        self._exchange.archive.spoil(args["url"], args["damage"])

    async def _mend(self, args: Args) -> None:
        self._exchange.archive.mend(args["url"])

    async def _advance(self, args: Args) -> int:
        self._require_still()
        await self._exchange.move_to(self._exchange.clock.now_ms() + args["ms"])
        return self._exchange.clock.now_ms()

    async def _play(self, args: Args) -> int:
        self._require_still()
        clock, timeframe = self._exchange.clock, parse(args["timeframe"])
        ends_ms = []
        now_ms = clock.now_ms()
        for _ in range(args["bars"]):
            now_ms = timeframe.next(timeframe.floor(now_ms))
            ends_ms.append(now_ms)
        if now_ms > clock.end_ms:
            raise ConfigError(
                f"{args['bars']} bars of {timeframe} end after the tape, at {clock.end_ms}; play fewer bars"
            )
        self._playing = asyncio.create_task(self._run(ends_ms, args["pace_s"]))
        return now_ms

    async def _run(self, ends_ms: list[int], pace_s: float) -> None:
        """Step at a steady pace: a slow step shortens the next pause."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for now_ms in ends_ms:
            await asyncio.sleep(due_s - loop.time())
            await self._exchange.move_to(now_ms)
            due_s += pace_s

    async def _wait_played(self, args: Args) -> int:
        if self._playing:
            await asyncio.wait_for(asyncio.shield(self._playing), args["timeout_s"])
        return self._exchange.clock.now_ms()

    async def _wait_subscribers(self, args: Args) -> None:
        exchange, counts = self._exchange, args["counts"]
        async with exchange.sockets_changed:
            reached = exchange.sockets_changed.wait_for(
                lambda: all(exchange.num_topics(venue) >= count for venue, count in counts.items())
            )
            await asyncio.wait_for(reached, args["timeout_s"])

    def _require_still(self) -> None:
        if self._playing and not self._playing.done():
            raise ConfigError("the clock is playing; wait until it has played")

    async def _stop_playing(self, _: web.Application) -> None:
        if self._playing:
            self._playing.cancel()


def _json(body: Args, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
