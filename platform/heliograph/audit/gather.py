"""What else is known of a series: the same asset elsewhere, its venue's other markets, its own other timeframes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from heliograph.audit.derived import summed
from heliograph.audit.truth import Evidence
from heliograph.core.calendars import grid
from heliograph.core.market import Candles
from heliograph.core.timeframe import Timeframe
from heliograph.lake.coverage import Key

Load = Callable[[Key], Candles]
"""A series by (venue, timeframe, unified symbol)."""

DOLLARS = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDP", "DAI", "USDE", "USD1", "PYUSD"})
"""Quotes that stand for a dollar: prices in them are compared, less a premium that may drift."""

_MOST_PEERS, _MOST_SIBLINGS = 4, 8


def evidence(key: Key, keys: Iterable[Key], load: Load, *, only_peers: bool = False) -> Evidence:
    """What a series can be judged by, out of all that is held.

    A peer without the same timeframe is resampled from its longest shorter one. Where there are many, the first four
    peers and eight siblings by name are taken.

    Args:
        key: of the series under test.
        keys: of everything that is held.
        only_peers: leave out siblings and other timeframes.
    """
    venue, name, symbol = key
    frame = grid(venue, name)
    held = sorted(set(keys) - {key})
    siblings = [] if only_peers else [k for k in held if k[:2] == (venue, name)][:_MOST_SIBLINGS]
    others = [] if only_peers else [k for k in held if k[0] == venue and k[2] == symbol]
    return Evidence(
        peers=[_at(k, frame, load) for k in _peers(key, held)[:_MOST_PEERS]],
        siblings=[load(k).open_ts_ms for k in siblings],
        others=[(grid(venue, k[1]), load(k)) for k in _neighbours(frame, others)],
    )


def asset(symbol: str) -> tuple[str, str]:
    """What a symbol's price is the price of, and in what: base, and quote with all dollars alike.

    >>> asset("BTC/USDT:USDT"), asset("ETH/BTC")
    (('BTC', 'USD'), ('ETH', 'BTC'))
    """
    base, _, quote = symbol.partition("/")
    quote = quote.partition(":")[0]
    return base, "USD" if quote in DOLLARS else quote


def _peers(key: Key, held: Sequence[Key]) -> list[Key]:
    """One series a venue and symbol: the same timeframe, or the longest that divides it."""
    venue, name, symbol = key
    frame = grid(venue, name)
    best: dict[tuple[str, str], Key] = {}
    for k in held:
        if k[0] != venue and asset(k[2]) == asset(symbol) and divides(grid(k[0], k[1]), frame):
            known = best.get((k[0], k[2]))
            if known is None or grid(*known[:2]).ms < grid(*k[:2]).ms:
                best[k[0], k[2]] = k
    return sorted(best.values(), key=lambda k: (k[1] != name, k))


def divides(finer: Timeframe, frame: Timeframe) -> bool:
    """Whether whole bars of ``finer`` fill every bar of ``frame``; a grid divides itself.

    >>> from heliograph.core.timeframe import parse
    >>> divides(parse("5m"), parse("1h")), divides(parse("1w"), parse("1M")), divides(parse("1h"), parse("1h"))
    (True, False, True)
    """
    if finer == frame:
        return True
    if finer.is_calendar or finer.ms >= frame.ms:
        return False
    if frame.is_calendar:
        return 86_400_000 % finer.ms == 0 and (frame.offset_ms - finer.offset_ms) % finer.ms == 0
    return frame.ms % finer.ms == 0 and (frame.offset_ms - finer.offset_ms) % finer.ms == 0


def _at(key: Key, frame: Timeframe, load: Load) -> Candles:
    candles = load(key)
    if grid(*key[:2]) == frame:
        return candles
    return summed(candles, frame).take(slice(1, -1))  # the first and last bars may be cut


def _neighbours(frame: Timeframe, others: Sequence[Key]) -> list[Key]:
    """The longest timeframe that divides ``frame``, and the shortest that it divides."""
    frames = sorted(((grid(*k[:2]), k) for k in others), key=lambda pair: pair[0].ms)
    finer = [k for f, k in frames if f.ms < frame.ms and divides(f, frame)]
    coarser = [k for f, k in frames if f.ms > frame.ms and divides(frame, f)]
    return finer[-1:] + coarser[:1]
