"""The venues' one HTTP and WebSocket server: budget, faults, log and sockets around the pure adapters."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from heliograph.sandbox.archive.host import Archive
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.venues import owner_of
from heliograph.sandbox.exchange.wire import Frame, Host, Reply, Request, Routed, Topic, TradeTopic, Venue
from heliograph.sandbox.faults import Fault, Faults
from heliograph.sandbox.meter import Charge, Meter

_LOG_LENGTH = 50_000
_REFUSALS_TO_BAN = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One line of the request log; ``fault`` is empty where there was none."""

    venue: str
    method: str
    path: str
    query: str
    status: int
    weight: float
    fault: str


@dataclass(eq=False)
class Session:
    """One open socket and what it listens to."""

    venue: Venue
    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    topics: dict[str, Topic | TradeTopic] = field(default_factory=dict)


class Exchange:
    """Everything that happens between the wire and the adapters.

    Attributes:
        log: the newest calls, oldest first.
        archive: the bulk files of all venues.
        hosts: venues and archive, by name.
        meters, calls: by host.
        sockets_changed: notified whenever a socket or a subscription comes or goes.
    """

    def __init__(self, venues: Mapping[str, Venue], clock: VirtualClock, *, weight_scale: float) -> None:
        self.venues = venues
        self.archive = Archive({name: venue.book for name, venue in venues.items()})
        self.hosts: dict[str, Host] = {**venues, self.archive.name: self.archive}
        self.clock = clock
        self.faults = Faults()
        self.log: deque[Call] = deque(maxlen=_LOG_LENGTH)
        self.meters = {name: Meter(weight_scale) for name in self.hosts}
        self.calls = {name: Counter[str]() for name in self.hosts}
        self.sockets_changed = asyncio.Condition()
        self._sessions: list[Session] = []
        self._moving = asyncio.Lock()

    def is_known(self, host: str) -> bool:
        """True for names that somebody answers for."""
        return owner_of(host, tuple(self.hosts.values())) is not None

    def num_topics(self, venue: str) -> int:
        """Subscriptions of all sockets of a venue."""
        return sum(len(session.topics) for session in self._sessions if session.venue.name == venue)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request, or serve one socket until it closes."""
        host = owner_of(request.host.partition(":")[0], tuple(self.hosts.values()))
        if host is None:
            return web.Response(status=404, text=f"nobody answers for {request.host}")
        if request.headers.get("Upgrade", "").lower() == "websocket" and host.name in self.venues:
            venue = self.venues[host.name]
            return await self._serve_socket(venue.at(request.path) if isinstance(venue, Routed) else venue, request)
        return await self._serve_call(host, request)

    async def move_to(self, now_ms: int) -> None:
        """Set the clock and tell every socket what has happened since.

        Raises:
            ConfigError: the clock can't go there.
        """
        async with self._moving:
            since_ms = self.clock.now_ms()
            self.clock.move_to(now_ms)
            for session in tuple(self._sessions):
                for topic in tuple(session.topics.values()):
                    await self._tell(session, topic, since_ms)

    async def _tell(self, session: Session, topic: Topic | TradeTopic, since_ms: int) -> None:
        venue = session.venue
        if isinstance(topic, TradeTopic):
            if trades := venue.book.trades(topic.symbol, since_ms + 1, self.clock.now_ms() + 1):
                await self._send(session, topic.tell(trades))
            return
        for bar, is_closed in venue.book.news(topic.symbol, topic.timeframe, since_ms):
            await self._send(session, venue.tell(topic, bar, is_closed))

    async def inject(self, fault: Fault) -> None:
        """Queue a fault, or close a venue's sockets at once."""
        if fault.kind != "disconnect":
            self.faults.add(fault)
            return
        for session in [s for s in self._sessions if s.venue.name == fault.venue]:
            if session.transport is not None:
                session.transport.abort()

    async def _serve_call(self, host: Host, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read() if request.can_read_body else b""
        call = Request(request.host, request.path, dict(request.query), method=request.method, body=body)
        charge, fault = host.charge(call), self.faults.take(host.name, call.path)
        reply = self._reply(host, call, charge, fault)
        self._note(host, request, reply.status, charge.weight, fault)
        headers = {"Content-Type": "application/json"} | dict(reply.headers)
        if host.name in ("binance", "binanceusdm"):
            headers["X-MBX-USED-WEIGHT-1M"] = str(int(self.meters[host.name].used(charge)))
        if fault and fault.kind == "timeout":
            return await _hang(request, fault.hold_s)
        if fault and fault.kind == "cut_body":
            return await _cut(request, reply, headers)
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    def _reply(self, host: Host, call: Request, charge: Charge, fault: Fault | None) -> Reply:
        meter, now_s = self.meters[host.name], time.monotonic()
        if not meter.take(charge, now_s):
            is_banned = meter.recent_refusals(charge, now_s) > _REFUSALS_TO_BAN
            return host.refuse("ban" if is_banned else "rate_limit", retry_after_s=meter.retry_after_s(charge, now_s))
        match fault.kind if fault else None:
            case "rate_limit" | "ban" | "server_error" | "maintenance" as kind:
                return host.refuse(kind, retry_after_s=1.0)
            case "short_page":
                return host.answer(replace(call, is_cut=True))
        return host.answer(call)

    def _note(self, host: Host, request: web.BaseRequest, status: int, weight: float, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        self.log.append(Call(host.name, request.method, request.path, request.query_string, status, weight, kind))
        self.calls[host.name].update(["requests", f"status {status}", *(["faults"] if fault else [])])

    async def _serve_socket(self, venue: Venue, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        session = Session(venue, socket, request.transport)
        self._sessions.append(session)
        await self._announce()
        try:
            for text in venue.greet():
                await self._send(session, text)
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._hear(session, message.data)
        except orjson.JSONDecodeError:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"not JSON")
        finally:
            self._sessions.remove(session)
            await self._announce()
        return socket

    async def _hear(self, session: Session, text: str) -> None:
        async with self._moving:  # a subscription sees either the time before a step or the time after it
            talk = session.venue.hear(text)
            for topic in talk.ended:
                session.topics.pop(topic.name + topic.symbol, None)
            for topic in talk.begun:
                session.topics[topic.name + topic.symbol] = topic
            for reply in talk.replies:
                await self._send(session, reply)
        if talk.begun or talk.ended:
            await self._announce()

    async def _send(self, session: Session, frame: Frame) -> None:
        if session.socket.closed:
            return
        try:
            await (session.socket.send_str(frame) if isinstance(frame, str) else session.socket.send_bytes(frame))
            self.calls[session.venue.name]["frames"] += 1
        except ConnectionResetError:  # it closed while we wrote; its reader takes it off the list
            return

    async def _announce(self) -> None:
        async with self.sockets_changed:
            self.sockets_changed.notify_all()


async def _hang(request: web.BaseRequest, hold_s: float) -> web.StreamResponse:
    """Say nothing for a while, then close the connection."""
    await asyncio.sleep(hold_s)  # this *is* the fault; a client that leaves earlier ends it
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=504)


async def _cut(request: web.BaseRequest, reply: Reply, headers: dict[str, str]) -> web.StreamResponse:
    """Close the connection in the middle of the answer."""
    response = web.StreamResponse(status=reply.status, headers=headers | {"Content-Length": str(len(reply.body))})
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
