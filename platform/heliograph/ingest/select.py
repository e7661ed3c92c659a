"""Which markets and timeframes the settings mean; a name that means nothing is told with those spelled alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import translate
from functools import cache

from heliograph.config.settings import Selection
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.market import Kind, Market, VenueRules
from heliograph.core.timeframe import TIMEFRAMES, Timeframe

Offer = tuple[VenueRules, Sequence[Market]]
"""What a venue has of one kind."""

BASE = "1m"
"""Timeframes that a venue lacks are derived from its candles of this one."""


def venues(names: Iterable[str], selections: Sequence[Selection]) -> list[str]:
    """The venues that any selection means, out of ``names``, in their order.

    Raises:
        ConfigError: a selection names a venue that is not there.

    >>> venues(["binance", "okx"], [Selection(venues=("b*",))])
    ['binance']
    """
    known = list(names)
    for selection in selections:
        _require(selection.venues, known, "venue")
    return [n for n in known if any(fits(n, s.venues) for s in selections)]


def kinds(venue: str, offered: Iterable[Kind], selections: Sequence[Selection]) -> list[Kind]:
    """The kinds of a venue's markets whose symbols any selection could mean, so that no other is asked for.

    >>> kinds("okx", ["spot", "swap"], [Selection(symbols=("*/USDT",))])
    ['spot']
    >>> kinds("okx", ["spot", "swap"], [Selection(symbols=("BTC*",))])
    ['spot', 'swap']
    """
    globs = [glob for s in selections if fits(venue, s.venues) for glob in s.symbols]
    possible = {"spot": any(":" not in g for g in globs), "swap": any(_may_settle(g) for g in globs)}
    return [kind for kind in offered if possible[kind]]


def matches(rules: VenueRules, markets: Sequence[Market], selection: Selection) -> Iterator[tuple[Market, Timeframe]]:
    """Every market and timeframe of one venue to fetch for the selection.

    A timeframe that is named and that the venue lacks, or has wrong, is fetched as the one that it is derived from.
    """
    if not fits(rules.venue, selection.venues) or "candles" not in selection.data:
        return
    wanted = [grid(rules.venue, name) for name in _native(rules, selection)]
    for market in markets:
        if fits(market.symbol, selection.symbols):
            yield from ((market, timeframe) for timeframe in wanted)


def require_matches(offers: Sequence[Offer], selections: Sequence[Selection]) -> None:
    """See that every name in every selection means something.

    A symbol must stand on at least one of the selected venues; a timeframe on every venue that is named in full, and
    on at least one where venues are globs. What can be derived counts as there.

    Raises:
        ConfigError: naming what matches nothing, and what is spelled alike.
    """
    venues(dict.fromkeys(rules.venue for rules, _ in offers), selections)
    for selection in selections:
        chosen = [offer for offer in offers if fits(offer[0].venue, selection.venues)]
        told = ", ".join(dict.fromkeys(rules.venue for rules, _ in chosen))
        symbols = sorted({market.symbol for _, markets in chosen for market in markets})
        _require(selection.symbols, symbols, "symbol", f" on {told}")
        _require(selection.timeframes, sorted({t for rules, _ in chosen for t in _possible(rules)}), "timeframe")
        for rules, _ in chosen:
            if rules.venue in selection.venues:
                _require(selection.timeframes, _possible(rules), "timeframe", f" on {rules.venue}")


def fits(name: str, globs: Sequence[str]) -> bool:
    """True where any of the globs matches; case counts.

    >>> fits("BTC/USDT", ("ETH/*", "*/USDT"))
    True
    """
    return _chooser(tuple(globs))(name)


@cache
def _chooser(globs: tuple[str, ...]) -> Callable[[str], bool]:
    """Plain names are looked up, only patterns are tried one by one."""
    plain = frozenset(glob for glob in globs if not re.search(r"[*?\[]", glob))
    patterns = [re.compile(translate(glob)).match for glob in globs if glob not in plain]
    return lambda name: name in plain or any(match(name) for match in patterns)


def _may_settle(glob: str) -> bool:
    """True where the glob can match ``BASE/QUOTE:SETTLE``."""
    return ":" in glob or bool(re.search(r"[*?\[][^/]*$", glob))


def _native(rules: VenueRules, selection: Selection) -> list[str]:
    named = set(selection.timeframes) - set(rules.timeframes) - {"*"}
    is_base = BASE in rules.timeframes and bool(named)
    return [name for name in rules.timeframes if fits(name, selection.timeframes) or (is_base and name == BASE)]


def _possible(rules: VenueRules) -> list[str]:
    return list(TIMEFRAMES if BASE in rules.timeframes else rules.timeframes)


def _require(globs: Sequence[str], names: Sequence[str], what: str, where: str = "") -> None:
    known = frozenset(names)
    for glob in globs:
        if glob not in known and not any(fits(name, (glob,)) for name in names):
            near = get_close_matches(glob.replace("*", ""), names, n=5, cutoff=0.5) or list(names[:10])
            raise ConfigError(
                f"no {what}{where} matches {glob!r} (fetch.selections): use {', '.join(near) or 'another'}"
            )
