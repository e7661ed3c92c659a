"""Which venues the local world has, and what each of them lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.core.ports import Clock
from heliograph.core.timeframe import parse
from heliograph.sandbox.book import Book
from heliograph.sandbox.exchange import kraken
from heliograph.sandbox.exchange.binance import Binance
from heliograph.sandbox.exchange.okx import Okx
from heliograph.sandbox.exchange.wire import Venue
from heliograph.sandbox.tape import Tape

_OKX_SYMBOLS = 6
_KRAKEN_SYMBOLS = 4
_OKX_FIRST = ("BTC/USDT", "ETH/USDT")
_KRAKEN_FIRST = (*_OKX_FIRST, "DOGE/USDT", "XRP/USDT")
_OFFERED = ("1m", "1h", "4h", "1d")


@dataclass(frozen=True, slots=True)
class Offer:
    """Candles that a venue can be asked for now: those that open from ``first_ms`` to ``last_ms``, both included."""

    venue: str
    symbol: str
    timeframe: str
    first_ms: int
    last_ms: int


def build(tape: Tape, clock: Clock) -> dict[str, Venue]:
    """Every venue by name: Binance lists all symbols of the tape, OKX six, Kraken four."""
    okx_symbols = sorted(tape.symbols, key=lambda s: s not in _OKX_FIRST)[:_OKX_SYMBOLS]
    kraken_symbols = sorted(tape.symbols, key=lambda s: s not in _KRAKEN_FIRST)[:_KRAKEN_SYMBOLS]
    venues: tuple[Venue, ...] = (
        Binance(Book(tape, clock, tape.symbols)),
        Okx(Book(tape, clock, okx_symbols)),
        kraken.Kraken(Book(tape, clock, kraken_symbols, horizon=kraken.HORIZON, is_filled=True)),
    )
    return {venue.name: venue for venue in venues}


def venue_of(host: str, venues: Sequence[Venue]) -> Venue | None:
    """The venue that owns a host."""
    return next((v for v in venues for d in v.domains if host == d or host.endswith("." + d)), None)


def offers(venues: Sequence[Venue]) -> list[Offer]:
    """Everything that can be had now in 1m, 1h, 4h and 1d."""
    found = []
    for venue in venues:
        for symbol in venue.book.symbols:
            for name in _OFFERED:
                window = venue.book.window(symbol, parse(name), 0, venue.book.clock.now_ms())
                opens = window.series.candles.open_ts_ms[window.start : window.stop]
                if opens.size:
                    found.append(Offer(venue.name, symbol, name, int(opens[0]), int(opens[-1])))
    return found
