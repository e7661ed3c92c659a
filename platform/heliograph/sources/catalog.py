"""Every venue that candles can be had from: those that the contract suite proves, and what ccxt says of any other."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.core.market import Kind, VenueRules, kind_of
from heliograph.core.timeframe import TIMEFRAMES
from heliograph.sources.dialect import Dialect
from heliograph.sources.venues import (
    binance,
    binanceusdm,
    bitfinex,
    bitget,
    bitstamp,
    bybit,
    coinbase,
    cryptocom,
    gate,
    htx,
    hyperliquid,
    kraken,
    kucoin,
    mexc,
    okx,
)

DIALECTS: dict[str, Dialect] = {
    "binance": binance.DIALECT,
    "okx": okx.DIALECT,
    "kraken": kraken.DIALECT,
    "bybit": bybit.DIALECT,
    "hyperliquid": hyperliquid.DIALECT,
    "bitget": bitget.DIALECT,
    "gate": gate.DIALECT,
    "bitfinex": bitfinex.DIALECT,
    "coinbase": coinbase.DIALECT,
    "bitstamp": bitstamp.DIALECT,
    "htx": htx.DIALECT,
    "kucoin": kucoin.DIALECT,
    "cryptocom": cryptocom.DIALECT,
    "binanceusdm": binanceusdm.DIALECT,
    "mexc": mexc.DIALECT,
}
"""The certified venues."""

RULES: dict[tuple[str, Kind], VenueRules] = {
    (venue, kind): rules for venue, dialect in DIALECTS.items() for kind, rules in dialect.rules.items()
}
"""What the certified venues grant, by venue and kind of market."""

_SWAPS_OF = {"binance": "binanceusdm"}  # one exchange, two venues of ccxt

_UNKNOWN_PAGE = 100  # few venues send less, and a short page only costs requests


def dialect(venue: str) -> Dialect:
    """What is known of ``venue``.

    Raises:
        ConfigError: ccxt has no such exchange, or it gives no candles; the message names those that are spelled alike.
    """
    return DIALECTS.get(venue) or _uncertified(venue)


def rules(venue: str, kind: Kind = "spot") -> VenueRules:
    """The rules of a venue's markets of one kind.

    Raises:
        ConfigError: there is no such venue, or it has no such markets.

    >>> rules("kraken").horizon_candles
    720
    """
    found = dialect(venue).rules
    if kind not in found:
        raise ConfigError(f"{venue} has no {kind} markets here: use {' or '.join(found)}")
    return found[kind]


def rules_of(venue: str, symbol: str) -> VenueRules:
    """The rules that hold for one market.

    Raises:
        ConfigError: there is no such venue, or it has no such markets.
    """
    return rules(venue, kind_of(symbol))


def swap_venue(venue: str) -> str:
    """Where the perpetuals of a venue's spot markets are traded.

    Raises:
        ConfigError: nowhere that is known here.

    >>> swap_venue("binance"), swap_venue("okx")
    ('binanceusdm', 'okx')
    """
    if "swap" in dialect(venue).rules:
        return venue
    if venue in _SWAPS_OF:
        return _SWAPS_OF[venue]
    raise ConfigError(f"{venue} has no perpetuals here: leave out features of funding, open interest and basis")


def spot_venue(venue: str) -> str:
    """The inverse of `swap_venue`: where the spot markets are traded.

    >>> spot_venue("binanceusdm")
    'binance'
    """
    return {swaps: spot for spot, swaps in _SWAPS_OF.items()}.get(venue, venue)


def uncertified() -> list[str]:
    """Every other exchange of ccxt that gives candles."""
    import ccxt  # noqa: PLC0415 - it takes 60 MB, and what trains and forecasts asks only the certified

    return [v for v in ccxt.exchanges if v not in DIALECTS and getattr(ccxt, v)().has.get("fetchOHLCV")]


def streams_candles(venue: str) -> bool:
    """False where live candles must be built from trades."""
    import ccxt.pro  # noqa: PLC0415

    return bool(getattr(ccxt.pro, venue)().has.get("watchOHLCV"))


@cache
def _uncertified(venue: str) -> Dialect:
    """What ccxt says of an exchange that nobody has proved: one call at a time at its pace, and no seeking."""
    import ccxt  # noqa: PLC0415

    if venue not in ccxt.exchanges:
        near = get_close_matches(venue, [*DIALECTS, *ccxt.exchanges]) or sorted(DIALECTS)
        raise ConfigError(f"unknown venue {venue!r}: use {' or '.join(near)}")
    exchange: Any = getattr(ccxt, venue)()
    if not exchange.has.get("fetchOHLCV"):
        raise ConfigError(f"{venue} gives no candles over ccxt; use another venue")
    kinds: tuple[Kind, ...] = ("spot", "swap")
    return Dialect(rules={kind: _said(exchange, kind) for kind in kinds if exchange.has.get(kind)})


def _said(exchange: Any, kind: Kind) -> VenueRules:
    features = (exchange.features or {}).get(kind) or {}
    limit = (features.get("fetchOHLCV") or {}).get("limit") if "fetchOHLCV" in features else None
    return VenueRules(
        venue=exchange.id,
        timeframes=tuple(name for name in TIMEFRAMES if name in exchange.timeframes),
        page_limit=int(limit or _UNKNOWN_PAGE),
        horizon_candles=None,
        weight_per_page=1.0,
        weight_limit=1.0,
        window_s=exchange.rateLimit / 1_000,
        seeks_first=False,
        kind=kind,
        pool=exchange.id,
        is_certified=False,
    )
