"""A paid provider answers like any other source; its answers can be traced to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import orjson
import pytest
from aiohttp import web

from heliograph.config.settings import FallbackSettings
from heliograph.core.errors import ConfigError, Permanent, RateLimited, Retryable, SchemaMismatch, SymbolGone
from heliograph.core.market import Market
from heliograph.core.ports import Page
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sources import catalog
from heliograph.sources.budget import LocalBudget
from heliograph.sources.paid import KEY_VARIABLE, CoinApiSource, rules_of

BITCOIN = Market("kraken", "BTC/USD", "spot", "BTC", "USD", Decimal("0.1"), Decimal("0.001"), Decimal(5))
NOW_MS = 10 * HOUR_MS + 60_000
Handler = Callable[[web.Request], Awaitable[web.Response]]


def bar(hour: int, price: float = 100.0) -> dict[str, object]:
    start = f"1970-01-01T{hour:02d}:00:00.0000000Z"
    prices = {f"price_{name}": price for name in ("open", "high", "low", "close")}
    return {"time_period_start": start, **prices, "volume_traded": 1.5, "trades_count": 3}


def budget(settings: FallbackSettings) -> LocalBudget:
    return LocalBudget.of(rules_of(catalog.rules("kraken"), settings), 1.0)


async def ask(handler: Handler) -> tuple[Page, web.Request]:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_get("/v1/ohlcv/{symbol}/history", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = FallbackSettings(url=f"http://127.0.0.1:{port}")
    source = CoinApiSource(catalog.rules("kraken"), settings, budget(settings), now_ms=lambda: NOW_MS)
    try:
        return await source.fetch_page(BITCOIN, parse("1h"), 2 * HOUR_MS, 20 * HOUR_MS), asked[0]
    finally:
        await source.close()
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret-of-the-test")


def replying(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


def test_closed_bars_of_the_interval_come_and_are_marked_by_their_endpoint() -> None:
    page, request = asyncio.run(ask(replying(orjson.dumps([bar(h) for h in (1, 2, 5, 10)]))))
    assert page.candles.open_ts_ms.tolist() == [2 * HOUR_MS, 5 * HOUR_MS], "10 h is still open, 1 h was not asked for"
    assert page.endpoint.endswith("/v1/ohlcv/KRAKEN_SPOT_BTC_USD/history")
    assert request.headers["X-CoinAPI-Key"] == "secret-of-the-test"
    assert "secret" not in page.endpoint + page.query


@pytest.mark.parametrize(
    ("status", "error"), [(429, RateLimited), (500, Retryable), (550, SymbolGone), (401, Permanent)]
)
def test_each_refusal_is_the_error_that_says_what_to_do(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(ask(replying(b"{}", status)))


@pytest.mark.parametrize("body", [b"<html>", b'{"a":1}', b'[{"time_period_start":"1970-01-01T02:00:00Z"}]'])
def test_what_is_no_array_of_candles_is_refused(body: bytes) -> None:
    with pytest.raises(SchemaMismatch):
        asyncio.run(ask(replying(body)))


def test_without_a_key_it_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        CoinApiSource(catalog.rules("kraken"), FallbackSettings(), budget(FallbackSettings()))
