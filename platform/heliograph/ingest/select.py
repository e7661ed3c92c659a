"""Which markets and timeframes the settings mean; a name that means nothing is told with those spelled alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from heliograph.config.settings import Selection
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.core.market import Market, VenueRules
from heliograph.core.timeframe import Timeframe

Offers = Mapping[str, tuple[VenueRules, Sequence[Market]]]
"""What each venue has, by venue."""


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
    return [n for n in known if any(_fits(n, s.venues) for s in selections)]


def matches(rules: VenueRules, markets: Sequence[Market], selection: Selection) -> Iterator[tuple[Market, Timeframe]]:
    """Every market and timeframe of one venue that the selection means."""
    if not _fits(rules.venue, selection.venues):
        return
    native = [timeframes.parse(name) for name in rules.timeframes if _fits(name, selection.timeframes)]
    for market in markets:
        if _fits(market.symbol, selection.symbols):
            yield from ((market, timeframe) for timeframe in native)


def require_matches(offers: Offers, selections: Sequence[Selection]) -> None:
    """See that every name in every selection means something.

    A symbol must stand on at least one of the selected venues; a timeframe on every venue that is named in full, and
    on at least one where venues are globs.

    Raises:
        ConfigError: naming what matches nothing, and what is spelled alike.
    """
    venues(offers, selections)
    for selection in selections:
        chosen = [offer for name, offer in offers.items() if _fits(name, selection.venues)]
        symbols = sorted({market.symbol for _, markets in chosen for market in markets})
        _require(selection.symbols, symbols, "symbol", f" on {', '.join(rules.venue for rules, _ in chosen)}")
        _require(selection.timeframes, sorted({t for rules, _ in chosen for t in rules.timeframes}), "timeframe")
        for rules, _ in chosen:
            if rules.venue in selection.venues:
                _require(selection.timeframes, rules.timeframes, "timeframe", f" on {rules.venue}")


def _fits(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _require(globs: Sequence[str], names: Sequence[str], what: str, where: str = "") -> None:
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            near = get_close_matches(glob.replace("*", ""), names, n=5, cutoff=0.5) or list(names[:10])
            raise ConfigError(
                f"no {what}{where} matches {glob!r} (fetch.selections): use {', '.join(near) or 'another'}"
            )
