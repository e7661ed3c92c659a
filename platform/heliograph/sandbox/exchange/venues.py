"""Which venues the local world has, and what each of them lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.ports import Clock
from heliograph.sandbox.exchange import (
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
from heliograph.sandbox.exchange.wire import Host, Venue
from heliograph.sandbox.tape import Tape

VENUES: tuple[type[Venue], ...] = (
    binance.Binance,
    okx.Okx,
    kraken.Kraken,
    bybit.Bybit,
    hyperliquid.Hyperliquid,
    bitget.Bitget,
    gate.Gate,
    bitfinex.Bitfinex,
    coinbase.Coinbase,
    bitstamp.Bitstamp,
    htx.Htx,
    kucoin.Kucoin,
    cryptocom.Cryptocom,
    binanceusdm.BinanceUsdm,
    mexc.Mexc,
)
AnyHost = TypeVar("AnyHost", bound=Host)
_OFFERED = ("1m", "1h", "4h", "1d")


@dataclass(frozen=True, slots=True)
class Offer:
    """Candles that a venue can be asked for now: those that open from ``first_ms`` to ``last_ms``, both included."""

    venue: str
    symbol: str
    timeframe: str
    first_ms: int
    last_ms: int


def build(tape: Tape, clock: Clock, names: Collection[str] = ()) -> dict[str, Venue]:
    """Venues by name, each with the markets that it lists.

    Args:
        names: which; none means all.

    Raises:
        ConfigError: there is no such venue.
    """
    offered = {kind.name: kind for kind in VENUES}
    if unknown := sorted(set(names) - set(offered)):
        raise ConfigError(f"the sandbox has no venue {', '.join(unknown)}: use {', '.join(offered)}")
    return {name: kind.of(tape, clock) for name, kind in offered.items() if not names or name in names}


def owner_of(name: str, hosts: Sequence[AnyHost]) -> AnyHost | None:
    """Who answers for a host name: the one whose domain says most of it."""
    owned = [(len(d), i) for i, h in enumerate(hosts) for d in h.domains if name == d or name.endswith("." + d)]
    return hosts[max(owned)[1]] if owned else None


def offers(venues: Sequence[Venue]) -> list[Offer]:
    """Everything that can be had now in 1m, 1h, 4h and 1d."""
    found = []
    for venue in venues:
        for symbol in venue.book.symbols:
            for name in _OFFERED:
                window = venue.book.window(symbol, grid(venue.name, name), 0, venue.book.clock.now_ms())
                opens = window.series.candles.open_ts_ms[window.start : window.stop]
                if opens.size:
                    found.append(Offer(venue.name, symbol, name, int(opens[0]), int(opens[-1])))
    return found
