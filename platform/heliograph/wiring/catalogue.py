"""The markets that the lake knows: written by the fetch, read by everything that has no venue at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Market
from heliograph.lake.store import open_store

_ORIGIN = "catalogue/origin.txt"
_NAMED = 5
_MONEY = ("price_tick", "qty_step", "min_notional_quote")


def write(lake: LakeSettings, venue: str, markets: Sequence[Market]) -> None:
    """Keep what a venue lists, all markets of one kind or of several; the newest listing wins.

    A market that it no longer lists is kept as one that has closed: its candles are still here. Kinds that are not among
    these markets stay as they were.
    """
    kinds = {m.kind for m in markets}

    def merged(held: bytes | None) -> bytes:
        known = {m.symbol: m if m.kind not in kinds else replace(m, is_active=False) for m in _parsed(held)}
        listed = known | {m.symbol: m for m in markets}
        return json.dumps([asdict(m) for m in listed.values()], default=str, indent=1).encode()

    _put(lake, _key(venue), merged)


def write_origin(lake: LakeSettings, sentence: str) -> None:
    """Keep where the lake's candles come from, in one sentence; reports say it."""
    _put(lake, _ORIGIN, lambda _: sentence.encode())


def read_origin(lake: LakeSettings) -> str:
    """Where the lake's candles come from.

    Raises:
        ConfigError: nothing was ever fetched.
    """
    held = open_store(lake).get_tagged(_ORIGIN)
    if held is None:
        raise ConfigError(f"nothing was fetched into the lake {lake.uri}; run `helio fetch` first")
    return held[0].decode()


def read(lake: LakeSettings, venue: str) -> dict[tuple[str, str], Market]:
    """A venue's markets by (venue, unified symbol).

    Raises:
        ConfigError: nothing was ever fetched from that venue.
    """
    held = open_store(lake).get_tagged(_key(venue))
    if held is None:
        raise ConfigError(f"the lake {lake.uri} knows no markets of {venue}; run `helio fetch` with that venue first")
    return {(m.venue, m.symbol): m for m in _parsed(held[0])}


def backtested(lake: LakeSettings, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Market]:
    """These markets as a backtest trades them: open, since that one closed later is hindsight.

    Args:
        keys: (venue, unified symbol).

    Raises:
        ConfigError: no listing of its venue has had one.
    """
    known = {key: market for venue in {v for v, _ in keys} for key, market in read(lake, venue).items()}
    if lacking := sorted(set(keys) - set(known)):
        named = ", ".join(f"{symbol} on {venue}" for venue, symbol in lacking[:_NAMED])
        raise ConfigError(
            f"the lake {lake.uri} has no listing of {named}, and so no price ticks and quantity steps to trade by: leave "
            f"{'it' if len(lacking) == 1 else 'them'} out of train.symbols, or run `helio fetch` where it is listed"
        )
    return {key: replace(known[key], is_active=True) for key in keys}


def _parsed(held: bytes | None) -> list[Market]:
    rows: list[dict[str, Any]] = json.loads(held) if held else []
    return [Market(**{**row, **{name: Decimal(row[name]) for name in _MONEY}}) for row in rows]


def _put(lake: LakeSettings, key: str, made: Callable[[bytes | None], bytes]) -> None:
    store = open_store(lake)
    while True:
        held = store.get_tagged(key)
        body = made(held[0] if held else None)
        if (held and held[0] == body) or store.put_if_match(key, body, held[1] if held else None):
            return


def _key(venue: str) -> str:
    return f"catalogue/{venue}.json"
