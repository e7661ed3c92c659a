"""What every archive holds, at its true host name, over TLS and a proxy: the tape's candles, or an error that says why."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.unit.sources.archives import (
    DAYS,
    END_MS,
    NOW_MS,
    OUTAGE,
    START_MS,
    SYMBOL,
    books,
    file_of,
    layout,
    market,
    named,
    same,
    tape,
)

from heliograph.config.settings import VenueSettings
from heliograph.core.errors import ConfigError, Permanent, RateLimited, Retryable, SchemaMismatch, VenueTimeout
from heliograph.core.market import Candles
from heliograph.core.ports import Page
from heliograph.core.timeframe import DAY_MS, HOUR_MS, parse
from heliograph.sandbox.archive.host import Archive
from heliograph.sandbox.authority import issue
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.proxy import Tunnel
from heliograph.sources.archive.client import ArchiveClient, Known
from heliograph.sources.archive.layout import ArchiveFile, Layout, Period
from heliograph.sources.archive.venues import LAYOUTS

TRUTH = tape()
BINANCE, KUCOIN, GATE = layout("binance"), layout("kucoin"), layout("gate")
DAY = file_of(BINANCE, "1m", START_MS + 3 * DAY_MS)
PATH = DAY.url.removeprefix(BINANCE.origin)
Handler = Callable[[web.BaseRequest], Coroutine[Any, Any, web.StreamResponse]]


@dataclass
class World:
    """The hosts of all archives on one loopback port.

    Attributes:
        asked: method and path of every request, in order.
        instead: answers the requests of paths that are in it.
    """

    archive: Archive
    clock: VirtualClock
    asked: list[tuple[str, str]] = field(default_factory=list)
    instead: dict[str, Handler] = field(default_factory=dict)
    settings: VenueSettings = field(default_factory=VenueSettings)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        if handler := self.instead.get(request.path):
            return await handler(request)
        reply = self.archive.answer(Request(request.host, request.path, {}, method=request.method))
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))

    @asynccontextmanager
    async def client(self, told: Layout, **options: Any) -> AsyncIterator[ArchiveClient]:
        client = ArchiveClient(told, self.settings, now_ms=self.clock.now_ms, **options)
        try:
            yield client
        finally:
            await client.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    hosts = sorted({told.origin.removeprefix("https://") for told in LAYOUTS})
    return issue(tmp_path_factory.mktemp("authority"), hosts)


@asynccontextmanager
async def world_of(certificate: tuple[Path, Any], now_ms: int = NOW_MS, **settings: Any) -> AsyncIterator[World]:
    shown = books(TRUTH, now_ms)
    world = World(Archive(shown), shown["binance"].clock)  # type: ignore[arg-type]
    ca_file, context = certificate
    server = web.Server(world.handle)
    loop = asyncio.get_running_loop()
    proxy = await loop.create_server(
        lambda: Tunnel(context, lambda host: host in world.archive.domains, server), "127.0.0.1", 0
    )
    port = proxy.sockets[0].getsockname()[1]
    chosen = {"http_proxy": f"http://127.0.0.1:{port}", "ca_file": str(ca_file), "timeout_s": 5.0} | settings
    world.settings = VenueSettings.model_validate(chosen)
    try:
        yield world
    finally:
        proxy.close()
        await proxy.wait_closed()
        await server.shutdown(0.1)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def truth(told: Layout, timeframe: str, start_ms: int, end_ms: int) -> Candles:
    book = books(TRUTH)[told.venue]
    candles = book.series(SYMBOL[told.kind], parse(timeframe)).candles.between(start_ms, end_ms)
    return candles.take(candles.volume > 0) if told.is_trades else candles  # no trade tells of a flat bar


def period_of(told: Layout, timeframe: str) -> Period:
    """The one that the tape is long enough for; gate's spot minutes come by the day."""
    periods = told.offers[timeframe].periods
    return "day" if "day" in periods and (told.venue, told.kind) == ("gate", "spot") else periods[0]


def span(told: Layout, period: Period) -> tuple[int, int]:
    """Whole periods within the tape: December, or two days with the outage in them."""
    if period == "month":
        return START_MS + 3 * DAY_MS - told.clock_ms, START_MS + 34 * DAY_MS - told.clock_ms
    return START_MS + 9 * DAY_MS, START_MS + 11 * DAY_MS


@pytest.mark.parametrize("is_fine", [True, False], ids=["fine", "1h"])
@pytest.mark.parametrize("told", LAYOUTS, ids=named)
def test_archive_holds_the_tape(told: Layout, certificate: tuple[Path, Any], *, is_fine: bool) -> None:
    timeframe = "1h" if not is_fine else "1m" if period_of(told, "1m") == "day" else "5m"
    period = period_of(told, timeframe)
    start_ms, end_ms = span(told, period)

    async def story() -> list[Page | None]:
        async with world_of(certificate) as world, world.client(told) as client:
            files = told.files(market(told), timeframe, period, start_ms, end_ms)
            return await asyncio.gather(*(client.fetch(file) for file in files))

    pages = [page for page in run(story()) if page is not None]
    got = Candles.concat([page.candles for page in pages])
    assert same(got, truth(told, timeframe, start_ms, end_ms))
    assert len(got) >= 47
    assert {page.checksum for page in pages} == {"verified" if told.digest else "none published"}
    assert all(len(page.sha256) == 64 and page.query == "" and page.fetched_ts_ms == NOW_MS for page in pages)


@pytest.mark.parametrize("told", [BINANCE, KUCOIN], ids=named)
def test_new_year_in_which_units_change_is_seamless(told: Layout, certificate: tuple[Path, Any]) -> None:
    start_ms, end_ms = START_MS + 33 * DAY_MS, START_MS + 36 * DAY_MS

    async def story() -> list[Page | None]:
        async with world_of(certificate) as world, world.client(told) as client:
            return [await client.fetch(f) for f in told.files(market(told), "5m", "day", start_ms, end_ms)]

    got = Candles.concat([page.candles for page in run(story()) if page])
    assert same(got, truth(told, "5m", start_ms, end_ms))
    assert len(got) == 3 * 288


def test_file_is_there_once_it_is_out_and_never_before_the_listing(certificate: tuple[Path, Any]) -> None:
    async def story(now_ms: int, file: ArchiveFile) -> Page | None:
        async with world_of(certificate, now_ms) as world, world.client(BINANCE) as client:
            return await client.fetch(file)

    assert run(story(DAY.end_ms + HOUR_MS, DAY)) is None
    assert run(story(DAY.end_ms + 13 * HOUR_MS, DAY)) is not None
    assert run(story(NOW_MS, file_of(BINANCE, "1m", START_MS - 5 * DAY_MS))) is None
    month = file_of(BINANCE, "1m", START_MS + 10 * DAY_MS, "month")
    assert run(story(month.end_ms + 4 * DAY_MS, month)) is None
    assert run(story(END_MS, file_of(BINANCE, "1m", END_MS - 1))) is None


@pytest.mark.parametrize(
    ("damage", "why"), [("wrong_checksum", "CHECKSUM says"), ("truncated", "CHECKSUM says")], ids=lambda x: x
)
@pytest.mark.parametrize("told", [BINANCE, KUCOIN], ids=named)
def test_damaged_file_is_loaded_again_once_and_then_refused(
    told: Layout, damage: Any, why: str, certificate: tuple[Path, Any]
) -> None:
    file = file_of(told, "1m", START_MS + 3 * DAY_MS)
    path = file.url.removeprefix(told.origin)

    async def story() -> list[tuple[str, str]]:
        async with world_of(certificate) as world, world.client(told) as client:
            world.archive.spoil(file.url, damage)
            with pytest.raises(SchemaMismatch, match=why):
                await client.fetch(file)
            return world.asked

    assert run(story()) == [("GET", f"{path}.CHECKSUM"), ("GET", path)] * 2


def test_torn_file_without_a_checksum_is_refused(certificate: tuple[Path, Any]) -> None:
    file = file_of(GATE, "1m", START_MS + 3 * DAY_MS)

    async def story() -> None:
        async with world_of(certificate) as world, world.client(GATE) as client:
            world.archive.spoil(file.url, "truncated")
            with pytest.raises(SchemaMismatch, match="ends in the middle"):
                await client.fetch(file)

    run(story())


def test_file_that_is_reissued_while_it_is_loaded_comes_whole(certificate: tuple[Path, Any]) -> None:
    """Its check sum was read before the new one was there."""

    async def story() -> Page | None:
        async with world_of(certificate) as world, world.client(BINANCE) as client:
            world.archive.spoil(DAY.url, "wrong_checksum")

            async def mended(request: web.BaseRequest) -> web.Response:
                reply = world.archive.answer(Request(request.host, request.path, {}))
                world.archive.mend(DAY.url)
                return web.Response(status=reply.status, body=reply.body)

            world.instead[f"{PATH}.CHECKSUM"] = mended
            return await client.fetch(DAY)

    page = run(story())
    assert same(page.candles, truth(BINANCE, "1m", DAY.start_ms, DAY.end_ms))


def test_missing_file_or_missing_checksum_is_no_file(certificate: tuple[Path, Any]) -> None:
    async def gone(_: web.BaseRequest) -> web.Response:
        return web.Response(status=404)

    async def story() -> list[Page | None]:
        async with world_of(certificate) as world, world.client(BINANCE) as client:
            world.instead[f"{PATH}.CHECKSUM"] = gone
            without_checksum = await client.fetch(DAY)
            world.instead = {PATH: gone}
            return [without_checksum, await client.fetch(DAY)]

    assert run(story()) == [None, None]


@pytest.mark.parametrize("told", [BINANCE, KUCOIN, GATE, layout("bybit", is_trades=True)], ids=named)
def test_reissued_file_is_noticed(told: Layout, certificate: tuple[Path, Any]) -> None:
    file = file_of(told, "1m", START_MS + 3 * DAY_MS)

    async def story() -> list[bool]:
        async with world_of(certificate) as world, world.client(told) as client:
            world.archive.spoil(file.url, "stale")
            page = await client.fetch(file)
            assert page is not None
            known = Known(file.url, page.sha256, page.fetched_ts_ms, file.start_ms, file.end_ms)
            before = await client.is_reissued(known)
            world.clock.move_to(NOW_MS + DAY_MS)
            world.archive.mend(file.url)
            after = await client.is_reissued(known)
            again = await client.fetch(file)
            assert again is not None
            assert not same(page.candles, again.candles)
            assert same(again.candles, truth(told, "1m", file.start_ms, file.end_ms))
            now = Known(file.url, again.sha256, again.fetched_ts_ms, file.start_ms, file.end_ms)
            world.clock.move_to(NOW_MS + 2 * DAY_MS)
            world.archive.mend(file.url)  # a new date on the same bytes
            same_bytes = await client.is_reissued(now)
            world.archive.spoil(file.url, "missing")
            return [before, after, same_bytes, await client.is_reissued(known)]

    assert run(story()) == [False, True, False, False]


def respond(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


async def torn(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100000"})
    await response.prepare(request)
    await response.write(b"x" * 1_000)
    assert request.transport is not None
    request.transport.close()
    return response


async def silent(_: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("handler", "error", "why"),
    [
        (respond(429, Retry_After="7"), RateLimited, "wait 7 s"),
        (respond(503), RateLimited, "wait 30 s"),
        (respond(500, b"<html>oops</html>"), Retryable, "oops"),
        (respond(403, b"denied"), Permanent, "denied"),
        (respond(302, Location="/elsewhere"), SchemaMismatch, "CHECKSUM says"),
        (torn, Retryable, "can't be reached"),
        (silent, VenueTimeout, "within 0.3 s"),
        (respond(200, b"\0" * 300_000), Permanent, "larger than"),
        (respond(200, b"<html>maintenance</html>"), SchemaMismatch, "CHECKSUM says"),
    ],
    ids=["429", "503", "500", "403", "elsewhere", "torn", "silent", "too-large", "html"],
)
def test_trouble_is_told_in_our_own_words(
    handler: Handler, error: type[Exception], why: str, certificate: tuple[Path, Any]
) -> None:
    async def story() -> None:
        async with world_of(certificate, timeout_s=0.3) as world, world.client(BINANCE, most_bytes=200_000) as client:
            world.instead = {PATH: handler, "/elsewhere": respond(200, b"not this")}
            with pytest.raises(error, match=why):
                await client.fetch(DAY)

    run(story())


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"abc  name.zip", b"g" * 64])
def test_checksum_that_is_none_refuses_the_file(body: bytes, certificate: tuple[Path, Any]) -> None:
    async def story() -> None:
        async with world_of(certificate) as world, world.client(BINANCE) as client:
            world.instead[f"{PATH}.CHECKSUM"] = respond(200, body)
            with pytest.raises(SchemaMismatch, match=r"not sha256 and a name"):
                await client.fetch(DAY)

    run(story())


def test_checksum_may_be_in_upper_case(certificate: tuple[Path, Any]) -> None:
    async def story() -> Page | None:
        async with world_of(certificate) as world, world.client(BINANCE) as client:
            body = world.archive.answer(Request("data.binance.vision", PATH, {})).body
            told = f"{hashlib.sha256(body).hexdigest().upper()} *{PATH.rpartition('/')[2]}".encode()
            world.instead[f"{PATH}.CHECKSUM"] = respond(200, told)
            return await client.fetch(DAY)

    assert run(story()).checksum == "verified"


def test_certificate_that_is_not_trusted_is_a_sentence(certificate: tuple[Path, Any], tmp_path: Path) -> None:
    stranger, _ = issue(tmp_path, ["example.org"])

    async def story() -> None:
        async with world_of(certificate, ca_file=str(stranger)) as world, world.client(BINANCE) as client:
            with pytest.raises(ConfigError, match=r"fetch\.venues\.binance\.ca_file"):
                await client.fetch(DAY)

    run(story())
    with pytest.raises(ConfigError, match="there is no file"):
        ArchiveClient(BINANCE, VenueSettings(ca_file=str(tmp_path / "none.pem")), now_ms=lambda: 0)


def test_host_that_does_not_answer_is_retryable() -> None:
    async def story() -> None:
        settings = VenueSettings(http_proxy="http://127.0.0.1:1", timeout_s=2)
        client = ArchiveClient(BINANCE, settings, now_ms=lambda: 0)
        try:
            with pytest.raises(Retryable, match="can't be reached"):
                await client.fetch(DAY)
        finally:
            await client.close()

    run(story())


def test_no_more_files_are_loaded_at_once_than_allowed(certificate: tuple[Path, Any]) -> None:
    async def story() -> int:
        open_now, most = 0, 0
        async with world_of(certificate) as world, world.client(GATE, in_flight=3) as client:
            files = GATE.files(market(GATE), "1m", "day", START_MS, START_MS + 12 * DAY_MS)

            async def counted(request: web.BaseRequest) -> web.Response:
                nonlocal open_now, most
                open_now, most = open_now + 1, max(most, open_now + 1)
                await asyncio.sleep(0.02)  # long enough that all that may come are here
                open_now -= 1
                return web.Response(status=404)

            world.instead = {file.url.removeprefix(GATE.origin): counted for file in files}
            assert await asyncio.gather(*(client.fetch(file) for file in files)) == [None] * 12
        return most

    assert run(story()) == 3


def test_outage_is_a_hole_in_the_file(certificate: tuple[Path, Any]) -> None:
    async def story() -> Page | None:
        async with world_of(certificate) as world, world.client(BINANCE) as client:
            return await client.fetch(file_of(BINANCE, "1m", OUTAGE[0]))

    page = run(story())
    assert len(page.candles) == 1_440 - 60
    assert len(page.candles.between(*OUTAGE)) == 0
    assert len(TRUTH.series("BTC/USDT", parse("1m"))) == DAYS * 1_440 - 60
